"""The words of a text: where they stand in it, and when they are said in its speech."""

from __future__ import annotations

from collections.abc import Iterable

from .frames import Word

__all__ = ["place_words", "spans"]


def spans(text: str) -> list[tuple[int, int]]:
    """The words of a text, as positions: each with the white space in front of it, the last also with that behind it.

    Joined they are the text. Only a text that is nothing but white space has a word without a letter.
    """
    found: list[tuple[int, int]] = []
    start = 0
    inside = False
    for index, char in enumerate(text):
        if char.isspace():
            if inside:
                found.append((start, index))
                start = index
            inside = False
        else:
            inside = True
    if inside or (start < len(text) and not found):
        found.append((start, len(text)))
    elif start < len(text):
        found[-1] = (found[-1][0], len(text))
    return found


def place_words(text: str, marks: Iterable[tuple[int, int]], samples: int, rate: int) -> tuple[Word, ...]:
    """The words of `text`, in times of its speech.

    marks: where in the text (from 0) the speech is at which sample. A word of the text may have several (`10:30` is
    said in two words), or none (a dash), and then shares the time of its neighbours by length.
    """
    found = spans(text)
    if not found:
        return ()
    begins: list[int | None] = [None] * len(found)
    word = 0
    for position, sample in sorted(marks):
        while word + 1 < len(found) and found[word][1] <= position:
            word += 1
        sample = max(0, sample)
        known = begins[word]
        begins[word] = sample if known is None else min(known, sample)
    first_begin = begins[0] or 0
    # Times only go forward, and words without one lie evenly, by letters, between their neighbours.
    edges = [0] * (len(found) + 1)
    edges[-1] = samples
    last = 0
    for index in range(1, len(found) + 1):
        begin = samples if index == len(found) else begins[index]
        if begin is None:
            continue
        edges[index] = begin = min(max(begin, edges[last]), samples)
        first = found[last][0]
        length = found[index - 1][1] - first
        for between in range(last + 1, index):
            edges[between] = edges[last] + (begin - edges[last]) * (found[between][0] - first) // length
        last = index
    times = [edge * 1000 // rate for edge in edges]
    times[0] = min(first_begin * 1000 // rate, times[1])
    return tuple(Word(text[start:end], times[index], times[index + 1]) for index, (start, end) in enumerate(found))
