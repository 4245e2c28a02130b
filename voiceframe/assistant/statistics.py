"""Intervals of rates and means, and of their differences, for calls of callers who may call again.

Two calls of one caller say less than calls of two, so the spread is taken between callers (a ratio estimate by cluster,
which is the usual one where everybody calls once). Rates have Wilson's interval, their differences Newcombe's, means
and their differences Student's t by Welch and Satterthwaite.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

__all__ = ["Interval", "Sample", "chi_square_p", "difference", "student_t"]


class Interval(NamedTuple):
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Of a difference: whether 0 is outside of it."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured: so many values, of so many callers, their mean and the square of its standard error."""

    count: int
    units: int
    mean: float
    variance: float
    rate: bool
    #: Of a rate: how many calls of different callers would say as much.
    effective: float

    @classmethod
    def of(cls, values: Iterable[tuple[Hashable, float]], *, rate: bool) -> Sample:
        """The sample of these values, each with whose it is."""
        found = list(values)
        count = len(found)
        if not count:
            return cls(0, 0, math.nan, math.nan, rate, 0)
        mean = math.fsum(value for _, value in found) / count
        off: dict[Hashable, float] = {}
        for unit, value in found:
            off[unit] = off.get(unit, 0.0) + value - mean
        units = len(off)
        variance = math.nan
        if units > 1:
            variance = units / (units - 1) * math.fsum(part * part for part in off.values()) / (count * count)
        # All alike: nothing shows how much calls of one caller have in common, so each caller counts once.
        effective = float(units)
        if rate and 0 < mean < 1 and variance > 0:
            effective = min(1.0, mean * (1 - mean) / (count - 1) / variance) * count
        return cls(count, units, mean, variance, rate, effective)

    def interval(self, confidence: float = 0.95) -> Interval:
        """The interval of the rate or mean; without bounds where there is too little to tell."""
        if not self.count:
            return Interval(math.nan, math.nan, math.nan)
        if self.rate:
            low, high = _wilson(self.mean, self.effective, confidence)
            return Interval(self.mean, low, high)
        if self.units < 2:
            return Interval(self.mean, -math.inf, math.inf)
        half = student_t(confidence, self.units - 1) * math.sqrt(self.variance)
        return Interval(self.mean, self.mean - half, self.mean + half)


def difference(of: Sample, to: Sample, confidence: float = 0.95) -> Interval:
    """How much more `of` is than `to`, with its interval."""
    if not of.count or not to.count:
        return Interval(math.nan, math.nan, math.nan)
    value = of.mean - to.mean
    if of.rate:
        (low, high), (other_low, other_high) = (_wilson(s.mean, s.effective, confidence) for s in (of, to))
        return Interval(
            value,
            max(-1.0, value - math.hypot(of.mean - low, other_high - to.mean)),
            min(1.0, value + math.hypot(high - of.mean, to.mean - other_low)),
        )
    if of.units < 2 or to.units < 2:
        return Interval(value, -math.inf, math.inf)
    both = of.variance + to.variance
    if both == 0:
        return Interval(value, value, value)
    freedom = both**2 / (of.variance**2 / (of.units - 1) + to.variance**2 / (to.units - 1))
    half = student_t(confidence, freedom) * math.sqrt(both)
    return Interval(value, value - half, value + half)


def _wilson(rate: float, count: float, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    wide = 1 + z * z / count
    middle = (rate + z * z / (2 * count)) / wide
    half = z / wide * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    # At 0 and 1 the bound is that number, but for rounding.
    return (0.0 if rate == 0 else max(0.0, middle - half)), (1.0 if rate == 1 else min(1.0, middle + half))


def student_t(confidence: float, freedom: float) -> float:
    """The half width, in standard errors, within which Student's t with so much freedom lies so often."""
    tail = (1 - confidence) / 2
    low, high = 0.0, 1.0
    while _t_tail(high, freedom) > tail:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_tail(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def _t_tail(t: float, freedom: float) -> float:
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (Lentz)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / max(tiny, 1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 10_000):
        for up in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + up * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + up / c
            c = c if abs(c) > tiny else tiny
            result *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * result / a


def chi_square_p(observed: Iterable[int], expected: Iterable[float]) -> float:
    """How probable counts are that are at least so far from what was expected (Pearson)."""
    pairs = list(zip(observed, expected, strict=True))
    statistic = math.fsum((seen - due) ** 2 / due for seen, due in pairs)
    return _gamma_tail((len(pairs) - 1) / 2, statistic / 2)


def _gamma_tail(a: float, x: float) -> float:
    """The regularized upper incomplete gamma function, by its series or its continued fraction."""
    if x <= 0:
        return 1.0
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > abs(total) * 1e-15:
            n += 1
            term *= x / n
            total += term
        return 1 - total * front
    b = x + 1 - a
    c, d = 1e300, 1 / b
    result = d
    for i in range(1, 10_000):
        up = -i * (i - a)
        b += 2
        d = 1 / (up * d + b)
        c = b + up / c
        result *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * result
