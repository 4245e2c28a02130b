"""Events keep what they were given, personal fields apart, in a closed vocabulary whose schema is published."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.errors import EventError
from voiceframe.events import (
    CallAnswered,
    CallStarted,
    Event,
    EventLog,
    LoggedEvent,
    Personal,
    ToolCalled,
    TurnCommitted,
    event,
    event_class,
    event_classes,
    json_schema,
)
from voiceframe.sinks import MemorySink

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


class _Clock:
    """Ten milliseconds pass between two looks."""

    def __init__(self) -> None:
        self.now = 0

    def at_ms(self) -> int:
        self.now += 10
        return self.now

    def wall_ms(self) -> int:
        return 1_767_225_600_000 + self.now


def _log(**options: Any) -> EventLog:
    return EventLog("call-1", clock=_Clock(), rng=random.Random(7), **options)


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return JSON
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([_values(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), _values(arguments[1]), max_size=3)
    return {
        str: st.text(st.characters(codec="utf-8"), max_size=10),
        int: st.integers(-(2**60), 2**60),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        type(None): st.none(),
    }[annotation]


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event of the vocabulary, with any values."""
    cls = draw(st.sampled_from(list(event_classes(custom=False))))
    return cls(**{field.name: draw(_values(field.type)) for field in cls.event_fields})


# -- round trips


@given(events())
def test_an_event_survives_the_way_to_json_and_back(event: Event) -> None:
    logged = _log().write(event)
    assert logged.event() == event
    again = LoggedEvent.from_json(logged.to_json())
    assert again == logged
    assert again.event() == event


@given(events())
def test_the_schema_describes_every_event_that_is_written(event: Event) -> None:
    VALIDATOR.validate(json.loads(_log().write(event).to_json()))


@given(events())
def test_an_event_whose_personal_fields_were_erased_is_still_one(event: Event) -> None:
    erased = dataclasses.replace(_log().write(event), personal=None)
    VALIDATOR.validate(json.loads(erased.to_json()))
    assert erased.event().split()[0] == event.split()[0]


VALIDATOR = jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "turn.vanished"},
        {"version": 2},
        {"data": {"turn": "one"}},
        {"personal": {"text": 3}},
        {"extra": 1},
        {"id": "x"},
    ],
)
def test_the_schema_refuses_what_is_no_event(wrong: dict[str, Any]) -> None:
    fields = _log().write(TurnCommitted(turn=1, source="speech", confidence=0.5, text="hello")).to_dict()
    VALIDATOR.validate(fields)
    assert not VALIDATOR.is_valid(fields | wrong)


def test_the_schema_marks_personal_fields() -> None:
    started = json_schema()["$defs"]["call.started.v1"]["properties"]
    assert started["personal"]["properties"]["from_"] == {"type": "string", "pii": True}
    assert "pii" not in started["data"]["properties"]["pipeline"]


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


# -- the log


def test_a_written_event_says_who_when_and_about_which_turn() -> None:
    log = _log(tenant="clinic", environment="production", trace="ab" * 16)
    logged = log.write(TurnCommitted(turn=3, source="speech", confidence=0.5, text="hello"))
    assert (logged.call, logged.writer, logged.seq, logged.turn) == ("call-1", "call", 0, 3)
    assert (logged.tenant, logged.environment, logged.trace) == ("clinic", "production", "ab" * 16)
    assert (logged.data, logged.personal) == ({"turn": 3, "source": "speech", "confidence": 0.5}, {"text": "hello"})


def test_the_time_and_the_turn_can_be_given() -> None:
    logged = _log().write(CallAnswered(), turn=2, at_ms=123)
    assert (logged.at_ms, logged.turn) == (123, 2)


def test_each_writer_counts_for_itself() -> None:
    log = _log()
    keys = [log.write(CallAnswered(), writer=writer) for writer in ("call", "operator", "call")]
    assert [(e.writer, e.seq) for e in keys] == [("call", 0), ("operator", 0), ("call", 1)]


def test_the_same_seed_and_clock_make_the_same_log_byte_for_byte() -> None:
    def run() -> list[str]:
        log = _log()
        return [log.write(CallAnswered()).to_json() for _ in range(3)]

    assert run() == run()


def test_two_runs_can_be_compared_without_their_wall_time() -> None:
    fields = json.loads(_log().write(CallAnswered()).to_json(wall=False))
    assert "wall_ms" not in fields
    assert "id" not in fields  # it holds the time


def test_what_the_log_draws_does_not_depend_on_how_much_is_written() -> None:
    rng = random.Random(7)
    log = EventLog("call-1", clock=_Clock(), rng=rng)
    before = rng.getstate()
    log.write(CallAnswered())
    assert rng.getstate() == before


def test_every_sink_and_every_listener_gets_every_event() -> None:
    first, second, heard = MemorySink(), MemorySink(), list[LoggedEvent]()
    log = _log(sinks=[first, second], on_event=[heard.append])
    logged = log.write(CallAnswered())
    assert first.events == second.events == heard == [logged]


def test_a_listener_that_raises_harms_neither_the_writer_nor_the_next_listener(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[LoggedEvent] = []

    def fail(_: LoggedEvent) -> None:
        raise RuntimeError("listener")

    log = _log(on_event=[fail, heard.append])
    log.write(CallAnswered())
    assert len(heard) == 1
    assert "call-1" in caplog.text


def test_in_private_the_facts_are_kept_and_the_words_are_not() -> None:
    log = _log()
    log.private += 1
    logged = log.write(TurnCommitted(turn=1, source="speech", confidence=0.5, text="my card is 4111"))
    log.private -= 1
    assert (logged.data["turn"], logged.personal) == (1, None)
    VALIDATOR.validate(logged.to_dict())
    assert log.write(TurnCommitted(turn=2, source="speech", confidence=0.5, text="thanks")).personal == {
        "text": "thanks"
    }


def test_a_subscription_ends() -> None:
    heard: list[LoggedEvent] = []
    log = _log()
    unsubscribe = log.subscribe(heard.append)
    log.write(CallAnswered())
    unsubscribe()
    log.write(CallAnswered())
    assert len(heard) == 1


def test_a_closed_log_has_flushed_its_sinks_and_let_go_of_its_listeners() -> None:
    sink, heard = MemorySink(), list[LoggedEvent]()
    log = _log(sinks=[sink], on_event=[heard.append])
    assert asyncio.run(log.aclose())
    log.write(CallAnswered())  # work after the end of the call still counts
    assert (len(sink), len(heard)) == (1, 0)


# -- values


def test_a_record_does_not_change_when_the_original_does() -> None:
    arguments = {"days": ["Monday"]}
    logged = _log().write(ToolCalled(call_id="1", name="book", arguments=arguments))
    arguments["days"].append("Tuesday")
    assert logged.personal == {"arguments": {"days": ["Monday"]}}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes", {1: "key"}, {"set"}])
def test_what_is_not_json_is_refused_and_named(value: Any) -> None:
    with pytest.raises(EventError, match=r"tool\.called\.arguments") as raised:
        _log().write(ToolCalled(call_id="1", name="book", arguments={"x": value}))
    assert raised.value.code == "event.value"


def test_half_a_surrogate_pair_becomes_a_question_mark_instead_of_a_failing_sink() -> None:
    logged = _log().write(TurnCommitted(turn=1, source="text", confidence=1.0, text="a\ud800b"))
    assert logged.personal == {"text": "a?b"}
    logged.to_json().encode()


def test_events_are_frozen() -> None:
    started = CallStarted(direction="inbound", from_="+1", to="+2", pipeline=("A",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        started.to = "+3"  # type: ignore[misc]


# -- the vocabulary


def test_applications_register_their_own_under_custom() -> None:
    @event("custom.triage", version=2)
    class Triage(Event):
        level: int
        symptom: Personal[str]

    logged = _log().write(Triage(level=3, symptom="cough"))
    assert (logged.kind, logged.version, logged.data, logged.personal) == (
        "custom.triage",
        2,
        {"level": 3},
        {"symptom": "cough"},
    )
    assert LoggedEvent.from_json(logged.to_json()).event() == Triage(level=3, symptom="cough")
    VALIDATOR.validate(logged.to_dict())


@pytest.mark.parametrize("name", ["turn.mine", "custom", "Custom.x", "custom.", "custom.a b"])
def test_every_other_name_is_refused(name: str) -> None:
    with pytest.raises(EventError) as raised:
        event(name, version=1)(type("Mine", (Event,), {}))
    assert raised.value.code == "event.name"


def test_two_classes_cannot_share_a_kind_and_a_version() -> None:
    @event("custom.twice", version=1)
    class First(Event):
        pass

    with pytest.raises(EventError) as raised:

        @event("custom.twice", version=1)
        class Second(Event):
            pass

    assert raised.value.code == "event.registered-twice"
    assert event_class("custom.twice") is First


def test_several_versions_stand_beside_each_other() -> None:
    @event("custom.grown", version=1)
    class Old(Event):
        pass

    @event("custom.grown", version=2)
    class New(Event):
        size: int

    assert event_class("custom.grown") is New
    assert event_class("custom.grown", 1) is Old


def test_a_field_that_is_not_json_is_refused_where_its_class_is_defined() -> None:
    with pytest.raises(EventError) as raised:

        @event("custom.bytes", version=1)
        class _(Event):
            data: bytes

    assert raised.value.code == "event.value"


def test_a_class_that_was_not_registered_cannot_be_written() -> None:
    class Unregistered(CallAnswered):
        pass

    for wrong in (Unregistered(), object()):
        with pytest.raises(EventError) as raised:
            _log().write(wrong)  # type: ignore[arg-type]
        assert raised.value.code == "event.unregistered"


@pytest.mark.parametrize("change", [{"kind": "turn.vanished"}, {"version": 99}])
def test_an_event_of_another_program_stays_readable_but_has_no_class(change: dict[str, Any]) -> None:
    logged = LoggedEvent.from_dict(_log().write(CallAnswered()).to_dict() | change)
    with pytest.raises(EventError) as raised:
        logged.event()
    assert raised.value.code == "event.unregistered"


@pytest.mark.parametrize("line", ["", "{", "[]", "3", "{}"])
def test_a_line_that_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(EventError) as raised:
        LoggedEvent.from_json(line)
    assert raised.value.code == "event.shape"


def test_fields_that_do_not_fit_the_kind_are_refused() -> None:
    logged = dataclasses.replace(_log().write(CallAnswered()), kind="call.ended")
    with pytest.raises(EventError) as raised:
        logged.event()
    assert raised.value.code == "event.shape"


def test_every_kind_says_what_it_means() -> None:
    assert all(cls.__doc__ and not cls.__doc__.startswith(cls.__name__) for cls in event_classes(custom=False))
