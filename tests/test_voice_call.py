"""Calls that are placed: who is called, who talks, what they know, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
import pytest

from voiceframe.app import App, Bot, Limits
from voiceframe.call import Call
from voiceframe.dialling import Answer, Dialled, Dialler, DiallerSettings, LoopbackDialler, Outgoing
from voiceframe.engine import EngineSettings
from voiceframe.errors import ConfigurationError, DialError, ToolError
from voiceframe.llm import LLMRequest
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Processor
from voiceframe.processors.agents import Agent
from voiceframe.subject import Subject, set_subject, subject_of
from voiceframe.testing import AudioCaller, Caller, CallTranscript, ScriptedLLM, ToneTTS
from voiceframe.testing import call_tool as calls
from voiceframe.tools import ToolContext, tool, voice_call
from voiceframe.transports import LoopbackTransport
from voiceframe.transports.base import Transport
from voiceframe.transports.text import TextTransport

ANN, BOB = "+493012345678", "+493087654321"


def bot_of(make: Callable[[], Agent]) -> Bot:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), make(), call.transport.output()])

    return bot


class Callee(Caller):
    """Somebody who is called, and reads and types."""

    def __init__(self) -> None:
        super().__init__(180)
        self.picked_up = asyncio.Event()

    def line(self) -> Transport:
        return self._transport

    def picks_up(self, call: Call) -> None:
        self.call = call
        self.picked_up.set()


class House:
    """An app with a dialler on the loopback line, and the records of all calls."""

    def __init__(self, bot: Bot, dialler: LoopbackDialler | None = None, **more: Any) -> None:
        self.dialler = dialler or LoopbackDialler()
        self.record = CallTranscript()
        self.app = App(
            bot, self.dialler, store=None, sinks=[self.record], engine_settings=EngineSettings(development=True), **more
        )

    def of(self, call: Call | str, *kinds: str) -> list[Any]:
        id = call if isinstance(call, str) else call.id
        return [event for event in self.record.events if event.call == id and (not kinds or event.kind in kinds)]


@asynccontextmanager
async def house(bot: Bot | None = None, **more: Any) -> AsyncIterator[House]:
    made = House(bot or bot_of(lambda: Agent("inbound", llm=ScriptedLLM(["Inbound."], repeat=True))), **more)
    async with made.app:
        try:
            yield made
        finally:
            for call in list(made.app.calls.values()):
                call.end("test", after="now")
                await call.wait_ended()
            await asyncio.sleep(0.01)


async def reached(house: House, bot: Bot, callee: Callee, **more: Any) -> Dialled:
    house.dialler.register(ANN, callee.line, on_answer=callee.picks_up)
    dialled = await house.dialler.place(ANN, bot, target="reminder", **more)
    assert (await dialled.answered()).outcome == "answered"
    return dialled


def reminder(llm: ScriptedLLM, instructions: str = "You remind patients.", **more: Any) -> Bot:
    return bot_of(lambda: Agent("reminder", instructions, llm, **more))


def talk(request: LLMRequest) -> str:
    return "\n".join(message.text for message in request.messages)


# -- placing


async def test_a_number_is_called_and_whoever_picks_up_talks_with_the_bot() -> None:
    async with house() as home:
        callee = Callee()
        dialled = await reached(home, reminder(ScriptedLLM(["At ten."]), greeting="Your appointment!"), callee)
        await callee.hears("appointment")
        await callee.says("When?")
        await callee.hears("at ten")
        call = dialled.call
        assert (call.direction, call.to) == ("outbound", ANN)
        started, begun, ended, answered = (
            home.of(call, kind)[0] for kind in ("dial.started", "call.started", "dial.ended", "call.answered")
        )
        assert started.data["target"] == "reminder"
        assert started.personal["number"] == ANN
        assert begun.data["direction"] == "outbound"
        assert (ended.data["outcome"], ended.data["ring_ms"]) == ("answered", 1_000)
        assert begun.at_ms < ended.at_ms == answered.at_ms


async def test_it_is_heard_over_a_line_of_sound() -> None:
    def bot(call: Call) -> Pipeline:
        agent = Agent("reminder", greeting="Your appointment!")
        return Pipeline([call.transport.input(), agent, ToneTTS(), call.transport.output()])

    async with house() as home:
        lines: list[LoopbackTransport] = []
        callee = AudioCaller()
        assert isinstance(callee.phone, LoopbackTransport)
        lines.append(callee.phone)
        home.dialler.register(ANN, lines.pop, on_answer=lambda call: setattr(callee, "call", call))
        await (await home.dialler.place(ANN, bot)).answered()
        await callee.hears("your appointment!")
        assert len(callee.bot_spoke) == 1


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
async def test_a_call_that_nobody_answers_ends_with_the_reason(outcome: Any) -> None:
    async with house() as home:
        home.dialler.register(ANN, TextTransport, outcome=outcome)
        dialled = await home.dialler.place(ANN, reminder(ScriptedLLM([])))
        assert home.app.calls == {dialled.call.id: dialled.call}
        assert (await dialled.answered()).outcome == outcome
        assert await dialled.call.wait_ended() == outcome
        assert [event.data["outcome"] for event in home.of(dialled.call, "dial.ended")] == [outcome]
        assert not home.of(dialled.call, "call.answered", "reply.started")
        await asyncio.sleep(0)
        assert home.app.calls == {}


async def test_nobody_answers_for_as_long_as_the_settings_say() -> None:
    async with house(dialler=LoopbackDialler(DiallerSettings(ring_ms=20_000))) as home:
        home.dialler.register(ANN, TextTransport, outcome="no-answer")
        dialled = await home.dialler.place(ANN, reminder(ScriptedLLM([])))
        await dialled.answered()
        assert home.of(dialled.call, "dial.ended")[0].data["ring_ms"] == 20_000


async def test_a_number_that_nobody_has_fails_and_one_that_talks_is_busy() -> None:
    async with house() as home:
        first = await reached(home, reminder(ScriptedLLM([])), Callee())
        home.dialler._phones[ANN].line = TextTransport
        second = await home.dialler.place(ANN, reminder(ScriptedLLM([])))
        assert await second.answered() == Answer("busy", "engaged")
        nobody = await home.dialler.place(BOB, reminder(ScriptedLLM([])))
        assert (await nobody.answered()).outcome == "failed"
        await second.call.wait_ended()
        assert not first.call.ended
        assert home.dialler._phones[ANN].engaged


async def test_ringing_can_be_cancelled() -> None:
    async with house() as home:
        home.dialler.register(ANN, TextTransport, rings_ms=10_000)
        dialled = await home.dialler.place(ANN, reminder(ScriptedLLM([])))
        await asyncio.sleep(2)
        dialled.cancel("operator:ann")
        assert await dialled.answered() == Answer("cancelled", "operator:ann")
        assert home.of(dialled.call, "dial.ended")[0].data["ring_ms"] == 2_000


class Odd(Dialler):
    """A carrier that does what it likes."""

    def __init__(self, act: Callable[[Call], Any], settings: DiallerSettings | None = None) -> None:
        super().__init__(settings)
        self.act = act
        self.cancelled = 0

    def outgoing(self, number: str, from_: str) -> Outgoing:
        odd = self

        class Attempt(Outgoing):
            transport = TextTransport()

            async def dial(self, call: Call) -> Answer:
                found: Answer = await odd.act(call)
                return found

            async def cancel(self) -> None:
                odd.cancelled += 1
                raise ConnectionError("gone")

        return Attempt()


async def test_a_carrier_that_fails_and_cannot_even_be_stopped_ends_the_call_as_failed() -> None:
    async def fails(call: Call) -> Answer:
        raise ConnectionError("no route")

    dialler = Odd(fails)
    async with App(bot_of(lambda: Agent("inbound")), dialler, store=None) as app:
        dialled = await dialler.place(ANN, reminder(ScriptedLLM([])))
        answer = await dialled.answered()
        assert (answer.outcome, "no route" in answer.reason) == ("failed", True)
        assert await dialled.call.wait_ended() == "failed"
        await asyncio.sleep(0)
        assert (dialler.cancelled, app.calls) == (1, {})


async def test_a_carrier_that_cannot_reach_a_number_says_so_before_there_is_a_call() -> None:
    class Broken(Odd):
        def outgoing(self, number: str, from_: str) -> Outgoing:
            raise OSError("no credentials")

    dialler = Broken(lambda call: None)
    async with App(bot_of(lambda: Agent("inbound")), dialler, store=None) as app:
        with pytest.raises(DialError, match="no credentials") as caught:
            await dialler.place(ANN, reminder(ScriptedLLM([])))
        assert caught.value.code == "dial.carrier"
        assert app.calls == {}


# -- the app owns it


async def test_the_limits_of_the_app_count_it_and_a_refusal_is_told() -> None:
    async with house(limits=Limits(max_calls=1)) as home:
        await reached(home, reminder(ScriptedLLM([])), Callee())
        with pytest.raises(DialError) as caught:
            await home.dialler.place(BOB, reminder(ScriptedLLM([])))
        assert caught.value.code == "dial.refused"
        assert "busy" in caught.value.message
        assert home.dialler.dialled == [ANN]


async def test_a_drain_waits_for_it_and_nothing_more_is_placed() -> None:
    async with house() as home:
        callee = Callee()
        dialled = await reached(home, reminder(ScriptedLLM(["Yes."]), greeting="Hello there."), callee)
        drained = asyncio.ensure_future(home.app.drain())
        await asyncio.sleep(0.1)
        assert not drained.done()
        with pytest.raises(DialError) as caught:
            await home.dialler.place(BOB, reminder(ScriptedLLM([])))
        assert caught.value.code == "dial.closed"
        await callee.hangs_up()
        assert await drained
        assert dialled.call.reason == "hangup"


async def test_a_call_that_comes_in_is_answered_by_the_bot_of_the_app() -> None:
    async with house() as home:
        await reached(home, reminder(ScriptedLLM([])), Callee())
        caller = Callee()
        caller.call = await home.app.take(caller.line())
        await caller.says("Hello?")
        await caller.hears("inbound")


async def test_a_dialler_belongs_to_one_app_that_is_open() -> None:
    dialler = LoopbackDialler()
    with pytest.raises(DialError, match="no app") as caught:
        await dialler.place(ANN, reminder(ScriptedLLM([])))
    assert caught.value.code == "dial.closed"
    async with App(bot_of(lambda: Agent("inbound")), dialler, store=None):
        with pytest.raises(DialError) as caught:
            await App(bot_of(lambda: Agent("other")), dialler, store=None).__aenter__()
        assert caught.value.code == "dial.opened-twice"


# -- what is asked for


@pytest.mark.parametrize(
    "number", ["", "030 1234", "+0301234567", "493012345678", "+49301234567890123", "+49 30 1234567", "+49", 49, None]
)
async def test_a_number_that_is_not_e164_is_refused(number: Any) -> None:
    async with house() as home:
        with pytest.raises(DialError) as caught:
            await home.dialler.place(number, reminder(ScriptedLLM([])))
        assert caught.value.code == "dial.number"
        assert "number=" in caught.value.fix
        assert home.app.calls == {}


@pytest.mark.parametrize("subject", [("form",), ("form", ""), ("form", 7), "form", 7])
async def test_a_subject_is_a_type_and_an_id(subject: Any) -> None:
    async with house() as home:
        with pytest.raises(DialError) as caught:
            await home.dialler.place(ANN, reminder(ScriptedLLM([])), subject=subject)
        assert caught.value.code == "dial.subject"


@pytest.mark.parametrize("context", [["a"], {1: 2}, {"text": "x" * 9_000}])
async def test_a_context_that_cannot_be_passed_on_is_refused(context: Any) -> None:
    async with house() as home:
        with pytest.raises(DialError) as caught:
            await home.dialler.place(ANN, reminder(ScriptedLLM([])), context=context)
        assert caught.value.code == "dial.context"


def test_a_telephone_needs_a_line_of_its_own_for_each_call() -> None:
    with pytest.raises(DialError) as caught:
        LoopbackDialler().register(ANN, TextTransport())  # type: ignore[arg-type]
    assert caught.value.code == "dial.phone"


async def test_a_telephone_whose_line_is_none_is_refused_when_it_is_called() -> None:
    async with house() as home:
        home.dialler.register(ANN, lambda: None)  # type: ignore[arg-type,return-value]
        with pytest.raises(DialError) as caught:
            await home.dialler.place(ANN, reminder(ScriptedLLM([])))
        assert caught.value.code == "dial.phone"


# -- the tool


async def tried(home: House, made: Any, id: str = "c1", **arguments: Any) -> Any:
    """What a tool says that is called in a call that somebody has made."""
    caller = Callee()
    caller.call = await home.app.take(caller.line())
    return await made.run(ToolContext(caller.call, id), arguments)


async def test_the_model_is_told_who_may_talk() -> None:
    def front(call: Call) -> Pipeline:
        """Finds out who helps."""
        raise NotImplementedError

    both = voice_call(LoopbackDialler(), agents={"reminder": reminder(ScriptedLLM([]))}, routers={"front": front})
    one = voice_call(LoopbackDialler(), routers={"front": front}, name="call_front")
    for made in (both, one):
        jsonschema.Draft202012Validator.check_schema(made.schema())
    assert both.schema()["properties"]["agent"]["enum"] == ["reminder"]
    assert both.schema()["required"] == ["number"]
    assert (one.name, one.schema()["required"]) == ("call_front", ["number", "router"])
    assert "agent" not in one.schema()["properties"]
    assert "front: Finds out who helps." in one.description


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"agent": "reminder"}, "tool.missing"),
        ({"number": ANN, "agent": 7}, "tool.argument"),
        ({"number": ANN, "agent": "reminder", "metadata": {}}, "tool.unknown-argument"),
        ({"number": "12", "agent": "reminder"}, "dial.number"),
        ({"number": ANN, "agent": "reminder", "router": "front"}, "dial.two-targets"),
        ({"number": ANN, "router": "reminder"}, "dial.unknown-target"),
        ({"number": "+3312345678", "agent": "reminder"}, "dial.not-allowed"),
        ({"number": ANN, "agent": "reminder", "subject": "4711"}, "dial.subject"),
        ({"number": ANN, "agent": "reminder", "context": "Ann"}, "dial.context"),
    ],
)
async def test_what_the_model_gets_wrong_is_told_to_it_and_nobody_is_called(
    arguments: dict[str, Any], code: str
) -> None:
    async with house() as home:
        made = voice_call(
            home.dialler,
            agents={"reminder": reminder(ScriptedLLM([]))},
            routers={"front": reminder(ScriptedLLM([]))},
            allowed=["+49"],
        )
        with pytest.raises(ToolError) as caught:
            await tried(home, made, **arguments)
        assert caught.value.code == code
        assert home.dialler.dialled == []


async def test_one_call_places_no_more_than_it_may() -> None:
    async with house() as home:
        home.dialler.register(ANN, TextTransport)
        made = voice_call(home.dialler, agents={"reminder": reminder(ScriptedLLM([]))}, most=1)
        caller = Callee()
        caller.call = await home.app.take(caller.line())
        with pytest.raises(ToolError) as wrong:  # which counts for nothing
            await made.run(ToolContext(caller.call, "c0"), {"number": ANN, "agent": "reminder", "context": 1})
        assert wrong.value.code == "dial.context"
        await made.run(ToolContext(caller.call, "c1"), {"number": ANN, "agent": "reminder"})
        with pytest.raises(ToolError) as caught:
            await made.run(ToolContext(caller.call, "c2"), {"number": ANN, "agent": "reminder"})
        assert caught.value.code == "dial.too-many"


async def test_a_retry_with_the_same_id_does_not_dial_twice() -> None:
    async with house() as home:
        home.dialler.register(ANN, TextTransport)
        made = voice_call(home.dialler, agents={"reminder": reminder(ScriptedLLM([]))}, most=1)
        caller = Callee()
        caller.call = await home.app.take(caller.line())
        context, arguments = ToolContext(caller.call, "c1"), {"number": ANN, "agent": "reminder"}
        both = await asyncio.gather(made.run(context, arguments), made.run(context, arguments))
        later = await made.run(context, arguments)
        assert both[0] == both[1] == later
        assert later["status"] == "initiated"
        await asyncio.sleep(0)
        assert home.dialler.dialled == [ANN]
        assert len(home.of(later["call"], "dial.started")) == 1


async def test_a_tool_that_was_given_up_while_its_bot_was_made_finds_the_call_when_it_is_retried() -> None:
    async def slow(call: Call) -> Pipeline:
        await asyncio.sleep(2)
        return Pipeline([call.transport.input(), Agent("slow"), call.transport.output()])

    async with house() as home:
        home.dialler.register(ANN, TextTransport)
        made = voice_call(home.dialler, agents={"slow": slow}, timeout_ms=1_000)
        caller = Callee()
        caller.call = await home.app.take(caller.line())
        context, arguments = ToolContext(caller.call, "c1"), {"number": ANN, "agent": "slow"}
        with pytest.raises(ToolError) as caught:
            await made.run(context, arguments)
        assert caught.value.code == "tool.timeout"
        await asyncio.sleep(2)
        assert (await made.run(context, arguments))["status"] == "initiated"
        assert home.dialler.dialled == [ANN]


# -- from one call to another


async def placed(home: House) -> tuple[Callee, Callee]:
    """A caller has an agent call Ann."""
    callee, caller = Callee(), Callee()
    home.dialler.register(ANN, callee.line, on_answer=callee.picks_up)
    caller.call = await home.app.take(caller.line())
    await caller.says("Call Ann")
    await caller.hears("calling her")
    await callee.picked_up.wait()
    return caller, callee


async def test_the_two_calls_are_linked_in_both_logs() -> None:
    dialler = LoopbackDialler()
    ask = voice_call(dialler, agents={"reminder": reminder(ScriptedLLM(["Yes."]))})
    llm = ScriptedLLM([calls("voice_call", number=ANN, agent="reminder"), "I am calling her."])
    async with house(bot_of(lambda: Agent("desk", llm=llm, tools=[ask])), dialler=dialler) as home:
        caller, callee = await placed(home)
        links = [home.of(call, "call.linked") for call in (caller.call, callee.call)]
        assert [len(found) for found in links] == [1, 1]
        for (link,) in links:
            assert link.data["parent"] == caller.call.id
            assert link.data["child"] == callee.call.id
            assert link.data["tool_call"] == "tool-1"
        (result,) = home.of(caller.call, "tool.returned")
        assert result.personal["result"] == {"call": callee.call.id, "status": "initiated"}


# -- the six things that must not happen


async def test_footgun_1_a_call_without_an_agent_is_refused_when_the_tool_is_made_and_when_it_is_called() -> None:
    async with house() as home:
        with pytest.raises(DialError) as made:
            voice_call(home.dialler)
        assert made.value.code == "dial.no-target"
        for wrong in (None, 7, "nobody"):
            with pytest.raises((DialError, ConfigurationError)):
                voice_call(home.dialler, agents={"reminder": wrong})  # type: ignore[dict-item]
        bots = {"reminder": reminder(ScriptedLLM([]))}
        for tools in (
            voice_call(home.dialler, agents=bots),
            voice_call(home.dialler, agents=bots, routers={"front": bots["reminder"]}),
        ):
            for missing in ({}, {"agent": ""}, {"agent": None}):
                with pytest.raises(ToolError) as called:
                    await tried(home, tools, number=ANN, **missing)
                assert called.value.code == "dial.no-choice"
                assert "reminder" in called.value.fix
        assert home.dialler.dialled == []
        assert not [event for event in home.record.events if event.kind == "dial.started"]


async def test_footgun_1_the_bot_of_the_app_never_answers_a_call_that_was_placed() -> None:
    answered: list[str] = []

    def inbound(call: Call) -> Pipeline:
        answered.append(call.direction)
        return Pipeline([call.transport.input(), Agent("inbound"), call.transport.output()])

    async with house(inbound) as home:
        await reached(home, reminder(ScriptedLLM([])), Callee())
    assert answered == []


async def test_footgun_3_the_new_call_knows_what_it_is_about() -> None:
    dialler, seen = LoopbackDialler(), list[Subject | None]()

    @tool(side_effects=False)
    async def look_up(ctx: ToolContext) -> str:
        """Look the appointment up."""
        seen.append(subject_of(ctx.call))
        return "on Monday"

    child = ScriptedLLM([calls("look_up"), "On Monday."])
    # The author of these instructions has named none of it.
    ask = voice_call(dialler, agents={"reminder": reminder(child, "You remind patients.", tools=[look_up])})
    arguments: dict[str, Any] = {
        "subject": {"type": "appointment", "id": "4711"},
        "context": {"name": "Ann", "doctor": "Dr Lee"},
    }
    llm = ScriptedLLM([calls("voice_call", number=ANN, agent="reminder", **arguments), "I am calling her."])
    async with house(bot_of(lambda: Agent("desk", llm=llm, tools=[ask])), dialler=dialler) as home:
        caller, callee = await placed(home)
        await callee.says("Hello?")
        await callee.hears("on monday")
        known = talk(child.requests[0])
        assert all(word in known for word in ("4711", "appointment", "Ann", "Dr Lee"))
        # Written by a model in another call: information, and no instruction.
        assert child.requests[0].messages[0].text == "You remind patients."
        assert seen == [Subject("appointment", "4711")]
        (started,) = home.of(callee.call, "dial.started")
        assert started.personal["context"] == arguments["context"]
        assert (started.data["subject_type"], started.personal["subject_id"]) == ("appointment", "4711")
        assert callee.call.metadata["parent"] == caller.call.id


async def test_footgun_3_instructions_and_greeting_may_name_what_the_call_is_about() -> None:
    child = ScriptedLLM(["Yes."])
    bot = reminder(
        child, "About {{ data.subject.id }} of {{ data.context.name }}.", greeting="{{ data.context.name }}?"
    )
    async with house() as home:
        callee = Callee()
        await reached(home, bot, callee, subject=("appointment", "4711"), context={"name": "Ann"})
        await callee.hears("ann?")
        await callee.says("That is me")
        await callee.hears("yes")
    assert child.requests[0].messages[0].text == "About 4711 of Ann."


async def test_footgun_4_a_target_that_was_renamed_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        voice_call(LoopbackDialler(), agents={"reminder": "voiceframe.demo.clinic:renamed"})
    assert caught.value.code == "bot.no-bot"
    async with house() as home:
        made = voice_call(home.dialler, agents={"reminder": reminder(ScriptedLLM([]))})
        with pytest.raises(ToolError) as called:
            await tried(home, made, number=ANN, agent="remainder")
        assert called.value.code == "dial.unknown-target"
        assert "`reminder`" in called.value.fix
        assert home.dialler.dialled == []


async def test_footgun_5_a_bot_whose_start_hangs_leaves_no_call_behind() -> None:
    async def hangs(call: Call) -> Pipeline:
        await asyncio.sleep(3_600)
        raise AssertionError

    async with house() as home:
        with pytest.raises(DialError) as caught:
            await home.dialler.place(ANN, hangs, target="hangs")
        assert caught.value.code == "dial.start"
        assert home.app.calls == {}
        assert home.dialler.dialled == []
        (ended,) = [event for event in home.record.events if event.kind == "dial.ended"]
        assert ended.data["outcome"] == "failed"


async def test_footgun_5_a_processor_whose_setup_hangs_leaves_no_call_ringing() -> None:
    class Hangs(Processor):
        async def setup(self) -> None:
            await asyncio.sleep(3_600)

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Hangs(), call.transport.output()])

    async with house() as home:
        home.dialler.register(ANN, TextTransport, outcome="no-answer")
        dialled = await home.dialler.place(ANN, bot)
        assert (await dialled.answered()).outcome == "failed"
        assert await dialled.call.wait_ended() == "error"
        assert home.of(dialled.call, "call.ended")[0].at_ms <= 10_100
        await asyncio.sleep(0.1)
        assert home.app.calls == {}


async def test_footgun_5_a_bot_that_raises_is_told_and_leaves_no_call_behind() -> None:
    def raises(call: Call) -> Pipeline:
        raise LookupError("no such table")

    async with house() as home:
        with pytest.raises(DialError, match="no such table") as caught:
            await home.dialler.place(ANN, raises, key="k")
        assert caught.value.code == "dial.bot"
        assert home.app.calls == {}
        home.dialler.register(ANN, TextTransport)
        again = await home.dialler.place(ANN, reminder(ScriptedLLM([])), key="k")  # nobody was called before
        assert (await again.answered()).outcome == "answered"


async def test_footgun_5_an_agent_that_cannot_be_told_leaves_no_call_behind() -> None:
    class Deaf(Agent):
        def advise(self, text: str, *, source: str = "colleague", speak: bool = False) -> None:
            raise LookupError("no ears")

    async with house() as home:
        home.dialler.register(ANN, TextTransport)
        with pytest.raises(DialError, match="no ears") as caught:
            await home.dialler.place(ANN, bot_of(lambda: Deaf("deaf")), context={"name": "Ann"})
        assert caught.value.code == "dial.bot"
        await asyncio.sleep(0.1)
        assert home.app.calls == {}
        assert home.dialler.dialled == []


async def test_what_was_placed_is_forgotten_when_nobody_can_ask_for_it_any_more() -> None:
    async with house() as home:
        home.dialler.register(ANN, TextTransport)
        caller = Callee()
        caller.call = await home.app.take(caller.line())
        made = voice_call(home.dialler, agents={"reminder": reminder(ScriptedLLM([]))})
        await made.run(ToolContext(caller.call, "c1"), {"number": ANN, "agent": "reminder"})
        alone = await home.dialler.place(ANN, reminder(ScriptedLLM([])), key="k")
        assert len(home.dialler._placed) == 2
        for call in list(home.app.calls.values()):
            call.end("test", after="now")
            await call.wait_ended()
        await asyncio.sleep(1)
        assert list(home.dialler._placed) == ["k"]
        assert await home.dialler.place(ANN, reminder(ScriptedLLM([])), key="k") is alone
        await asyncio.sleep(700)
        assert home.dialler._placed == {}


# -- subjects


async def test_a_call_that_comes_in_may_be_about_something_too() -> None:
    def bot(call: Call) -> Pipeline:
        set_subject(call, ("form", "7"))
        agent = Agent("desk", greeting="Form {{ data.subject.id }}.")
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    async with house(bot) as home:
        caller = Callee()
        caller.call = await home.app.take(caller.line())
        await caller.hears("form 7")
        assert subject_of(caller.call) == Subject("form", "7")
