"""What the values of a searched key are drawn from. Nothing here imports Hydra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DIGITS = 4
"""Significant digits of a number drawn from an interval: more do not matter, and are not read."""


@dataclass(frozen=True)
class Choice:
    """The values of ``x=a,b``, ``choice(a,b)`` or ``range(1,9)`` as texts; as in all of Hydra, the
    end of a range is excluded."""

    values: tuple[str, ...]

    def at(self, u: float) -> str:
        """The value at u in [0, 1): all values have equal shares."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]


@dataclass(frozen=True)
class Interval:
    """``interval(low,high)``, uniform, or with ``log`` uniform in the logarithm; with ``integer``
    (``int(interval(low,high))``) whole numbers, both ends included."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def at(self, u: float) -> str:
        """The value at u in [0, 1), rounded to DIGITS significant digits."""
        low, high = self.low, self.high
        if self.integer:
            low, high = low - 0.5, high + 0.5
        value = low * (high / low) ** u if self.log else low + u * (high - low)
        return self.text(value)

    def text(self, value: float) -> str:
        """A value as the text of an override: rounded, and within the interval."""
        if self.integer:
            return str(min(max(round(value), int(self.low)), int(self.high)))
        rounded = float(f"{value:.{DIGITS}g}")
        return f"{min(max(rounded, self.low), self.high):.12g}"

    def number(self, text: str) -> float:
        """The value of an override's text."""
        return int(text) if self.integer else float(text)


Distribution = Choice | Interval


def stored_distribution(entry: Mapping[str, Any]) -> Distribution:
    """The distribution that ``dataclasses.asdict`` gave this entry of ``sweep.json``."""
    return Choice(tuple(entry["values"])) if "values" in entry else Interval(**entry)


def point_of(words: Sequence[str], space: Mapping[str, Distribution]) -> dict[str, str]:
    """The values of the searched keys, those of ``space``, in the overrides of a configuration."""
    values = dict(word.partition("=")[::2] for word in words)
    return {key: values[key] for key in space if key in values}
