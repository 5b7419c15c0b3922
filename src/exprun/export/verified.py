"""Exports that are verified: each is created, read back, and compared with ``predict``."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import torch

from exprun.common.errors import UsageError
from exprun.export.inputs import Columns, difference, trial
from exprun.record.model import load_model, single_file
from exprun.training.prediction import Model, class_ids


def safetensors(model: Model) -> tuple[bytes, float]:
    """The content of a safetensors file and its maximum difference from ``predict``."""
    content = single_file(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        again = load_model(path)
    frame = trial(model.preprocessing)
    outputs = again.outputs(frame)
    ids = class_ids(outputs) if again.preprocessing.task.classes else None
    return content, difference(model, frame, ids, again.answers(outputs).values)


def torch_(model: Model) -> tuple[bytes, float]:
    """The content of a ``torch.export`` file and its maximum difference from ``predict``."""
    from exprun.export.program import torch_program

    content = torch_program(model)
    columns, frame = Columns.of(model.preprocessing), trial(model.preprocessing)
    inputs = []
    if columns.numeric:
        inputs.append(torch.from_numpy(columns.numbers(frame)))
    if columns.categorical:
        inputs.append(torch.from_numpy(columns.codes(frame)))
    with torch.inference_mode():
        *ids, values = torch.export.load(io.BytesIO(content)).module()(*inputs)
    return content, difference(model, frame, ids[0] if ids else None, values)


def onnx(model: Model) -> tuple[bytes, float]:
    """The content of an ONNX file and its maximum difference from ``predict``, computed with
    onnxruntime. Raises UsageError if that is not installed."""
    try:
        import onnxruntime

        from exprun.export.graph import onnx_model
    except ModuleNotFoundError as error:
        raise UsageError(
            f"export: --format onnx needs {error.name}; expected pip install onnx onnxruntime"
        ) from None
    content = onnx_model(model)
    columns, frame = Columns.of(model.preprocessing), trial(model.preprocessing)
    inputs: dict[str, Any] = {}
    if columns.numeric:
        inputs["numbers"] = columns.numbers(frame)
    if columns.categorical:
        inputs["words"] = columns.words(frame)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    *labels, values = session.run(None, inputs)
    place = {label: k for k, label in enumerate(model.preprocessing.task.classes)}
    ids = [place[label] for label in labels[0]] if labels else None
    return content, difference(model, frame, ids, values)


FORMATS = {"safetensors": safetensors, "torch": torch_, "onnx": onnx}
SUFFIXES = {"safetensors": ".safetensors", "torch": ".pt2", "onnx": ".onnx"}
