"""Logarithm, sine and cosine, and normal quantiles in double precision, from + - * / √ alone.

IEEE 754 rounds these alike everywhere, so results are bit for bit equal on all machines. Those of a
C library, and numpy's own, differ in the last digit between processors, systems and versions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts, the first of few bits, so that its product with an exponent is exact."""

ATANH = tuple(2 / (2 * k + 1) for k in range(11, -1, -1))
"""2 artanh(s) / s in powers of s², from the highest."""
SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(8, 0, -1))
COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(8, 1, -1))
"""(sin x - x) / x³ and (cos x - 1 + x²/2) / x⁴ in powers of x², from the highest."""

NORMAL_MIDDLE = (
    (
        2509.0809287301227,
        33430.57558358813,
        67265.7709270087,
        45921.95393154987,
        13731.69376550946,
        1971.5909503065513,
        133.14166789178438,
        3.3871328727963665,
    ),
    (
        5226.495278852854,
        28729.085735721943,
        39307.89580009271,
        21213.794301586597,
        5394.196021424751,
        687.1870074920579,
        42.31333070160091,
        1.0,
    ),
)
NORMAL_TAILS = (
    (
        0.0007745450142783414,
        0.022723844989269184,
        0.2417807251774506,
        1.2704582524523684,
        3.6478483247632045,
        5.769497221460691,
        4.630337846156546,
        1.4234371107496835,
    ),
    (
        1.0507500716444169e-09,
        0.0005475938084995345,
        0.015198666563616457,
        0.14810397642748008,
        0.6897673349851,
        1.6763848301838038,
        2.053191626637759,
        1.0,
    ),
)
"""Numerator and denominator of the rational functions of ``normal_quantile``."""


def polynomial(x: Numbers, coefficients: Sequence[float]) -> Numbers:
    """Evaluate a polynomial; coefficients from the highest power."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


def logarithm(x: Numbers) -> Numbers:
    """The natural logarithm of normal numbers above 0, within 3 ulp."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < math.sqrt(0.5)
    mantissa = np.where(small, 2 * mantissa, mantissa)
    exponent = exponent - small
    s = (mantissa - 1) / (mantissa + 1)
    low = exponent * LN2[1] + s * polynomial(s * s, ATANH)
    found: Numbers = exponent * LN2[0] + low
    return found


def sine_and_cosine(turns: Numbers) -> tuple[Numbers, Numbers]:
    """Sine and cosine of ``turns`` times 2π, with an absolute error below 3e-16."""
    quarter = np.rint(4 * turns)
    x = 2 * math.pi * (turns - quarter / 4)  # at most π/4
    square = x * x
    sine = x + x * square * polynomial(square, SINE)
    cosine = 1 - square / 2 + square * square * polynomial(square, COSINE)
    quadrant = quarter.astype(np.int64) % 4
    swapped = quadrant % 2 == 1
    return (
        np.where(quadrant >= 2, -1.0, 1.0) * np.where(swapped, cosine, sine),
        np.where((quadrant == 1) | (quadrant == 2), -1.0, 1.0) * np.where(swapped, sine, cosine),
    )


def normal_quantile(p: Numbers) -> Numbers:
    """The quantile function of the standard normal distribution for probabilities from 2e-11 to
    1 - 2e-11, with a relative error of 1e-15 (Wichura 1988, algorithm AS 241)."""
    q = p - 0.5
    square = 0.180625 - q * q
    middle = polynomial(square, NORMAL_MIDDLE[0]) * q / polynomial(square, NORMAL_MIDDLE[1])
    root = np.sqrt(-logarithm(np.where(q < 0, p, 1 - p))) - 1.6
    tail = polynomial(root, NORMAL_TAILS[0]) / polynomial(root, NORMAL_TAILS[1])
    return np.where(np.abs(q) <= 0.425, middle, np.copysign(tail, q))
