"""Patterns are matched as `re` would match them, in time that grows with the text alone, and the same in pieces."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voiceframe.errors import GuardrailError
from voiceframe.guardrails import Pattern, Text, Words
from voiceframe.guardrails.folding import fold, hidden_chars
from voiceframe.guardrails.machine import Machine

#: Patterns that both understand, from small parts.
ATOMS = st.sampled_from(["a", "b", "c", ".", r"\w", r"\d", "[ab]", "[^a]", " ", r"\s", "1"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        st.tuples(st.sampled_from([r"\b", ""]), inner, st.sampled_from([r"\b", ""])).map("".join),
    ),
    max_leaves=6,
)
TEXTS = st.text("abc1 ", max_size=12)


def covered(pattern: str, text: str) -> set[int]:
    """All places that any match covers, tried one by one."""
    found: set[int] = set()
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            # A match from start to end, in the context of the whole text.
            if re.compile(f"(?:{pattern})(?<=(?s:^.{{{end}}}))").match(text, start):
                found.update(range(start, end))
    return found


def places(spans: list[tuple[int, int]]) -> set[int]:
    return {place for start, end in spans for place in range(start, end)}


@given(PATTERNS, TEXTS)
@example("a*b", "aab")
@example("(?:ab)*c", "xababc")
@example("(?:a|ab)(?:c|bcd)", "abcd")
@example(r"a\b|ab*", "abbb")
@example(r"a|a.*b", "aaacab a")
@example(r"aab|b", "aab")
@settings(max_examples=250)
def test_what_any_match_covers_is_found(pattern: str, text: str) -> None:
    empty = any(re.compile(pattern).fullmatch(sample, 1, 1) for sample in ("ab", "a ", " a", "  "))
    if empty or re.compile(pattern).fullmatch("a", 0, 0) or re.compile(pattern).fullmatch("a", 1, 1):
        with pytest.raises(GuardrailError, match="nothing"):
            Machine(pattern, ignore_case=False)
        return
    machine = Machine(pattern, ignore_case=False)
    assert places(machine.matches(text).spans) == covered(pattern, text)


@given(PATTERNS, TEXTS, TEXTS)
@settings(max_examples=150)
def test_what_is_not_open_stays_as_it_is_whatever_comes(pattern: str, text: str, more: str) -> None:
    try:
        machine = Machine(pattern, ignore_case=False)
    except GuardrailError:
        return
    spans, opened = machine.matches(text, final=False)
    whole = places(machine.matches(text + more).spans)
    assert {place for place in places(spans) if place < opened} == {place for place in whole if place < opened}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a+)+$", "a" * 20_000 + "!"),
        (r"(a|aa)+b", "a" * 20_000),
        (r"a|a.*b", "a" * 20_000),
        (r"(.*)(.*)(.*)(.*)x", "y" * 10_000),
        (r"(?:\w+\s?)+:", "word " * 4_000),
    ],
)
def test_no_text_makes_a_pattern_slow(pattern: str, text: str) -> None:
    machine = Machine(pattern)
    began = time.process_time()
    machine.matches(text)
    assert time.process_time() - began < 5.0  # some 0.1 s; `re` needs longer than the test would live for most of them


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"(a)\1", "1 is not taken"),
        (r"(?=a)b", "look around"),
        (r"(?i)a", "flags"),
        (r"a++", "possessive"),
        (r"a*", "nothing"),
        (r"\b", "nothing"),
        (r"(a", "not closed"),
        (r"a)", "no group"),
        (r"[a", "not closed"),
        (r"[b-a]", "range"),
        (r"a{500}", "200 times"),
        (r"a{3,2}", "smaller"),
        (r"*a", "nothing to repeat"),
        (r"^*a", "condition"),
        (r"\x4", "hexadecimal"),
        (r"((a{200}){200}){200}", "too often"),
        ("(" * 60 + "a" + ")" * 60, "too many groups"),
        ("a\\", "backslash"),
    ],
)
def test_what_a_pattern_may_not_be_is_refused_with_its_place(pattern: str, says: str) -> None:
    with pytest.raises(GuardrailError) as caught:
        Pattern(pattern)
    assert caught.value.code == "guard.pattern"
    assert says in caught.value.message
    assert "position" in caught.value.message


def test_a_compiled_pattern_gives_its_text_and_its_case() -> None:
    assert Pattern(re.compile("Acme")).scan(Text("acme")).findings == []
    assert Pattern(re.compile("Acme", re.IGNORECASE)).scan(Text("acme")).findings != []


@pytest.mark.parametrize(
    "text",
    [
        "We give your Money Back.",
        "your money, back",
        "your money   back",
        "your mоnеy back",  # Cyrillic
        "your mo\u200bney b\u00adack",
        "your ｍｏｎｅｙ back",  # full width
        "your móney back",
        "your money\nback",
    ],
)
def test_words_are_found_however_they_are_written(text: str) -> None:
    (found,) = Words("money back").scan(Text(text)).findings
    assert text[: found.start] in ("your ", "We give your ")
    assert text[found.start : found.end].rstrip(".") == text[found.start :].rstrip(".")


@pytest.mark.parametrize("text", ["moneyback", "my money is back", "money", "money - and more - back"])
def test_other_words_are_not(text: str) -> None:
    assert Words("money back").scan(Text(text)).findings == []


def test_a_star_stands_for_endings_and_an_apostrophe_for_none() -> None:
    words = Words("guarantee*", "don't")
    assert [f.start for f in words.scan(Text("guaranteed, dont, don’t")).findings] == [0, 12, 18]
    assert words.scan(Text("guarant")).findings == []


@pytest.mark.parametrize("words", [(), ("",), ("  *",)])
def test_no_words_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(GuardrailError) as caught:
        Words(*words)
    assert caught.value.code == "guard.words"


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_folded_text_may_come_in_pieces_and_its_places_are_those_of_the_text(a: str, b: str) -> None:
    whole = fold(a + b)
    assert whole.text == fold(a).text + fold(b).text
    for at in range(len(whole.text)):
        start, end = whole.span(at, at + 1)
        assert 0 <= start < end <= len(a + b)
        assert whole.text[at] in fold((a + b)[start:end]).text


def test_hidden_characters_are_counted_and_those_of_emoji_are_none() -> None:
    assert hidden_chars("a\u200b\u200cb\U000e0041") == 3
    assert hidden_chars("👩‍👩‍👧 ❤️ naïve") == 0
    assert fold("\U000e0068\U000e0069").text == "hi"
