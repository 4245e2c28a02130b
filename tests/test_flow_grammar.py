"""What can be said, as a grammar for a recognizer and as the reading of a text: both are one."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.flow import Choice, Context, Date, Expectation, Intent, Name, Slot, Time
from voiceframe.flow.wording import UNIVERSALS

NOW = Context(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
PATIENT = Name("patient", None, ["Anna Smith", "Peter Miller", "Maria Lopez"], label="name")
DOCTOR = Choice("doctor", None, ["Dr Brown", "Dr Lee"])
DAY = Date("day", earliest_days=1, latest_days=60)
AT = Time("at", earliest=time(9), latest=time(16, 30), step_minutes=30, label="time")
ALL: list[Slot[Any]] = [PATIENT, DOCTOR, DAY, AT]
BOOK = Intent("book", "book an appointment", "see a doctor", to="x", takes=[DOCTOR, DAY, AT])
HOURS = Intent("hours", "opening hours", "when are you open", to="x")

MENU = Expectation(NOW, universals=UNIVERSALS, intents=[BOOK, HOURS])
ASK_DAY = Expectation(NOW, universals=UNIVERSALS, slots=[DAY, AT], digits=4, asked=True)
ECHO = Expectation(NOW, universals=UNIVERSALS, slots=[AT, DAY], answers=True, asked=True, echoed=["day"])
CONFIRM = Expectation(NOW, universals=UNIVERSALS, slots=ALL, answers=True, labels=ALL, digits=1)
EXPECTATIONS = pytest.mark.parametrize(
    "expected", [MENU, ASK_DAY, ECHO, CONFIRM], ids=["menu", "day", "echo", "confirm"]
)


@EXPECTATIONS
def test_whatever_the_grammar_lets_through_is_understood_to_the_last_word(expected: Expectation) -> None:
    rng = random.Random(5)
    for _ in range(1_000):
        said = expected.sample(rng)
        reading = expected.read(said, NOW)
        assert reading.understood, said
        assert reading.coverage == 1.0, said


@EXPECTATIONS
def test_the_grammar_is_whole_and_small(expected: Expectation) -> None:
    jsgf = expected.jsgf
    assert jsgf.startswith("#JSGF V1.0;\ngrammar flow;\npublic <turn> = ")
    named = set(re.findall(r"<(\w+)>", jsgf))
    defined = set(re.findall(r"^(?:public )?<(\w+)> =", jsgf, re.MULTILINE))
    assert named == defined
    assert re.fullmatch(r"[a-z0-9'<>()\[\]|=;_+\s]+", jsgf.split("\n", 2)[2])
    for opening, closing in ("()", "[]"):
        assert jsgf.count(opening) == jsgf.count(closing)
    rules, words = expected.size()
    assert rules <= 24
    assert words <= 160


def test_the_grammar_says_only_what_can_be_said_now() -> None:
    assert "brown" not in ASK_DAY.jsgf
    assert "<yes>" not in ASK_DAY.jsgf
    assert "opening hours" in MENU.jsgf
    assert "opening hours" not in CONFIRM.jsgf
    assert MENU.phrases[:3] == ("book an appointment", "see a doctor", "opening hours")
    assert "doctor brown" in CONFIRM.phrases


def test_a_recognizer_takes_the_grammar_and_knows_its_words(tmp_path: Path) -> None:
    pocketsphinx = pytest.importorskip("pocketsphinx")
    dictionary = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).read_text("utf-8")
    known = {line.split(" ", 1)[0] for line in dictionary.splitlines()}
    for expected in (MENU, ASK_DAY, CONFIRM):
        file = tmp_path / "flow.gram"
        file.write_text(expected.jsgf)
        assert pocketsphinx.Jsgf(str(file)).get_rule("flow.turn") is not None
        body = " ".join(line.partition("=")[2] for line in expected.jsgf.splitlines()[2:])
        words = set(re.findall(r"[a-z']+", re.sub(r"<\w+>", "", body)))
        assert words - known == set()


def value(expected: Expectation, text: str, slot: Slot[Any]) -> Any:
    found = expected.read(text, NOW).values.get(slot.name)
    return None if found is None else found.values[0]


def test_several_values_in_one_breath() -> None:
    reading = CONFIRM.read("Anna Smith, Thursday the third of December at 10:30 with Dr. Brown", NOW)
    assert {name: found.values[0] for name, found in reading.values.items()} == {
        "patient": "Anna Smith",
        "day": NOW.now.date().replace(month=12, day=3),
        "at": time(10, 30),
        "doctor": "Dr Brown",
    }
    assert reading.coverage == 1.0


def test_a_correction_is_a_no_and_a_value() -> None:
    reading = CONFIRM.read("no, Thursday", NOW)
    assert reading.no
    assert list(reading.values) == ["day"]
    assert value(CONFIRM, "no at eleven", AT) == time(11)
    assert value(CONFIRM, "Thursday. No, Friday", DAY).isoformat() == "2026-11-27"
    assert CONFIRM.read("no, wrong day", NOW).label == "day"
    assert CONFIRM.read("change the time", NOW).label == "at"
    assert CONFIRM.read("not Thursday", NOW).denied.keys() == {"day"}
    reading = CONFIRM.read("not Thursday but Friday", NOW)
    assert list(reading.denied) == ["day"]
    assert value(CONFIRM, "not Thursday but Friday", DAY).day == 27


def test_what_is_wanted_in_a_long_sentence() -> None:
    reading = MENU.read("Hello, I would like to book an appointment with Dr Lee for tomorrow, please", NOW)
    assert reading.intent is BOOK
    assert set(reading.values) == {"doctor", "day"}
    assert reading.coverage == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I do not want to book an appointment",
        "my hovercraft is full of eels tomorrow",
        "what is the weather like on the moon",
        "please help yourselves to the cake on the table outside",
    ],
)
def test_what_is_hardly_understood_is_not_understood(text: str) -> None:
    assert not CONFIRM.read(text, NOW).understood
    assert not MENU.read(text, NOW).understood


def test_words_that_are_left_over_make_it_less_sure() -> None:
    assert 0.5 <= ASK_DAY.read("thursday flamingo", NOW).coverage < 1


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_accident(text: str) -> None:
    for expected in (MENU, ASK_DAY, CONFIRM):
        reading = expected.read(text, NOW)
        assert 0 <= reading.coverage <= 1


@given(
    st.lists(st.sampled_from(sorted({w for e in (MENU, CONFIRM) for p in e.phrases for w in p.split()})), max_size=9)
)
def test_any_words_of_the_grammar_are_read_without_an_accident(words: list[str]) -> None:
    reading = CONFIRM.read(" ".join(words), NOW)
    assert reading.words == len(words)
