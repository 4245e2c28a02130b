"""The arithmetic of runs and of judges that agree: intervals, pass^k, pass@k, Cohen's kappa."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable

from ..errors import TestKitError

__all__ = ["cohens_kappa", "pass_at", "pass_hat", "wilson"]

#: Of the normal distribution, for 95 %.
Z_95 = 1.959963984540054


def wilson(passed: int, runs: int, *, z: float = Z_95) -> tuple[float, float]:
    """Between which rates the true one lies, by `passed` of `runs`: Wilson's score interval, by default for 95 %.

    It holds for few runs and for rates at the edge: 20 of 20 is (0.84, 1.0). Without runs it is (0.0, 1.0).
    """
    if not 0 <= passed <= runs:
        raise TestKitError.of("test.statistics", what="A rate", reason=f"{passed} of {runs} is none")
    if not runs:
        return 0.0, 1.0
    rate = passed / runs
    middle = (rate + z * z / (2 * runs)) / (1 + z * z / runs)
    reach = z / (1 + z * z / runs) * math.sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs))
    low = 0.0 if passed == 0 else max(0.0, middle - reach)
    high = 1.0 if passed == runs else min(1.0, middle + reach)
    return low, high


def pass_hat(passed: int, runs: int, k: int) -> float:
    """pass^k: how probable it is that k runs all pass. The unbiased estimate C(passed, k) / C(runs, k).

    Raises `TestKitError` (`test.statistics`) unless 1 <= k <= runs.
    """
    _check(passed, runs, k, "pass^k")
    return math.comb(passed, k) / math.comb(runs, k)


def pass_at(passed: int, runs: int, k: int) -> float:
    """pass@k: how probable it is that one of k runs passes, or more. Unbiased: 1 - C(failed, k) / C(runs, k).

    Raises `TestKitError` (`test.statistics`) unless 1 <= k <= runs.
    """
    _check(passed, runs, k, "pass@k")
    return 1 - math.comb(runs - passed, k) / math.comb(runs, k)


def _check(passed: int, runs: int, k: int, what: str) -> None:
    if not (1 <= k <= runs and 0 <= passed <= runs):
        raise TestKitError.of("test.statistics", what=what, reason=f"k is {k}, with {passed} of {runs} runs passed")


def cohens_kappa(pairs: Iterable[tuple[Hashable, Hashable]]) -> float | None:
    """How far two judges agree beyond chance: 1 always, 0 as by chance, below 0 less than that.

    pairs: for each example what one says and what the other says. None where it is not defined: without examples, and
    where both give all of them one and the same label.
    """
    found = list(pairs)
    if not found:
        return None
    first, second = Counter(one for one, _ in found), Counter(other for _, other in found)
    count = len(found)
    agreed = sum(one == other for one, other in found) / count
    by_chance = sum(first[label] * second[label] for label in first) / (count * count)
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
