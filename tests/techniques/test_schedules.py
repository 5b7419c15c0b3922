"""Learning-rate schedules give the learning rates of their torch twins."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as twins
from torch.optim.optimizer import Optimizer

from exprun.techniques import schedules
from exprun.techniques.schedules import FactorScheduler, Scheduler, TorchScheduler, warmup

EPOCHS = 30
LOSSES = [1.0, 0.9, 0.95, 0.93, 0.92, 0.91, 0.905, 0.89, 0.89, 0.89, 0.89, 0.89, 0.89] + [0.8] * 17
"""Validation losses with two plateaus."""


def sgd(*lrs: float) -> Optimizer:
    """An optimizer with one parameter group for each learning rate."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs or (0.2,)]
    return torch.optim.SGD(groups)


def rates(
    scheduler: Scheduler, optimizer: Optimizer, epochs: range = range(EPOCHS), iterations: int = 1
) -> list[list[float]]:
    """The learning rates of all groups at every iteration of these epochs."""
    seen = []
    for epoch in epochs:
        for i in range(iterations):
            scheduler.before_iteration(epoch * iterations + i, iterations)
            optimizer.step()
            seen.append([group["lr"] for group in optimizer.param_groups])
        scheduler.after_epoch(LOSSES[epoch])
    return seen


def torch_rates(make_twin, optimizer: Optimizer, steps: int = EPOCHS) -> list[list[float]]:
    """The same from torch's scheduler, used as torch's documentation says."""
    twin = make_twin(optimizer)
    seen = []
    for step in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if isinstance(twin, twins.ReduceLROnPlateau):
            twin.step(LOSSES[step])
        else:
            twin.step()
    return seen


def approximately(rates: list[list[float]]):
    return [pytest.approx(row, rel=1e-9, abs=1e-15) for row in rates]


@pytest.mark.parametrize(
    ("ours", "twin"),
    [
        (schedules.constant, partial(twins.ConstantLR, factor=1.0)),
        (
            partial(schedules.inverse_time, gamma=0.3),
            partial(twins.LambdaLR, lr_lambda=lambda t: 1 / (1 + 0.3 * t)),
        ),
        (
            partial(schedules.step, step_size=7, gamma=0.5),
            partial(twins.StepLR, step_size=7, gamma=0.5),
        ),
        (partial(schedules.exponential, gamma=0.9), partial(twins.ExponentialLR, gamma=0.9)),
        (
            partial(schedules.cosine, epochs=EPOCHS, min_factor=0.0),
            partial(twins.CosineAnnealingLR, T_max=EPOCHS),
        ),
    ],
    ids=["constant", "inverse_time", "step", "exponential", "cosine"],
)
@pytest.mark.parametrize("iterations", [1, 3])
def test_schedule_is_torchs(ours, twin, iterations):
    optimizer = sgd(0.2, 0.05)
    seen = rates(FactorScheduler(optimizer, ours), optimizer, iterations=iterations)
    expected = torch_rates(twin, sgd(0.2, 0.05))
    assert seen == approximately([row for row in expected for _ in range(iterations)])


def test_cosine_with_a_floor_is_torchs():
    optimizer = sgd(0.2)
    ours = FactorScheduler(optimizer, partial(schedules.cosine, epochs=EPOCHS, min_factor=0.1))
    twin = partial(twins.CosineAnnealingLR, T_max=EPOCHS, eta_min=0.02)
    assert rates(ours, optimizer) == approximately(torch_rates(twin, sgd(0.2)))


@pytest.mark.parametrize("pct_start", [0.1, 0.3, 0.5])
def test_one_cycle_per_iteration_is_torchs(pct_start):
    """Ours counts N iterations, torch N + 1 points with the peak a whole number of steps in, so
    that torch's ``pct_start * total_steps - 1`` is our ``pct_start * N``."""
    iterations, steps = 10, EPOCHS * 10
    optimizer = sgd(0.2)
    cycle = {"div_factor": 25.0, "final_div_factor": 1e4}
    ours = FactorScheduler(
        optimizer,
        partial(schedules.one_cycle, epochs=EPOCHS, pct_start=pct_start, **cycle),
        interval="iteration",
    )
    twin = partial(
        twins.OneCycleLR,
        max_lr=0.2,
        total_steps=steps + 1,
        pct_start=(pct_start * steps + 1) / (steps + 1),
        cycle_momentum=False,
        **cycle,
    )
    seen = rates(ours, optimizer, iterations=iterations)
    assert seen == approximately(torch_rates(twin, sgd(0.2), steps))
    assert max(seen)[0] == pytest.approx(0.2)
    assert seen.index(max(seen)) == round(pct_start * steps)


@pytest.mark.parametrize("t", [EPOCHS, EPOCHS + 1, 10 * EPOCHS])
def test_schedules_over_all_epochs_stay_at_their_end(t):
    assert schedules.cosine(t, epochs=EPOCHS, min_factor=0.1) == pytest.approx(0.1)
    end = schedules.one_cycle(t, epochs=EPOCHS, pct_start=0.3, div_factor=25, final_div_factor=100)
    assert end == pytest.approx(1 / 2500)


def test_inverse_time_on_paper():
    optimizer = sgd(0.2)
    ours = FactorScheduler(optimizer, partial(schedules.inverse_time, gamma=1.0))
    seen = [lr for (lr,) in rates(ours, optimizer, range(4))]
    assert seen == pytest.approx([0.2, 0.1, 0.2 / 3, 0.05])


def test_interval_iteration_counts_fractions_of_an_epoch():
    optimizer = sgd(0.2)
    ours = FactorScheduler(
        optimizer, partial(schedules.inverse_time, gamma=1.0), interval="iteration"
    )
    seen = [lr for (lr,) in rates(ours, optimizer, range(2), iterations=4)]
    assert seen == pytest.approx([0.2 / (1 + i / 4) for i in range(8)])


@pytest.mark.parametrize("interval", ["epoch", "iteration"])
def test_warmup_climbs_in_equal_steps_and_multiplies_the_schedule(interval):
    optimizer = sgd(0.2)
    ours = FactorScheduler(
        optimizer,
        partial(schedules.step, step_size=3, gamma=0.1),
        interval=interval,
        warmup_epochs=2,
    )
    seen = [lr for (lr,) in rates(ours, optimizer, range(4), iterations=4)]
    climb = [0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2]
    assert seen == pytest.approx([*climb, *[0.2] * 4, *[0.02] * 4])


@pytest.mark.parametrize(
    ("iteration", "epochs", "factor"),
    [(0, 0, 1.0), (5, 0, 1.0), (0, 1, 0.1), (9, 1, 1.0), (10, 1, 1.0), (0, 0.5, 0.2), (4, 0.5, 1)],
)
def test_warmup_on_paper(iteration, epochs, factor):
    assert warmup(iteration, 10, epochs) == pytest.approx(factor)


TORCHS = {
    "plateau": partial(twins.ReduceLROnPlateau, factor=0.5, patience=3),
    "multi_step": partial(twins.MultiStepLR, milestones=[5, 12], gamma=0.1),
    "cosine": partial(twins.CosineAnnealingLR, T_max=EPOCHS),
    "restarts": partial(twins.CosineAnnealingWarmRestarts, T_0=7),
    "cyclic": partial(twins.CyclicLR, base_lr=0.01, max_lr=0.1, cycle_momentum=False),
    "polynomial": partial(twins.PolynomialLR, total_iters=20, power=2.0),
}
torchs = pytest.mark.parametrize("make", TORCHS.values(), ids=TORCHS.keys())


@torchs
@pytest.mark.parametrize("iterations", [1, 3])
def test_torchs_scheduler_does_what_it_does_without_us(make, iterations):
    optimizer = sgd(0.2, 0.05)
    seen = rates(TorchScheduler(optimizer, make(optimizer)), optimizer, iterations=iterations)
    expected = torch_rates(make, sgd(0.2, 0.05))
    assert seen == [row for row in expected for _ in range(iterations)]
    assert expected[0] != expected[-1]


@torchs
def test_torchs_scheduler_with_warmup_is_the_product(make):
    optimizer = sgd(0.2, 0.05)
    ours = TorchScheduler(optimizer, make(optimizer), warmup_epochs=6)
    expected = [
        [lr * min(1.0, (epoch + 1) / 6) for lr in row]
        for epoch, row in enumerate(torch_rates(make, sgd(0.2, 0.05)))
    ]
    assert rates(ours, optimizer) == approximately(expected)


def factor_scheduler(optimizer: Optimizer) -> Scheduler:
    return FactorScheduler(optimizer, partial(schedules.exponential, gamma=0.9), warmup_epochs=4)


def torch_scheduler(make, optimizer: Optimizer) -> Scheduler:
    return TorchScheduler(optimizer, make(optimizer), warmup_epochs=4)


@pytest.mark.parametrize(
    "make",
    [factor_scheduler, *[partial(torch_scheduler, make) for make in TORCHS.values()]],
    ids=["factor", *TORCHS],
)
@pytest.mark.parametrize("saved_after", [2, 11])
def test_scheduler_goes_on_exactly_from_its_saved_state(make, saved_after):
    whole = sgd(0.2, 0.05)
    expected = rates(make(whole), whole, iterations=2)

    first = sgd(0.2, 0.05)
    scheduler = make(first)
    rates(scheduler, first, range(saved_after), iterations=2)
    saved = copy.deepcopy([first.state_dict(), scheduler.state_dict()])

    second = sgd(0.2, 0.05)
    scheduler = make(second)
    second.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    rest = rates(scheduler, second, range(saved_after, EPOCHS), iterations=2)
    assert rest == expected[2 * saved_after :]
