"""``exprun plot --batches``: the noise of gradients, masks of dropout, moments of batch norm."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exprun.cli import main
from exprun.commands import plot
from exprun.common.errors import UsageError
from exprun.data.prepare import Data, Part
from exprun.plots import batch_norm, dropout, gradient_noise
from exprun.record.model import load_model
from exprun.run_folder import initial_training, stored
from exprun.techniques.networks import Dropout
from exprun.training.training import Training
from tests.conftest import built, same_bits, training

WORDS = ["data=moons", "data.rows=200", "model.hidden=[8]", "trainer.max_epochs=3", "device=cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("batches") / "run"
    assert main([*WORDS, "norm=batch", "reg=dropout", f"hydra.run.dir={made}"]) == 0
    return made


def test_the_training_is_left_in_its_initial_state(folder: Path, tmp_path: Path) -> None:
    """So an animation that is drawn behind starts where the run did."""
    made = initial_training(stored(folder), folder, trust=False)
    before = made.snapshot()
    names = plot.plot_batches(made, load_model(folder), "title", tmp_path)
    assert names == [f"{name}{suffix}" for name in ("gradient_noise", "dropout", "batch_norm")
                     for suffix in (".png", ".svg")]  # fmt: skip
    assert same_bits(made.state_dict(), before)


def test_only_what_the_network_has_is_drawn(tmp_path: Path) -> None:
    made = built("norm=layer")
    assert dropout.draw(made, "", tmp_path) == batch_norm.draw(made, "", tmp_path) == []


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_noise_is_that_of_all_batches_there_are(line: Data, activation: str) -> None:
    """E ‖g_B - g‖² over every batch of B of 8 rows, by counting (Cochran 1977, theorem 2.2)."""
    part = Part(line.train.x[:8], line.train.y[:8])
    made = training(replace(line, train=part), activation=activation)
    noise = gradient_noise.measure(made)
    assert noise.sizes == [1, 2, 4]
    assert noise.measured.shape == (3, gradient_noise.DRAWS)
    whole = gradient(made, range(8))
    assert noise.gradient == pytest.approx(float(whole.norm()), rel=1e-5)
    for size, predicted, measured in zip(noise.sizes, noise.predicted, noise.measured, strict=True):
        found = [gradient(made, rows) for rows in itertools.combinations(range(8), size)]
        distances = [float((g - whole).norm()) for g in found]
        assert predicted == pytest.approx(np.sqrt(np.mean(np.square(distances))), rel=1e-4)
        for distance in measured:
            assert np.isclose(distances, distance, rtol=1e-3).any()


def gradient(made: Training, rows: object) -> torch.Tensor:
    chosen = list(rows)  # type: ignore[call-overload]
    made.model.zero_grad()
    made.loss(made.model(made.data.train.x[chosen]), made.targets[chosen]).backward()
    return torch.cat([w.grad.ravel() for w in made.model.parameters() if w.grad is not None])


def test_noise_and_gradient_do_not_depend_on_the_reduction(line: Data) -> None:
    """With ``loss.reduction=sum`` the gradient of a batch of 32 is 32 times as long."""
    mean, total = (
        gradient_noise.measure(built("data=diabetes", f"loss.reduction={reduction}"))
        for reduction in ("mean", "sum")
    )
    assert np.array_equal(mean.measured, total.measured)


def test_moments_are_those_that_torch_averages(iris: Data) -> None:
    """With a momentum of 1, torch's moving averages are the moments of the last batch."""
    made = training(iris, norm=nn.BatchNorm1d, batch_size=None)
    norm = next(m for m in made.model.modules() if isinstance(m, nn.BatchNorm1d))
    found = batch_norm.moments(made, norm)
    assert found.shape == (1, 2, 16)
    norm.momentum = 1.0
    made.model.train()
    made.model(made.data.train.x)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert found[0, 0] == pytest.approx(norm.running_mean.numpy(), abs=1e-6)
    assert found[0, 1] == pytest.approx(norm.running_var.numpy(), rel=1e-5)


def test_masks_are_those_of_the_training(tmp_path: Path) -> None:
    made, other = built("reg=dropout"), built("reg=dropout")
    assert dropout.draw(made, "", tmp_path) == ["dropout.png", "dropout.svg"]
    for _ in range(dropout.MASKS[-1]):
        other.streams.dropout.advance()
    masks = [
        next(m for m in t.model.modules() if isinstance(m, Dropout)).draw(torch.empty(4, 8))
        for t in (made, other)
    ]
    assert torch.equal(*masks)


def test_batches_are_of_a_run_with_a_model(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    assert main(["plot", str(tmp_path), "--batches"]) == 2
    copied = tmp_path / "run"
    copied.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.name != "model.safetensors":
            (copied / path.name).write_bytes(path.read_bytes())
    (copied / ".hydra").mkdir()
    for path in (folder / ".hydra").iterdir():
        (copied / ".hydra" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match=r"--batches: .*run: it has no model"):
        plot.plot_run(copied, tmp_path / "out", batches=True)
    assert not (tmp_path / "out").exists()
