"""Event files for TensorBoard, without importing ``torch.utils.tensorboard`` (1.3 s).

One file per training (one more per resume), in the run's folder: curves, the layout that draws
train and validation into one chart, hyperparameters with the final metrics, and texts. A sweep of n
runs is n rows of the HParams table.
"""

from __future__ import annotations

import math
import os
import re
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_STRING
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    STATUS_FAILURE,
    STATUS_SUCCESS,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

CATEGORY = "train and validation"
LAYERS = "layers"
"""The category of all layouts, because TensorBoard merges charts of runs only within a category."""

SESSION_END = "_hparams_/session_end_info"
FINAL = re.compile(f"^test/|^validation/|^{SESSION_END}$")
"""Pattern of tags that are written once, at the end of a run."""

PARTS = {"train": "train", "val": "validation"}

Value = bool | int | float | str
"""The types that TensorBoard accepts for a hyperparameter."""


@dataclass(frozen=True)
class Band:
    """The tags of a curve and of the edges of its band; all three have the same steps."""

    value: str
    lower: str
    upper: str


def tag_of(name: str) -> str:
    """The tag of a figure: ``loss/train`` for ``train_loss``, ``loss/validation`` for ``val_loss``,
    ``test/loss`` for ``test_loss``, so that TensorBoard lists curves before single points; other
    names are unchanged."""
    part, _, metric = name.partition("_")
    if metric and part == "test":
        return f"test/{metric}"
    return f"{metric}/{PARTS[part]}" if metric and part in PARTS else name


def best_tag(name: str) -> str:
    """The tag of a validation figure in the best epoch: ``validation/best_loss`` for
    ``val_loss``."""
    return f"validation/best_{name.removeprefix('val_')}"


def tags(row: Mapping[str, float]) -> dict[str, float]:
    """A row of the learning curve, or final metrics, by tag, without ``epoch`` and
    ``iteration``."""
    return {
        tag_of(name): value for name, value in row.items() if name not in ("epoch", "iteration")
    }


class EventFile:
    """A new event file ``events.out.tfevents.<time>.<host>.<pid>`` in ``folder``.

    ``folder`` must exist (else ``FileNotFoundError``). Every call writes and flushes one record, so
    a killed training loses nothing. After a resume the new file copies the events of earlier files
    of the folder up to epoch ``until`` and replaces them, so that no point is duplicated;
    ``until=0`` copies nothing. Errors of the file system are raised as ``OSError``.
    """

    def __init__(self, folder: Path, *, until: int = 0) -> None:
        earlier = sorted(folder.glob("events.out.tfevents.*"))
        # TensorBoard reads the files of a folder in the order of their names: the time, in seconds
        # with microseconds, sorts a resumed training after the one it continues.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._write(Event(file_version="brain.Event:2"))
        # Makes a running TensorBoard discard what it has read from the replaced files.
        self._write(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        for event in _kept(earlier, until):
            self._put(event.SerializeToString())
        for path in earlier:
            path.unlink()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one point of each curve in one record, as float32; nan and infinities are
        allowed."""
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(Event(step=step, summary=Summary(value=points)))

    def text(self, tag: str, markdown: str) -> None:
        """Write a text at step 0."""
        self._plugin("text", tag, text=markdown.encode())

    def image(self, tag: str, png: bytes, step: int) -> None:
        """Write a picture, given as the content of a PNG file."""
        width, height = struct.unpack(">II", png[16:24])  # at the start of the first chunk, IHDR
        value = Summary.Value(tag=tag)
        value.image.width, value.image.height, value.image.colorspace = width, height, 4
        value.image.encoded_image_string = png
        self._write(Event(step=step, summary=Summary(value=[value])))

    def charts(
        self, charts: Mapping[str, Sequence[str | Band]], layers: Sequence[str] = ()
    ) -> None:
        """Write the custom layout: a chart per title with its curves, and a chart for each figure
        in ``layers`` with the curves ``figure/layer`` of all layers.

        Equal charts of several runs are merged; charts with equal titles and different tags are
        not, so give every run the same tags: a curve without data in a run stays empty.
        """
        layout = Layout()
        category = layout.category.add(title=CATEGORY)
        for title, curves in charts.items():
            # In a multiline chart TensorBoard orders the curves, and their markers, by a hash
            # table; a margin chart keeps the given order. A curve without a band is its own band.
            margin = category.chart.add(title=title).margin
            for curve in curves:
                band = Band(curve, curve, curve) if isinstance(curve, str) else curve
                margin.series.add(value=band.value, lower=band.lower, upper=band.upper)
        if layers:
            category = layout.category.add(title=LAYERS)
        for figure in layers:
            category.chart.add(title=figure).multiline.tag.append(f"{re.escape(figure)}/")
        self._plugin("custom_scalars", "custom_scalars__config__", text=layout.SerializeToString())

    def histogram(self, tag: str, buckets: Sequence[tuple[float, float, float]], step: int) -> None:
        """Write a distribution: buckets from left to right as (left edge, right edge, count)."""
        value = Summary.Value(tag=tag)
        value.metadata.plugin_data.plugin_name = "histograms"
        value.tensor.dtype = DT_DOUBLE
        for size in (len(buckets), 3):
            value.tensor.tensor_shape.dim.add(size=size)
        value.tensor.double_val.extend(number for bucket in buckets for number in bucket)
        self._write(Event(step=step, summary=Summary(value=[value])))

    def hparams_start(self, hparams: Mapping[str, Value]) -> None:
        """Write this run's row in the HParams table; all its scalars are the metrics of the row.

        TensorBoard collects the columns from all runs, as long as no run writes an ``Experiment``,
        of which it would use an arbitrary one. Infinity and nan are written as text, because
        TensorBoard leaves out such numbers.
        """
        data = HParamsPluginData()
        data.session_start_info.start_time_secs = time.time()
        for name, value in hparams.items():
            entry = data.session_start_info.hparams[name]
            if isinstance(value, bool):
                entry.bool_value = value
            elif isinstance(value, str) or not math.isfinite(value):
                entry.string_value = str(value)
            else:
                entry.number_value = value
        self._plugin("hparams", "_hparams_/session_start_info", data.SerializeToString())

    def hparams_columns(
        self, levels: Mapping[str, Sequence[Value]], metrics: Mapping[str, str]
    ) -> None:
        """Write the columns of the HParams table: hyperparameters with their values, then metrics
        by tag with their names. All runs of a log directory must write the same columns, or none:
        TensorBoard shows those of one run."""
        data = HParamsPluginData()
        for name, values in levels.items():
            info = data.experiment.hparam_infos.add(name=name)
            numbers = [value for value in values if isinstance(value, int | float)]
            if len(numbers) == len(values) and not any(isinstance(v, bool) for v in values):
                info.type = DATA_TYPE_FLOAT64
                info.domain_interval.min_value = min(numbers)
                info.domain_interval.max_value = max(numbers)
            else:
                info.type = DATA_TYPE_STRING
                info.domain_discrete.extend([str(value) for value in values])
        for tag, name in metrics.items():
            data.experiment.metric_infos.add(display_name=name).name.tag = tag
        self._plugin("hparams", "_hparams_/experiment", data.SerializeToString())

    def hparams_end(self, succeeded: bool) -> None:
        """Write the status of the row; TensorBoard ignores a second one."""
        data = HParamsPluginData()
        data.session_end_info.end_time_secs = time.time()
        data.session_end_info.status = STATUS_SUCCESS if succeeded else STATUS_FAILURE
        self._plugin("hparams", SESSION_END, data.SerializeToString())

    def close(self) -> None:
        """Close the file; further writes raise ``ValueError``."""
        self._file.close()

    def _plugin(self, plugin: str, tag: str, content: bytes = b"", text: bytes = b"") -> None:
        """Write data of a plugin: its ``content``, or a ``text``."""
        value = Summary.Value(tag=tag)
        value.metadata.plugin_data.plugin_name = plugin
        value.metadata.plugin_data.content = content
        value.tensor.dtype = DT_STRING
        value.tensor.string_val.append(text)
        self._write(Event(summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._put(event.SerializeToString())

    def _put(self, data: bytes) -> None:
        self._file.write(framed(data))
        self._file.flush()


class BufferedEventFile(EventFile):
    """An event file that keeps its records in memory until ``write_buffered`` writes them."""

    def __init__(self, folder: Path) -> None:
        self.records: list[bytes] = []
        super().__init__(folder)

    def _put(self, data: bytes) -> None:
        self.records.append(data)

    def write(self, frames: Sequence[bytes]) -> None:
        """Write the records, given as ``framed`` bytes, and close the file."""
        self._file.write(b"".join(frames))
        self.close()


def write_buffered(files: Sequence[BufferedEventFile]) -> None:
    """Write and close the files; the checksums of all records are computed together."""
    frames = iter(framed_all([data for file in files for data in file.records]))
    for file in files:
        file.write([next(frames) for _ in file.records])


def read(path: Path) -> Iterator[Event]:
    """Yield the events of a file up to the first that is incomplete or damaged."""
    data = memoryview(path.read_bytes())
    while len(data) >= HEAD:
        (length,) = struct.unpack("<Q", data[:8])
        content = bytes(data[HEAD : HEAD + length])
        if framed(content) != bytes(data[: HEAD + length + 4]):
            return
        yield Event.FromString(content)
        data = data[HEAD + length + 4 :]


HEAD = 12
"""Bytes before the data of a TFRecord: its length and the checksum of the length."""


def _kept(paths: Sequence[Path], until: int) -> Iterator[Event]:
    """Summaries up to epoch ``until`` without duplicates, final metrics and session ends, because
    the training continues."""
    seen = set()
    for event in (event for path in paths if until for event in read(path)):
        key = (event.step, *(value.tag for value in event.summary.value))
        final = any(FINAL.search(str(tag)) for tag in key[1:])
        if len(key) > 1 and event.step <= until and not final and key not in seen:
            seen.add(key)
            yield event


def framed(data: bytes) -> bytes:
    """``data`` as one TFRecord: length, checksum of the length, data, checksum of the data."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def framed_all(records: Sequence[bytes]) -> list[bytes]:
    """``framed`` for each of thousands of records, with checksums vectorised by numpy."""
    lengths = [struct.pack("<Q", len(data)) for data in records]
    checked = zip(lengths, _checksums(lengths), records, _checksums(records), strict=True)
    return [b"".join(parts) for parts in checked]


def _checksum(data: bytes) -> bytes:
    """The masked CRC-32C of TFRecord files, little-endian."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return _masked(crc ^ 0xFFFFFFFF)


def _masked(crc: int) -> bytes:
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _checksums(records: Sequence[bytes]) -> list[bytes]:
    """``_checksum`` of each record, vectorised over records, one byte position at a time."""
    import numpy as np

    table = np.array(CRC_TABLE, np.uint32)
    longest_first = sorted(range(len(records)), key=lambda i: -len(records[i]))
    lengths = np.array([len(records[i]) for i in longest_first])
    found = [b""] * len(records)
    for start in range(0, len(records), TOGETHER):
        chosen = longest_first[start : start + TOGETHER]
        size = len(records[chosen[0]])
        padded = b"".join(records[i].ljust(size, b"\0") for i in chosen)
        places = np.frombuffer(padded, np.uint8).reshape(len(chosen), size).T.copy()
        crc = np.full(len(chosen), 0xFFFFFFFF, np.uint32)
        ends = lengths[start : start + TOGETHER]
        for place, column in enumerate(places):
            n = int(np.searchsorted(-ends, -place))  # number of longer records
            crc[:n] = table[(crc[:n] ^ column[:n]) & 0xFF] ^ (crc[:n] >> 8)
        for i, value in zip(chosen, (crc ^ 0xFFFFFFFF).tolist(), strict=True):
            found[i] = _masked(value)
    return found


TOGETHER = 10_000
"""Maximum number of records whose checksums are computed together, which bounds the memory."""


def _crc_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [crc >> 1 ^ (0x82F63B78 if crc & 1 else 0) for crc in table]
    return table


CRC_TABLE = _crc_table()
