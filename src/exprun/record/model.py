"""Write and read ``model.safetensors`` and ``preprocess.json``, which predictions need.

The files may come from an untrusted source: they are checked before use, and no code is loaded from
them.
"""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from exprun.common.constants import DIVERGED, FAILED, FINISHED
from exprun.common.errors import UsageError
from exprun.common.named_files import expanded
from exprun.data.preprocess import Preprocessing
from exprun.data.preprocess_json import from_json, to_json
from exprun.record.checkpoint import checksum
from exprun.record.files import NewFile, as_json
from exprun.techniques.networks import architecture, rebuilt
from exprun.training.prediction import Model

WEIGHTS, PREPROCESSING = "model.safetensors", "preprocess.json"

EXPORTED = (".onnx", ".pt", ".pt2")
"""Suffixes of exported models that exprun does not read, because they are programs."""

FORMAT = 1
ACTIVATIONS = ("softmax", "sigmoid", "identity", "exp")


def model_files(
    folder: Path,
    network: nn.Module,
    weights: dict[str, Tensor],
    preprocessing: Preprocessing,
    output_activation: str,
) -> list[NewFile]:
    """The files of a network's ``weights``, a ``state_dict``, and of the preprocessing of its
    inputs, to be written before ``result.json``, without which they are ignored."""
    described = as_file(preprocessing)
    head = _head(architecture(network), output_activation, weights, described.sum)
    return [
        NewFile(folder / PREPROCESSING, described.content),
        NewFile(folder / WEIGHTS, _safetensors(weights, head)),
    ]


class PreprocessingFile(NamedTuple):
    """The content of ``preprocess.json`` and the checksum of its data."""

    content: bytes
    sum: str


@functools.lru_cache(maxsize=2)
def as_file(preprocessing: Preprocessing) -> PreprocessingFile:
    """The preprocessing as a file; cached, because the jobs of a sweep share it."""
    described = to_json(preprocessing)
    return PreprocessingFile(as_json(described), checksum(described))


def single_file(model: Model) -> bytes:
    """The content of a safetensors file that also contains the preprocessing, in its metadata, so
    that it is a complete model for ``load_model``."""
    weights, described = model.network.state_dict(), as_file(model.preprocessing)
    head = _head(architecture(model.network), model.output_activation, weights, described.sum)
    return _safetensors(weights, {**head, "preprocessing": json.loads(described.content)})


def _head(
    built: dict[str, Any], activation: str, weights: dict[str, Tensor], preprocessing: str
) -> dict[str, Any]:
    """The metadata of the safetensors file: the network's architecture, and checksums, which the
    format lacks; ``preprocessing`` is the checksum of ``preprocess.json``."""
    network = {"architecture": built, "output_activation": activation}
    sums = {"network": _network_sum(network, weights), "preprocessing": preprocessing}
    return {"format": FORMAT, **network, "sha256": sums}


def _network_sum(network: dict[str, Any], weights: dict[str, Tensor]) -> str:
    return checksum(
        [network["architecture"], network["output_activation"], sorted(weights.items())]
    )


def _safetensors(weights: dict[str, Tensor], head: dict[str, Any]) -> bytes:
    tensors = {name: w.contiguous().cpu() for name, w in weights.items()}
    # A single metadata key, because the order of several keys varies.
    content: bytes = save(tensors, metadata={"exprun": json.dumps(head, allow_nan=False)})
    return content


def load_model(path: str | Path) -> Model:
    """Load the model of a run's folder, or of a safetensors file that ``exprun export`` wrote.

    Raises UsageError for a folder without a model, and for files that are damaged, do not belong
    together, or need code that is not exprun's.
    """
    path = expanded(path)
    if path.suffix in EXPORTED and path.is_file():
        raise UsageError(
            f"{path}: is for other programs; expected the folder of its run, or what "
            "exprun export --format safetensors writes"
        )
    file = path if path.is_file() else _expected(path) / WEIGHTS
    head, weights = _read(file)
    if path.is_file():
        described = head.get("preprocessing")
        if described is None:
            raise UsageError(
                f"{path}: has no preprocessing in it; expected its folder, {path.parent}"
            )
        source = path
    else:
        source = path / PREPROCESSING
        described = _read_json(source)
    built, activation, sums = head["architecture"], head["output_activation"], head["sha256"]
    if _network_sum(head, weights) != sums["network"]:
        raise UsageError(f"{file}: is damaged: its checksum does not fit its content")
    try:
        preprocessing = from_json(described)
    except ValueError as error:
        raise UsageError(f"{source.parent}: {error}") from None
    if checksum(described) != sums["preprocessing"]:
        raise UsageError(f"{source}: is damaged, or not the one that was written with {file.name}")
    if built["network"] != "mlp":
        raise UsageError(
            f"{file}: its network is {built['network']}, which needs code that is not in it; "
            "expected exprun's own, model=mlp"
        )
    try:
        network = rebuilt(built, weights)
    except ValueError as error:
        raise UsageError(f"{file}: is damaged: {error}") from None
    task = preprocessing.task
    outputs = (1, 2) if len(task.classes) == 2 else (task.width,)
    if built["inputs"] != preprocessing.width or built["outputs"] not in outputs:
        raise UsageError(f"{file}: is damaged: its sizes are not those of {source.name}")
    return Model(network, preprocessing, activation)


def _expected(folder: Path) -> Path:
    """The folder, if it contains both files of a model; otherwise raises a UsageError that says
    what it contains instead."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; expected one like outputs/runs/…")
    missing = [name for name in (WEIGHTS, PREPROCESSING) if not (folder / name).is_file()]
    if not missing:
        return folder
    if (folder / "sweep.json").is_file():
        raise UsageError(f"{folder}: is a sweep; expected one of its runs{_best(folder)}")
    if not (folder / ".hydra").is_dir() and len(missing) == 2:
        newest = sorted(file.parent for file in folder.glob(f"*/{WEIGHTS}"))
        hint = newest[-1] if newest else "outputs/runs/…"
        raise UsageError(f"{folder}: is no folder of a run; expected one like {hint}")
    result = _read_json(folder / "result.json") if (folder / "result.json").is_file() else {}
    status = result.get("status") if isinstance(result, dict) else None
    if status in (DIVERGED, FAILED) and len(missing) == 2:
        raise UsageError(f"{folder}: has no model, for the run {status}: {result.get('reason')}")
    if status not in FINISHED:
        raise UsageError(f"{folder}: has no model yet; expected exprun resume {folder} first")
    raise UsageError(f"{folder}: has no model: {' and '.join(missing)} missing")


def _best(sweep: Path) -> str:
    """The hint ``"; the best is …"`` from the sweep's leaderboard, if that run has a model, else an
    empty text."""
    try:
        with (sweep / "leaderboard.csv").open(newline="") as file:
            folders = [sweep / str(row["folder"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError):
        return ""
    ready = (folder for folder in folders if (folder / WEIGHTS).is_file())
    best = next(ready, None)
    return f"; the best is {best}" if best else ""


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata and the weights of a safetensors file; raises UsageError for other files."""
    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: is damaged or no safetensors file: {error}") from None
    if "exprun" not in metadata:
        raise UsageError(f"{file}: was not written by this version of exprun")
    try:
        head: dict[str, Any] = json.loads(metadata["exprun"])
        known = head["format"] == FORMAT
        whole = (
            isinstance(head["architecture"]["network"], str)
            and head["output_activation"] in ACTIVATIONS
            and {"network", "preprocessing"} <= head["sha256"].keys()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        known, whole = True, False
    if not known:
        raise UsageError(f"{file}: is of format {head['format']}, expected {FORMAT}; update exprun")
    if not whole:
        raise UsageError(f"{file}: is damaged: its head cannot be read")
    return head, weights


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        raise UsageError(f"{path}: is damaged: it is not JSON") from None
