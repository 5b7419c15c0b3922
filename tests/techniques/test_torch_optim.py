"""Without the compiler: the same steps, and no import of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from exprun.techniques import torch_optim
from exprun.techniques.optimizers import Momentum


@pytest.mark.parametrize(
    "make",
    [
        lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True),
        lambda w: torch.optim.Adam(w, lr=0.01, amsgrad=True),
        lambda w: torch.optim.RMSprop(w, lr=0.01, centered=True),
        lambda w: torch.optim.LBFGS(w, max_iter=5, line_search_fn="strong_wolfe"),
        lambda w: Momentum(w, lr=0.1),
    ],
    ids=["sgd", "adam", "rmsprop", "lbfgs", "momentum"],
)
def test_steps_are_torchs_to_the_last_bit(make) -> None:
    x, y = torch.randn(20, 4), torch.randn(20, 1)
    weights = []
    for stepper in (torch_optim.step, lambda optimizer, objective: optimizer.step(objective)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = make(model.parameters())

        def objective(model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            return loss

        for _ in range(5):
            stepper(optimizer, objective)
        weights.append(nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(*weights)


def test_somebody_elses_step_is_called_with_all_that_is_around_it() -> None:
    calls = []

    class Own(torch.optim.SGD):
        def step(self, closure=None):
            calls.append("own")
            return super().step(closure)

    weight = nn.Parameter(torch.ones(1))
    optimizer = Own([weight], lr=0.1)
    optimizer.register_step_post_hook(lambda *_: calls.append("hook"))

    def objective():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)
    expected = calls.copy()
    calls.clear()
    torch_optim.step(optimizer, objective)
    assert calls == expected
    assert "own" in calls
    assert weight.item() == pytest.approx(0.64)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nadam", "lbfgs", "momentum", "adadelta"])
def test_a_run_does_not_import_the_compiler(optimizer: str, tmp_path) -> None:
    code = (
        "import sys; from exprun.cli import main; "
        f"code = main(['optimizer={optimizer}', 'trainer.max_epochs=1', 'checkpoint.every=1']); "
        "assert code == 0; print('torch._dynamo' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "False"
