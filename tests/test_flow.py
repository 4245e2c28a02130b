"""The declared dialog: asking, confirming, correcting, helping, keys, tools, people, ends; and what is refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Literal

import pytest

from voiceframe.app import Bot
from voiceframe.call import Call
from voiceframe.errors import FlowError
from voiceframe.events import HandoffRequested
from voiceframe.flow import (
    AnyState,
    Choice,
    Date,
    Digits,
    Do,
    End,
    Flow,
    FlowSettings,
    Handoff,
    Intent,
    Name,
    Number,
    Slot,
    State,
    Time,
    YesNo,
)
from voiceframe.frames import Alternative, ExpectFrame, ReplyStartedFrame, TextFrame, UserIdleFrame, UserTurnFrame
from voiceframe.pipeline import Pipeline
from voiceframe.testing import Caller, dial
from voiceframe.testing.run import Rig, rig
from voiceframe.tools import ToolContext, tool

DOCTOR = Choice("doctor", "Which doctor?", ["Dr Brown", "Dr Lee"])
DAY = Date("day", "Which day?", earliest_days=1, latest_days=60, closed=("Sunday",))
AT = Time("at", "What time?", earliest=time(9), latest=time(16, 30), step_minutes=30, label="time")
BYE = End("bye", "{doctor} on {day} at {at}. Goodbye!", outcome="booked")
FORM = State("form", "Hello.", slots=[DOCTOR, DAY, AT], confirm="{doctor} on {day} at {at}, right?", to="bye")
#: Virtual time begins on Thursday, the first of January 2026.


def form(**options: Any) -> Flow:
    return Flow([FORM, BYE], **{"start": "form", "person": "desk", **options})


def bot_with(make: Callable[[], Flow]) -> Bot:
    return lambda call: Pipeline([call.transport.input(), make(), call.transport.output()])


def calling(make: Callable[[], Flow] = form) -> AbstractAsyncContextManager[Caller]:
    return dial(bot_with(make))


async def say(caller: Caller, *texts: str) -> str:
    """Say these one after the other; what was heard after the last."""
    heard = ""
    for text in texts:
        await caller.says(text)
        await caller.waits(50)
        heard = await caller.listens()
    return " ".join(heard.split())


# -- collecting and confirming


async def test_slots_are_asked_for_one_after_the_other_and_confirmed() -> None:
    async with calling() as caller:
        assert await caller.listens() == "Hello. Which doctor?"
        assert await say(caller, "Doctor Lee") == "Dr Lee. Which day?"
        assert await say(caller, "on Monday") == "Monday the fifth of January. What time?"
        assert await say(caller, "ten") == "Dr Lee on Monday the fifth of January at ten, right?"
        await say(caller, "yes")
        assert await caller.hears_the_end() == "completed"
    assert caller.call.data["outcome"] == "booked"
    assert caller.call.data["slots"] == {"doctor": "Dr Lee", "day": date(2026, 1, 5), "at": time(10)}
    filled = [(e.data["slot"], (e.personal or {})["value"]) for e in caller.record.of("flow.filled")]
    assert filled == [("doctor", "Dr Lee"), ("day", "2026-01-05"), ("at", "10:00:00")]
    assert set(caller.record.outcomes.values()) == {"answered"}


async def test_what_was_said_already_is_not_asked_for() -> None:
    async with calling() as caller:
        heard = await say(caller, "Tuesday at three with Dr. Brown please")
        assert heard == "Dr Brown on Tuesday the sixth of January at three, right?"


async def test_a_confirmation_takes_corrections_in_every_form() -> None:
    async with calling() as caller:
        await say(caller, "Dr Lee on Monday at ten")
        assert "Tuesday" in await say(caller, "no, Tuesday")
        assert "at eleven" in await say(caller, "no, at eleven")
        assert "Dr Brown on Wednesday" in await say(caller, "Wednesday with Dr Brown")
        assert "What should I change: the doctor, the day or the time?" in await say(caller, "no")
        assert await say(caller, "the time") == "All right. What time?"
        assert "at two" in await say(caller, "two")
        assert await say(caller, "change the day") == "All right. Which day?"
        assert "Thursday the eighth" in await say(caller, "Thursday")
        assert "Goodbye" in await say(caller, "yes, Thursday")
    assert [e.data["slot"] for e in caller.record.of("flow.filled") if e.data["corrected"]] == [
        *("day", "at", "day", "doctor", "at", "day"),
    ]


async def test_what_was_said_back_can_be_corrected_in_the_next_answer() -> None:
    async with calling() as caller:
        await say(caller, "Dr Lee", "Monday")
        assert await say(caller, "no, Tuesday") == "Tuesday the sixth of January. What time?"
        assert await say(caller, "no") == "All right. Which day?"


async def test_a_value_that_cannot_be_taken_is_explained_and_asked_for_again() -> None:
    async with calling() as caller:
        await say(caller, "Dr Lee")
        assert await say(caller, "Sunday") == "We are closed on Sundays. Which day?"
        assert await say(caller, "Monday", "at eight p.m.") == "We take times from nine to four thirty. What time?"
    assert [e.data["reason"] for e in caller.record.of("flow.reprompted")] == ["invalid", "invalid"]


@pytest.mark.parametrize(
    ("first", "again", "heard"),
    [
        # Of "the sixth of January" only that of the next year is left, and of "three" only that at night.
        ("the sixth of January", "no, the sixth of January", "Tuesday the sixth of January again"),
        ("Tuesday at three", "no, at three", "three again"),
    ],
)
async def test_what_is_heard_again_after_a_no_is_not_called_impossible(first: str, again: str, heard: str) -> None:
    async with calling() as caller:
        await say(caller, "Dr Lee", first)
        answer = await say(caller, again)
        assert answer.startswith(f"I heard {heard}, but you said that is wrong. ")
        assert answer.endswith("?")
        filled = len(caller.record.of("flow.filled"))
        await say(caller, again.removeprefix("no, "))
        assert len(caller.record.of("flow.filled")) == filled  # it is not taken the second time either


async def test_what_could_never_be_taken_has_its_own_reason_after_a_no() -> None:
    async with calling() as caller:
        await say(caller, "Dr Lee", "Monday")
        assert (await say(caller, "no, Sunday")).startswith("We are closed on Sundays.")
        await say(caller, "Monday")
        assert (await say(caller, "no, the first of May")).startswith("That is too far ahead.")


async def test_a_value_may_depend_on_another() -> None:
    def check(value: time, context: Any) -> str | None:
        monday = context.values.get("day", date(2026, 1, 6)).weekday() == 0
        return "On Mondays we open at noon." if monday and value < time(12) else None

    at = Time("at", "What time?", step_minutes=30, check=check)
    states: list[AnyState] = [
        State("form", slots=[DAY, at], confirm="{day} at {at}?", to="bye"),
        End("bye", "Goodbye."),
    ]
    async with calling(lambda: Flow(states, start="form", person="desk")) as caller:
        await say(caller, "Tuesday at ten a.m.")
        heard = await say(caller, "no, Monday")
        assert heard == "On Mondays we open at noon. Monday the fifth of January. What time?"


async def test_going_back_and_starting_over() -> None:
    async with calling() as caller:
        await say(caller, "Dr Lee", "Monday")
        assert await say(caller, "go back") == "Which day?"
        assert await say(caller, "go back") == "Which doctor?"
        assert await say(caller, "Dr Brown on Friday", "repeat") == "What time?"
        assert await say(caller, "start over") == "Hello. Which doctor?"
        assert caller.call.data["slots"] == {}
        assert await say(caller, "goodbye") == "Goodbye."
    assert caller.call.data["outcome"] == "cancelled"


# -- a menu


def menu() -> Flow:
    return Flow(
        [
            State(
                "menu",
                "Appointments or hours?",
                intents=[
                    Intent("book", "an appointment", to="form", key="1", takes=[DOCTOR, DAY]),
                    Intent("hours", "opening hours", to="hours", key="2"),
                ],
            ),
            State("hours", "Nine to five.", to="menu"),
            FORM,
            BYE,
        ],
        start="menu",
        person="desk",
    )


async def test_a_menu_goes_where_the_caller_wants_and_takes_what_else_was_said() -> None:
    async with calling(menu) as caller:
        assert await say(caller, "the opening hours please") == "Nine to five. Appointments or hours?"
        assert await say(caller, "I'd like an appointment with Dr Lee on Friday") == (
            "Dr Lee, Friday the second of January. Hello. What time?"
        )
        assert await say(caller, "go back", "go back", "go back", "go back") == "Appointments or hours?"


# -- not understood


async def test_help_grows_and_then_a_person_takes_over() -> None:
    async with calling() as caller:
        assert await say(caller, "gargle") == "Sorry, I did not get that. Which doctor?"
        assert await say(caller, "gargle") == (
            "Sorry, I still did not get that. Which doctor? You can say Dr Brown or Dr Lee. Or press one for Dr Brown "
            "or two for Dr Lee. For a person, say operator, or press zero."
        )
        await say(caller, "gargle")
        assert await caller.hears_the_end() == "handed-over"
    (handoff,) = caller.record.of("handoff.requested")
    assert handoff.data == {"target": "desk", "reason": "no-match", "target_kind": "person", "source": ""}
    assert caller.call.data["outcome"] == "handed-over"
    assert [e.data["count"] for e in caller.record.of("flow.reprompted")] == [1, 2, 3]


async def test_failures_count_in_a_row_and_in_the_whole_call() -> None:
    async with calling(lambda: form(settings=FlowSettings(most_failures=4))) as caller:
        await say(caller, "gargle", "gargle", "Dr Lee", "gargle", "Monday", "ten", "gargle")
        assert await caller.hears_the_end() == "handed-over"


async def test_help_tells_what_can_be_said_and_fails_nothing() -> None:
    async with calling() as caller:
        for _ in range(5):
            assert (await say(caller, "help")).startswith("You can say Dr Brown or Dr Lee.")
        await say(caller, "Dr Lee on Monday at ten")
        assert "press one for yes" in await say(caller, "help")


async def test_a_caller_may_ask_for_a_person_at_any_time() -> None:
    async with calling() as caller:
        await say(caller, "Dr Lee")
        assert "put you through" in await say(caller, "can I speak to a person please")
        await caller.hears_the_end()
    (handoff,) = caller.record.of("handoff.requested")
    assert (handoff.personal or {})["summary"] == "doctor: Dr Lee"


async def test_a_transfer_takes_the_place_of_the_end() -> None:
    seen: list[HandoffRequested] = []

    async def transfer(call: Call, request: HandoffRequested) -> None:
        seen.append(request)
        await asyncio.sleep(5)
        call.end("transferred")

    async with calling(lambda: form(transfer=transfer)) as caller:
        await say(caller, "operator")
        assert await caller.hears_the_end() == "transferred"
    assert [request.target for request in seen] == ["desk"]


async def test_without_a_person_the_flow_gives_up_politely() -> None:
    def make() -> Flow:
        return Flow([FORM, BYE, End("sorry", "Goodbye.", outcome="failed")], start="form", give_up="sorry")

    async with calling(make) as caller:
        await say(caller, "gargle", "gargle")
        assert await say(caller, "operator") == "I am sorry that I could not help you. Goodbye."
        await caller.hears_the_end()
    assert caller.call.data["outcome"] == "failed"


async def test_own_reprompts_take_the_place_of_the_usual_ones() -> None:
    state = State("ask", "Sure?", slots=[YesNo("sure")], to="bye", reprompts=["Yes or no?", "Well?"])
    async with calling(lambda: Flow([state, End("bye", "So {sure}.")], start="ask", person="x")) as caller:
        assert await say(caller, "gargle") == "Yes or no?"
        assert await say(caller, "gargle") == "Well?"
        assert await say(caller, "no") == "So no."


# -- what the recognizer was not sure of


def turn(number: int, text: str, confidence: float = 1.0, *others: tuple[str, float]) -> UserTurnFrame:
    alternatives = tuple(Alternative(other, sure) for other, sure in others)
    return UserTurnFrame(number, text, "speech", confidence, alternatives)


def said(running: Rig) -> str:
    texts = [frame.text for frame in running.result.down if isinstance(frame, TextFrame)]
    return texts[-1]


async def test_what_was_hardly_heard_is_confirmed_by_a_question_of_its_own() -> None:
    async with rig(form()) as running:
        running.push(turn(1, "doctor lee", 0.4))
        assert said(running) == "Dr Lee. Is that right?"
        running.push(turn(2, "yes"))
        assert said(running) == "Which day?"
        running.push(turn(3, "monday", 0.1))
        assert said(running) == "Sorry, I did not get that. Which day?"
        running.push(turn(4, "monday", 0.5))
        running.push(turn(5, "no tuesday"))
        assert said(running) == "Tuesday the sixth of January. What time?"


async def test_a_caller_who_is_only_heard_to_ask_for_help_gets_a_person() -> None:
    async with rig(form()) as running:
        for number in range(1, 10):
            running.push(turn(number, "help"))
            assert "Which doctor?" in said(running)
        running.push(turn(10, "help"))
        assert "put you through" in said(running)


async def test_a_goodbye_that_was_hardly_heard_ends_nothing() -> None:
    async with rig(form()) as running:
        running.push(turn(1, "goodbye", 0.5))
        assert said(running) == "Sorry, I did not get that. Which doctor?"
        running.push(turn(2, "goodbye", 0.5, ("doctor lee", 0.4)))
        assert said(running) == "Dr Lee. Is that right?"
        running.push(turn(3, "goodbye", 0.7))
        assert said(running) == "Goodbye."


async def test_a_no_tries_what_else_was_heard() -> None:
    async with rig(form()) as running:
        running.push(turn(1, "doctor lee"), turn(2, "monday", 0.4, ("sunday", 0.35), ("friday", 0.3)))
        assert said(running) == "Monday the fifth of January. Is that right?"
        running.push(turn(3, "no"))
        assert said(running) == "Friday the second of January, perhaps?"  # they are closed on Sundays
        running.push(turn(4, "no"))
        assert said(running) == "All right. Which day?"
        running.push(turn(5, "monday", 0.9, ("tuesday", 0.8)))
        assert said(running) == "Tuesday the sixth of January. What time?"  # Monday was wrong before


async def test_a_no_at_the_end_asks_about_what_was_least_sure() -> None:
    async with rig(form()) as running:
        running.push(turn(1, "doctor lee"), turn(2, "monday", 0.7, ("tuesday", 0.6)), turn(3, "ten"))
        running.push(turn(4, "no"))
        assert said(running) == "Tuesday the sixth of January, perhaps?"
        running.push(turn(5, "yes"))
        assert said(running) == "Dr Lee on Tuesday the sixth of January at ten, right?"


async def test_what_fits_is_taken_from_what_else_was_heard() -> None:
    async with rig(form()) as running:
        running.push(turn(1, "dock her lee at", 0.5, ("doctor lee", 0.45)))
        running.push(turn(2, "yes"))
        assert said(running) == "Which day?"


async def test_speech_that_was_not_recognized_is_asked_for_again() -> None:
    async with rig(form()) as running:
        running.push(turn(1, ""))
        assert said(running) == "Sorry, I did not get that. Which doctor?"


async def test_silence_is_answered() -> None:
    async with rig(form()) as running:
        running.push(UserIdleFrame(1))
        assert said(running) == "I did not hear anything. Which doctor?"
        running.push(UserIdleFrame(2), UserIdleFrame(3))
        assert "put you through" in said(running)
        started = [frame for frame in running.result.down if isinstance(frame, ReplyStartedFrame)]
        assert not started[-1].interruptible
        idle = [frame for frame in running.result.down if isinstance(frame, UserIdleFrame)]
        assert len(idle) == 3


async def test_the_recognizer_is_told_what_can_be_said() -> None:
    async with rig(form()) as running:
        running.push(turn(1, "doctor lee"), turn(2, "gargle"), turn(3, "monday"), turn(4, "ten"))
        told = [frame for frame in running.result.up if isinstance(frame, ExpectFrame)]
    assert [frame.digits for frame in told] == [1, 4, 4, 1]
    assert "doctor brown" in told[0].jsgf
    assert "brown" in told[1].jsgf  # what was said back can be corrected
    assert "brown" not in told[2].jsgf
    assert "<yes>" in told[3].jsgf
    assert "doctor brown" in told[3].phrases


# -- keys


async def test_keys_are_the_other_way() -> None:
    async with calling() as caller:
        await caller.listens()
        for keys, heard in (
            ("2", "Dr Lee. Which day?"),
            ("0501", "Monday the fifth of January. What time?"),
            ("1030", "Dr Lee on Monday the fifth of January at ten thirty, right?"),
            ("2", "What should I change: the doctor, the day or the time?"),
            ("3", "All right. What time?"),
            ("900#", "Dr Lee on Monday the fifth of January at nine, right?"),
            ("*", "Dr Lee on Monday the fifth of January at nine, right?"),
            ("7", "Sorry, I did not get that. Please say yes or no. Dr Lee on Monday"),
            ("1", "Dr Lee on Monday the fifth of January at nine. Goodbye!"),
        ):
            before = len(caller.record.heard)
            await caller.presses(keys)
            await caller.waits(100)
            await caller.listens()
            assert caller.record.heard[before:][0].startswith(heard), keys
        await caller.hears_the_end()
    assert set(caller.record.outcomes.values()) == {"answered"}
    assert [e.data["source"] for e in caller.record.of("turn.committed")] == ["dtmf"] * 9


async def test_keys_interrupt_and_a_pause_ends_them() -> None:
    age = Number("age", "How old are you? Please tell me in years, and take all the time that you need.", high=120)
    states: list[AnyState] = [State("age", slots=[age], to="bye"), End("bye", "So {age}.")]
    async with calling(lambda: Flow(states, start="age", person="desk")) as caller:
        await caller.waits(500)
        await caller.presses("4")
        await caller.waits(1_000)
        await caller.presses("2")
        await caller.hears("so forty two", within_ms=5_000)
    assert caller.record.of("reply.heard")[0].data["complete"] is False
    assert caller.record.turns == ["42"]


async def test_zero_is_a_person_unless_it_is_an_answer() -> None:
    pin = Digits("pin", "Your number?", length=4)
    states: list[AnyState] = [State("pin", slots=[pin], to="bye"), End("bye", "So {pin}.")]
    async with calling(lambda: Flow(states, start="pin", person="desk")) as caller:
        await caller.listens()
        await caller.presses("0")
        await caller.hears("put you through")
    async with calling(lambda: Flow(states, start="pin", person="desk")) as caller:
        await caller.listens()
        await caller.presses("0471")
        await caller.hears("so zero four seven one")


# -- barge-in


async def test_a_prompt_is_interrupted_and_the_answer_counts() -> None:
    async with calling() as caller:
        await caller.interrupts("Dr Lee", after_ms=200)
        assert "Which day?" in await say(caller, "repeat")
    assert caller.record.of("reply.heard")[0].data["complete"] is False


async def test_a_goodbye_that_is_interrupted_is_said_again() -> None:
    async with calling() as caller:
        await say(caller, "Dr Lee on Monday at ten")
        await caller.says("yes")
        await caller.interrupts("thank you", after_ms=300)
        await caller.hears("goodbye")
        assert await caller.hears_the_end() == "completed"


# -- tools


@dataclass(frozen=True)
class Booked:
    number: int


@dataclass(frozen=True)
class Taken:
    free: str


class Desk:
    """A tool that does as it is told, and remembers what it has done."""

    def __init__(self, *, takes_ms: int = 0, side_effects: bool = True) -> None:
        self.done: list[str] = []
        self.begun = 0

        @tool(timeout_ms=20_000, side_effects=side_effects)
        async def book(ctx: ToolContext, doctor: str, day: date, at: time) -> Booked | Taken:
            self.begun += 1
            await asyncio.sleep(takes_ms / 1000)
            if at == time(16):
                raise RuntimeError("out of order")
            self.done.append(f"{ctx.call_id} {doctor} {day} {at:%H:%M}")
            return Taken("eleven or noon") if at == time(10) else Booked(7)

        self.book = book

    def flow(self) -> Flow:
        form = State("form", slots=[DOCTOR, DAY, AT], to="book")
        return Flow(
            [
                form,
                Do("book", self.book, exits={Booked: "bye", Taken: "taken"}, failed="broken"),
                State("taken", "At {at} it is taken, {book.free} is free.", slots=[AT], clear=["at"], to="book"),
                Handoff("broken", "Our calendar is down.", target="desk", reason="tool-failed"),
                End("bye", "Number {book.number}. Goodbye!", outcome="booked"),
            ],
            start="form",
            person="desk",
        )


async def test_the_result_of_a_tool_chooses_the_way() -> None:
    desk = Desk()
    async with calling(desk.flow) as caller:
        heard = await say(caller, "Dr Lee on Monday at ten")
        assert (
            heard == "Dr Lee, Monday the fifth of January, ten. At ten it is taken, eleven or noon is free. What time?"
        )
        assert await say(caller, "eleven") == "Eleven. Number seven. Goodbye!"
        await caller.hears_the_end()
    assert desk.done == ["Flow-1 Dr Lee 2026-01-05 10:00", "Flow-2 Dr Lee 2026-01-05 11:00"]
    caller.record.tool_called("book", doctor="Dr Lee", day="2026-01-05", at="11:00:00")
    returned = caller.record.of("tool.returned")
    assert [(e.personal or {})["result"] for e in returned] == [{"free": "eleven or noon"}, {"number": 7}]


async def test_a_tool_that_fails_has_an_exit_of_its_own() -> None:
    async with calling(Desk().flow) as caller:
        assert "Our calendar is down." in await say(caller, "Dr Lee on Monday at four")
        assert await caller.hears_the_end() == "handed-over"
    assert caller.record.of("handoff.requested")[0].data["reason"] == "tool-failed"
    assert caller.record.of("tool.returned")[0].data["failed"] is True


async def test_a_tool_that_takes_a_while_is_not_waited_for_in_silence() -> None:
    desk = Desk(takes_ms=9_000)
    async with calling(desk.flow) as caller:
        await caller.says("Dr Lee on Monday at two")
        await caller.hears("moment", within_ms=5_000)
        await caller.waits(1_000)
        await caller.says("hello?")
        await caller.hears("moment")
        await caller.hears("number seven", within_ms=9_000)
        await caller.hears_the_end()
    assert desk.begun == 1
    assert set(caller.record.outcomes.values()) == {"answered"}


@pytest.mark.parametrize(("side_effects", "done"), [(True, 1), (False, 0)])
async def test_a_tool_with_side_effects_finishes_whatever_the_caller_does(side_effects: bool, done: int) -> None:
    for leave in ("hangup", "operator"):
        desk = Desk(takes_ms=3_000, side_effects=side_effects)
        async with calling(desk.flow) as caller:
            await caller.says("Dr Lee on Monday at two")
            await caller.waits(1_000)
            if leave == "hangup":
                await caller.hangs_up()
            else:
                caller.interrupts_now("operator")
                await caller.hears("put you through")
                await caller.hears_the_end()
        assert (desk.begun, len(desk.done)) == (1, done)
        assert len(caller.record.of("tool.called")) == 1


# -- whatever is heard


@pytest.mark.parametrize("make", [form, menu, lambda: Desk().flow()], ids=["form", "menu", "desk"])
async def test_whatever_is_heard_is_answered_and_breaks_nothing(make: Callable[[], Flow]) -> None:
    for seed in range(25):
        rng = random.Random(seed)
        flow = make()
        async with rig(flow) as running:
            for number in range(1, 40):
                expected = flow.dialog.expectation
                assert expected is not None
                replies = sum(isinstance(frame, ReplyStartedFrame) for frame in running.result.down)
                texts = [rng.choice((expected.sample(rng), "gargle", "")) for _ in range(rng.randint(1, 3))]
                others = tuple(Alternative(text, rng.random()) for text in texts[1:])
                keys = "".join(rng.choices("0123456789*#", k=rng.choice((0, 1, 1, 4))))
                running.push(
                    rng.choice(
                        (
                            UserTurnFrame(number, texts[0], "speech", rng.random(), others),
                            UserTurnFrame(number, texts[0], "speech", 0.95, others),
                            UserTurnFrame(number, keys, "dtmf"),
                            UserIdleFrame(1),
                        )
                    )
                )
                await asyncio.sleep(0.01)
                if flow.dialog.focus == "over":
                    break
                assert sum(isinstance(frame, ReplyStartedFrame) for frame in running.result.down) > replies, seed
            assert running.events("processor.failed") == []
            assert flow.dialog.focus == "over", seed


# -- the same again


async def test_the_same_call_has_the_same_events_to_the_byte() -> None:
    lines = []
    for _ in range(2):
        async with calling(Desk(takes_ms=200).flow) as caller:
            await say(caller, "Dr Lee", "help", "Monday at two")
        lines.append(caller.record.lines())
    assert lines[0] == lines[1]


async def test_variables_and_known_values() -> None:
    def make() -> Flow:
        ask = State("ask", "Hello {who}, {day}, right?", slots=[DAY, YesNo("sure", "Sure?")], to="bye")
        end = End("bye", "Goodbye {who}.")
        return Flow(
            [ask, end],
            start="ask",
            person="desk",
            zone="Europe/London",
            variables={"who": lambda call: call.metadata.get("who", "you")},
            values={"day": date(2026, 1, 5)},
        )

    async with calling(make) as caller:
        assert await caller.listens() == "Hello you, Monday the fifth of January, right? Sure?"
        assert await say(caller, "sure") == "Goodbye you."


# -- what is refused


@tool()
async def note(day: date, count: int, why: str = "") -> Literal["ok", "late"]:
    return "ok"


def problems(states: Iterable[AnyState], **options: Any) -> dict[str, str]:
    """The codes of what is wrong with a flow, each with its message."""
    with pytest.raises(FlowError, match=r"flow\.invalid") as caught:
        Flow(states, **{"start": "a", "person": "desk", **options})
    return {problem.code: str(problem) for problem in caught.value.problems}


END = End("end", "Goodbye.")
SURE = YesNo("sure", "Sure?")


def asking(*slots: Slot[Any], **options: Any) -> State:
    return State("a", "Hello.", slots=slots or [SURE], **{"to": "end", **options})


def menu_of(*intents: Intent) -> State:
    return State("a", "Hello.", intents=intents)


@pytest.mark.parametrize(
    ("states", "code", "words"),
    [
        ([asking(to="ende"), END], "flow.unknown-state", "`end`"),
        ([asking(), END, End("lost", "?")], "flow.unreachable", "'lost'"),
        ([asking(to=None), END], "flow.dead-end", "'a'"),
        ([asking(to="b"), State("b", "?", slots=[SURE], to="a")], "flow.dead-end", "'b'"),
        ([State("a", "x", to="b"), State("b", "y", to="a"), END], "flow.loop", "'a'"),
        ([asking(), END, End("end", "Bye")], "flow.duplicate", "'end'"),
        ([asking(SURE, YesNo("sure", "?")), END], "flow.duplicate", "'sure'"),
        ([asking(confirm="So {sore}?"), END], "flow.variable", "`sure`"),
        ([State("a", "You said {sure}.", slots=[SURE], to="end"), END], "flow.variable", "the prompt"),
        ([asking(confirm="So {sure!r}?"), END], "flow.template", "So"),
        ([asking(confirm="So {sure.__class__}?"), END], "flow.template", "So"),
        ([asking(confirm="So {0}?"), END], "flow.template", "So"),
        ([asking(confirm="So {"), END], "flow.template", "So"),
        ([asking(YesNo("sure"), YesNo("really", "Really?")), END], "flow.no-prompt", "'sure'"),
        ([State("a", intents=[Intent("x", "yes", to="end")]), END], "flow.no-prompt", "'a'"),
        ([menu_of(Intent("x", to="end")), END], "flow.no-phrases", "'x'"),
        ([menu_of(Intent("x", "room 2", to="end")), END], "flow.value", "numerals"),
        ([menu_of(Intent("x", "a", to="end"), Intent("y", "A!", to="end")), END], "flow.phrase-twice", "'a'"),
        ([menu_of(Intent("x", "help", to="end")), END], "flow.phrase-twice", "command help"),
        (
            [menu_of(Intent("x", "x", to="end", key="1"), Intent("y", "y", to="end", key="1")), END],
            "flow.key-twice",
            "1",
        ),
        ([asking(DOCTOR, intents=[Intent("x", "x", to="end", key="1")]), END], "flow.key-twice", "doctor"),
        ([menu_of(Intent("x", "x", to="end", key="0")), END], "flow.key", "'0'"),
        ([asking(clear=["other"]), END], "flow.value", "clear="),
        ([asking(YesNo("not a name", "?")), END], "flow.value", "one word"),
        ([asking(DAY, to="n"), Do("n", note, to="end", failed="end"), END], "flow.tool-parameter", "'count'"),
        (
            [asking(DAY, YesNo("count", "?"), to="n"), Do("n", note, to="end", failed="end"), END],
            "flow.tool-type",
            "as int",
        ),
        (
            [asking(DAY, to="n"), Do("n", note, exits={"ok": "end"}, failed="end", arguments={"count": 1}), END],
            "flow.exit-missing",
            "'late'",
        ),
        (
            [asking(DAY, to="n"), Do("n", note, to="end", failed="end", arguments={"count": 1, "x": 1}), END],
            "flow.value",
            "'x'",
        ),
        (
            [asking(to="n"), Do("n", note, to="end", failed="end", arguments={"count": 1}), END],
            "flow.tool-parameter",
            "'day'",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(states: list[AnyState], code: str, words: str) -> None:
    found = problems(states)
    assert code in found
    assert words in found[code]
    assert "tests/test_flow.py:" in found[code]


def test_all_problems_are_told_at_once() -> None:
    found = problems([asking(to="nowhere", confirm="{what}?"), End("lost", "?")], person=None)
    assert set(found) == {"flow.unknown-state", "flow.unreachable", "flow.dead-end", "flow.variable", "flow.no-person"}


def test_a_value_must_be_known_on_every_way() -> None:
    states: list[AnyState] = [
        State("a", "Hello.", intents=[Intent("x", "x", to="end"), Intent("y", "y", to="b")]),
        State("b", slots=[SURE], to="end"),
        End("end", "So {sure}."),
    ]
    assert "flow.variable" in problems(states)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(FlowError, match=r"flow\.zone"):
        form(zone="Middle/Earth")


def test_the_place_is_the_line_of_the_declaration() -> None:
    slot = Name("who", options=["Anna Smith"])
    line = test_the_place_is_the_line_of_the_declaration.__code__.co_firstlineno + 1
    assert str(slot.place).endswith(f"test_flow.py:{line}")
