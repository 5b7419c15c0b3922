"""The average of the weights: its numbers, and that it changes no bit of the training itself."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from exprun.cli import main
from exprun.fit.learning_curve import evaluate
from exprun.fit.loop import fit
from exprun.techniques.averaging import WeightAverage
from exprun.training.batch_norm import recompute_statistics
from exprun.training.training import Training
from tests.conftest import built, same_bits


def test_against_the_recurrence_and_torchs_average() -> None:
    """torch's starts from the first weights w1, so it is ahead of ours by decay^t w1."""
    model = nn.Linear(3, 2)
    ours = WeightAverage(model, 0.9)
    torchs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    generator = torch.Generator().manual_seed(0)
    v, first = torch.zeros(2, 3), None
    for t in range(1, 30):
        with torch.no_grad():
            model.weight.normal_(generator=generator)
        first = model.weight.detach().clone() if first is None else first
        ours.update()
        torchs.update_parameters(model)
        own = model.weight.detach().clone()
        v = 0.9 * v + 0.1 * own
        with ours.applied(t):
            average = model.weight.detach().clone()
        assert torch.equal(model.weight, own)
        torch.testing.assert_close(average, v / (1 - 0.9**t))
        torch.testing.assert_close(torchs.module.weight, v + 0.9**t * first)
        if t == 1:
            torch.testing.assert_close(average, first)


def plain(training: Training) -> dict[str, object]:
    """Where the training itself is: weights, optimizer, curve without the average's figures."""
    rows = [{k: v for k, v in row.items() if "_ema_" not in k} for row in training.history]
    return {
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict()["state"],
        "rows": rows,
    }


AVERAGED = ["averaging=ema", "averaging.decay=0.9"]
VARIANTS = [
    [],
    ["norm=batch"],
    ["norm=layer", "reg=dropout"],
    ["optimizer=lbfgs"],
    ["optimizer=momentum", "reg=max_norm"],
    ["data=diabetes"],
]


@pytest.mark.parametrize("words", VARIANTS, ids=" ".join)
def test_it_changes_nothing_of_the_training(words: list[str]) -> None:
    raw, averaged = built(*words), built(*words, *AVERAGED)
    fit(raw)
    fit(averaged)
    assert same_bits(plain(raw), plain(averaged))
    assert "val_ema_loss" in averaged.history[0]


@pytest.mark.parametrize("words", VARIANTS, ids=" ".join)
def test_replayed_and_resumed_end_alike(words: list[str]) -> None:
    words = [*words, "trainer.engine=replay"]
    solo, ordinary, resumed = (built(*words, *AVERAGED) for _ in range(3))
    fit(solo)
    ordinary.engine = "plain"
    fit(ordinary)
    assert same_bits(solo.state_dict(), ordinary.state_dict())

    resumed.max_epochs = 1
    fit(resumed)
    again = built(*words, *AVERAGED)
    again.load_state_dict(resumed.snapshot())
    fit(again)
    assert same_bits(solo.state_dict(), again.state_dict())


def test_the_model_is_the_average_of_the_best_epoch() -> None:
    training = built(*AVERAGED, "stopping=early", "trainer.max_epochs=8")
    fit(training)
    best = min(training.history, key=lambda row: row["val_ema_loss"])
    assert training.kept_row["epoch"] == best["epoch"] == training.stopping.best_epoch
    assert training.kept_row["val_loss"] == best["val_ema_loss"]
    assert training.kept_row["train_loss"] == best["train_ema_loss"]
    training.model.load_state_dict(training.kept)
    training.set_mode(False)
    measured = evaluate(training, training.data.val)["loss"].item()  # by torch
    assert measured == pytest.approx(best["val_ema_loss"], rel=1e-6)


def test_without_memory_the_average_is_the_last_iterations_weights() -> None:
    training = built("averaging=ema", "averaging.decay=0.0")
    fit(training)
    for row in training.history:
        assert row["val_ema_loss"] == row["val_loss"]


def test_the_averages_batch_norms_have_statistics_of_their_own() -> None:
    """Those of the averaged weights over the training rows, in the model that is kept; training
    goes on with its own."""
    training = built(*AVERAGED, "norm=batch", "optimizer.lr=0.05")
    fit(training)
    kept, own = copy.deepcopy(training.kept), copy.deepcopy(training.model.state_dict())
    training.set_mode(False)
    training.model.load_state_dict(kept)
    recompute_statistics(training.model, training.data.train.x)
    assert same_bits(kept, dict(training.model.state_dict()))
    for name in (name for name in kept if "running" in name):
        assert not torch.equal(kept[name], own[name]), name


def test_averages_with_batch_norm_beat_the_last_weights() -> None:
    """With a large learning rate the running statistics of the raw weights do not fit the average:
    it lost a twentieth of the accuracy by them."""
    training = built(
        *("data=digits", "norm=batch", "averaging=ema", "averaging.decay=0.999"),
        *("optimizer.lr=0.05", "model.hidden=[32]", "batching.batch_size=32"),
        "trainer.max_epochs=12",
    )
    fit(training)
    last = training.history[-1]
    assert last["val_ema_accuracy"] > last["val_accuracy"]
    assert last["val_ema_loss"] < 0.7 * last["val_loss"]


def test_the_real_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=iris", "averaging=ema", "trainer.max_epochs=4", "hydra.run.dir=run"]
    assert main(words) == 0
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    kept = rows[result["best_epoch"] - 1]
    assert result["metrics"]["val_loss"] == float(kept["val_ema_loss"])
    assert result["metrics"]["val_loss"] != float(kept["val_loss"])
    assert result["averaged"] is True
    assert "the averaged weights" in capsys.readouterr().out
    assert load_file(tmp_path / "run" / "model.safetensors")
    assert main([*words[:2], "averaging.decay=1"]) == 2
    assert "averaging.decay=1: expected a number in [0, 1)" in capsys.readouterr().err
