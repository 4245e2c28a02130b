"""The words of a text, and their times in its speech."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from voiceframe.words import place_words, spans


@given(st.text(max_size=40), st.lists(st.tuples(st.integers(-5, 60), st.integers(-10, 5_000))), st.integers(0, 4_000))
def test_words_are_placed_in_order_whatever_the_library_says(
    text: str, marks: list[tuple[int, int]], samples: int
) -> None:
    words = place_words(text, marks, samples, 1_000)
    assert "".join(word.text for word in words) == text
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert not times or 0 <= times[0] <= times[-1] <= samples


@given(st.text(alphabet="ab \n\t.", max_size=30))
def test_words_keep_their_spaces(text: str) -> None:
    words = [text[start:end] for start, end in spans(text)]
    assert "".join(words) == text
    assert all(words)
    assert all(not re.search(r"\S\s+\S", word) for word in words)
