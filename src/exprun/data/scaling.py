"""Scaling of numbers: standardisation, min-max, and the transform to a normal distribution.

All are fitted on the training rows and applied unchanged to all other rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from exprun.common.elementary import Numbers, normal_quantile

STANDARDIZE, MIN_MAX, UNIT = "standardize", "min_max", "unit"
QUANTILE, NONE = "quantile", "none"
METHODS = (STANDARDIZE, MIN_MAX, UNIT, QUANTILE, NONE)
"""The values of ``data.scaling``."""

ROUNDING = 2 * float(np.finfo(np.float64).eps)
"""Range of a column, relative to its largest number, up to which it counts as constant except for
rounding, such as 0.1 + 0.2 and 0.3."""

QUANTILES = 1000
"""Maximum number of quantiles that describe a column's distribution; scikit-learn's default."""

BOUND = 1e-7
"""Probabilities are clipped to [BOUND, 1 - BOUND], so the first and last quantile become ±5.2, as
in scikit-learn."""


@dataclass(frozen=True)
class Linear:
    """(value - center) / scale, for one column."""

    center: float = 0.0
    scale: float = 1.0

    def invert(self, scaled: Numbers) -> Numbers:
        """The values (rows,) that were scaled to ``scaled`` (rows,)."""
        return scaled * self.scale + self.center


@dataclass(frozen=True)
class Quantiles:
    """Maps a column's empirical distribution to the standard normal distribution.

    ``values`` are its quantiles at equally spaced probabilities from 0 to 1, ascending. Values
    between two of them are interpolated, those outside are clipped; a value equal to several
    quantiles gets the mean of their first and last probability.
    """

    values: tuple[float, ...]

    @classmethod
    def fit(cls, column: Numbers) -> Quantiles:
        """Fit at most QUANTILES quantiles to a column (rows,) without missing values, which are
        the values themselves if there are no more: to interpolate would round them, and equal ones
        apart."""
        if len(column) <= QUANTILES:
            return cls(tuple(np.sort(column).tolist()))
        values = np.quantile(column, np.linspace(0, 1, QUANTILES))
        return cls(tuple(np.maximum.accumulate(values).tolist()))  # rounding may break monotonicity

    def apply(self, column: Numbers) -> Numbers:
        """The transformed column, (rows,) from (rows,)."""
        values = np.array(self.values)
        at = np.linspace(0, 1, len(values))
        up = _interpolate(column, values, at)
        down = 1 - _interpolate(-column, -values[::-1], at)
        probability = np.where(column <= values[0], 0.0, (up + down) / 2)
        probability = np.where(column >= values[-1], 1.0, probability)
        return normal_quantile(np.clip(probability, BOUND, 1 - BOUND))

    def invert(self, scaled: Numbers) -> Numbers:
        """The values (rows,) that were scaled to ``scaled`` (rows,), but for those beyond the
        outermost quantiles."""
        at = np.linspace(0, 1, len(self.values))
        probability = torch.special.ndtr(torch.from_numpy(scaled)).numpy()
        found: Numbers = np.interp(probability, at, self.values)
        return found


def _interpolate(x: Numbers, xs: Numbers, ys: Numbers) -> Numbers:
    """``np.interp``, which on some processors fuses multiplication and addition and so rounds
    otherwise there."""
    place = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, max(len(xs) - 2, 0))
    after = np.minimum(place + 1, len(xs) - 1)
    step = xs[after] - xs[place]
    slope = (ys[after] - ys[place]) / np.where(step > 0, step, 1)
    between = slope * (x - xs[place]) + ys[place]
    return np.where(x < xs[0], ys[0], np.where(x >= xs[-1], ys[-1], between))


def fit_scaling(method: str, block: Numbers, largest: float = 1.0) -> list[Linear | Quantiles]:
    """The scaling of every column of (rows, columns) without missing values; ``largest`` is the
    divisor of ``unit`` for all columns.

    A constant column becomes zeros (``unit`` and ``none`` keep it), and values that differ from it
    later are not amplified.
    """
    if method == NONE:
        return [Linear()] * block.shape[1]
    if method == UNIT:
        return [Linear(0.0, largest)] * block.shape[1]
    low, high = block.min(axis=0), block.max(axis=0)
    spread = high - low
    size = np.maximum(np.abs(low), np.abs(low + spread))
    constant = spread <= ROUNDING * size
    if method == MIN_MAX:
        center, scale = low, spread
    else:
        # Scaled to 0…1, squares neither overflow nor underflow.
        shares = (block - low) / np.where(constant, 1.0, spread)
        center, scale = block.mean(axis=0), spread * shares.std(axis=0)
    scale = np.where(constant | (scale == 0), 1.0, scale)
    linear = [Linear(*pair) for pair in zip(center.tolist(), scale.tolist(), strict=True)]
    if method != QUANTILE:
        return list(linear)
    return [linear[k] if constant[k] else Quantiles.fit(block[:, k]) for k in range(block.shape[1])]


@dataclass(frozen=True)
class Scaling:
    """(value - mean) / std for each of several columns: the scaling of a regression's targets."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def standardize(cls, values: Numbers) -> Scaling:
        """The scaling that gives each column of (rows, columns) mean 0 and variance 1; a constant
        column gets std 1, so it becomes 0."""
        columns = fit_scaling(STANDARDIZE, values)
        linear = [column for column in columns if isinstance(column, Linear)]
        return cls(tuple(c.center for c in linear), tuple(c.scale for c in linear))

    @classmethod
    def identity(cls, columns: int) -> Scaling:
        return cls((0.0,) * columns, (1.0,) * columns)

    def apply(self, values: Numbers) -> Numbers:
        scaled: Numbers = (values - np.array(self.mean)) / np.array(self.std)
        return scaled
