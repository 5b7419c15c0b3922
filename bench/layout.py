"""Why the outputs lie unit by unit: ``python -m bench.layout``.

The output layer and the softmax of 128 rows with so many classes, row by row as ``nn.Linear`` lays
them out and unit by unit as ``exprun.networks.Output`` does, taking turns; one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from timeit import timeit

import torch

from bench.side_by_side import Results, figure, in_turns, machine, ratio, table, versions
from exprun.networks import Output

ROUNDS = 7
ROWS, HIDDEN = 128, 100
CLASSES = (2, 10, 26, 100)
BY_ROW, BY_UNIT = "row by row", "unit by unit"


def timed(work: Callable[[], object], times: int = 2000) -> Callable[[], float]:
    """A turn: µs a call."""
    return lambda: 1e6 * timeit(work, number=times) / times


def output_layer(classes: int) -> Results:
    """z = x Wᵀ + b."""
    x = torch.randn(ROWS, HIDDEN)
    layers = {BY_ROW: torch.nn.Linear(HIDDEN, classes), BY_UNIT: Output(HIDDEN, classes)}
    return in_turns({name: timed(lambda f=f: f(x)) for name, f in layers.items()}, ROUNDS)


def softmax(classes: int) -> Results:
    """Its logarithm, for the loss."""
    z = torch.randn(ROWS, classes)
    laid = {BY_ROW: (z, 1), BY_UNIT: (z.t().contiguous(), 0)}
    return in_turns(
        {name: timed(lambda z=z, d=d: z.log_softmax(d)) for name, (z, d) in laid.items()}, ROUNDS
    )


def softmax_backward(classes: int) -> Results:
    """The gradient of that."""
    z = torch.randn(ROWS, classes)
    laid = {BY_ROW: (z, 1), BY_UNIT: (z.t().contiguous(), 0)}
    backward = torch.ops.aten._log_softmax_backward_data.default
    return in_turns(
        {
            name: timed(lambda z=z, d=d: backward(z, z, d, torch.float32))
            for name, (z, d) in laid.items()
        },
        ROUNDS,
    )


def main() -> None:
    torch.set_num_threads(1)
    print(f"{machine()}, {versions('torch')}; one thread.\n")
    rows = []
    with torch.inference_mode():
        for work in (output_layer, softmax, softmax_backward):
            for classes in CLASSES:
                results = work(classes)
                rows.append(
                    [
                        f"{work.__name__.replace('_', ' ')}, {classes} classes",
                        figure(results[BY_ROW], ".1f"),
                        figure(results[BY_UNIT], ".1f"),
                        ratio(results, BY_ROW, BY_UNIT),
                    ]
                )
    print(table(["µs", BY_ROW, BY_UNIT, "÷"], rows))


if __name__ == "__main__":
    main()
