"""Why the outputs lie unit by unit: ``python -m bench.layout``.

The output layer and the softmax of 128 rows with so many classes, row by row as ``nn.Linear`` lays
them out and unit by unit as ``exprun.techniques.networks.Output`` does, taking turns; one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from timeit import timeit

import torch

from bench.side_by_side import figure, in_turns, machine, ratio, table, versions
from exprun.techniques.networks import Output

ROUNDS = 7
ROWS, HIDDEN = 128, 100
CLASSES = (2, 10, 26, 100)
BY_ROW, BY_UNIT = "row by row", "unit by unit"


def timed(work: Callable[[], object], times: int = 2000) -> Callable[[], float]:
    """A turn: µs a call."""
    return lambda: 1e6 * timeit(work, number=times) / times


def contestants(classes: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """By row and by unit: z = x Wᵀ + b, the logarithm of its softmax, and the gradient of that."""
    x, z = torch.randn(ROWS, HIDDEN), torch.randn(ROWS, classes)
    linear, output = torch.nn.Linear(HIDDEN, classes), Output(HIDDEN, classes)
    zt = z.t().contiguous()
    backward = torch.ops.aten._log_softmax_backward_data.default
    return {
        "output layer": (lambda: linear(x), lambda: output(x)),
        "softmax": (lambda: z.log_softmax(1), lambda: zt.log_softmax(0)),
        "softmax backward": (
            lambda: backward(z, z, 1, torch.float32),
            lambda: backward(zt, zt, 0, torch.float32),
        ),
    }


def main() -> None:
    torch.set_num_threads(1)
    print(f"{machine()}, {versions('torch')}; one thread.\n")
    rows = []
    with torch.inference_mode():
        for classes in CLASSES:
            for name, (by_row, by_unit) in contestants(classes).items():
                results = in_turns({BY_ROW: timed(by_row), BY_UNIT: timed(by_unit)}, ROUNDS)
                times = [figure(results[layout], ".1f") for layout in (BY_ROW, BY_UNIT)]
                rows.append([f"{name}, {classes} classes", *times, ratio(results, BY_ROW, BY_UNIT)])
    print(table(["µs", BY_ROW, BY_UNIT, "÷"], rows))


if __name__ == "__main__":
    main()
