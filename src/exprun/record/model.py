"""``model.safetensors`` and ``preprocess.json``: all that a prediction needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from exprun.fit import Training
from exprun.record.files import write_atomic, write_json


def save_model(folder: Path, training: Training, architecture: dict[str, Any]) -> None:
    """Write the kept weights and the preprocessing. ``architecture`` is plain data, stored in the
    header of the safetensors file: what the network was built with, no code. Both files are settled
    on the disk with ``result.json``, without which they count for nothing."""
    tensors = {name: w.contiguous().cpu() for name, w in training.kept.items()}
    metadata = {"architecture": json.dumps(architecture)}  # two keys would come in any order
    preprocessing = training.data.preprocessing.to_json()
    write_json(folder / "preprocess.json", preprocessing, settle=False)
    write_atomic(folder / "model.safetensors", save(tensors, metadata=metadata), settle=False)
