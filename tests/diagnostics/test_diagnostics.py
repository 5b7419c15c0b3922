"""Figures of the layers: known answers of networks made by hand, and no trace in the training."""

import csv
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from exprun.common.constants import ACTIVATIONS, DIVERGED
from exprun.data.prepare import Part
from exprun.data.task import Task
from exprun.diagnostics.activations import activations_of, dead, moments, saturated, slope
from exprun.diagnostics.measure import (
    FIGURES,
    figures,
    measure,
    measured_rows,
    observe,
)
from exprun.diagnostics.settings import Diagnostics
from exprun.fit.loop import fit
from exprun.record.diagnostics import DiagnosticsRecorder, buckets
from exprun.record.tensorboard import EventFile
from exprun.techniques import losses
from exprun.techniques.networks import MLP
from exprun.training.callbacks import Callback, Outcome
from tests.command import run_command
from tests.conftest import built, same_bits, training

MSE = losses.SquaredError(Task(("y",)))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------- activations


def test_dead_units_by_hand():
    z = torch.tensor([[-1.0, -2.0, 3.0, -1.0], [0.0, 1.0, 4.0, -2.0]])
    assert dead(nn.ReLU(), z) == 0.5  # the first never, the second once, the last never
    assert dead(nn.LeakyReLU(), z) == 0
    assert dead(nn.ReLU6(), torch.tensor([[7.0, 1.0], [-1.0, 9.0]])) == 0.5
    assert dead(nn.GELU(), torch.tensor([[-9.0, 0.0], [-8.0, 9.0]])) == 0.5
    assert dead(nn.Tanh(), z) is None


def test_saturated_activations_by_hand():
    # 1 - tanh² is .05 at 2.1782, four times sigmoid' at twice that, softsign' at √20 - 1
    for activation, edge in ((nn.Tanh(), 2.1782), (nn.Sigmoid(), 4.3564), (nn.Softsign(), 3.4721)):
        z = torch.tensor([[0.0, edge - 1e-3, -edge + 1e-3], [99.0, edge + 1e-3, -edge - 1e-3]])
        assert saturated(activation, z) == 0.5
    assert saturated(nn.ReLU(), z) is None
    assert saturated(nn.ReLU6(), z) is None  # which is a Hardtanh to torch


@pytest.mark.parametrize("name", ACTIVATIONS.values())
def test_slopes_are_those_of_a_difference_quotient(name):
    activation, h = getattr(nn, name)(), 1e-6
    z = torch.linspace(-5, 5, 100, dtype=torch.float64)
    quotient = (activation(z + h) - activation(z - h)) / (2 * h)
    torch.testing.assert_close(slope(activation, z), quotient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("q", [0.01, 1.0, 50.0])
def test_moments_known_on_paper(q):
    relu, linear = moments(nn.ReLU(), q), moments(nn.Identity(), q)
    assert relu.mean == pytest.approx(math.sqrt(q / (2 * math.pi)), rel=1e-3)
    assert (relu.square, relu.slope_square) == pytest.approx((q / 2, 0.5))
    assert (linear.mean, linear.square, linear.slope_square) == pytest.approx((0, q, 1), abs=1e-12)
    # for z ~ N(0, q) and g = exp on the left: SELU's and others' integrals have no short form
    leaky = moments(nn.LeakyReLU(0.2), q)
    assert (leaky.square, leaky.slope_square) == pytest.approx((q * 0.52, 0.52))


@pytest.mark.parametrize("name", ACTIVATIONS.values())
@pytest.mark.parametrize("q", [0.3, 30.0])
def test_moments_are_those_of_random_numbers(name, q):
    activation, z = getattr(nn, name)(), normal(200_000).double() * math.sqrt(q)
    found = moments(activation, q)
    drawn = activation(z.clone()), slope(activation, z)
    expected = drawn[0].mean(), drawn[0].square().mean(), drawn[1].square().mean()
    actual = found.mean, found.square, found.slope_square
    np.testing.assert_allclose(
        actual, [float(e) for e in expected], rtol=0.02, atol=0.01 * math.sqrt(q)
    )


# ----------------------------------------------------------------------- figures, known answers


def by_hand() -> tuple[MLP, torch.Tensor, torch.Tensor]:
    """2-2-1 with ReLU on two rows: z = (1, -2), (3, -6), outputs 2 and 6, targets 1 and 5."""
    model = MLP(2, 1, hidden=[2])
    with torch.no_grad():
        model.hidden[0].linear.weight.copy_(torch.tensor([[1.0, 0.0], [-2.0, 0.0]]))
        model.hidden[0].linear.bias.zero_()
        model.output.weight.copy_(torch.tensor([[2.0, 7.0]]))
        model.output.bias.zero_()
    return model, torch.tensor([[1.0, 5.0], [3.0, -5.0]]), torch.tensor([[1.0], [5.0]])


def test_figures_by_hand():
    model, x, y = by_hand()
    before = {"hidden.1": torch.zeros(2, 2) + 1, "output": model.output.weight.detach().clone()}
    hidden, output = figures(observe(model, MSE, Part(x, y)), before, iterations=5, full=True)
    # ∂L/∂output = 2 (output - target) = 2 for both rows; ∂L/∂z = (4, 0) and ∂L/∂a = (4, 14)
    assert hidden["layer"] == "hidden.1"
    assert (hidden["pre_mean"], hidden["pre_std"]) == pytest.approx((-1, math.sqrt(11.5)))
    assert (hidden["act_mean"], hidden["act_std"]) == pytest.approx((1, math.sqrt(1.5)))
    assert (hidden["grad_mean"], hidden["grad_std"]) == pytest.approx((2, 2))
    assert (hidden["act_grad_mean"], hidden["act_grad_std"]) == pytest.approx((9, 5))
    assert (hidden["dead"], hidden["saturated"]) == (0.5, None)
    # gradients of W: 4 (1, 5) and 4 (3, -5), their mean (8, 0), squared norms 416, 544
    assert hidden["grad_norm"] == pytest.approx(8)
    assert hidden["grad_noise"] == pytest.approx(2 * (480 - 64) / 64)
    # W - W' = (0, -1; -3, -1), W' has norm 2
    assert hidden["update_ratio"] == pytest.approx(math.sqrt(11) / 2 / 5)
    assert (output["pre_mean"], output["pre_std"]) == pytest.approx((4, 2))
    assert (output["grad_mean"], output["grad_std"], output["update_ratio"]) == (2, 0, 0)
    assert output["grad_norm"] == pytest.approx(4)  # 2 (1 + 3) / 2, and nothing from the dead unit
    assert all(output[name] is None for name in ("act_mean", "dead", "saturated", "act_grad_std"))


def test_gradients_do_not_depend_on_the_number_of_rows_or_the_reduction():
    model, x, y = by_hand()
    summed = losses.SquaredError(Task(("y",)), reduction="sum")
    once = figures(observe(model, MSE, Part(x, y)))
    thrice = figures(observe(model, summed, Part(x.repeat(3, 1), y.repeat(3, 1))))
    for a, b in zip(once, thrice, strict=True):
        del a["grad_noise"], b["grad_noise"]
        assert a == pytest.approx(b)


def test_noise_scale_is_that_of_the_gradients_of_single_rows(iris):
    t = training(iris)
    part = measured_rows(t, 50)
    rows = figures(observe(t.model, t.loss, part))
    weights = [layer.weight for layer in t.model.modules() if isinstance(layer, nn.Linear)]
    single = [
        torch.autograd.grad(t.loss(t.model(part.x[i : i + 1]), part.y[i : i + 1]), weights)
        for i in range(50)
    ]
    for row, gradients in zip(rows, zip(*single, strict=True), strict=True):
        stacked = torch.stack(gradients).flatten(1)
        assert row["grad_norm"] == pytest.approx(stacked.mean(0).norm().item(), rel=1e-4)
        expected = stacked.var(0).sum() / stacked.mean(0).square().sum()
        assert row["grad_noise"] == pytest.approx(expected.item(), rel=1e-4)


def test_mean_deltas_are_the_gradients_of_the_biases(iris):
    t = training(iris, activation="sigmoid", hidden=[6, 5, 4])
    rows = figures(observe(t.model, t.loss, iris.train))
    norms = {row["layer"]: row["delta_norm"] for row in rows}
    t.loss(t.model(iris.train.x), t.targets).backward()
    layers = [m for m in t.model.modules() if isinstance(m, nn.Linear)]
    expected = [layer.bias.grad.norm().item() for layer in layers]
    assert list(norms) == ["hidden.1", "hidden.2", "hidden.3", "output"]
    assert list(norms.values()) == pytest.approx(expected, rel=1e-4)


# --------------------------------------------------------------------------- all kinds of networks


class Own(nn.Module):
    """A network of somebody's own: shared and in-place activations, a functional one, one layer
    that is used twice and one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(4, 8), nn.Linear(8, 8)
        self.unused, self.last = nn.Linear(3, 3), nn.Linear(8, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        x = self.relu(self.again(x))
        x = torch.tanh(self.again(x))
        return self.last(x)


def test_a_network_of_somebodys_own(iris):
    model = Own()
    part = Part(iris.train.x, iris.train.y)
    layers = observe(model, losses.CrossEntropy(iris.preprocessing.task), part)
    assert [layer.name for layer in layers] == ["first", "again", "last"]
    first, again, _ = layers
    torch.testing.assert_close(first.z, model.first(part.x))  # not what the ReLU made of it
    torch.testing.assert_close(first.a, first.z.relu())
    assert again.activation is None  # the last time nothing is known to have followed
    rows = figures(layers)
    assert rows[0]["dead"] is not None
    assert rows[1]["act_mean"] is None


def test_frozen_layers_and_a_single_row(iris):
    t = training(iris, norm=nn.BatchNorm1d)
    for w in t.model.parameters():
        w.requires_grad_(False)
    rows = figures(observe(t.model, t.loss, Part(iris.train.x[:1], iris.train.y[:1])))
    assert all(row["grad_norm"] is None and row["grad_std"] > 0 for row in rows)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_seen(iris, name):
    rows = measure(training(iris, activation=name))
    assert all(row["act_std"] > 0 for row in rows[:-1])
    assert all((row["dead"] is None) != (row["saturated"] is None) for row in rows[:-1])


def test_batch_normalisation_is_that_of_training(iris):
    t = training(iris, norm=nn.BatchNorm1d)
    hidden, *_ = measure(t)
    assert (hidden["pre_mean"], hidden["pre_std"]) == pytest.approx((0, 1), abs=1e-3)


def test_dead_from_the_first_epoch_on(iris):
    t = training(iris, hidden=[10, 4])
    with torch.no_grad():
        t.model.hidden[0].linear.bias[:7] = -1e4
    assert measure(t)[0]["dead"] == pytest.approx(0.7)


# ------------------------------------------------------------------------------------ no trace


@pytest.mark.parametrize(
    "words", [(), ("norm=batch", "reg=dropout,l2"), ("data=diabetes", "optimizer=lbfgs")]
)
def test_measuring_leaves_no_trace(words):
    class Measuring(Callback):
        def on_start(self, training):
            measure(training, full=True)

        def on_epoch(self, training, row):
            measure(training)

    plain, watched = built(*words), built(*words)
    outcomes = fit(plain), fit(watched, [Measuring()])
    assert outcomes[0].engine == outcomes[1].engine
    assert same_bits(plain.state_dict(), watched.state_dict())
    assert [m.training for m in plain.model.modules()] == [
        m.training for m in watched.model.modules()
    ]


def test_modes_are_as_they_were(iris):
    t = training(iris, norm=nn.BatchNorm1d, dropout=[0.5, 0.5])
    t.model.train()
    t.model.hidden[1].eval()
    before = [m.training for m in t.model.modules()]
    state = t.snapshot()
    measure(t)
    assert [m.training for m in t.model.modules()] == before
    assert same_bits(state, t.state_dict())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in t.model.modules())
    assert all(w.grad is None for w in t.model.parameters())


# ------------------------------------------------------------------------------------- files


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "diagnostics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def recorded(folder: Path, t, settings: Diagnostics, callbacks=()) -> Outcome:
    events = EventFile(folder)
    recorder = DiagnosticsRecorder(folder, settings, t, events)
    outcome = fit(t, [recorder, *callbacks])
    recorder.close()
    events.close()
    return outcome


def test_epochs_that_are_measured():
    due = [epoch for epoch in range(60) if Diagnostics().due(epoch)]
    assert due == [0, 1, 2, 3, 4, 8, 16, 32]
    assert [epoch for epoch in range(9) if Diagnostics(every=4).due(epoch)] == [0, 4, 8]


def test_the_table_holds_what_measure_gives(iris, tmp_path):
    t = training(iris)
    recorded(tmp_path, t, Diagnostics(rows=64))
    rows = table(tmp_path)
    assert list(rows[0]) == ["epoch", "layer", *FIGURES]
    assert [int(row["epoch"]) for row in rows] == [e for e in range(5) for _ in range(3)]
    again = measure(t, measured_rows(t, 64))
    for written, expected in zip(rows[-3:], again, strict=True):
        assert float(written["update_ratio"]) > 0
        for name, value in (expected | {"update_ratio": None}).items():
            if name == "update_ratio":
                continue
            assert written[name] == ("" if value is None else str(value))


def test_update_ratio_is_that_of_the_epoch(iris, tmp_path):
    weights = []

    class Weights(Callback):
        def on_start(self, training):
            self.on_epoch(training, {})

        def on_epoch(self, training, row):
            weights.append(training.model.output.weight.detach().clone())

    t = training(iris)
    recorded(tmp_path, t, Diagnostics(), [Weights()])
    moved = [((b - a).norm() / a.norm()).item() / 7 for a, b in pairwise(weights)]
    written = [row["update_ratio"] for row in table(tmp_path) if row["layer"] == "output"]
    assert written[0] == ""
    assert [float(ratio) for ratio in written[1:]] == pytest.approx(moved, rel=1e-5)


def test_last_figures_before_a_divergence(iris, tmp_path):
    t = training(iris, optimizer=lambda w: torch.optim.SGD(w, lr=1e6))
    assert recorded(tmp_path, t, Diagnostics(histograms=True)).status == DIVERGED
    assert [row["layer"] for row in table(tmp_path)][:3] == ["hidden.1", "hidden.2", "output"]


def test_histograms_are_read_by_tensorboard(iris, tmp_path):
    t = training(iris, max_epochs=2)
    recorded(tmp_path, t, Diagnostics(histograms=True, rows=64))
    events = EventAccumulator(str(tmp_path)).Reload()
    (text,) = events.Tensors("initialization")
    assert "| hidden.1 |" in text.tensor_proto.string_val[0].decode()
    assert [p.step for p in events.Scalars("pre_std/hidden.1")] == [0, 1, 2]
    *_, last = events.Tensors("weights/output")
    found = np.array(last.tensor_proto.double_val).reshape(-1, 3)
    weight = t.model.output.weight.detach().double()
    counts, edges = np.histogram(weight.numpy(), 30)
    np.testing.assert_allclose(found[:, 0], edges[:-1])
    np.testing.assert_array_equal(found[:, 2], counts)
    kinds = {tag.split("/")[0] for tag in events.Tags()["tensors"] if "/" in tag}
    assert kinds == {
        "weights",
        "pre-activations",
        "activations",
        "gradients",
        "activation gradients",
    }


def test_buckets_of_odd_tensors():
    assert buckets(torch.full((5,), torch.nan)) == []
    assert sum(count for *_, count in buckets(torch.tensor([1.0, torch.inf, 3.0, 1.0]))) == 3
    assert sum(count for *_, count in buckets(torch.tensor([1e-45, 0.0]))) == 2
    assert sum(count for *_, count in buckets(torch.zeros(4))) == 4


def test_activations_are_found_once():
    assert len(activations_of(MLP(2, 2, hidden=[3, 3], activation="identity"))) == 2
    assert len(activations_of(Own())) == 1


# -------------------------------------------------------------------------- resumes and sweeps


def test_a_resumed_table_is_that_of_a_run_without_a_stop(iris, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder in (whole, part):
        folder.mkdir()
    recorded(whole, training(iris, max_epochs=9), Diagnostics(histograms=True))

    states = []

    class Saving(Callback):
        def on_epoch(self, training, row):
            states.append(training.snapshot())

    recorded(part, training(iris, max_epochs=6), Diagnostics(histograms=True), [Saving()])
    with (part / "diagnostics.csv").open("a") as file:
        file.write("6,hidden.1,0.5")  # torn
    initialization = (part / "initialization.csv").read_bytes()
    resumed = training(iris, max_epochs=9)
    resumed.load_state_dict(states[2])
    events = EventFile(part, until=resumed.epoch)
    recorder = DiagnosticsRecorder(part, Diagnostics(histograms=True), resumed, events)
    fit(resumed, [recorder])
    recorder.close()
    events.close()
    assert (part / "diagnostics.csv").read_bytes() == (whole / "diagnostics.csv").read_bytes()
    assert (part / "initialization.csv").read_bytes() == initialization
    both = [EventAccumulator(str(folder)).Reload() for folder in (whole, part)]
    steps = [[p.step for p in events.Scalars("pre_std/hidden.1")] for events in both]
    assert steps[0] == steps[1] == [0, 1, 2, 3, 4, 8]


def test_members_of_a_stack_write_what_they_write_alone_and_train_the_same(tmp_path):
    words = ["data=iris", "reg=dropout", "norm=batch", "trainer.max_epochs=6", "seed=0,1"]
    found = {}
    for launcher in ("basic", "stacked"):
        made = tmp_path / launcher
        done = run_command(
            tmp_path,
            *("-m", f"hydra/launcher={launcher}", "diagnostics=off,basic,full", *words),
            f"hydra.sweep.dir={made}",
        )
        assert done.returncode == 0, done.stderr
        jobs = {int(folder.name.partition("_")[0]): folder for folder in made.glob("*_*")}
        found[launcher] = [jobs[number] for number in range(6)]
    for alone, stacked in zip(*found.values(), strict=True):
        engine = json.loads((stacked / "result.json").read_text())["engine"]
        assert engine.startswith(("native", "stacked"))
        for name in ("diagnostics.csv", "initialization.csv"):
            if "diagnostics=off" in alone.name:
                assert not (alone / name).exists()
            else:
                assert (alone / name).read_bytes() == (stacked / name).read_bytes()
    # seeds 0 and 1 without diagnostics, with basic ones, and with full ones
    for folders in found.values():
        weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
        assert weights[0] == weights[2] == weights[4] != weights[1] == weights[3] == weights[5]


def test_what_the_command_prints_and_a_plain_wrong_value(tmp_path):
    words = ["data=iris", "trainer.max_epochs=2", "model.activation=tanh"]
    done = run_command(tmp_path, "diagnostics=full", *words)
    assert done.returncode == 0, done.stderr
    first, *_ = done.stdout.splitlines()
    assert first.split() == [
        "initial",
        "weights",
        "E[a²]",
        "theory",
        "measured",
        "E[δ²]",
        "theory",
        "measured",
    ]
    assert "layers after epoch 2" in done.stdout
    assert "saturated" in done.stdout
    assert "dead" not in done.stdout
    wrong = run_command(tmp_path, "diagnostics=basic", "diagnostics.every=0")
    assert wrong.returncode == 2
    expected = "diagnostics.every=0: expected auto, or a whole number of at least 1"
    assert wrong.stderr == f"exprun: {expected}\n"
