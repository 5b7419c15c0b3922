"""A program of a recorded iteration computes what the iteration itself computes, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exprun.engine.program import Program
from exprun.engine.tape import Rate, Unrecordable, record
from exprun.techniques.optimizers import Adamax, Momentum, NAdam, RAdam


class Workshop:
    """What an iteration works on: the same at every making."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.a = torch.randn(4, 4, generator=random)
        self.b = torch.randn(4, 4, generator=random)
        self.total = torch.zeros(4)
        self.count = torch.zeros(())
        self.out = torch.zeros(4, 4)
        self.random = torch.Generator().manual_seed(7)

    def state(self) -> list[Tensor]:
        return [self.a, self.b, self.total, self.count, self.out, self.random.get_state()]


def batch(number: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1000 + number)
    return torch.randn(3, 4, generator=random), torch.randint(4, (3,), generator=random)


Work = Callable[[Workshop, Tensor, Tensor], Any]


def in_place(w: Workshop, x: Tensor, y: Tensor) -> None:
    h = x @ w.a
    h.add_(1).mul_(2)
    h += w.b[0]
    h.relu_()
    w.total += h.sum(0)
    w.total.div_(3)
    w.a.sub_(h.t() @ h, alpha=1e-3)


def in_place_on_views(w: Workshop, x: Tensor, y: Tensor) -> None:
    h = x * 2
    h[:, 1:3].add_(x[:, :2])
    h[0].zero_()
    w.a[1].copy_(h.sum(0))
    w.a.view(-1)[::5] += 1
    w.b.t().mul_(0.5)
    w.total.copy_(w.b[:, 0])


def views_of_all(w: Workshop, x: Tensor, y: Tensor) -> None:
    left, right = x.split(2, dim=1)
    h = torch.cat([right.t(), left.t()]).unsqueeze(0).expand(2, 4, 3)
    p = (h.transpose(1, 2) @ w.a.t().expand(2, 4, 4)).reshape(2, -1)
    w.total.add_(p.view(2, 3, 4).permute(1, 0, 2)[1:].flatten(0, 1).mean(0))
    w.b.copy_(w.b.t().contiguous())


def a_view_kept_of_a_result_changed_later(w: Workshop, x: Tensor, y: Tensor) -> None:
    h = x + 1
    row = h[1]
    h.mul_(3)
    w.total.add_(row)


def several_results(w: Workshop, x: Tensor, y: Tensor) -> None:
    values, places = x.max(1)
    w.total[:3] += values
    w.a[places] += 1
    s, order = (x @ w.a).sort(dim=0)
    w.b[:3].copy_(s)
    w.b.index_add_(0, order[:, 0], s)
    low, high = torch.aminmax(x)
    w.count.copy_(high - low)
    var, mean = torch.var_mean(x, 0)
    w.total.add_(var).sub_(mean)


def views_of_several_results(w: Workshop, x: Tensor, y: Tensor) -> None:
    values, places = (x @ w.a).sort(1)
    w.total.add_(values[:, 1:].sum()).add_(values.t()[0, 0])
    w.b.view(-1)[places[0]] = values[2]


def lists(w: Workshop, x: Tensor, y: Tensor) -> None:
    parts = torch._foreach_mul([x, x + 1], [w.a[:3], w.b[:3]])
    torch._foreach_add_([w.a, w.b], [w.b, w.a], alpha=0.1)
    torch._foreach_lerp_([w.total, w.out[0]], [parts[0].sum(0), parts[1].sum(0)], 0.25)
    torch._foreach_addcdiv_([w.a], [w.b], [torch._foreach_exp([w.b])[0]], value=-0.5)
    w.out.add_(torch.stack([*torch._foreach_abs([w.total, x[0]]), x[1], x[2]]))


def lists_of_one(w: Workshop, x: Tensor, y: Tensor) -> None:
    (h,) = torch._foreach_mul([x @ w.a], 2.0)
    w.total.add_(h.sum(0))


def results_changed_one_after_the_other(w: Workshop, x: Tensor, y: Tensor) -> None:
    h = torch.tanh((x @ w.a).mul(2.0).sub(w.total))
    w.out.add_(h.t() @ h)
    twice = x @ w.b
    w.total.add_(torch.relu(twice).sum(0)).add_(twice.sum(0))


def a_constant_times_a_result(w: Workshop, x: Tensor, y: Tensor) -> None:
    w.total.add_(torch.arange(4.0).div(3.0) * x.sum(0))


def nothing_but_constants_in_a_list(w: Workshop, x: Tensor, y: Tensor) -> None:
    w.out.copy_(torch.cat([torch.ones(2, 4), torch.full((2, 4), 3.0)]))
    w.out[:3].add_(x)


def random_from_a_generator(w: Workshop, x: Tensor, y: Tensor) -> None:
    mask = torch.empty_like(x).bernoulli_(0.5, generator=w.random).div_(0.5)
    w.total.add_((x * mask).sum(0))
    w.a.add_(torch.rand(4, 4, generator=w.random))
    noise = torch.normal(0.0, 1.0, (4, 4), generator=w.random)
    w.b.add_(noise.t()).add_(noise)


def random_from_torchs_own(w: Workshop, x: Tensor, y: Tensor) -> None:
    w.total.add_(F.dropout(x, 0.5).sum(0))
    w.a.add_(torch.rand(4, 4))
    w.b[torch.randperm(4)] += torch.randn(4, 4).t()


def numbers_that_are_always_the_same(w: Workshop, x: Tensor, y: Tensor) -> None:
    ones, steps = torch.ones(4), torch.arange(4.0) / 3
    w.total.add_(x.sum(0) * ones + steps).add_(torch.full((), 2.0))
    w.out.copy_(torch.eye(4) * steps)


def constants_written_to(w: Workshop, x: Tensor, y: Tensor) -> None:
    """Fresh zeros each time, though nothing of the batch goes into them before they are filled."""
    h = torch.zeros(4)
    h.add_(w.total).add_(1)
    full = torch.full((4, 4), 2.0)
    full[1].mul_(h)
    w.out.add_(full)
    w.total.add_(h).add_(x.sum(0))
    ones = torch.ones_like(x)
    ones[0].add_(x[0])
    w.total.add_(ones.sum(0))


def a_result_through_a_view_of_what_is_written_again(w: Workshop, x: Tensor, y: Tensor) -> None:
    """``h`` is written into its recorded place, for it is viewed; what is computed from the view is
    new in every iteration."""
    h = torch.mm(x, w.a)
    t = h.t()
    w.b.copy_((t * 2)[:, :1])
    w.total.add_((t + 0).sum(1)).mul_(t.exp().sum(1).log())


def copies_of_results_in_another_type(w: Workshop, x: Tensor, y: Tensor) -> None:
    h = x.double().sum(0)
    w.total.add_(h.float()).add_(h.view(2, 2).to(torch.float32).flatten())
    w.count.add_((y.view(1, 3) == torch.arange(4).view(4, 1)).sum(1).float().max())


def indices(w: Workshop, x: Tensor, y: Tensor) -> None:
    w.total.add_(w.a[y].sum(0)).add_(w.a[:, y].sum(1))
    w.b[y, y] = 1.0
    w.out.index_put_((y,), x, accumulate=True)
    w.total.add_(torch.where(x[0] > 0, x[0], w.total))


def constant_indices(w: Workshop, x: Tensor, y: Tensor) -> None:
    w.total.add_(w.a[:, torch.arange(3)].sum(1)).add_(x.sum())


def a_counter(w: Workshop, x: Tensor, y: Tensor) -> None:
    w.count.add_(1)
    w.total.add_(x.sum(0) * 0.5**w.count)
    w.out.div_(w.count).add_(w.a)


def a_counter_read_before_it_is_counted_up(w: Workshop, x: Tensor, y: Tensor) -> None:
    w.total.add_(x.sum(0) * 0.5**w.count)
    w.count.add_(1)
    w.total.add_(w.count)


def one_added_to_a_result(w: Workshop, x: Tensor, y: Tensor) -> None:
    total = x.sum()
    total.add_(1)
    w.total.mul_(0.5).add_(total)


def one_added_to_an_element(w: Workshop, x: Tensor, y: Tensor) -> None:
    w.total.mul_(0.5).add_(x.sum(0))
    w.total[2].add_(1)
    w.total.mul_(2)


def out_arguments(w: Workshop, x: Tensor, y: Tensor) -> None:
    torch.mm(x.t(), x, out=w.out)
    torch.add(w.out, w.b, out=w.out)
    torch.exp(x[0], out=w.total)


def infinities(w: Workshop, x: Tensor, y: Tensor) -> None:
    h = (x @ w.a).masked_fill(x < 0, float("-inf")).clamp(max=float("inf"))
    w.total.copy_(h.softmax(1).nan_to_num(nan=0.5).sum(0))


def a_forward_and_a_backward_pass(w: Workshop, x: Tensor, y: Tensor) -> None:
    a = w.a.detach().requires_grad_()
    b = w.b.detach().requires_grad_()
    h = torch.tanh(x @ a).log_softmax(1) * F.softplus(x @ b)
    loss = F.cross_entropy(h, y) + 0.1 * a.abs().sum()
    for tensor, gradient in zip((a, b), torch.autograd.grad(loss, [a, b]), strict=True):
        tensor.data.sub_(gradient, alpha=0.1)


def results_that_nobody_asked_for(w: Workshop, x: Tensor, y: Tensor) -> None:
    """The gradients of weight and bias, which are not there, are None among the results."""
    a = w.a.detach().requires_grad_()
    h = F.layer_norm(x @ a, (4,))
    (gradient,) = torch.autograd.grad(F.gelu(h).square().sum(), a)
    a.data.sub_(gradient, alpha=0.1)


def batch_normalisation(w: Workshop, x: Tensor, y: Tensor) -> None:
    a = w.a.detach().requires_grad_()
    scale, shift = (r.detach().requires_grad_() for r in (w.b[1], w.b[2]))
    h = F.batch_norm(x @ a, w.total, w.b[0], scale, shift, training=True, momentum=0.3)
    gradients = torch.autograd.grad(F.gelu(h).square().sum(), [a, scale, shift])
    for tensor, gradient in zip((a, scale, shift), gradients, strict=True):
        tensor.data.sub_(gradient, alpha=0.1)


WORK: list[Work] = [
    in_place,
    in_place_on_views,
    views_of_all,
    a_view_kept_of_a_result_changed_later,
    several_results,
    views_of_several_results,
    lists,
    lists_of_one,
    results_changed_one_after_the_other,
    a_constant_times_a_result,
    nothing_but_constants_in_a_list,
    random_from_a_generator,
    random_from_torchs_own,
    numbers_that_are_always_the_same,
    constants_written_to,
    a_result_through_a_view_of_what_is_written_again,
    copies_of_results_in_another_type,
    indices,
    constant_indices,
    a_counter,
    a_counter_read_before_it_is_counted_up,
    one_added_to_a_result,
    one_added_to_an_element,
    out_arguments,
    infinities,
    a_forward_and_a_backward_pass,
    results_that_nobody_asked_for,
    batch_normalisation,
]


def same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Equal to the last bit, except that one nan is like another."""
    return all(torch.equal(x.nan_to_num(1e9), y.nan_to_num(1e9)) for x, y in zip(a, b, strict=True))


def replayed(work: Work, rounds: int, together: int, recorded: int = 0) -> tuple[Workshop, Program]:
    """``rounds`` of some work, ``together`` at once, all from a recording of one, in a random state
    of its own."""
    torch.manual_seed(3)
    w = Workshop()
    for number in range(recorded):
        work(w, *batch(number))
    x, y = batch(recorded)
    program = record(lambda: work(w, x, y), x, y, [])
    for first in range(recorded + 1, rounds, together):
        xs, ys = zip(*map(batch, range(first, min(first + together, rounds))), strict=True)
        program.run(torch.stack(xs), torch.stack(ys), [[]] * len(xs))
    return w, program


@pytest.mark.parametrize("together", [1, 3], ids=["one by one", "together"])
@pytest.mark.parametrize("recorded", [0, 2])
@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_a_program_does_what_was_recorded(work: Work, recorded: int, together: int) -> None:
    torch.manual_seed(3)
    expected = Workshop()
    for number in range(6):
        work(expected, *batch(number))
    torchs_own = torch.get_rng_state()
    w, program = replayed(work, 6, together, recorded)
    assert same(w.state(), expected.state()), program.source
    assert torch.equal(torch.get_rng_state(), torchs_own)


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_recording_changes_nothing(work: Work) -> None:
    torch.manual_seed(3)
    expected, w = Workshop(), Workshop()
    work(expected, *batch(0))
    torch.manual_seed(3)
    x, y = batch(0)
    record(lambda: work(w, x, y), x, y, [])
    assert same(w.state(), expected.state())


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_a_second_recording_is_the_same_program(work: Work) -> None:
    w = Workshop()
    programs = []
    for number in range(2):
        x, y = batch(number)
        programs.append(record(lambda x=x, y=y: work(w, x, y), x, y, []).source)
    assert programs[0] == programs[1]


def test_a_program_reads_no_batch_but_its_own() -> None:
    w = Workshop()
    x, y = batch(0)
    program = record(lambda: w.total.copy_((x @ w.a)[0] * y.sum()), x, y, [])
    x.fill_(float("nan"))
    y.fill_(9)
    other, classes = batch(1)
    program.run(other[None], classes[None], [[]])
    assert torch.equal(w.total, (other @ w.a)[0] * classes.sum())


def test_views_of_a_batch_are_those_of_the_next_batch() -> None:
    w = Workshop()
    x, y = batch(0)
    program = record(lambda: w.total.copy_(x.t()[:, 0] + x[2]), x, y, [])
    whole = torch.arange(60.0).view(15, 4)
    for part in whole.split(3):  # batches that begin anywhere in memory
        program.run(part[None], y[None], [[]])
        assert torch.equal(w.total, part[0] + part[2])


def test_the_source_is_a_readable_function() -> None:
    w = Workshop()
    x, y = batch(0)

    def work() -> None:
        h = torch.relu(x @ w.a)
        w.total.add_(h.sum(0), alpha=2)

    source = record(work, x, y, []).source
    assert source.splitlines() == [
        "def iterations(xs, ys, rates, tensors, lists):",
        "    c_0, c_1, c_2, c_3, = tensors",
        "    for x, y, lr in zip(xs.unbind(), ys.unbind(), rates):",
        "        aten.mm(x, c_0, out=c_1)",
        "        aten.relu_(c_1)",
        "        aten.sum(c_1, [0], out=c_2)",
        "        aten.add_(c_3, c_2, alpha=2)",
    ]


def test_what_nobody_reads_is_left_out() -> None:
    w = Workshop()
    x, y = batch(0)

    def work() -> None:
        (x @ w.a).exp().sum()
        w.a.t()[0]
        w.total.copy_(x[0])

    source = record(work, x, y, []).source
    assert "copy_" in source
    assert "exp" not in source
    assert "mm" not in source


def test_what_never_changes_is_computed_once() -> None:
    w = Workshop()
    x, y = batch(0)

    def work() -> None:
        halves = (w.b.t() * 0.5).exp()
        w.total.copy_((x @ halves).sum(0))

    source = record(work, x, y, []).source
    assert "exp" not in source
    assert "mul" not in source
    assert "mm" in source


# ------------------------------------------------------------------------------ unrecordable


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.sum().item(),
        lambda x: float(x[0, 0]),
        lambda x: x.max() > 0 and None,
        lambda x: torch.full((2,), x[0, 0].item()),
    ],
    ids=["item", "float", "truth", "full"],
)
def test_an_iteration_that_reads_a_number_cannot_be_recorded(look: Callable[[Tensor], Any]) -> None:
    x, y = batch(0)
    with pytest.raises(Unrecordable, match="reads a number from a tensor"):
        record(lambda: look(x), x, y, [])


def test_nothing_is_recorded_after_an_error() -> None:
    x, y = batch(0)
    with pytest.raises(ZeroDivisionError):
        record(lambda: x.div_(1 / 0), x, y, [])
    w = Workshop()
    assert len(record(lambda: w.total.copy_(x[0]), x, y, []).operations) <= 2


# ------------------------------------------------------------------------------ learning rates


def moved(step: Callable[[Tensor, Tensor, float], Any], rates: Sequence[float]) -> list[Tensor]:
    """Weights after each step by hand, with a learning rate each."""
    w, history = torch.ones(4), []
    for number, lr in enumerate(rates):
        step(w, batch(number)[0], lr)
        history.append(w.clone())
    return history


def moved_by_a_program(
    step: Callable[[Tensor, Tensor, float], Any], rates: Sequence[float]
) -> list[Tensor]:
    """The same, of which the first step is recorded and the others are replayed."""
    w, history, program = torch.ones(4), [], None
    for number, lr in enumerate(rates):
        x, y = batch(number)
        if program is None:
            program = record(lambda x=x, lr=lr: step(w, x, lr), x, y, [Rate(lr, [w])])
        else:
            program.run(x[None], y[None], [[lr]])
        history.append(w.clone())
    return history


MOVES = {
    "keyword": lambda w, x, lr: w.add_(x[0], alpha=lr),
    "negative keyword": lambda w, x, lr: w.add_(x[0], alpha=-lr),
    "subtracted": lambda w, x, lr: w.sub_(x[0], alpha=lr),
    "value": lambda w, x, lr: w.addcdiv_(x[0], x[1].abs() + 1, value=-lr),
    "in a list": lambda w, x, lr: torch._foreach_add_([w], [x[0]], alpha=-lr),
    "in a list, value": lambda w, x, lr: torch._foreach_addcmul_([w], [x[0]], [x[1]], value=-lr),
    "positional": lambda w, x, lr: torch.ops.aten._foreach_addcmul_.Scalar(
        [w], [x[0]], [x[1]], -lr
    ),
    "twice": lambda w, x, lr: w.add_(x[0], alpha=-lr).add_(x[1], alpha=lr),
    "fused": lambda w, x, lr: torch._fused_sgd_(
        [w],
        [x[0]],
        [],
        weight_decay=0.0,
        momentum=0.0,
        lr=lr,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    ),
}
RATES = [0.1, 0.1, 0.05, 1.0, 0.0, 1e-30, 0.3]


@pytest.mark.parametrize("step", MOVES.values(), ids=MOVES)
def test_each_iteration_has_its_own_learning_rate(step) -> None:
    assert same(moved_by_a_program(step, RATES), moved(step, RATES))


@pytest.mark.parametrize("first", [0.0, 1.0, 0.5, 1e-30])
@pytest.mark.parametrize("name", [name for name in MOVES if name != "positional"])
def test_the_first_learning_rate_may_be_any(name: str, first: float) -> None:
    rates = [first, 0.1, first, 0.2]
    assert same(moved_by_a_program(MOVES[name], rates), moved(MOVES[name], rates))


def test_a_learning_rate_of_1_that_is_not_told_is_noticed() -> None:
    """alpha=1 is the default, which an operation may leave out."""
    with pytest.raises(Unrecordable, match="a learning rate of 1"):
        moved_by_a_program(lambda w, x, lr: w.sub_(x[0], alpha=1).sub_(x[1], alpha=lr), [1.0, 0.1])


MISSING = {
    "not at all": lambda w, x, lr: w.sub_(x[0]),
    "multiplied before": lambda w, x, lr: w.sub_(x[0] * lr),
    "another number": lambda w, x, lr: w.sub_(x[0], alpha=lr / 2),
    "nobody moves": lambda w, x, lr: x + w,
}


@pytest.mark.parametrize("step", MISSING.values(), ids=MISSING)
def test_a_learning_rate_that_is_nowhere_is_noticed(step) -> None:
    with pytest.raises(Unrecordable, match="learning rate"):
        moved_by_a_program(step, [0.1, 0.2])


def test_a_learning_rate_that_is_in_other_numbers_too_is_noticed() -> None:
    """Decoupled weight decay, the way of torch's AdamW."""

    def step(w: Tensor, x: Tensor, lr: float) -> None:
        w.mul_(1 - lr * 0.1).sub_(x[0], alpha=lr)

    try:
        found = moved_by_a_program(step, RATES)
    except Unrecordable:
        return
    assert same(found, moved(step, RATES))


def test_an_iteration_that_does_nothing() -> None:
    x, y = batch(0)
    record(lambda: None, x, y, []).run(x[None], y[None], [[]])


def test_constants_indexed_by_constants() -> None:
    w = Workshop()
    places = torch.arange(2)
    x, y = batch(0)

    def work() -> None:
        w.total.copy_(w.a[:, places].sum(1))
        w.a.add_(1)

    program = record(work, x, y, [])
    before = w.a.clone()
    program.run(x[None], y[None], [[]])
    assert torch.equal(w.total, before[:, places].sum(1))


def test_each_group_has_its_own_learning_rate() -> None:
    def weights() -> list[Tensor]:
        return [torch.ones(4), torch.ones(4), torch.ones(4, 4)]

    def step(w: list[Tensor], x: Tensor, first: float, second: float) -> None:
        torch._foreach_add_(w[:2], [x[0], x[1]], alpha=-first)
        w[2].add_(x.t() @ x, alpha=-second)

    rates = [(0.1, 0.1), (0.1, 0.2), (0.3, 0.1), (0.0, 0.5)]
    expected, w = weights(), weights()
    (x, y), (first, second) = batch(0), rates[0]
    program = record(
        lambda: step(w, x, first, second), x, y, [Rate(first, w[:2]), Rate(second, w[2:])]
    )
    for number, lrs in enumerate(rates):
        step(expected, batch(number)[0], *lrs)
        if number:
            xb, yb = batch(number)
            program.run(xb[None], yb[None], [list(lrs)])
    assert same(w, expected)


def test_one_parameter_without_its_learning_rate_is_enough() -> None:
    w = [torch.ones(4), torch.ones(4)]
    x, y = batch(0)

    def step() -> None:
        w[0].sub_(x[0], alpha=0.1)
        w[1].sub_(x[1] * 0.1)

    with pytest.raises(Unrecordable, match="learning rate"):
        record(step, x, y, [Rate(0.1, w)])


# ------------------------------------------------------------------------------ optimizers

OPTIMIZERS = {
    "sgd": lambda w: torch.optim.SGD(w, lr=0.1),
    "sgd, weight decay": lambda w: torch.optim.SGD(w, lr=0.1, weight_decay=0.1, momentum=0.5),
    "sgd, maximize": lambda w: torch.optim.SGD(w, lr=0.1, maximize=True),
    "sgd, fused": lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True, fused=True),
    "adam, fused": lambda w: torch.optim.Adam(w, lr=0.1, amsgrad=True, fused=True),
    "adamw, fused": lambda w: torch.optim.AdamW(w, lr=0.1, fused=True),
    "adagrad, fused": lambda w: torch.optim.Adagrad(w, lr=0.1, lr_decay=0.1, fused=True),
    "rmsprop": lambda w: torch.optim.RMSprop(w, lr=0.1, centered=True, momentum=0.5),
    "rmsprop, foreach": lambda w: torch.optim.RMSprop(w, lr=0.1, foreach=True, weight_decay=0.1),
    "adadelta": lambda w: torch.optim.Adadelta(w, lr=1.0, weight_decay=0.1),
    "momentum": lambda w: Momentum(w, lr=0.1, weight_decay=0.1),
    "adamax": lambda w: Adamax(w, lr=0.1),
    "nadam": lambda w: NAdam(w, lr=0.1, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda w: RAdam(w, lr=0.1, weight_decay=0.1),
}
OTHERS = {
    "adam": lambda w: torch.optim.Adam(w, lr=0.1),
    "adam, foreach": lambda w: torch.optim.Adam(w, lr=0.1, foreach=True),
    "adamw": lambda w: torch.optim.AdamW(w, lr=0.1),
    "nadam": lambda w: torch.optim.NAdam(w, lr=0.1),
    "rprop": lambda w: torch.optim.Rprop(w, lr=0.1),
    "asgd": lambda w: torch.optim.ASGD(w, lr=0.1),
    "adafactor": lambda w: torch.optim.Adafactor(w, lr=0.1),
}


def network(make: Callable[[Any], torch.optim.Optimizer]) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.SiLU(), nn.Linear(5, 4))
    return model, make(model.parameters())


def step_of(model: nn.Module, optimizer: Any, x: Tensor, y: Tensor) -> None:
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters)
    for w, gradient in zip(parameters, gradients, strict=True):
        w.grad = gradient
    optimizer.step()
    optimizer.zero_grad()


def everything(model: nn.Module, optimizer: Any) -> list[Tensor]:
    state = optimizer.state_dict()["state"]
    values = [value for entry in state.values() for value in entry.values()]
    return [*model.state_dict().values(), *(v for v in values if isinstance(v, Tensor))]


def programs_steps(make: Callable[[Any], torch.optim.Optimizer], together: int) -> list[Tensor]:
    model, optimizer = network(make)
    step_of(model, optimizer, *batch(0))
    x, y = batch(1)
    group = optimizer.param_groups[0]
    rates = [Rate(group["lr"], group["params"])]
    program = record(lambda: step_of(model, optimizer, x, y), x, y, rates)
    for first in range(2, 12, together):
        numbers = range(first, first + together)
        xs, ys = zip(*map(batch, numbers), strict=True)
        program.run(
            torch.stack(xs), torch.stack(ys), [[group["lr"] / number] for number in numbers]
        )
    return everything(model, optimizer)


def ordinary_steps(make: Callable[[Any], torch.optim.Optimizer]) -> list[Tensor]:
    model, optimizer = network(make)
    lr = optimizer.param_groups[0]["lr"]
    for number in range(12):
        optimizer.param_groups[0]["lr"] = lr / max(1, number)
        step_of(model, optimizer, *batch(number))
    return everything(model, optimizer)


@pytest.mark.parametrize("together", [1, 5], ids=["one by one", "together"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_are_recorded(make, together: int) -> None:
    assert same(programs_steps(make, together), ordinary_steps(make))


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_optimizers_whose_steps_differ_are_noticed(make) -> None:
    """At once, or by the second recording, which is another program."""
    model, optimizer = network(make)
    step_of(model, optimizer, *batch(0))
    group = optimizer.param_groups[0]
    sources = []
    try:
        for number in (1, 2):
            x, y = batch(number)
            rates = [Rate(group["lr"], group["params"])]
            program = record(lambda x=x, y=y: step_of(model, optimizer, x, y), x, y, rates)
            sources.append(program.source)
    except Unrecordable:
        return
    assert sources[0] != sources[1]
