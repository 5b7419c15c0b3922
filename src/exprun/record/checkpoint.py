"""``checkpoints/last.pt``: the complete state of a training, with a checksum.

The file is a plain ``torch.save`` of tensors and simple values, so it loads with
``weights_only=True`` and cannot run code. The checksum detects flipped bits, which torch does not.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exprun.record.files import NewFile, write_files
from exprun.training.state_dicts import map_tensors

LAST, PREVIOUS = "last.pt", "previous.pt"
"""The newest checkpoint and the one before it."""


class DamagedCheckpoint(Exception):
    """The file differs from what was written."""


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write ``state`` into a run's folder atomically; the checkpoint before it becomes PREVIOUS."""
    write_files([as_file(folder, state)])


def as_file(folder: Path, state: dict[str, Any]) -> NewFile:
    """``state`` as the next checkpoint in a run's folder."""
    path = folder / "checkpoints" / LAST
    path.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    torch.save({**map_tensors(state, _own_memory), "sha256": checksum(state)}, buffer)
    return NewFile(path, buffer.getvalue(), old=path.with_name(PREVIOUS))


def _own_memory(tensor: Tensor) -> Tensor:
    """A copy of a tensor that is a view of a larger storage, such as a stack's weights, because
    torch saves the whole storage; other tensors are returned unchanged."""
    whole = tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if whole else tensor.detach().clone()


def load(path: Path) -> dict[str, Any]:
    """Load a checkpoint. Raises DamagedCheckpoint if it cannot be read or its checksum is wrong."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        expected = state.pop("sha256")
        actual = checksum(state)
    except Exception as error:
        raise DamagedCheckpoint(f"{path}: cannot be read: {error}") from error
    if actual != expected:
        raise DamagedCheckpoint(f"{path}: its checksum does not fit its content")
    return dict(state)


def newest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest intact checkpoint of a run's folder, and messages about damaged newer ones.

    None if there is no intact checkpoint.
    """
    problems: list[str] = []
    for name in (LAST, PREVIOUS):
        path = folder / "checkpoints" / name
        if path.exists():
            try:
                return load(path), problems
            except DamagedCheckpoint as damage:
                problems.append(str(damage))
    return None, problems


PLAIN = {str, int, float, bool, type(None)}
"""The most frequent types of values in a state, which ``checksum`` handles first."""


def checksum(value: Any) -> str:
    """SHA-256 of nested dicts, lists, tensors and plain values, over keys, types, shapes and
    bytes."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if type(value) in PLAIN:
            digest.update(f"{type(value).__name__} {value!r};".encode())
        elif isinstance(value, Tensor):
            data = value.detach().cpu().contiguous()
            digest.update(f"tensor {data.dtype} {tuple(data.shape)};".encode())
            digest.update(data.reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, dict):
            digest.update(f"dict {len(value)};".encode())
            for key, item in value.items():
                add(key)
                add(item)
        elif isinstance(value, list | tuple):
            digest.update(f"list {len(value)};".encode())
            for item in value:
                add(item)
        else:
            digest.update(f"{type(value).__name__} {value!r};".encode())

    add(value)
    return digest.hexdigest()
