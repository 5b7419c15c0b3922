"""What is measured after every epoch, as it is written and replayed."""

from __future__ import annotations

import math

import pytest
import torch

from exprun.common.constants import HIGHER_IS_BETTER
from exprun.data.task import Task
from exprun.fit import learning_curve
from exprun.fit.learning_curve import Curve
from exprun.fit.loop import fit
from exprun.training import metrics
from exprun.training.divergence import Diverged
from exprun.training.prediction import ROWS, forward
from exprun.training.training import Training
from tests.conftest import built

WORDS = [
    ["data=digits", "norm=batch", "reg=dropout"],
    ["data=breast_cancer", "loss=bce"],
    ["data=diabetes", "data.standardize_target=true", "norm=layer"],
    ["data=iris", "data.val_fraction=0", "reg=l2"],
]


def moved(training: Training, random: torch.Generator) -> None:
    """Other weights and other running statistics."""
    with torch.no_grad():
        for w in training.tensors.values():
            if w.is_floating_point():
                w.mul_(torch.rand(w.shape, generator=random) + 0.5)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_replay_measures_the_weights_as_they_are(words: list[str]) -> None:
    made, random = built(*words), torch.Generator().manual_seed(0)
    made.max_epochs = 3 * learning_curve.RECORD_AFTER
    replayed, written = Curve(made, replayed=True), Curve(made, replayed=False)
    rows = []
    for _ in range(3 * learning_curve.RECORD_AFTER):
        moved(made, random)
        rows.append(replayed.row())
        assert rows[-1] == written.row()
    assert replayed.program is not None
    assert written.program is None
    assert len({row["train_loss"] for row in rows}) == len(rows)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("replays", [True, False])
def test_a_weight_that_is_not_finite_is_divergence(value: float, replays: bool) -> None:
    made = built("data=iris")
    made.max_epochs = 2 * learning_curve.RECORD_AFTER
    looked_at = Curve(made, replayed=replays)
    for _ in range(learning_curve.RECORD_AFTER + 1):
        looked_at.row()
    with torch.no_grad():
        next(made.model.parameters())[0, 0] = value
    with pytest.raises(Diverged):
        looked_at.row()


def test_finite_weights_may_add_up_to_what_is_not() -> None:
    """Weights so large that their sum is infinite; no row looks at them."""
    made = built("data=iris", "data.val_fraction=0")
    with torch.no_grad():
        for w in made.model.parameters():
            w.zero_()
        made.model.hidden[0].linear.weight.fill_(3e38)
        made.model.hidden[0].linear.weight[:, 1:] = 0
        made.data.train.x.zero_()
    assert Curve(made, replayed=False).row()["train_loss"] == pytest.approx(math.log(3))


def test_parts_too_large_to_be_looked_at_together_are_not_recorded() -> None:
    made = built("data=moons", f"data.rows={2 * ROWS}", "data.val_fraction=0")
    made.max_epochs = 2 * learning_curve.RECORD_AFTER
    large = Curve(made, replayed=True)
    for _ in range(learning_curve.RECORD_AFTER + 1):
        large.row()
    assert large.program is None


@pytest.mark.parametrize("left", [learning_curve.RECORD_AFTER - 1, learning_curve.RECORD_AFTER])
def test_recorded_only_if_as_many_epochs_may_follow(left: int) -> None:
    made = built("data=iris")
    made.max_epochs = learning_curve.RECORD_AFTER + left
    looked_at = Curve(made, replayed=True)
    for made.epoch in range(1, learning_curve.RECORD_AFTER + 1):
        looked_at.row()
    assert (looked_at.program is not None) == (left >= learning_curve.RECORD_AFTER)


MONITORED = [*metrics.names(Task(("y",), ("a", "b"))), *metrics.OF_CLASSES, "weighted_loss"]


@pytest.mark.parametrize("metric", MONITORED)
def test_the_curve_has_the_monitored_figure_and_the_model_is_its_best(metric: str) -> None:
    made = built(
        "data=breast_cancer", "loss.class_weight=[1,5]", f"stopping.monitor=val_{metric}",
        "stopping.patience=null", "optimizer.lr=0.01",
    )  # fmt: skip
    made.max_epochs = 5
    fit(made)
    values = [row[f"val_{metric}"] for row in made.history]
    assert len({*values}) > 1
    best = (max if metric in HIGHER_IS_BETTER else min)(values)
    assert made.kept_row["epoch"] == 1 + values.index(best)
    made.model.load_state_dict(made.kept)
    val, loss = made.data.val, made.loss
    outputs = forward(made.model, val.x)
    full = metrics.full(outputs, val.y, made.data.preprocessing, loss.output_activation)
    full |= {"loss": loss.reported(outputs, val.y).item()}
    full |= {"weighted_loss": loss.weighted(outputs, val.y).item()}
    assert best == pytest.approx(full[metric], rel=1e-6)


@pytest.mark.parametrize(
    ("words", "monitored"),
    [
        (["loss.class_weight=balanced"], "val_weighted_loss"),
        (["loss.class_weight=balanced", "stopping=none"], "val_weighted_loss"),
        (["loss.class_weight=balanced", "stopping.monitor=val_loss"], "val_loss"),
        (["loss=bce", "loss.class_weight=[1,1]"], "val_weighted_loss"),
        ([], "val_loss"),
        (["loss=mse"], "val_loss"),
    ],
)
def test_what_training_lowers_is_monitored_unless_asked_otherwise(
    words: list[str], monitored: str
) -> None:
    assert built("data=breast_cancer", *words).stopping.monitor == monitored


def test_plateau_looks_at_the_weighted_loss() -> None:
    """With equal weights of 2 it is twice the other; a threshold between them tells."""
    made = built("data=breast_cancer", "loss.class_weight=[2,2]", "scheduler=plateau")
    seen: list[float] = []
    made.scheduler.after_epoch = seen.append  # type: ignore[method-assign]
    made.max_epochs = 2
    fit(made)
    assert seen == [row["val_weighted_loss"] for row in made.history]
    assert seen == pytest.approx([2 * row["val_loss"] for row in made.history])
