"""The nodes of a declared dialog that are more than a question, and the settings of each node."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, time, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.test_tts import HumTTS
from voiceframe.call import Call
from voiceframe.errors import FlowError
from voiceframe.flow import (
    AgentNode,
    AnyState,
    Branch,
    Choice,
    Context,
    Date,
    Digits,
    End,
    Flow,
    FlowSettings,
    Handoff,
    Intent,
    Number,
    State,
    Text,
    Voicemail,
    When,
    YesNo,
    finish,
)
from voiceframe.flow.hours import Hours
from voiceframe.frames import (
    ExpectFrame,
    ReplyStartedFrame,
    TextFrame,
    UpdateSettingsFrame,
    UserTurnFrame,
)
from voiceframe.llm import ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.processors import Agent, Squad, Turns
from voiceframe.processors.vad import EnergyVAD
from voiceframe.testing import Caller, ScriptedLLM, ScriptedSTT, dial
from voiceframe.testing.record import CallTranscript
from voiceframe.testing.run import Rig, rig
from voiceframe.tones import goertzel, level_dbfs, tone
from voiceframe.transports.text import TextTransport

END = End("end", "Goodbye.")
DESK = Handoff("desk", "To the desk.", target="desk")
TIER = Choice("tier", "Which tier?", ["gold", "silver"])
AMOUNT = Number("amount", "How much?", high=1_000)


def calling(make: Callable[[Call], Flow]) -> AbstractAsyncContextManager[Caller]:
    return dial(lambda call: Pipeline([call.transport.input(), make(call), call.transport.output()]))


def flow(*states: AnyState, **options: Any) -> Callable[[Call], Flow]:
    return lambda call: Flow(states, **{"start": states[0].name, "person": "desk", **options})


async def say(caller: Caller, *texts: str) -> str:
    """Say these one after the other; what was heard after the last."""
    heard = ""
    for text in texts:
        await caller.says(text)
        await caller.waits(50)
        heard = await caller.listens()
    return " ".join(heard.split())


def entered(caller: Caller) -> list[str]:
    return [event.data["state"] for event in caller.record.of("flow.entered")]


def said(running: Rig) -> list[str]:
    return [frame.text for frame in running.result.down if isinstance(frame, TextFrame)]


# -- branches


@pytest.mark.parametrize(
    ("amount", "tier", "way"),
    [("five", "gold", "gold"), ("five", "silver", "small"), ("two hundred", "silver", "large")],
)
async def test_a_branch_takes_the_first_case_that_holds(amount: str, tier: str, way: str) -> None:
    states: list[AnyState] = [
        State("form", slots=[AMOUNT, TIER], to="line"),
        Branch(
            "line",
            [When("tier", equals="gold", to="gold"), When("amount", at_least=100, at_most=500, to="large")],
            to="small",
        ),
        *(End(name, f"{name} it is.") for name in ("gold", "large", "small")),
    ]
    async with calling(flow(*states)) as caller:
        assert f"{way} it is." in await say(caller, amount, tier)
    assert entered(caller) == ["form", "line", way]


DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)  # noqa: UP017  # a Thursday


@pytest.mark.parametrize(
    ("case", "values", "holds"),
    [
        (When("x", equals=True, to=""), {"x": 1}, False),
        (When("x", equals=1, to=""), {"x": True}, False),
        (When("x", equals="2026-01-05", to=""), {"x": DAY.date()}, False),
        (When("x", equals="2026-01-01", to=""), {"x": DAY.date()}, True),
        (When("x", at_least="09:00", at_most="10:00", to=""), {"x": time(10)}, True),
        (When("x", at_most="10:00", to=""), {"x": time(10, 30)}, False),
        (When("x", at_least=3, to=""), {}, False),
        (When("x", at_least=3, to=""), {"x": "three"}, False),
        (When("x", at_least="no number", to=""), {"x": 3}, False),
        (When("x", equals="GOLD", to=""), {"x": "gold"}, True),
        (When("x", one_of=["a", "b"], to=""), {"x": "b"}, True),
        (When("x", one_of=["a", "b"], to=""), {"x": "c"}, False),
        (When("x", known=False, to=""), {}, True),
        (When("x", known=False, to=""), {"x": 0}, False),
        (When("x", known=True, to=""), {"x": 0}, True),
        (When("x", known=True, equals=1, to=""), {"x": 0}, False),
        (When(check=lambda context: context.values["x"] > 2, to=""), {"x": 3}, True),
        (When(hours="Thu 00:00-01:00", to=""), {}, True),
        (When("x", hours=["Fri 00:00-24:00"], equals=1, to=""), {"x": 1}, False),
    ],
)
def test_what_a_case_says(case: When, values: dict[str, Any], holds: bool) -> None:
    assert case.holds(Context(DAY, None, values)) is holds


@pytest.mark.parametrize(
    ("hours", "moment", "open"),
    [
        ("Mon-Fri 09:00-17:00", "2026-01-01 09:00", True),
        ("Mon-Fri 09:00-17:00", "2026-01-01 17:00", False),
        ("Mon-Fri 09:00-17:00", "2026-01-03 12:00", False),
        ("fri-mon 09:00-17:00", "2026-01-04 12:00", True),
        ("Fri 22:00-02:00", "2026-01-03 01:59", True),
        ("Fri 22:00-02:00", "2026-01-02 01:59", False),
        ("Sat 00:00-24:00", "2026-01-03 23:59", True),
    ],
)
def test_opening_hours(hours: str, moment: str, open: bool) -> None:
    assert Hours.parse(hours).contain(datetime.fromisoformat(moment)) is open


@pytest.mark.parametrize("text", ["", "Mon", "Mon 9-17", "Xyz 09:00-17:00", "Mon 25:00-26:00", "Mon-Fri 09:00"])
def test_what_are_no_hours(text: str) -> None:
    with pytest.raises(ValueError, match=r"hours|time of a day"):
        Hours.parse(text)


async def test_a_branch_knows_the_call() -> None:
    states: list[AnyState] = [
        Branch("who", [When("call.metadata.tier", equals="gold", to="gold")], to="other"),
        End("gold", 'Welcome back, {{ call.metadata.name | default("friend") }}.'),
        End("other", "Hello {{ call.from }}{call.metadata.name}."),
    ]
    async with rig(Flow(states, start="who", person="desk")) as running:
        assert said(running) == ["Hello ."]
    events = CallTranscript()
    call = Call(TextTransport(), metadata={"tier": "gold", "name": "{who}"}, sinks=[events])
    made = Flow(states, start="who", person="desk")
    await call.start(Pipeline([call.transport.input(), made, call.transport.output()]))
    call.answered()
    await asyncio.sleep(10)
    assert made.state == "gold"
    call.hang_up()
    await call.wait_ended()
    heard = "".join(str((event.personal or {}).get("text", "")) for event in events.of("reply.heard"))
    assert heard.strip() == "Welcome back, {who}."


# -- in the caller's own words


async def test_an_open_question_takes_whatever_is_said() -> None:
    wish = Text("wish", "How can I help?")
    states: list[AnyState] = [
        State("ask", slots=[wish, Date("day", "When?")], confirm="{wish}, on {day}. Right?", to="end"),
        END,
    ]
    async with calling(flow(*states)) as caller:
        heard = await say(caller, "The lamp in the hall does not help me, it went out on Monday!")
        assert heard == "When?"  # it is not said back
        assert "The lamp in the hall does not help me, it went out on Monday!, on Friday" in await say(caller, "Friday")
        assert await say(caller, "no", "the wish") == "All right. How can I help?"
        assert (await say(caller, "no")).startswith("no, on Friday")  # an answer like any other
    assert caller.call.data["slots"]["wish"] == "no"


async def test_a_command_among_other_words_is_no_command_in_an_open_question() -> None:
    states: list[AnyState] = [State("ask", "How can I help?", slots=[Text("wish")], to="end"), END]
    async with calling(flow(*states)) as caller:
        await say(caller, "help me with the bill")
        assert caller.call.data["slots"] == {"wish": "help me with the bill"}


async def test_an_open_question_is_no_trap() -> None:
    states: list[AnyState] = [State("ask", "How can I help?", slots=[Text("wish")], to="end"), END]
    async with calling(flow(*states)) as caller:
        assert "own words" in await say(caller, "help")
        assert await say(caller, "...") == "Sorry, I did not get that. How can I help?"
        assert "put you through" in await say(caller, "operator please")
    async with rig(Flow(states, start="ask", person="desk")) as running:
        told = [frame for frame in running.result.up if isinstance(frame, ExpectFrame)]
        assert told[-1].jsgf == ""
        assert "operator" in told[-1].phrases
        running.push(UserTurnFrame(1, "whatever", "speech", 0.3))  # words of one's own are not asked about
        assert said(running)[-1] == "Goodbye."


# -- the settings of a node


async def test_a_node_has_its_own_attempts_and_its_own_way_out() -> None:
    states: list[AnyState] = [
        State("ask", "Sure?", slots=[YesNo("sure")], to="end", attempts=1, give_up="easier"),
        State("easier", "Press one or two.", slots=[YesNo("sure2", "Well?")], to="end"),
        END,
    ]
    async with calling(flow(*states)) as caller:
        assert await say(caller, "gargle") == "Press one or two. Well?"
        assert "did not get that" in await say(caller, "gargle")
    assert entered(caller) == ["ask", "easier"]


async def test_failures_in_the_whole_call_end_at_the_person_whatever_a_node_says() -> None:
    states: list[AnyState] = [State("ask", "Sure?", slots=[YesNo("sure")], to="end", attempts=1, give_up="ask"), END]
    async with calling(flow(*states, settings=FlowSettings(most_failures=4))) as caller:
        await say(caller, *["gargle"] * 4)
        assert await caller.hears_the_end() == "handed-over"
    assert len(entered(caller)) == 4


async def test_silence_is_counted_from_the_end_of_the_prompt() -> None:
    states: list[AnyState] = [State("ask", "Sure?", slots=[YesNo("sure")], to="end", silence_ms=3_000), END]
    async with calling(flow(*states)) as caller:
        await caller.hears("sure", within_ms=3_000)
        await caller.listens()
        began = caller.record.of("flow.entered")[0].at_ms
        await caller.hears("did not hear anything", within_ms=6_000)
        reprompted = caller.record.of("flow.reprompted")[0]
        assert reprompted.data["reason"] == "no-input"
        assert 3_000 <= reprompted.at_ms - began <= 4_500
        await caller.hears("put you through", within_ms=30_000)
        await caller.hears_the_end()


async def test_an_answer_stops_the_count_of_silence() -> None:
    states: list[AnyState] = [
        State("ask", "Sure?", slots=[YesNo("sure")], to="next", silence_ms=2_000),
        State("next", "And now?", slots=[YesNo("now")], to="end"),
        END,
    ]
    async with calling(flow(*states)) as caller:
        await say(caller, "yes")
        await caller.waits(20_000)
        assert caller.record.of("flow.reprompted") == []


async def test_a_node_lasts_no_longer_than_its_limit() -> None:
    states: list[AnyState] = [
        State("ask", "Sure?", slots=[YesNo("sure")], to="end", limit_ms=10_000, limit_to="late"),
        End("late", "Too late.", outcome="late"),
        END,
    ]
    async with calling(flow(*states)) as caller:
        await say(caller, "help")
        assert await caller.hears_the_end() == "completed"
    (overran,) = caller.record.of("flow.overran")
    assert overran.data == {"state": "ask", "limit_ms": 10_000}
    assert overran.at_ms == pytest.approx(10_000, abs=100)
    assert caller.call.data["outcome"] == "late"


async def test_each_node_has_a_voice_a_language_and_may_be_uninterruptible() -> None:
    from voiceframe.processors.tts import TTS

    class Voice(TTS):
        voice = "own"
        language = "en"

        async def setup(self) -> None:
            """It needs nothing."""

        async def open(self, *_: object) -> Any:
            raise AssertionError

    states: list[AnyState] = [
        State("legal", "This call is recorded.", to="ask", interruptible=False, voice="lawyer"),
        State("ask", "Sure?", slots=[YesNo("sure")], to="bye", language="de"),
        End("bye", "Goodbye.", voice="lawyer"),
    ]
    seen: list[object] = []

    voice = Voice()
    flow = Flow(states, start="legal", person="desk")
    pushed = flow.push

    def push(frame: Any, *, upstream: bool = False) -> None:
        if isinstance(frame, UpdateSettingsFrame):
            seen.append(dict(frame.changes))
        elif isinstance(frame, ReplyStartedFrame):
            seen.append(frame.interruptible)
        elif isinstance(frame, TextFrame):
            seen.append(frame.text)
        else:
            pushed(frame, upstream=upstream)

    flow.push = push  # type: ignore[method-assign]
    async with rig(flow, voice) as running:
        assert seen == [
            {"voice": "lawyer"},
            False,
            "This call is recorded.",
            {"voice": "own", "language": "de"},
            True,
            "Sure?",
        ]
        seen.clear()
        running.push(UserTurnFrame(1, "yes"))
        assert seen == [{"voice": "lawyer", "language": "en"}, True, "Goodbye."]


async def test_keys_have_a_number_and_a_key_that_ends_them() -> None:
    pin = Digits("pin", "Your number?", length=8, shortest=2)
    states: list[AnyState] = [
        State("pin", slots=[pin], to="again", key_end="*", key_pause_ms=9_000),
        State("again", "Again?", slots=[Digits("pin2", "Again?", length=6, shortest=2)], to="bye", key_count=3),
        End("bye", "So {pin} and {pin2}."),
    ]
    async with calling(flow(*states)) as caller:
        await caller.listens()
        await caller.presses("47")
        await caller.waits(5_000)  # longer than the usual pause
        await caller.presses("11*")
        await caller.listens()
        await caller.presses("123")
        await caller.hears("one two three", within_ms=1_900)
    committed = caller.record.of("turn.committed")
    assert [(event.personal or {})["text"] for event in committed] == ["4711*", "123"]


# -- an agent


class Clerk(Agent):
    """Says what it has heard; "done" and "wrong" end its part."""

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        if "fail" in turn.text:
            raise RuntimeError("out of order")
        if "done" not in turn.text:
            yield f"You said {turn.text}."
            return
        if "quietly" not in turn.text:
            yield "Fine."
        finish(self.call, "done" if "wrong" not in turn.text else "wrong", "They want a lamp.")


def with_agent(agent: Agent, **options: Any) -> Callable[[Call], Flow]:
    node = AgentNode("talk", agent, **{"exits": {"done": "sum", "person": "desk"}, "failed": "sorry", **options})
    return flow(
        State(
            "menu", "Form or talk?", intents=[Intent("talk", "talk to me", to="talk"), Intent("f", "form", to="sum")]
        ),
        node,
        State("sum", "Anything else?", slots=[YesNo("more")], to="end"),
        DESK,
        End("sorry", "I am sorry.", outcome="failed"),
        END,
    )


async def test_an_agent_answers_until_it_is_done_and_the_dialog_goes_on() -> None:
    async with calling(with_agent(Clerk("clerk"))) as caller:
        assert await say(caller, "talk to me") == "You said talk to me."
        assert await say(caller, "about lamps") == "You said about lamps."
        assert await say(caller, "I am done") == "Fine. Anything else?"
        assert await say(caller, "no") == "Goodbye."
    assert entered(caller) == ["menu", "talk", "sum", "end"]
    (done,) = caller.record.of("flow.agent-done")
    assert done.data == {"state": "talk", "agent": "clerk", "outcome": "done"}
    assert done.personal == {"summary": "They want a lamp."}
    assert set(caller.record.outcomes.values()) == {"answered"}
    assert not caller.record.of("turn.unanswered")


async def test_an_agent_that_ends_without_a_word_leaves_no_turn_unanswered() -> None:
    async with calling(with_agent(Clerk("clerk"))) as caller:
        await say(caller, "talk to me")
        assert await say(caller, "done quietly") == "Anything else?"
    assert set(caller.record.outcomes.values()) == {"answered"}


async def test_the_node_decides_whether_its_agent_may_be_interrupted() -> None:
    for interruptible in (True, False):
        async with calling(with_agent(Clerk("clerk"), interruptible=interruptible)) as caller:
            await say(caller, "talk to me")
            replies = caller.record.of("reply.started")
            assert replies[-1].data["interruptible"] is interruptible
            assert replies[0].data["interruptible"] is True


async def test_a_number_is_handed_over_as_one() -> None:
    states: list[AnyState] = [Handoff("h", "One moment.", target="+4930123456", target_kind="number")]
    async with calling(flow(*states)) as caller:
        await caller.hears_the_end()
    (handoff,) = caller.record.of("handoff.requested")
    assert handoff.data["target_kind"] == "number"
    assert (handoff.personal or {})["number"] == "+4930123456"


async def test_an_outcome_that_is_no_exit_is_refused() -> None:
    async with calling(with_agent(Clerk("clerk"))) as caller:
        await say(caller, "talk to me", "done wrong")
        assert entered(caller)[-1] == "talk"
    assert caller.record.of("processor.failed")


async def test_a_model_is_given_the_tool_and_what_is_known() -> None:
    model = ScriptedLLM(["What about it?", [ToolCall("1", "finish", {"outcome": "done", "summary": "A lamp."})]])
    made = flow(
        State("ask", slots=[TIER], to="talk"),
        AgentNode("talk", Agent("clerk", "Help.", model), exits={"done": "bye"}, failed="end", done="When it is over."),
        END,
        End("bye", "So: {talk.summary} {talk.outcome}"),
    )
    async with calling(made) as caller:
        assert "What about it?" in await say(caller, "gold")
        assert "So: A lamp. done" in await say(caller, "nothing")
        await caller.hears_the_end()
    request = model.requests[0]
    assert any("tier: gold" in str(message) for message in request.messages)
    (spec,) = [tool for tool in request.tools if tool.name == "finish"]
    assert spec.parameters["properties"]["outcome"]["enum"] == ["done"]
    assert "When it is over." in spec.description
    assert set(caller.record.outcomes.values()) == {"answered"}


async def test_an_agent_that_fails_again_and_again_loses_the_caller() -> None:
    async with calling(with_agent(Clerk("clerk"), attempts=2)) as caller:
        await say(caller, "talk to me", "fail", "something", "fail")
        assert entered(caller)[-1] == "talk"  # two in a row
        await say(caller, "fail")
        assert await caller.hears_the_end() == "completed"
    assert caller.call.data["outcome"] == "failed"
    assert [e.data["outcome"] for e in caller.record.of("flow.agent-done")] == ["failed"]


async def test_the_caller_may_leave_an_agent_for_a_person() -> None:
    async with calling(with_agent(Clerk("clerk"))) as caller:
        await say(caller, "talk to me")
        assert "You said I spoke to an operator" in await say(caller, "I spoke to an operator yesterday")
        assert "put you through" in await say(caller, "operator please")
        await caller.hears_the_end()
    async with calling(with_agent(Clerk("clerk"))) as caller:
        await say(caller, "talk to me")
        await caller.presses("0")
        await caller.hears("put you through")


async def test_an_agent_has_no_more_time_than_its_node() -> None:
    async with calling(with_agent(Clerk("clerk"), limit_ms=20_000)) as caller:
        await say(caller, "talk to me")
        await caller.hears("I am sorry", within_ms=30_000)
        await caller.hears_the_end()


async def test_an_agent_with_a_greeting_begins_and_is_interrupted_like_any_other() -> None:
    dropped: list[str] = []

    class Slow(Clerk):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            try:
                for _ in range(60):
                    yield "and on it goes "
                    await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                dropped.append(turn.text)
                raise

    made = flow(
        State("hello", "Hello.", to="talk"),
        AgentNode("talk", Slow("slow", greeting="I am slow."), exits={"done": "end"}, failed="end"),
        END,
    )
    async with calling(made) as caller:
        assert " ".join((await caller.listens()).split()) == "Hello. I am slow."
        await caller.says("go")
        await caller.interrupts("stop", after_ms=1_000)
        await caller.waits(200)
        heard = caller.record.of("reply.heard")
        assert [e.data["complete"] for e in heard][-1] is False
        assert dropped == ["go"]
        agent = next(s.agent for s in _flow(caller).states.values() if isinstance(s, AgentNode))
        caller.call.say("A colleague is here.")
        await caller.waits(3_000)
        await caller.says("go on")
        await caller.waits(1_000)
        texts = [(message.role, message.text) for message in agent.context]
        spoken = [role for role, _ in texts]
        assert "Hello." in str(texts[0])
        assert "A colleague is here." in str(texts)
        assert spoken.index("user") > 0


def _flow(caller: Caller) -> Flow:
    return next(node.proc for node in caller.call.engine.nodes if isinstance(node.proc, Flow))


# -- a voicemail


def voicemail(path: Path, **options: Any) -> Callable[[Call], Flow]:
    return (
        flow(
            Voicemail("box", "Please speak.", **{"to": "thanks", "path": str(path / "{call}.wav"), **options}),
            End("thanks", "Thank you. {box.text}", outcome="message"),
            End("nothing", "Nobody there."),
        )
        if "empty" in options
        else flow(
            Voicemail("box", "Please speak.", **{"to": "thanks", "path": str(path / "{call}.wav"), **options}),
            End("thanks", "Thank you.", outcome="message"),
        )
    )


async def test_a_message_ends_with_silence_and_nobody_answers_it(tmp_path: Path) -> None:
    async with calling(voicemail(tmp_path, silence_ms=3_000)) as caller:
        await caller.listens()
        for words in ("This is Ann.", "Call me back."):
            caller.interrupts_now(words)
            await caller.waits(2_000)
        assert caller.record.of("flow.recorded") == []
        await caller.hears("thank you", within_ms=4_000)
        await caller.hears_the_end()
    (recorded,) = caller.record.of("flow.recorded")
    assert recorded.data["reason"] == "silence"
    assert recorded.data["path"] == ""  # there is no sound in a call of text
    assert recorded.personal == {"text": "This is Ann. Call me back."}
    assert set(caller.record.outcomes.values()) == {"skipped"}
    assert caller.call.data["slots"]["box"].text == "This is Ann. Call me back."


async def test_a_message_ends_with_a_key_the_limit_or_a_hang_up(tmp_path: Path) -> None:
    async with calling(voicemail(tmp_path)) as caller:
        await caller.listens()
        caller.interrupts_now("This is Ann.")
        await caller.presses("#")
        await caller.hears("thank you", within_ms=2_000)
        assert caller.record.of("flow.recorded")[0].data["reason"] == "key"
    assert caller.record.outcomes == {1: "skipped", 2: "answered"}
    async with calling(voicemail(tmp_path, limit_ms=5_000)) as caller:
        await caller.listens()
        for _ in range(5):
            caller.interrupts_now("and so on")
            await caller.waits(1_000)
        await caller.hears("thank you", within_ms=2_000)
        assert caller.record.of("flow.recorded")[0].data["reason"] == "limit"
    async with calling(voicemail(tmp_path)) as caller:
        await caller.listens()
        caller.interrupts_now("This is Ann.")
        await caller.hangs_up()
    (recorded,) = caller.record.of("flow.recorded")
    assert recorded.data["reason"] == "hangup"
    assert recorded.personal == {"text": "This is Ann."}


async def test_who_says_nothing_leaves_nothing(tmp_path: Path) -> None:
    async with calling(voicemail(tmp_path, empty="nothing")) as caller:
        await caller.hears("nobody there", within_ms=12_000)
        await caller.hears_the_end()
    assert caller.record.of("flow.recorded") == []
    assert not caller.record.of("processor.failed")


async def test_a_person_is_reached_from_a_voicemail_too(tmp_path: Path) -> None:
    async with calling(voicemail(tmp_path)) as caller:
        await caller.listens()
        assert "put you through" in await say(caller, "operator")


async def test_after_a_message_turns_are_answered_again(tmp_path: Path) -> None:
    made = flow(
        Voicemail("box", "Please speak.", to="ask", path=str(tmp_path / "{call}.wav")),
        State("ask", "Anything else?", slots=[YesNo("more")], to="end"),
        END,
    )
    async with calling(made) as caller:
        await caller.listens()
        caller.interrupts_now("This is Ann.")
        await caller.hears("anything else", within_ms=6_000)
        assert await say(caller, "no") == "Goodbye."
    assert list(caller.record.outcomes.values()) == ["skipped", "answered"]


def problems(*states: AnyState, **options: Any) -> dict[str, str]:
    with pytest.raises(FlowError) as caught:
        Flow(states, **{"start": states[0].name, "person": "desk", **options})
    return {problem.code: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("states", "code", "words"),
    [
        ([Branch("b", [When("colour", equals=1, to="end")], to="end"), END], "flow.variable", "'colour'"),
        ([Branch("b", [When("call.metadta", equals=1, to="end")], to="end"), END], "flow.variable", "call."),
        ([Branch("b", [], to="end"), END], "flow.value", "no cases"),
        ([Branch("b", [When("x", to="end")], to="end"), END], "flow.value", "nothing that could hold"),
        ([Branch("b", [When(equals=1, to="end")], to="end"), END], "flow.value", "which value"),
        ([Branch("b", [When(hours="Mon", to="end")], to="end"), END], "flow.value", "no hours"),
        ([Branch("b", [When("call.from", known=True, to="nd")], to="end"), END], "flow.unknown-state", "`end`"),
        ([Branch("b", [When("call.from", known=True, to="b")], to="b"), END], "flow.loop", "'b'"),
        (
            [State("s", slots=[TIER], to="b"), Branch("b", [When("tier", equals="golt", to="end")], to="end"), END],
            "flow.option",
            "`gold`",
        ),
        (
            [State("s", slots=[AMOUNT], to="b"), Branch("b", [When("amount", equals="x", to="end")], to="end"), END],
            "flow.value",
            "cannot be compared with 'x'",
        ),
        (
            [State("s", slots=[TIER], to="b"), Branch("b", [When("tier", at_least="a", to="end")], to="end"), END],
            "flow.value",
            "cannot be compared",
        ),
        ([State("s", slots=[TIER], to="end", give_up="nowhere"), END], "flow.unknown-state", "give_up= of 's'"),
        ([State("s", slots=[TIER], to="end", attempts=0), END], "flow.value", "attempts=0"),
        ([State("s", slots=[TIER], to="end", limit_to="end"), END], "flow.value", "no limit_ms="),
        ([State("s", slots=[TIER], to="end", key_end="x"), END], "flow.value", "key_end='x'"),  # type: ignore[arg-type]
        ([Voicemail("v", "Speak.", to="end", path="x.mp3"), END], "flow.value", ".wav"),
        ([Voicemail("v", "Speak.", to="end", path="{caller}.wav"), END], "flow.value", "{caller}"),
        ([Handoff("h", "x", target="030 1234", target_kind="number")], "flow.value", "E.164"),
        ([Handoff("h", "x", target="x", target_kind="robot")], "flow.value", "no person, queue or number"),  # type: ignore[arg-type]
        ([AgentNode("a", Agent("x"), exits={}, failed="end"), END], "flow.value", "never be done"),
        ([AgentNode("a", Agent("x"), exits={"All Done": "end"}, failed="end"), END], "flow.value", "one word"),
        ([State("s", "{{ nobody }}", to="end"), END], "flow.variable", "'nobody'"),
        ([State("s", '{{ nobody | default("x") }}', to="end"), END], "flow.variable", "'nobody'"),
        ([State("s", "{{ 1 + 1 }}", to="end"), END], "flow.template", "1 + 1"),
    ],
)
def test_what_cannot_work_about_a_node_is_refused(states: list[AnyState], code: str, words: str) -> None:
    found = problems(*states)
    assert code in found
    assert words in found[code]
    assert "tests/test_flow_nodes.py:" in found[code]


# -- a voicemail with sound


def sound_bot(path: Path, words: dict[int, str], **options: Any) -> Callable[[Call], Pipeline]:
    def bot(call: Call) -> Pipeline:
        return Pipeline(
            [
                call.transport.input(),
                EnergyVAD(),
                ScriptedSTT(words),
                Turns(),
                voicemail(path, **options)(call),
                HumTTS(),
                call.transport.output(),
            ]
        )

    return bot


def kept(path: str) -> tuple[int, bytes]:
    """The rate and the sound of a file that nobody else may read."""
    assert Path(path).stat().st_mode & 0o777 == 0o600
    with wave.open(path) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), file.readframes(file.getnframes())


async def test_the_sound_of_a_message_is_kept_from_the_beep_to_the_silence(tmp_path: Path) -> None:
    async with dial(sound_bot(tmp_path, {5_000: "this is Ann"}, silence_ms=2_000), via="audio") as caller:
        await caller.listens()
        await caller.plays(tone(300, 1_500, -20.0))
        await caller.waits(800)
        await caller.plays(tone(300, 700, -20.0))
        assert await caller.hears_the_end() == "completed"
        rate = caller.transport.far.format.rate
        levels = [goertzel(caller.received[at : at + 640], rate, 440.0) for at in range(0, 64_000, 640)]
        assert max(levels) > -13  # the beep; the voice hums more quietly
    (recorded,) = caller.record.of("flow.recorded")
    assert recorded.data["reason"] == "silence"
    assert recorded.personal == {"text": "this is Ann"}
    assert Path(recorded.data["path"]).parent == tmp_path
    rate, pcm = kept(recorded.data["path"])
    length_ms = len(pcm) // 2 * 1000 // rate
    assert length_ms == pytest.approx(recorded.data["duration_ms"], abs=2)
    loud = [at for at in range(0, len(pcm), rate // 5) if level_dbfs(pcm[at : at + rate // 5]) > -30]
    spoken_ms = len(loud) * 100
    assert spoken_ms == pytest.approx(2_200, abs=300)  # both parts of it, and nothing of the bot's
    assert length_ms - spoken_ms >= 2_000


async def test_whoever_goes_on_speaking_is_not_cut_off(tmp_path: Path) -> None:
    async with dial(sound_bot(tmp_path, {}, silence_ms=1_000), via="audio") as caller:
        await caller.listens()
        await caller.plays(tone(300, 4_000, -20.0))
        await caller.hears_the_end()
    (recorded,) = caller.record.of("flow.recorded")
    assert recorded.data["duration_ms"] >= 5_000


async def test_a_message_is_whole_when_the_caller_hangs_up_in_it(tmp_path: Path) -> None:
    async with dial(sound_bot(tmp_path, {}), via="audio") as caller:
        await caller.listens()
        await caller.plays(tone(300, 3_000, -20.0))
        await caller.hangs_up()
    (recorded,) = caller.record.of("flow.recorded")
    assert recorded.data["reason"] == "hangup"
    rate, pcm = kept(recorded.data["path"])
    assert len(pcm) // 2 * 1000 // rate >= 2_900


async def test_a_disk_that_fails_takes_the_sound_and_not_the_message(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file, and no folder")
    bot = sound_bot(tmp_path / "full", {5_000: "this is Ann"}, silence_ms=2_000)
    async with dial(bot, via="audio") as caller:
        await caller.listens()
        await caller.plays(tone(300, 3_000, -20.0))
        assert await caller.hears_the_end() == "completed"
    (recorded,) = caller.record.of("flow.recorded")
    assert recorded.data["reason"] == "failed"
    assert recorded.data["path"] == ""
    assert recorded.personal == {"text": "this is Ann"}
    assert caller.call.data["outcome"] == "message"


async def test_a_private_call_keeps_no_sound(tmp_path: Path) -> None:
    async with dial(sound_bot(tmp_path, {}, silence_ms=2_000), via="audio") as caller:
        await caller.listens()
        with caller.call.private():
            await caller.plays(tone(300, 3_000, -20.0))
            await caller.waits(3_500)
    (recorded,) = caller.record.of("flow.recorded")
    assert level_dbfs(kept(recorded.data["path"])[1]) < -60


async def test_a_squad_may_be_the_agent_and_each_voice_is_its_own() -> None:
    seen: list[str] = []

    class Voice(HumTTS):
        voice = "own"

        def on_settings(self, frame: UpdateSettingsFrame) -> None:
            self.voice = frame.changes["voice"]
            seen.append(self.voice)

    class Desk(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield f"{self.name} says {turn.text}."
            if "bill" in turn.text and self.name == "triage":
                await self.hand_off("billing")
            if "done" in turn.text:
                finish(self.call, "done")

    squad = Squad([Desk("triage", voice="anna"), Desk("billing", voice="bert")], start="triage")
    states: list[AnyState] = [
        State("menu", "Well?", slots=[YesNo("go")], to="talk"),
        AgentNode("talk", squad, exits={"done": "end"}, failed="end"),
        State("end", "Anything else?", slots=[YesNo("more")], to="bye"),
        End("bye", "Goodbye."),
    ]
    async with rig(Flow(states, start="menu", person="desk"), Voice()) as running:
        for number, text in enumerate(("yes", "a bill", "done"), 1):
            running.push(UserTurnFrame(number, text))
            await asyncio.sleep(0.1)
        assert running.call.data["squad"]["specialist"] == "billing"
        await asyncio.sleep(20)
    assert seen[0] == "anna"
    assert seen[-1] == "own"
    assert "bert" in seen
    assert [e.data["state"] for e in running.events("flow.entered")] == ["menu", "talk", "end"]
