"""``mean/`` of a sweep, read back by TensorBoard's reader."""

import math
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import DATA_TYPE_FLOAT64, DATA_TYPE_STRING

from exprun.record.mean_curves import POINTS, mean_curve
from exprun.record.mean_runs import MeanRun, write_mean_runs

EPOCHS = 7


def curve(seed: int, epochs: int = EPOCHS) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(seed).uniform(0.1, 1, (4, epochs))
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    return {"epoch": np.arange(1.0, epochs + 1)} | dict(zip(names, drawn, strict=True))


def run(name: str, levels: dict, seeds: range) -> MeanRun:
    curves = [curve(seed) for seed in seeds]
    metrics = {
        "test_accuracy": [0.9 + 0.01 * seed for seed in seeds],
        "test_loss": [0.1 * (1 + seed) for seed in seeds],
        "test_roc_auc": [0.99 for _ in seeds],
        "val_accuracy": [float(c["val_accuracy"].max()) for c in curves],
    }
    return MeanRun(name, levels, curves, metrics)


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def values(events: EventAccumulator, tag: str) -> list[float]:
    return [point.value for point in events.Scalars(tag)]


@pytest.fixture
def mean(tmp_path) -> Path:
    runs = [
        run("adam lr=0.1", {"optimizer": "adam", "optimizer.lr": 0.1}, range(3)),
        run("sgd lr=0.01", {"optimizer": "sgd", "optimizer.lr": 0.01}, range(3, 4)),
    ]
    return write_mean_runs(tmp_path, runs)


def test_mean_and_band_are_those_of_the_seeds(mean):
    events = read(mean / "adam,lr=0.1")
    stacked = np.array([curve(seed)["val_loss"] for seed in range(3)])
    middle, sd = stacked.mean(0), stacked.std(0, ddof=1)
    assert [p.step for p in events.Scalars("loss/validation")] == list(range(1, EPOCHS + 1))
    assert values(events, "loss/validation") == pytest.approx(middle)
    assert values(events, "spread/loss/validation_lower") == pytest.approx(middle - sd)
    assert values(events, "spread/loss/validation_upper") == pytest.approx(middle + sd)
    assert values(events, "test/loss_mean") == pytest.approx([0.2])
    assert values(events, "test/loss_sd") == pytest.approx([0.1])
    best = [float(curve(seed)["val_accuracy"].max()) for seed in range(3)]
    assert values(events, "validation/best_accuracy_mean") == pytest.approx([np.mean(best)])


def test_a_single_seed_is_its_own_band_and_has_no_spread(mean):
    events = read(mean / "sgd,lr=0.01")
    line = pytest.approx(curve(3)["train_loss"])
    for tag in ("loss/train", "spread/loss/train_lower", "spread/loss/train_upper"):
        assert values(events, tag) == line
    assert "test/loss_mean" in events.Tags()["scalars"]
    assert "test/loss_sd" not in events.Tags()["scalars"]


def test_a_chart_with_a_band_for_each_column_and_the_same_in_all_runs(mean):
    layouts = [
        read(folder).Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
        for folder in sorted(mean.iterdir())
    ]
    assert layouts[0] == layouts[1]
    (category,) = Layout.FromString(layouts[0]).category
    drawn = {chart.title: [s.value for s in chart.margin.series] for chart in category.chart}
    assert drawn == {
        "training loss": ["loss/train"],
        "validation loss": ["loss/validation"],
        "training accuracy": ["accuracy/train"],
        "validation accuracy": ["accuracy/validation"],
    }
    tags = set(read(mean / "adam,lr=0.1").Tags()["scalars"])
    assert all({s.value, s.lower, s.upper} <= tags for c in category.chart for s in c.margin.series)


def test_hparams_are_what_varies_with_mean_and_spread(mean):
    for folder in mean.iterdir():
        found = read(folder).SummaryMetadata("_hparams_/experiment").plugin_data.content
        experiment = metadata.parse_experiment_plugin_data(found)
        columns = {info.name: info.type for info in experiment.hparam_infos}
        assert columns == {"optimizer": DATA_TYPE_STRING, "optimizer.lr": DATA_TYPE_FLOAT64}
        assert list(experiment.hparam_infos[0].domain_discrete.values)
        names = [info.display_name for info in experiment.metric_infos]
        assert names == [
            *("test_accuracy mean", "test_accuracy sd"),
            *("val_accuracy mean", "val_accuracy sd"),
            *("test_loss mean", "test_loss sd"),
        ]


def test_what_is_not_in_the_sweep_any_more_goes(mean):
    write_mean_runs(mean.parent, [run("adam", {"optimizer": "adam"}, range(2))])
    (folder,) = mean.iterdir()
    assert folder.name == "adam"
    assert len(list(folder.iterdir())) == 1


def test_a_mean_goes_as_far_as_all_of_its_runs_and_is_thinned():
    long, short = curve(0, 1000), curve(1, 300)
    mean = mean_curve([long, short, {}], "val_loss")
    assert mean is not None
    assert mean.std is not None
    assert len(mean.steps) == POINTS
    assert (mean.steps[0], mean.steps[-1]) == (1, 300)
    i = int(mean.steps[50]) - 1
    assert mean.mean[50] == pytest.approx((long["val_loss"][i] + short["val_loss"][i]) / 2)
    assert mean.std[50] == pytest.approx(
        abs(long["val_loss"][i] - short["val_loss"][i]) / math.sqrt(2)
    )
    assert mean_curve([long], "val_r2") is None
