"""Scales and axes of charts: pixel positions of values, and positions and texts of ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exprun.report.drawing import Line, Shape, Text, text_width

GAP = 5.0
"""Pixels between an axis and its tick labels."""


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` to the pixels ``start`` to ``end``; ``counts`` (epochs)
    have ticks at whole numbers only."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    counts: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; nan for nan and, on a log scale, for values that are not
        positive."""
        low, high = self.low, self.high
        if self.log:
            if not value > 0:
                return math.nan
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About ``count`` round values within the scale's range."""
        if self.log:
            return log_ticks(self.low, self.high, count)
        ticks = nice_ticks(self.low, self.high, count)
        return [tick for tick in ticks if not self.counts or tick.is_integer()]


def scale(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    log: bool = False,
    counts: bool = False,
    margin: float = 0.05,
) -> Scale:
    """The scale that covers all finite values, with a margin (a share of the range) on each side.

    The range of a single value is widened by half of the value, or to ±1 about 0; without values it
    is 0 to 1. On a log scale values that are not positive are ignored.
    """
    finite = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if log:
        low, high = (low, high) if finite else (0.1, 1.0)
        if low == high:
            low, high = low / 2, high * 2
        factor = (high / low) ** margin
        return Scale(low / factor, high * factor, start, end, log=True)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        half = abs(low) / 2 or 1.0
        low, high = low - half, high + half
    room = margin * (high - low)
    return Scale(low - room, high + room, start, end, counts=counts)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten in [low, high], about ``count`` of them."""
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [round(i * step, digits) for i in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Powers of ten in [low, high], only every second or third if there are many; if there are few,
    with their multiples by 3, or by 2 and 5, or else the ticks of a linear scale."""
    first, last = math.ceil(math.log10(low) - 1e-3), math.floor(math.log10(high) + 1e-3)
    if last - first >= 2:
        step = math.ceil((last - first + 1) / max(count, 1))
        return [10.0**power for power in range(first, last + 1, step)]
    for factors in ((1, 3), (1, 2, 5)):
        ticks = [
            factor * 10.0**power
            for power in range(first - 1, last + 2)
            for factor in factors
            if low * 0.999 <= factor * 10.0**power <= high * 1.001
        ]
        if len(ticks) >= min(3, count):
            return ticks
    return nice_ticks(low, high, count)


def spelled_ticks(ticks: Sequence[float]) -> list[str]:
    """The texts of ticks: all with as many decimals as the finest needs, or in the form 1e-4 for
    very large or small values."""
    sizes = [abs(tick) for tick in ticks if tick]
    if not sizes:
        return ["0" for _ in ticks]
    if max(sizes) >= 1e5 or min(sizes) < 1e-3:
        return [_scientific(tick) for tick in ticks]
    if max(sizes) / min(sizes) > 50:  # a log scale: each as short as possible
        return [f"{tick:.10g}" for tick in ticks]
    decimals = max(len(f"{tick:.10g}".partition(".")[2]) for tick in ticks)
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _scientific(value: float) -> str:
    if not value:
        return "0"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def bottom_axis(x: Scale, top: float, bottom: float, label: str, count: int = 5) -> list[Shape]:
    """The horizontal axis below a plot, with a grid line at every tick."""
    shapes: list[Shape] = [Line([(x.start, bottom), (x.end, bottom)], "muted", width=1)]
    ticks = x.ticks(count)
    for tick, words in zip(ticks, spelled_ticks(ticks), strict=True):
        shapes.append(Line([(x(tick), top), (x(tick), bottom)], "grid", width=1))
        shapes.append(Text(x(tick), bottom + 15, words, "middle", "muted"))
    shapes.append(Text((x.start + x.end) / 2, bottom + 31, label, "middle", "ink"))
    return shapes


def left_axis(y: Scale, left: float, right: float, label: str, count: int = 5) -> list[Shape]:
    """The vertical axis: tick labels left of the plot, grid lines across it, the axis label
    above."""
    ticks = y.ticks(count)
    shapes: list[Shape] = []
    for tick, words in zip(ticks, spelled_ticks(ticks), strict=True):
        shapes.append(Line([(left, y(tick)), (right, y(tick))], "grid", width=1))
        shapes.append(Text(left - GAP, y(tick) + 4, words, "end", "muted"))
    shapes.append(Text(0, y.end - 9, label, "start", "ink"))
    return shapes


def left_margin(y: Scale, count: int = 5) -> float:
    """Width in pixels of the tick labels of a vertical axis."""
    return max([text_width(words) for words in spelled_ticks(y.ticks(count))] or [0.0]) + GAP
