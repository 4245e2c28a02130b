"""ULIDs follow the specification, sort by time and never go back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.ulid import ULIDs, is_ulid, ulid_ms


class _Fixed(random.Random):
    """Draws the same bits every time."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._bits = bits

    def getrandbits(self, k: int, /) -> int:
        return self._bits & ((1 << k) - 1)


def test_the_example_of_the_specification() -> None:
    assert ULIDs(_Fixed(0)).next(1469918176385)[:10] == "01ARYZ6S41"


def test_the_smallest_and_the_largest() -> None:
    assert ULIDs(_Fixed(0)).next(0) == "0" * 26
    assert ULIDs(_Fixed((1 << 80) - 1)).next((1 << 48) - 1) == "7" + "Z" * 25


@given(st.lists(st.integers(0, 50), min_size=2, max_size=50), st.integers(0, 2**32))
def test_each_is_greater_than_the_one_before_whatever_the_clock_does(clock: list[int], seed: int) -> None:
    ulids = ULIDs(random.Random(seed))
    made = [ulids.next(wall_ms) for wall_ms in clock]
    assert made == sorted(set(made))
    assert all(is_ulid(ulid) for ulid in made)


def test_an_exhausted_millisecond_borrows_the_next_one() -> None:
    ulids = ULIDs(_Fixed((1 << 80) - 1))
    first, second = ulids.next(5), ulids.next(5)
    assert (ulid_ms(first), ulid_ms(second)) == (5, 6)


@given(st.integers(0, 2**48 - 1))
def test_the_time_can_be_read_back(wall_ms: int) -> None:
    assert ulid_ms(ULIDs(random.Random(0)).next(wall_ms)) == wall_ms


@pytest.mark.parametrize("text", ["", "8" + "0" * 25, "0" * 25, "0" * 25 + "I", "0" * 25 + "a"])
def test_anything_else_is_no_ulid(text: str) -> None:
    with pytest.raises(ValueError, match="not a ULID"):
        ulid_ms(text)
