"""Images in the IDX format of MNIST (yann.lecun.com/exdb/mnist), gzip'd or plain."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import UsageError, choices
from exprun.common.named_files import expanded
from exprun.data import progress
from exprun.data.frame import Frame, Words
from exprun.data.table import Table
from exprun.data.task import Task

BYTES = 0x08
"""The type code of unsigned bytes, which MNIST and similar data sets use."""

TEST_PARTS = ("t10k", "test")
"""Prefixes of the official test part's files, MNIST's first."""

Bytes = NDArray[np.uint8]


def idx(path: str) -> Table:
    """Read ``train-images…`` and ``train-labels…`` of a folder, and ``t10k-…`` or ``test-…`` as the
    official test split if they exist. The features are the pixels, row by row, 0…255.

    Raises UsageError for files that are missing, damaged, or do not match each other.
    """
    folder = expanded(path)
    if not folder.is_dir():
        raise UsageError(f"{path}: is no folder; expected one with train-images-idx3-ubyte[.gz]")
    frame, labels = _part(folder, "train")
    classes = sorted(set(labels.tolist()))
    if len(classes) < 2:
        raise UsageError(f"{path}: all training images have the label {classes[0]}")
    test_rows = 0
    for name in TEST_PARTS:
        if not test_rows and any(folder.glob(f"*{name}-images*")):
            test, test_labels = _part(folder, name)
            if test.names != frame.names:
                raise UsageError(f"{path}: the test images have another size than the others")
            unknown = sorted(set(test_labels.tolist()) - set(classes))
            if unknown:
                expected = choices(map(str, classes[:10]))
                raise UsageError(
                    f"{path}: a test image has the label {unknown[0]}, which no image for training "
                    f"has; expected {expected}"
                )
            test_rows = len(test)
            frame, labels = frame.extended(test), np.concatenate([labels, test_labels])
    ids = np.searchsorted(classes, labels).astype(np.int64)
    task = Task(("label",), tuple(map(str, classes)))
    return Table(folder.resolve().name, frame, ids, task, test_rows)


def images(path: Path) -> Frame:
    """The pixels of an images file as columns ``pixel_0_0``, ``pixel_0_1``, …, without a copy."""
    array = read_idx(path)
    if array.ndim < 2 or not array.size:
        raise UsageError(f"{path}: has {array.ndim} dimension(s); expected images")
    places = np.ndindex(*array.shape[1:])
    names = tuple("_".join(map(str, ("pixel", *place))) for place in places)
    return Frame(names, array.reshape(len(array), -1))


def images_file(path: Path) -> Path:
    """The path itself, or the test images of a folder (the training images if there are no
    others)."""
    if not path.is_dir():
        return path
    parts = [name for name in TEST_PARTS if any(path.glob(f"*{name}-images*"))]
    return _only(path, f"{parts[0] if parts else 'train'}-images")


def labels_of(path: Path, rows: int) -> Words:
    """The labels of an images file as words, from the labels file of matching name beside it."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    found = [
        file for file in (path.with_name(name), path.with_name(f"{name}.gz")) if file.is_file()
    ]
    if not found or name == path.name:
        raise UsageError(f"{path}: there are no labels beside it; expected a file {name}")
    labels = read_idx(found[0])
    if labels.shape != (rows,):
        raise UsageError(f"{found[0]}: has labels of shape {labels.shape} for {rows} images")
    distinct, codes = np.unique(labels, return_inverse=True)
    return Words(codes.astype(np.int32), tuple(map(str, distinct.tolist())))


def is_idx(path: Path) -> bool:
    """Whether the file, gzip'd or plain, begins like an IDX file."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            head = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:3] == bytes([0, 0, BYTES]) and head[3] in (1, 2, 3, 4)


def _part(folder: Path, name: str) -> tuple[Frame, Bytes]:
    """The images and labels of a part, ``train`` or a prefix of the test part."""
    frame = images(_only(folder, f"{name}-images"))
    path = _only(folder, f"{name}-labels")
    labels = read_idx(path)
    if labels.shape != (len(frame),):
        raise UsageError(f"{path}: has labels of shape {labels.shape} for {len(frame)} images")
    return frame, labels


def _only(folder: Path, what: str) -> Path:
    """The only file whose name contains ``what``; plain files take precedence over gzip'd ones."""
    found = sorted(path for path in folder.glob(f"*{what}*") if path.is_file())
    plain = {path.name.removesuffix(".gz"): path for path in reversed(found)}
    if not plain:
        raise UsageError(f"{folder}: there is no {what}-… file; expected MNIST's names")
    if len(plain) > 1:
        raise UsageError(f"{folder}: there are several {what}-… files: {', '.join(sorted(plain))}")
    return next(iter(plain.values()))


def read_idx(path: Path) -> Bytes:
    """The array of an IDX file: two zero bytes, type, number of dimensions, their sizes as
    big-endian 32-bit integers, then the bytes. Raises UsageError."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with (
            progress.bar(str(path), path.stat().st_size) as advance,
            path.open("rb") as raw,
            gzip.open(raw) if zipped else raw as file,
        ):
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\x00\x00":
                raise UsageError(f"{path}: is not an IDX file")
            if head[2] != BYTES:
                raise UsageError(
                    f"{path}: has numbers of IDX type 0x{head[2]:02x}; expected unsigned bytes"
                )
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3] or not head[3]:
                raise UsageError(f"{path}: is cut off in its head")
            shape = struct.unpack(f">{head[3]}I", sizes)
            expected = math.prod(shape)
            limit = path.stat().st_size * 1100  # the highest ratio of deflate
            if expected > limit:
                raise UsageError(f"{path}: is cut off: expected {expected} numbers")
            array = np.empty(expected, dtype=np.uint8)
            done = 0
            while count := file.readinto(array.data[done : done + 2**22]):
                done += count
                advance(raw.tell())
            more = file.read(1)
    except (OSError, EOFError, zlib.error) as error:
        what = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {what}") from None
    if done < expected or more:
        found = "more" if more else done
        raise UsageError(f"{path}: has {found} numbers; its head says {expected}")
    return array.reshape(shape)
