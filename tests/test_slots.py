"""Slots: what is said is understood, what is understood is said back, and keys say the same."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.flow import Choice, Context, Date, Digits, Name, Number, Slot, Time, YesNo
from voiceframe.flow.words import ORDINALS, spell, spell_year, spoken_list, tokens

#: A Tuesday.
NOW = Context(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
DAY = Date("day")
OPEN_DAY = Date("open_day", earliest_days=1, latest_days=60, closed=("Saturday", "Sunday"))
BORN = Date("born", earliest_days=-40_000, latest_days=0)
ANY_TIME = Time("any_time", step_minutes=1)
OFFICE = Time("office", earliest=time(9), latest=time(17), step_minutes=30)
DOCTOR = Choice("doctor", None, {"Dr Nguyen": ["doctor win", "doctor nguyen"], "Dr Brown": [], "Dr Lee": []})
PATIENT = Name("patient", None, ["Anna Smith", "Bob Smith", "José Álvarez"])
SLOTS: list[Slot[object]] = [
    *(DAY, OPEN_DAY, BORN, ANY_TIME, OFFICE, DOCTOR, PATIENT, YesNo("sure")),  # type: ignore[list-item]
    *(Number("age", high=120), Number("count", low=1, high=99_999)),  # type: ignore[list-item]
    *(Digits("pin", length=4), Digits("invoice", shortest=3, length=8)),  # type: ignore[list-item]
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Thursday", date(2026, 11, 26)),
        ("on Thursday", date(2026, 11, 26)),
        ("Tuesday", date(2026, 12, 1)),  # nobody says so of today
        ("today", date(2026, 11, 24)),
        ("tomorrow", date(2026, 11, 25)),
        ("the day after tomorrow", date(2026, 11, 26)),
        ("next Monday", date(2026, 11, 30)),
        ("next Thursday", date(2026, 12, 3)),
        ("this Friday", date(2026, 11, 27)),
        ("Thursday next week", date(2026, 12, 3)),
        ("in two days", date(2026, 11, 26)),
        ("in 3 weeks", date(2026, 12, 15)),
        ("the third", date(2026, 12, 3)),
        ("the 3rd", date(2026, 12, 3)),
        ("December third", date(2026, 12, 3)),
        ("December 3", date(2026, 12, 3)),
        ("the 3rd of Dec.", date(2026, 12, 3)),
        ("Thursday the third of December", date(2026, 12, 3)),
        ("Thursday the third", date(2026, 12, 3)),
        ("the twenty-first of January", date(2027, 1, 21)),
        ("3/12", date(2026, 12, 3)),
        ("2026-12-03", date(2026, 12, 3)),
        ("the thirty first of November", None),
        ("the third man", None),
        ("whenever", None),
    ],
)
def test_dates_as_they_are_said(text: str, value: date | None) -> None:
    assert DAY.parse(text, NOW) == value


@pytest.mark.parametrize(
    ("text", "any_time", "office"),
    [
        ("ten", time(10), time(10)),
        ("three", time(15), time(15)),
        ("seven", time(7), time(7)),
        ("at ten o'clock", time(10), time(10)),
        ("10:00", time(10), time(10)),
        ("3 pm", time(15), time(15)),
        ("3pm", time(15), time(15)),
        ("3 p.m.", time(15), time(15)),
        ("3:30", time(15, 30), time(15, 30)),
        ("half past two", time(14, 30), time(14, 30)),
        ("a quarter to four in the afternoon", time(15, 45), time(15, 45)),
        ("nine oh five", time(9, 5), time(9, 5)),
        ("ten past ten", time(10, 10), time(10, 10)),
        ("fifteen thirty", time(15, 30), time(15, 30)),
        ("noon", time(12), time(12)),
        ("midnight", time(0), time(0)),
        ("twelve thirty", time(12, 30), time(12, 30)),
        ("eight at night", time(20), time(20)),
        ("ten in the evening", time(22), time(22)),
        ("25:00", None, None),
        ("later", None, None),
    ],
)
def test_times_as_they_are_said(text: str, any_time: time | None, office: time | None) -> None:
    assert ANY_TIME.parse(text, NOW) == any_time
    assert OFFICE.parse(text, NOW) == office


@given(st.integers(0, 180))
def test_a_date_that_is_said_is_understood(days: int) -> None:
    value = NOW.now.date() + timedelta(days)
    assert DAY.parse(DAY.say(value), NOW) == value


@given(st.dates(date(1920, 1, 1), date(2026, 11, 24)))
def test_a_date_of_birth_that_is_said_is_understood(value: date) -> None:
    assert BORN.parse(BORN.say(value), NOW) == value


@given(st.integers(0, 1439), st.sampled_from([ANY_TIME, OFFICE]))
def test_a_time_that_is_said_is_understood(minutes: int, slot: Time) -> None:
    value = time(minutes // 60, minutes % 60)
    assert slot.parse(slot.say(value), NOW) == value


@given(st.integers(0, 99_999))
def test_a_number_that_is_said_is_understood(value: int) -> None:
    slot = Number("n", high=99_999)
    assert slot.parse(slot.say(value), NOW) == slot.parse(str(value), NOW) == value
    assert slot.parse(spell(value).replace("hundred ", "hundred and "), NOW) == value


@given(st.text("0123456789", min_size=3, max_size=8))
def test_digits_that_are_said_are_understood(value: str) -> None:
    slot = Digits("d", shortest=3, length=8)
    assert slot.parse(slot.say(value), NOW) == slot.parse(value, NOW) == value


@pytest.mark.parametrize("slot", [DOCTOR, PATIENT])
def test_a_choice_that_is_said_is_understood(slot: Choice) -> None:
    for value in slot.options(NOW):
        spoken = list(slot.options(NOW)[value])
        assert {slot.parse(phrase, NOW) for phrase in spoken} == {value}


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_whatever_the_grammar_lets_through_has_a_value(slot: Slot[object]) -> None:
    rng = random.Random(3)
    expression = slot.expression(NOW)
    for _ in range(1_000):
        said = " ".join(expression.sample(rng))
        assert slot.parse(said, NOW) is not None, said


@given(st.text(max_size=40))
def test_any_text_is_read_without_an_accident(text: str) -> None:
    for slot in SLOTS:
        slot.parse(text, NOW)


@given(st.text("0123456789*#", max_size=9))
def test_any_keys_are_read_without_an_accident(digits: str) -> None:
    for slot in SLOTS:
        value = slot.dtmf(digits, NOW)
        assert value is None or isinstance(value, slot.type)


def test_keys_say_the_same() -> None:
    assert DAY.dtmf("0312", NOW) == date(2026, 12, 3)
    assert Date("day", keys="MMDD").dtmf("1203", NOW) == date(2026, 12, 3)
    assert BORN.dtmf("03051984", NOW) == date(1984, 5, 3)
    assert DAY.dtmf("3113", NOW) is None
    assert OFFICE.dtmf("0330", NOW) == OFFICE.dtmf("330", NOW) == OFFICE.dtmf("1530", NOW) == time(15, 30)
    assert OFFICE.dtmf("2500", NOW) is None
    assert DOCTOR.dtmf("2", NOW) == "Dr Brown"
    assert DOCTOR.dtmf("4", NOW) is None
    assert PATIENT.dtmf("25", NOW) == "José Álvarez"
    assert PATIENT.dtmf("76", NOW) is None  # two are called Smith
    assert YesNo("sure").dtmf("1", NOW) is True
    assert Number("n").dtmf("42", NOW) == 42
    assert Digits("pin", length=4).dtmf("4711", NOW) == "4711"


def test_a_value_that_cannot_be_taken_has_a_reason() -> None:
    assert OPEN_DAY.valid(date(2026, 11, 29), NOW) == "We are closed on Sundays."
    assert OPEN_DAY.valid(date(2026, 11, 24), NOW) == "That is too soon."
    assert OPEN_DAY.valid(date(2026, 11, 20), NOW) == "That day is in the past."
    assert OPEN_DAY.valid(date(2027, 11, 22), NOW) == "That is too far ahead."
    assert BORN.valid(date(2026, 12, 22), NOW) == "That day is in the future."
    assert OFFICE.valid(time(8), NOW) == "We take times from nine to five."
    assert OFFICE.valid(time(9, 15), NOW) == "We take only times in steps of thirty minutes."
    assert Number("n", low=1, high=6).valid(7, NOW) == "It must be a number from one to six."
    assert Digits("pin", length=4).valid("471", NOW) == "It has four digits."
    assert PATIENT.valid("Eve", NOW) == "I do not know that name."
    assert DOCTOR.valid("Dr Who", NOW) == "Dr Who is not to be had."
    full = Time("t", check=lambda value, context: "That is taken." if value == time(10) else None)
    assert full.valid(time(10), NOW) == "That is taken."
    assert full.valid(time(11), NOW) is None


def test_of_several_meanings_the_first_that_can_be_taken_is_meant() -> None:
    (found, *_) = OFFICE.spot(tokens("three"), NOW)
    assert found.values == (time(15), time(3))
    assert OFFICE.choose(found.values, NOW, rejected=[time(15)]) == time(3)
    night = Time("night", earliest=time(20), latest=time(23, 30))
    assert night.parse("ten", NOW) == time(22)
    assert night.say(time(22)) == "ten"
    assert night.say(time(10)) == "ten a.m."


def test_words_that_contradict_themselves_are_less_sure() -> None:
    (found,) = [f for f in DAY.spot(tokens("monday the third of december"), NOW) if f.end - f.start == 5]
    assert found.values[0] == date(2026, 12, 3)
    assert found.sure < 0.5


def test_of_two_who_could_be_meant_nobody_is() -> None:
    assert PATIENT.parse("Smith", NOW) is None
    assert PATIENT.parse("this is Anna", NOW) == "Anna Smith"
    assert PATIENT.parse("My name is Jose Alvarez", NOW) == "José Álvarez"


def test_a_day_that_a_month_does_not_have_cannot_be_said() -> None:
    rules = OPEN_DAY.grammar(NOW)
    assert "<month30> = january | november | december;" in rules.splitlines()
    assert "thirtieth [ of ] <month30>" in rules
    assert "february" not in rules  # too far ahead, and without a thirtieth in any case
    assert OPEN_DAY.parse("the thirtieth of February", NOW) is None
    assert "june" not in rules  # too far ahead


def test_words_are_brought_to_one_form() -> None:
    assert tokens("Dr. Brown’s at 3:30 p.m., O'Clock!") == [
        *("doctor", "brown's", "at", "3", ":", "30", "p", "m", "o'clock"),
    ]
    assert tokens("I am here at ten am") == ["i", "am", "here", "at", "ten", "a", "m"]
    assert tokens("twenty-first") == ["twenty", "first"]
    assert ORDINALS[21] == "twenty first"
    assert [spell_year(year) for year in (1900, 1905, 1984, 2000, 2006, 2026)] == [
        "nineteen hundred",
        "nineteen oh five",
        "nineteen eighty four",
        "two thousand",
        "two thousand six",
        "twenty twenty six",
    ]
    assert spell(-121_012) == "minus one hundred twenty one thousand twelve"
    assert spoken_list(["one", "two", "three"]) == "one, two or three"
