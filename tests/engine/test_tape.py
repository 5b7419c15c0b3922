"""A program of a recorded iteration computes what the iteration itself computes, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from exprun.engine.program import Program
from exprun.engine.tape import Unrecordable, record
from tests.engine.recorded import Tensors, batch, same

Work = Callable[[Tensors, Tensor, Tensor], Any]


def in_place(w: Tensors, x: Tensor, y: Tensor) -> None:
    h = x @ w.a
    h.add_(1).mul_(2)
    h += w.b[0]
    h.relu_()
    w.total += h.sum(0)
    w.total.div_(3)
    w.a.sub_(h.t() @ h, alpha=1e-3)


def in_place_on_views(w: Tensors, x: Tensor, y: Tensor) -> None:
    h = x * 2
    h[:, 1:3].add_(x[:, :2])
    h[0].zero_()
    w.a[1].copy_(h.sum(0))
    w.a.view(-1)[::5] += 1
    w.b.t().mul_(0.5)
    w.total.copy_(w.b[:, 0])


def views_of_all(w: Tensors, x: Tensor, y: Tensor) -> None:
    left, right = x.split(2, dim=1)
    h = torch.cat([right.t(), left.t()]).unsqueeze(0).expand(2, 4, 3)
    p = (h.transpose(1, 2) @ w.a.t().expand(2, 4, 4)).reshape(2, -1)
    w.total.add_(p.view(2, 3, 4).permute(1, 0, 2)[1:].flatten(0, 1).mean(0))
    w.b.copy_(w.b.t().contiguous())


def a_view_kept_of_a_result_changed_later(w: Tensors, x: Tensor, y: Tensor) -> None:
    h = x + 1
    row = h[1]
    h.mul_(3)
    w.total.add_(row)


def several_results(w: Tensors, x: Tensor, y: Tensor) -> None:
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


def views_of_several_results(w: Tensors, x: Tensor, y: Tensor) -> None:
    values, places = (x @ w.a).sort(1)
    w.total.add_(values[:, 1:].sum()).add_(values.t()[0, 0])
    w.b.view(-1)[places[0]] = values[2]


def lists(w: Tensors, x: Tensor, y: Tensor) -> None:
    parts = torch._foreach_mul([x, x + 1], [w.a[:3], w.b[:3]])
    torch._foreach_add_([w.a, w.b], [w.b, w.a], alpha=0.1)
    torch._foreach_lerp_([w.total, w.out[0]], [parts[0].sum(0), parts[1].sum(0)], 0.25)
    torch._foreach_addcdiv_([w.a], [w.b], [torch._foreach_exp([w.b])[0]], value=-0.5)
    w.out.add_(torch.stack([*torch._foreach_abs([w.total, x[0]]), x[1], x[2]]))


def lists_of_one(w: Tensors, x: Tensor, y: Tensor) -> None:
    (h,) = torch._foreach_mul([x @ w.a], 2.0)
    w.total.add_(h.sum(0))


def results_changed_one_after_the_other(w: Tensors, x: Tensor, y: Tensor) -> None:
    h = torch.tanh((x @ w.a).mul(2.0).sub(w.total))
    w.out.add_(h.t() @ h)
    twice = x @ w.b
    w.total.add_(torch.relu(twice).sum(0)).add_(twice.sum(0))


def a_constant_times_a_result(w: Tensors, x: Tensor, y: Tensor) -> None:
    w.total.add_(torch.arange(4.0).div(3.0) * x.sum(0))


def nothing_but_constants_in_a_list(w: Tensors, x: Tensor, y: Tensor) -> None:
    w.out.copy_(torch.cat([torch.ones(2, 4), torch.full((2, 4), 3.0)]))
    w.out[:3].add_(x)


def random_from_a_generator(w: Tensors, x: Tensor, y: Tensor) -> None:
    mask = torch.empty_like(x).bernoulli_(0.5, generator=w.random).div_(0.5)
    w.total.add_((x * mask).sum(0))
    w.a.add_(torch.rand(4, 4, generator=w.random))
    noise = torch.normal(0.0, 1.0, (4, 4), generator=w.random)
    w.b.add_(noise.t()).add_(noise)


def random_from_torchs_own(w: Tensors, x: Tensor, y: Tensor) -> None:
    w.total.add_(F.dropout(x, 0.5).sum(0))
    w.a.add_(torch.rand(4, 4))
    w.b[torch.randperm(4)] += torch.randn(4, 4).t()


def numbers_that_are_always_the_same(w: Tensors, x: Tensor, y: Tensor) -> None:
    ones, steps = torch.ones(4), torch.arange(4.0) / 3
    w.total.add_(x.sum(0) * ones + steps).add_(torch.full((), 2.0))
    w.out.copy_(torch.eye(4) * steps)


def constants_written_to(w: Tensors, x: Tensor, y: Tensor) -> None:
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


def a_result_through_a_view_of_what_is_written_again(w: Tensors, x: Tensor, y: Tensor) -> None:
    """``h`` is written into its recorded place, for it is viewed; what is computed from the view is
    new in every iteration."""
    h = torch.mm(x, w.a)
    t = h.t()
    w.b.copy_((t * 2)[:, :1])
    w.total.add_((t + 0).sum(1)).mul_(t.exp().sum(1).log())


def copies_of_results_in_another_type(w: Tensors, x: Tensor, y: Tensor) -> None:
    h = x.double().sum(0)
    w.total.add_(h.float()).add_(h.view(2, 2).to(torch.float32).flatten())
    w.count.add_((y.view(1, 3) == torch.arange(4).view(4, 1)).sum(1).float().max())


def indices(w: Tensors, x: Tensor, y: Tensor) -> None:
    w.total.add_(w.a[y].sum(0)).add_(w.a[:, y].sum(1))
    w.b[y, y] = 1.0
    w.out.index_put_((y,), x, accumulate=True)
    w.total.add_(torch.where(x[0] > 0, x[0], w.total))


def constant_indices(w: Tensors, x: Tensor, y: Tensor) -> None:
    w.total.add_(w.a[:, torch.arange(3)].sum(1)).add_(x.sum())


def a_counter(w: Tensors, x: Tensor, y: Tensor) -> None:
    w.count.add_(1)
    w.total.add_(x.sum(0) * 0.5**w.count)
    w.out.div_(w.count).add_(w.a)


def a_counter_read_before_it_is_counted_up(w: Tensors, x: Tensor, y: Tensor) -> None:
    w.total.add_(x.sum(0) * 0.5**w.count)
    w.count.add_(1)
    w.total.add_(w.count)


def one_added_to_a_result(w: Tensors, x: Tensor, y: Tensor) -> None:
    total = x.sum()
    total.add_(1)
    w.total.mul_(0.5).add_(total)


def one_added_to_an_element(w: Tensors, x: Tensor, y: Tensor) -> None:
    w.total.mul_(0.5).add_(x.sum(0))
    w.total[2].add_(1)
    w.total.mul_(2)


def out_arguments(w: Tensors, x: Tensor, y: Tensor) -> None:
    torch.mm(x.t(), x, out=w.out)
    torch.add(w.out, w.b, out=w.out)
    torch.exp(x[0], out=w.total)


def infinities(w: Tensors, x: Tensor, y: Tensor) -> None:
    h = (x @ w.a).masked_fill(x < 0, float("-inf")).clamp(max=float("inf"))
    w.total.copy_(h.softmax(1).nan_to_num(nan=0.5).sum(0))


def a_forward_and_a_backward_pass(w: Tensors, x: Tensor, y: Tensor) -> None:
    a = w.a.detach().requires_grad_()
    b = w.b.detach().requires_grad_()
    h = torch.tanh(x @ a).log_softmax(1) * F.softplus(x @ b)
    loss = F.cross_entropy(h, y) + 0.1 * a.abs().sum()
    for tensor, gradient in zip((a, b), torch.autograd.grad(loss, [a, b]), strict=True):
        tensor.data.sub_(gradient, alpha=0.1)


def results_that_nobody_asked_for(w: Tensors, x: Tensor, y: Tensor) -> None:
    """The gradients of weight and bias, which are not there, are None among the results."""
    a = w.a.detach().requires_grad_()
    h = F.layer_norm(x @ a, (4,))
    (gradient,) = torch.autograd.grad(F.gelu(h).square().sum(), a)
    a.data.sub_(gradient, alpha=0.1)


def batch_normalisation(w: Tensors, x: Tensor, y: Tensor) -> None:
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


def replayed(work: Work, rounds: int, together: int, recorded: int = 0) -> tuple[Tensors, Program]:
    """``rounds`` of some work, ``together`` at once, all from a recording of one, in a random state
    of its own."""
    torch.manual_seed(3)
    w = Tensors()
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
    expected = Tensors()
    for number in range(6):
        work(expected, *batch(number))
    torchs_own = torch.get_rng_state()
    w, program = replayed(work, 6, together, recorded)
    assert same(w.state(), expected.state()), program.source
    assert torch.equal(torch.get_rng_state(), torchs_own)


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_recording_changes_nothing(work: Work) -> None:
    torch.manual_seed(3)
    expected, w = Tensors(), Tensors()
    work(expected, *batch(0))
    torch.manual_seed(3)
    x, y = batch(0)
    record(lambda: work(w, x, y), x, y, [])
    assert same(w.state(), expected.state())


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_a_second_recording_is_the_same_program(work: Work) -> None:
    w = Tensors()
    programs = []
    for number in range(2):
        x, y = batch(number)
        programs.append(record(lambda x=x, y=y: work(w, x, y), x, y, []).source)
    assert programs[0] == programs[1]


def test_a_program_reads_no_batch_but_its_own() -> None:
    w = Tensors()
    x, y = batch(0)
    program = record(lambda: w.total.copy_((x @ w.a)[0] * y.sum()), x, y, [])
    x.fill_(float("nan"))
    y.fill_(9)
    other, classes = batch(1)
    program.run(other[None], classes[None], [[]])
    assert torch.equal(w.total, (other @ w.a)[0] * classes.sum())


def test_views_of_a_batch_are_those_of_the_next_batch() -> None:
    w = Tensors()
    x, y = batch(0)
    program = record(lambda: w.total.copy_(x.t()[:, 0] + x[2]), x, y, [])
    whole = torch.arange(60.0).view(15, 4)
    for part in whole.split(3):  # batches that begin anywhere in memory
        program.run(part[None], y[None], [[]])
        assert torch.equal(w.total, part[0] + part[2])


def test_the_source_is_a_readable_function() -> None:
    w = Tensors()
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
    w = Tensors()
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
    w = Tensors()
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
    w = Tensors()
    assert len(record(lambda: w.total.copy_(x[0]), x, y, []).operations) <= 2
