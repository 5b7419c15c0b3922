"""Event files for TensorBoard, without the 1.3 s that ``torch.utils.tensorboard`` costs.

One file per training (one more per resume), in the run's own folder: curves, the layout that draws
train and validation into one chart, hyperparameters with the final metrics beside them, and texts.
A sweep of n runs is n rows of the HParams table.
"""

from __future__ import annotations

import math
import os
import re
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

CATEGORY = "train and validation"
"""The one category of all layouts: TensorBoard merges the charts of many runs within it only."""

SESSION_END = "_hparams_/session_end_info"
FINAL = re.compile(f"/test$|^best/|^{SESSION_END}$")
"""Tags that are written once, at the very end."""

PARTS = {"train": "train", "val": "validation", "test": "test"}


def tags(row: Mapping[str, float]) -> dict[str, float]:
    """A row of the learning curve, or final metrics, under TensorBoard's grouped names.

    ``train_loss`` becomes ``loss/train``, ``val_loss`` ``loss/validation``, ``test_loss``
    ``loss/test``; ``epoch`` and ``iteration`` are left out, everything else keeps its name.
    """
    tagged = {}
    for name, value in row.items():
        part, _, metric = name.partition("_")
        if metric and part in PARTS:
            tagged[f"{metric}/{PARTS[part]}"] = value
        elif name not in ("epoch", "iteration"):
            tagged[name] = value
    return tagged


class EventFile:
    """A new event file ``events.out.tfevents.<time>.<host>.<pid>`` in ``folder``.

    ``folder`` must exist (else ``FileNotFoundError``). Every call writes one record and flushes it,
    so a training that is killed loses nothing. After a resume the new file takes over what earlier
    files of the folder hold up to epoch ``until`` and replaces them, so that no point stands twice;
    ``until=0`` starts afresh. An error of the disk is raised as ``OSError``.
    """

    def __init__(self, folder: Path, *, until: int = 0) -> None:
        earlier = sorted(folder.glob("events.out.tfevents.*"))
        # TensorBoard reads the files of a folder in the order of their names: the time, in seconds
        # with microseconds, puts a resumed training after the one it goes on from.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._write(Event(file_version="brain.Event:2"))
        # A running TensorBoard forgets what it has read of the files that this one replaces.
        self._write(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        for event in _kept(earlier, until):
            self._file.write(framed(event.SerializeToString()))
        self._file.flush()
        for path in earlier:
            path.unlink()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One point of each curve, in one record; float32, nan and infinities included."""
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(Event(step=step, summary=Summary(value=points)))

    def text(self, tag: str, markdown: str) -> None:
        """A text at step 0."""
        self._plugin("text", tag, text=markdown.encode())

    def image(self, tag: str, png: bytes, step: int) -> None:
        """A picture, the content of a PNG file."""
        width, height = struct.unpack(">II", png[16:24])  # the first chunk, IHDR, begins with them
        value = Summary.Value(tag=tag)
        value.image.width, value.image.height, value.image.colorspace = width, height, 4
        value.image.encoded_image_string = png
        self._write(Event(step=step, summary=Summary(value=[value])))

    def charts(self, charts: Mapping[str, Sequence[str]]) -> None:
        """The custom layout: each title is a chart, its tags are drawn together.

        Equal charts of several runs become one; charts with equal titles and different tags do
        not, so give every run the same tags: one that a run does not have stays empty.
        """
        layout = Layout()
        category = layout.category.add(title=CATEGORY)
        for title, drawn in charts.items():
            patterns = [f"{re.escape(tag)}$" for tag in drawn]
            category.chart.add(title=title).multiline.tag.extend(patterns)
        self._plugin("custom_scalars", "custom_scalars__config__", text=layout.SerializeToString())

    def hparams_start(self, hparams: Mapping[str, bool | int | float | str]) -> None:
        """This run's row in the HParams table; all its scalars are the metrics of the row.

        The columns are those of all runs together: TensorBoard finds them by itself as long as no
        run writes an ``Experiment`` of its own, of which it would use an arbitrary one. Infinity
        and nan are written as text, because TensorBoard leaves out such numbers.
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

    def hparams_end(self, succeeded: bool) -> None:
        """The status of the row. Final: TensorBoard ignores a second one."""
        data = HParamsPluginData()
        data.session_end_info.end_time_secs = time.time()
        data.session_end_info.status = STATUS_SUCCESS if succeeded else STATUS_FAILURE
        self._plugin("hparams", SESSION_END, data.SerializeToString())

    def close(self) -> None:
        """Close the file; further writes raise ``ValueError``."""
        self._file.close()

    def _plugin(self, plugin: str, tag: str, content: bytes = b"", text: bytes = b"") -> None:
        """Data of a plugin: its own ``content``, or a ``text``."""
        value = Summary.Value(tag=tag)
        value.metadata.plugin_data.plugin_name = plugin
        value.metadata.plugin_data.content = content
        value.tensor.dtype = DT_STRING
        value.tensor.string_val.append(text)
        self._write(Event(summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._file.write(framed(event.SerializeToString()))
        self._file.flush()


def read(path: Path) -> Iterator[Event]:
    """The events of a file, up to the first that is torn or damaged."""
    data = memoryview(path.read_bytes())
    while len(data) >= HEAD:
        (length,) = struct.unpack("<Q", data[:8])
        content = bytes(data[HEAD : HEAD + length])
        if framed(content) != bytes(data[: HEAD + length + 4]):
            return
        yield Event.FromString(content)
        data = data[HEAD + length + 4 :]


HEAD = 12
"""Bytes before the data of a TFRecord: length and its checksum."""


def _kept(paths: Sequence[Path], until: int) -> Iterator[Event]:
    """Summaries of epochs up to ``until``, each once; no final metrics and no end of a session,
    for the training goes on."""
    seen = set()
    for event in (event for path in paths for event in read(path)):
        key = (event.step, *(value.tag for value in event.summary.value))
        final = any(FINAL.search(str(tag)) for tag in key[1:])
        if until and len(key) > 1 and event.step <= until and not final and key not in seen:
            seen.add(key)
            yield event


def framed(data: bytes) -> bytes:
    """``data`` as one TFRecord: length, checksum of the length, data, checksum of the data."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    """The masked CRC-32C of TFRecord files, little-endian."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)


def _crc_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [crc >> 1 ^ (0x82F63B78 if crc & 1 else 0) for crc in table]
    return table


CRC_TABLE = _crc_table()
