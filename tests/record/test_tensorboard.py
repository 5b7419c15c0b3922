"""The event files, read back by TensorBoard itself: its reader, and its server over HTTP."""

import io
import json
import math
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from exprun.record.tensorboard import EventFile, best_tag, framed, framed_all, tags

CHARTS = {"loss": ["loss/train", "loss/validation"], "lr": ["lr"]}
SWEEP = {
    "sweep/0_optimizer=sgd": {"optimizer": "sgd", "optimizer.lr": 0.1, "nesterov": False},
    "sweep/1_optimizer=adam": {"optimizer": "adam", "optimizer.lr": 0.001, "optimizer.beta1": 0.9},
    "sweep/2_reg=[l2,dropout]": {"optimizer": "sgd", "reg": "l2+dropout", "clip": math.inf},
}
FAILED = "sweep/2_reg=[l2,dropout]"
RESUMED = "runs/resumed, ÄÖ 50%"
STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


def float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def curve(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in events.Scalars(tag)]


# -------------------------------------------------------------------- read by TensorBoard's reader


def test_names_of_a_row():
    row = {"epoch": 3, "iteration": 120, "lr": 0.1, "train_loss": 0.5, "val_loss": 0.6}
    assert tags(row) == {"lr": 0.1, "loss/train": 0.5, "loss/validation": 0.6}
    assert tags({"test_r2": 0.9, "grad_norm": 2.0, "train": 1.0}) == {
        "test/r2": 0.9,
        "grad_norm": 2.0,
        "train": 1.0,
    }


@pytest.mark.parametrize("data", [b"", b"123456789", bytes(range(256)) * 33])
def test_records_are_framed_as_tensorboard_frames_them(data):
    theirs = io.BytesIO()
    RecordWriter(theirs).write(data)
    assert framed(data) == theirs.getvalue()


def test_records_are_framed_together_as_they_are_one_by_one():
    rng = np.random.default_rng(0)
    records = [rng.bytes(int(length)) for length in rng.integers(0, 300, 500)]
    records += [b"", bytes(range(256)) * 9, *records[:3]]
    assert framed_all(records) == [framed(data) for data in records]
    assert framed_all([]) == []


def test_scalars_are_read_back_exactly(tmp_path):
    file = EventFile(tmp_path)
    file.scalars({"loss/train": 0.1, "lr": 1e-3}, step=1)
    file.scalars({"loss/train": math.nan, "lr": math.inf}, step=2)
    events = read(tmp_path)  # before close: every write is flushed
    file.close()
    assert curve(events, "lr") == [(1, float32(1e-3)), (2, math.inf)]
    first, (*step, second) = curve(events, "loss/train")
    assert first == (1, float32(0.1))
    assert step == [2]
    assert math.isnan(second)
    now = time.time()
    assert now - 60 < events.Scalars("lr")[0].wall_time <= now


def test_file_name_and_order(tmp_path):
    names = []
    for _ in range(3):
        EventFile(tmp_path).close()
        (name,) = {path.name for path in tmp_path.iterdir()} - set(names)
        names.append(name)
    assert names == sorted(names)  # a resumed run is read after the one it goes on from
    assert all(re.fullmatch(r"events\.out\.tfevents\.\d{10}\.\d{6}\..+\.\d+", n) for n in names)


def test_writing_after_close_and_into_no_folder(tmp_path):
    file = EventFile(tmp_path)
    file.close()
    with pytest.raises(ValueError, match="closed file"):
        file.scalars({"lr": 0.1}, step=1)
    with pytest.raises(FileNotFoundError):
        EventFile(tmp_path / "missing")


def test_text_is_read_back(tmp_path):
    file = EventFile(tmp_path)
    file.text("config", "λ: 1e-4 # Größe")
    file.close()
    (event,) = read(tmp_path).Tensors("config")
    assert event.tensor_proto.string_val[0].decode() == "λ: 1e-4 # Größe"


def write_resumed_run(folder: Path) -> None:
    """Epochs 1 to 5, killed, gone on with after epoch 3, done after epoch 4."""
    killed = EventFile(folder)
    killed.text("config", "killed and resumed")
    killed.hparams_start({"optimizer": "sgd"})
    for epoch in range(1, 6):
        killed.scalars({"loss/train": 1.0 / epoch}, epoch)
    killed.scalars({"test/loss": 9.0, best_tag("val_loss"): 8.0}, 3)
    killed.close()
    (torn,) = folder.iterdir()
    torn.write_bytes(torn.read_bytes()[:-3])
    resumed = EventFile(folder, until=3)
    resumed.scalars({"loss/train": 0.25}, 4)
    resumed.hparams_end(True)
    resumed.close()


def test_a_resume_leaves_one_file_without_later_steps_and_final_metrics(tmp_path):
    write_resumed_run(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    events = read(tmp_path)
    assert events.Tags()["scalars"] == ["loss/train"]
    assert curve(events, "loss/train") == [(1, 1.0), (2, 0.5), (3, float32(1 / 3)), (4, 0.25)]
    assert len(events.Tensors("config")) == 1


def test_import_is_light():
    heavy = ["torch", "numpy", "tensorflow", "tensorboard.compat.tensorflow_stub"]
    program = (
        f"import sys, exprun.record.tensorboard; print([m for m in {heavy} if m in sys.modules])"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


# -------------------------------------------------------------------- shown by TensorBoard's server


class Server:
    """A TensorBoard at ``address``, asked over HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.opener = build_opener(ProxyHandler({}))

    def ask(self, route: str, query: dict | None = None, body: dict | None = None):
        url = f"{self.address}data/{route}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = Request(url, data, {"Content-Type": "application/json"})
        with self.opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def rows(self) -> dict[str, dict]:
        """The rows of the HParams table by name."""
        body = {"startIndex": 0, "sliceSize": 99, "allowedStatuses": STATUSES, "colParams": []}
        groups = self.ask("plugin/hparams/session_groups", body=body).get("sessionGroups", [])
        return {group["name"]: group for group in groups}


@pytest.fixture(scope="module")
def logdir(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("logs")
    for number, (name, hparams) in enumerate(SWEEP.items()):
        (root / name).mkdir(parents=True)
        file = EventFile(root / name)
        file.text("config", f"**run** {number}")
        file.charts(CHARTS | ({"accuracy": ["accuracy/train"]} if number else {}))
        file.hparams_start(hparams)
        for epoch in range(1, 4):
            file.scalars({"loss/train": number + 1 / epoch, "loss/training": 0.0, "lr": 0.1}, epoch)
        file.scalars(tags({"test_loss": number + 0.25}), 3)
        file.hparams_end(succeeded=name != FAILED)
        file.close()
    (root / RESUMED).mkdir(parents=True)
    write_resumed_run(root / RESUMED)
    return root


@pytest.fixture(scope="module", params=["false", "auto"], ids=["python reader", "default reader"])
def server(request, logdir, tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "tensorboard.main", "--host", "127.0.0.1", "--port", "0"]
    command += ["--logdir", str(logdir), "--load_fast", request.param]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            deadline = time.monotonic() + 60
            while not (address := re.search(r"http://[\d.:]+/", log.read_text())):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            server = Server(address[0])
            # the end of a run is the last thing written and read
            while len(re.findall("STATUS_SUCCESS|STATUS_FAILURE", str(server.rows()))) <= len(
                SWEEP
            ):
                assert time.monotonic() < deadline, server.rows()
                time.sleep(0.05)
            yield server
        finally:
            process.terminate()


def test_every_run_is_one_run(server):
    assert sorted(server.ask("runs")) == sorted([*SWEEP, RESUMED])


def test_scalars_of_a_run(server):
    query = {"run": "sweep/1_optimizer=adam", "tag": "loss/train"}
    points = server.ask("plugin/scalars/scalars", query)
    assert [point[1:] for point in points] == [[1, 2.0], [2, 1.5], [3, float32(4 / 3)]]


def test_a_resumed_run_has_each_step_once(server):
    query = {"run": RESUMED, "tag": "loss/train"}
    points = server.ask("plugin/scalars/scalars", query)
    assert [point[1:] for point in points] == [[1, 1.0], [2, 0.5], [3, float32(1 / 3)], [4, 0.25]]


def test_layouts_of_many_runs_are_one(server):
    (category,) = server.ask("plugin/custom_scalars/layout")["category"]
    assert [chart["title"] for chart in category["chart"]] == ["loss", "lr", "accuracy"]
    # in this order in every chart, whatever order a reader of the files has
    assert category["chart"][0]["margin"]["series"] == [
        {"value": tag, "lower": tag, "upper": tag} for tag in ("loss/train", "loss/validation")
    ]


def test_hparams_table_has_one_row_a_run_with_all_it_needs(server):
    rows = server.rows()
    assert set(rows) == {*SWEEP, RESUMED}
    for number, (name, hparams) in enumerate(SWEEP.items()):
        row = rows[name]
        assert row["hparams"] == {k: "inf" if v == math.inf else v for k, v in hparams.items()}
        (session,) = row["sessions"]
        assert session["status"] == ("STATUS_FAILURE" if name == FAILED else "STATUS_SUCCESS")
        assert session["startTimeSecs"] <= session["endTimeSecs"] <= time.time()
        metrics = {m["name"]["tag"]: (m["name"]["group"], m["value"]) for m in row["metricValues"]}
        assert metrics["test/loss"] == ("", number + 0.25)
        assert metrics["loss/train"] == ("", float32(number + 1 / 3))


def test_hparams_table_has_the_columns_of_all_runs(server):
    experiment = server.ask(
        "plugin/hparams/experiment", body={"experimentName": "", "includeMetrics": True}
    )
    columns = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert columns == {
        "optimizer": "DATA_TYPE_STRING",
        "optimizer.lr": "DATA_TYPE_FLOAT64",
        "optimizer.beta1": "DATA_TYPE_FLOAT64",
        "nesterov": "DATA_TYPE_BOOL",
        "reg": "DATA_TYPE_STRING",
        "clip": "DATA_TYPE_STRING",
    }
    metrics = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert metrics == ["loss/train", "loss/training", "lr", "test/loss"]


def test_config_is_shown_as_text(server):
    texts = server.ask("plugin/text/tags")
    assert texts == {name: ["config"] for name in [*SWEEP, RESUMED]}
    (text,) = server.ask("plugin/text/text", {"run": FAILED, "tag": "config"})
    assert text["text"] == "<p><strong>run</strong> 2</p>"
