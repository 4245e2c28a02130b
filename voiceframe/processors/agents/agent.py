"""The agent: answers the turns of the caller.

turn committed ──▶ begin a reply ──▶ stream its text, call its tools ──▶ end the reply
     ▲                  │ interruption: cancelled; what was heard of it is what the context holds
     └──a tool asks─────┘ the next turn is its answer
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from datetime import timezone, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ...call import Call
from ...errors import CallEnded, ConfigurationError
from ...frames import (
    EagerTurnFrame,
    EndFrame,
    Frame,
    HeardFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
    TextFrame,
    TurnResumedFrame,
    UpdateSettingsFrame,
    UserIdleFrame,
    UserTurnFrame,
)
from ...llm import LLM, LLMRequest, Message, Part, TextDelta, ToolCall, ToolSpec
from ...prices import prices
from ...processor import Processor, handles, observes
from ...tools.tool import AnyTool
from ...tools.values import hidden_in
from .approvals import Approval
from .asking import Answer as Parts
from .asking import Speculation, asked
from .context import Answer, Called, Conversation
from .greeting import Greeting, Opening, prepared, voice_behind
from .runs import Run
from .servers import Servers
from .settings import AgentSettings
from .summary import summarized
from .template import Template, values_of
from .toolbox import ToolBox

if TYPE_CHECKING:
    from ...tools.mcp import MCPServer

__all__ = ["Agent"]


class _Reply:
    """A reply that is being made."""

    __slots__ = ("answer", "number", "said", "told", "turn")

    def __init__(self, number: int, turn: int | None, answer: Answer) -> None:
        self.number = number
        self.turn = turn
        self.answer = answer
        self.said = False  # whether something was said in it
        self.told = False  # whether that was more than a filler


class _Work:
    """What makes the text of a reply; it outlives a turn when a tool asks the caller."""

    __slots__ = ("error", "said", "stopped", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.error: Exception | None = None
        self.said = False  # whether it has made words of its own
        self.stopped = False


class Agent(Processor):
    """Answers with a language model and tools, or with what a subclass says.

        Agent("clinic", "You book appointments. Today is {{ date }}.", llm, tools=[book], greeting="Hello!")

        class Parrot(Agent):
            async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
                yield f"You said: {turn.text}"

    name: how events and other agents call it.
    instructions: the system message of the model: a text, or a function of the call that returns one. Names in double
        braces are filled in for each request: see `template`.
    tools: functions declared with `@tool()`, and `MCPServer`s.
    greeting: said when the call begins: a text or template, a function of the call, or `Generated(...)` by the model.
        It is ready, and where the voice can prepare it also spoken, before the call is answered.
    voice: of the TTS that stands behind it; by default that one's own.
    interruptible: whether the caller may interrupt its replies.

    Raises `ConfigurationError` (`agent.template`, `agent.template-name`, `agent.zone`, `agent.tool`) and `ToolError`
    (`tool.twice`).
    """

    def __init__(
        self,
        name: str = "",
        instructions: str | Callable[[Call], str] = "",
        llm: LLM | None = None,
        *,
        tools: Iterable[AnyTool | MCPServer] = (),
        greeting: Greeting | None = None,
        voice: str | None = None,
        interruptible: bool = True,
        settings: AgentSettings | None = None,
    ) -> None:
        self._name = name
        self.settings = settings or AgentSettings.load()
        self.instructions = instructions
        self.llm = llm
        self.greeting = greeting
        self.voice = voice
        self.interruptible = interruptible
        self._template = _template(instructions, "The instructions")
        self._opening = Opening(greeting)
        self._conversation = Conversation(self._is_live, result_chars=self.settings.result_chars)
        self._tools = ToolBox(self, self._conversation, _zone(self.settings.zone))
        self._tools.questions.on_question = self._question_came
        given = list(tools)
        servers: list[MCPServer] = [tool for tool in given if hasattr(tool, "acquire")]  # type: ignore[misc]
        self._tools.add(tool for tool in given if tool not in servers)  # type: ignore[misc]
        self._servers = Servers(self, self._tools, servers)
        self._first_words = ""  # the greeting, when it is ready
        self._reply: _Reply | None = None
        self._work: _Work | None = None
        self._news = asyncio.Event()
        self._speculation: Speculation | None = None
        self._last_round = False
        self._model_settings: dict[str, Any] = {}
        self._summary: asyncio.Task[None] | None = None

    # -- for a subclass

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        """The answer to a turn, piece by piece. Override it for an agent of your own.

        It is cancelled when the caller interrupts. `self.context` ends with the turn. Tools: `await self.use(tool)`.
        """
        if self.llm is None and type(self).inference is Agent.inference:
            raise ConfigurationError.of("agent.no-reply", agent=self.name)
        await self._servers.ready()
        for number in range(self.settings.tool_rounds + 1):
            self._last_round = number == self.settings.tool_rounds
            specs = self._tools.specs()
            calls: list[ToolCall] = []
            async with contextlib.aclosing(self._ask(specs)) as parts:
                async for part in parts:
                    if isinstance(part, TextDelta):
                        yield part.text
                    elif isinstance(part, ToolCall):
                        calls.append(part)
            if not calls or self._last_round:
                return
            runs = await self._run(calls)
            if any(run.tool.ends_reply and run.done.result().error is None for run in runs):
                if self._work is not None:
                    self._work.said = True  # by the tool, if anything
                return

    async def inference(self, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...]) -> AsyncGenerator[Part, None]:
        """One request to the model. Override it to ask in a way of your own; closing it cancels the request."""
        assert self.llm is not None
        request = LLMRequest(
            messages,
            tools,
            tool_choice="none" if self._last_round and tools else "auto",
            parallel_tools=self.settings.parallel_tools,
            temperature=self.settings.temperature,
            max_tokens=self.settings.max_tokens,
            settings=self._model_settings,
        )
        async with contextlib.aclosing(self.llm.stream(request)) as parts:
            async for part in parts:
                yield part

    async def use(self, tool: AnyTool, **arguments: Any) -> Any:
        """Call a tool, and return its result: for `reply()` of a subclass.

        It is treated as one that the model calls: duplicates, agreement, fillers, interruption; and it stands in the
        context. Raises `ToolError`.
        """
        called = self._tools.called(ToolCall("", tool.name, arguments))
        self._entry().call([called])
        run = self._tools.start(called, tool=tool)
        await self._tools.together([run])
        result = run.done.result()
        if result.error is not None:
            raise hidden_in(result.error, arguments, tool.secret)
        return result.value

    # -- for everybody

    @property
    def context(self) -> tuple[Message, ...]:
        """The conversation as it was heard: the caller's turns, of the bot's replies what reached the caller, and the
        tools with their results."""
        return self._conversation.messages()

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """The calls of tools that wait for an operator."""
        return tuple(wish.approval for wish in self._tools.approvals.wishes.values())

    def approve(self, call_id: str, *, by: str) -> bool:
        """Let a tool run that waits for an operator. by: `"operator:ann"`. False if nobody waits for it (any more)."""
        return self._tools.approvals.decide(call_id, True, by, "")

    def decline(self, call_id: str, *, by: str, reason: str = "") -> bool:
        """Do not let it run. reason: for the model, as a clause."""
        return self._tools.approvals.decide(call_id, False, by, reason)

    @property
    def spoken(self) -> bool:
        """Whether the reply that is being made has words yet."""
        return self._reply is not None and self._reply.said

    def utter(self, text: str, *, meanwhile: bool = False, filler: bool = False) -> None:
        """Say something in the reply that is being made, or in one of its own.

        meanwhile: while tools run: it stands before their results. filler: it answers nothing.
        """
        if not text:
            return
        if self._reply is None and not self._open(None):
            return
        reply = self._reply
        assert reply is not None
        before = reply.answer.said
        if meanwhile or (reply.answer.parts[-1].calls and before):
            # Sentences of different origin must not run together, and the voice must not wait for what comes behind.
            text = text if not before or before[-1].isspace() or text[0].isspace() else f" {text}"
            text = text if not meanwhile or text[-1].isspace() else f"{text} "
        if not text.isspace():
            reply.said = True
            reply.told = reply.told or not filler
        reply.answer.say(text, meanwhile=meanwhile)
        self.push(TextFrame(text, reply.number))

    # -- the life of the call

    async def setup(self) -> None:
        voice = voice_behind(self)
        if voice is not None and self.voice is not None:
            voice.voice = self.voice
            voice.configure({"voice": self.voice})
        self._instructions(strict=True)
        prices()  # a file of prices that cannot be read is known now, and not when somebody waits for an answer
        if self.llm is not None:
            self.spawn(self.llm.warm(), name=f"{self.name} warms its model", lasting=True)
        self._servers.begin()
        instructions = self._instructions()
        self._first_words = await self._opening.words(
            self, self._values(), lambda prompt: self._complete(prompt, instructions)
        )
        if self._first_words and voice is not None:
            name = f"{self.name} prepares its greeting"
            self.spawn(prepared(self, voice, self._first_words), name=name, lasting=True)

    async def cleanup(self) -> None:
        await self._servers.end()

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        if not self._first_words or not self._open(None, interruptible=self.settings.greeting_interruptible):
            return
        self.utter(self._first_words)
        self._close()

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        """What has side effects is finished by now; nobody waits for the rest any more."""
        self._drop_speculation()
        self._stop_work()
        await self._tools.stop("the call has ended")

    # -- turns

    @handles(UserTurnFrame, on_interrupt="cancel")
    async def on_turn(self, frame: UserTurnFrame) -> None:
        # An interruption may have come with this turn: what was heard of the reply that it cut belongs before the turn.
        for cut in [reply for reply in self.call.replies.open.values() if reply.swept]:
            await cut
        question = self._tools.questions.current
        self._conversation.turn(frame.turn, self._as_text(frame, private=question is not None and question.private))
        if question is None:
            self._stop_work()  # it may be at work without a turn: a question was given up in silence
            self._close()
        if not self._open(frame.turn):
            self._drop_speculation()
            return
        try:
            if question is not None and self._work is not None:
                self._drop_speculation()
                self._tools.questions.hear(frame)
                self._question_came()
            else:
                self._begin(frame)
            await self._until_done_or_asking()
        except asyncio.CancelledError:
            # A question that a tool has put to the caller waits for the next turn, and so does the work behind it.
            if self._tools.questions.current is None:
                self._stop_work()
            raise
        finally:
            self._close()

    def _begin(self, turn: UserTurnFrame) -> None:
        work = self._work = _Work()
        work.task = self.spawn(self._make(work, turn), name=f"{self.name} replies", lasting=True)

    async def _make(self, work: _Work, turn: UserTurnFrame) -> None:
        """Make the reply, to its end."""
        try:
            async with contextlib.aclosing(self.reply(turn)) as pieces:  # type: ignore[type-var]
                async for text in pieces:
                    if work.stopped:
                        return
                    if text:
                        work.said = work.said or not text.isspace()
                        self.utter(text)
                        await self.drain()  # a model may write faster than anybody speaks
            if not work.stopped and not work.said and self._reply is not None and not self._reply.told:
                self._apologize(work)
        except Exception as error:
            if not work.stopped:
                self.fail(error)
                self._apologize(work)
        finally:
            self._drop_speculation()
            if self._work is work:
                self._work = None
                self._news.set()
                if self._reply is not None and self._reply.turn is None:
                    self._close()  # one that was opened for this work alone
            if not self.call.engine.finished:
                self._summarize()

    def _apologize(self, work: _Work) -> None:
        """The model has failed, or said nothing. What is said already may be a filler, after which nobody speaks."""
        if work.said:
            return
        heard = self._reply is not None and self._reply.said
        self.utter(self.settings.apology or (self.call.settings.reprompt if heard else ""))

    async def _until_done_or_asking(self) -> None:
        while self._work is not None and not self._tools.questions.waits:
            self._news.clear()
            await self._news.wait()

    def _stop_work(self) -> None:
        work, self._work = self._work, None
        if work is not None and work.task is not None:
            work.stopped = True
            work.task.cancel()

    def _question_came(self) -> None:
        """A tool asks the caller: in the reply that is being made, or in one of its own."""
        text = self._tools.questions.say()
        if text:
            own = self._reply is None
            self.utter(text, meanwhile=True)
            if own:
                self._close()
        self._news.set()

    @handles(UserIdleFrame)
    def on_idle(self, frame: UserIdleFrame) -> Frame:
        if self._tools.questions.waits:
            self._tools.questions.silence()
        return frame

    # -- replies

    def _open(self, turn: int | None, *, interruptible: bool | None = None) -> bool:
        """Begin a reply. False if it would come too late."""
        interruptible = self.interruptible if interruptible is None else interruptible
        number = self.begin_reply(turn, interruptible=interruptible)
        if not number:
            return False
        self._reply = _Reply(number, turn, self._conversation.answer(number))
        self.push(ReplyStartedFrame(number, turn, interruptible))
        return True

    def _close(self) -> None:
        """Nothing is added to the reply. Also when the model has failed: its turn is not left waiting."""
        reply, self._reply = self._reply, None
        if reply is not None:
            self.push(ReplyEndedFrame(reply.number))

    def _is_live(self, number: int) -> bool:
        reply = self.call.replies.get(number)
        return reply is not None and not reply.swept

    def _entry(self) -> Answer:
        """The entry of the context for what is done now."""
        if self._reply is None and not self._open(None):
            raise CallEnded.of("call.ended", call=self.call.id, reason=self.call.reason, what="a tool")
        assert self._reply is not None
        return self._reply.answer

    @observes(ReplyStartedFrame)
    def on_other_reply(self, frame: ReplyStartedFrame) -> None:
        """Others speak as well (`call.say()`): their words have their place from now on."""
        self._conversation.answer(frame.reply)

    @handles(HeardFrame, upstream=True, concurrent=True)
    def on_heard(self, frame: HeardFrame) -> Frame:
        self._conversation.heard(frame.reply, frame.text)
        return frame

    # -- asking the model

    def _values(self) -> dict[str, Any]:
        return values_of(self.call, self.name, self._tools.zone)

    def _instructions(self, *, strict: bool = False) -> str:
        if callable(self.instructions):
            return self.instructions(self.call)
        return self._template.fill(self._values(), strict=strict)

    def _as_text(self, frame: UserTurnFrame, *, private: bool) -> str:
        if private:
            return "(This is kept private.)"
        if frame.source == "dtmf":
            return f"(Keys pressed: {frame.text})"
        return frame.text.strip() or self.settings.unrecognized

    def _messages(self, specs: Sequence[ToolSpec], extra: str = "") -> tuple[Message, ...]:
        return self._conversation.request(self._instructions(), specs, budget=self.settings.context_tokens, extra=extra)

    def _ask(self, specs: tuple[ToolSpec, ...]) -> Parts:
        """Ask the model, or take the answer for which it was asked already."""
        messages = self._messages(specs)
        speculation, self._speculation = self._speculation, None
        if speculation is not None:
            if speculation.answers(messages):
                return speculation.parts()
            speculation.drop()
        return self._asked(messages, specs)

    def _asked(self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]) -> Parts:
        return asked(self, self.llm, self.inference(messages, specs), self._model_settings.get("model", ""))

    async def _complete(self, prompt: str, instructions: str) -> str:
        """A text by the model that is no part of the conversation."""
        head = (Message("system", instructions),) if instructions else ()
        text = ""
        parts = self._asked((*head, Message("user", prompt)), ())
        async with contextlib.aclosing(parts):
            async for part in parts:
                if isinstance(part, TextDelta):
                    text += part.text
        return text

    async def _run(self, calls: Sequence[ToolCall]) -> list[Run]:
        """Call tools side by side, until all have returned."""
        entry = self._entry()
        if entry.said and not entry.said[-1].isspace():
            self.utter(" ")  # the voice need not wait for what comes behind
        made: list[Called] = []
        for call in calls:
            made.append(self._tools.called(call, made))
        entry.call(made)
        runs = [self._tools.start(called, call.error) for called, call in zip(made, calls, strict=True)]
        await self._tools.together(runs)
        return runs

    # -- eager turns

    @handles(EagerTurnFrame)
    def on_eager(self, frame: EagerTurnFrame) -> Frame:
        self._drop_speculation()
        custom = type(self).reply is not Agent.reply or (self.llm is None and type(self).inference is Agent.inference)
        if self.settings.eager and not custom and self._work is None and self._tools.questions.current is None:
            specs = self._tools.specs()
            self._last_round = False
            messages = self._messages(specs, extra=frame.text.strip())
            parts = self._asked(messages, specs)
            self._speculation = Speculation(self, messages, parts)
        return frame

    @handles(TurnResumedFrame)
    def on_resumed(self, frame: TurnResumedFrame) -> Frame:
        self._drop_speculation()
        return frame

    def _drop_speculation(self) -> None:
        speculation, self._speculation = self._speculation, None
        if speculation is not None:
            speculation.drop()

    # -- the context

    def _summarize(self) -> None:
        """Have old turns summarized, if there are many, while the caller listens."""
        settings = self.settings
        if not settings.summarize or (self._summary is not None and not self._summary.done()):
            return
        if self.llm is None and type(self).inference is Agent.inference:
            return
        if self._conversation.size() <= settings.context_tokens * settings.summarize_at:
            return
        until, text = self._conversation.old(settings.keep_turns)
        if text:
            self._summary = self.spawn(self._summarized(until, text), name=f"{self.name} summarizes", lasting=True)

    async def _summarized(self, until: int, text: str) -> None:
        try:
            summary = await self._complete(*summarized(text, self.settings.context_tokens))
        except Exception as error:
            self.fail(error)  # the oldest turns are left out then, without one
            return
        if summary.strip():
            self._conversation.summarize(until, " ".join(summary.split()))

    # -- settings

    @handles(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> Iterable[Frame]:
        """Those of `AgentSettings`, and `instructions`, `model` (a name for the same vendor), `llm`, `voice`."""
        if frame.target != self.name:
            return ()
        changes = dict(frame.changes)
        out: list[Frame] = []
        if "instructions" in changes:
            instructions = changes.pop("instructions")
            template = _template(instructions, "The instructions")
            if not callable(instructions):
                template.fill(self._values())
            self.instructions, self._template = instructions, template
        if "llm" in changes:
            self.llm = changes.pop("llm")
            self._model_settings = {}
        if "model" in changes:
            self._model_settings = {"model": changes.pop("model")}
        if "voice" in changes:
            self.voice = changes.pop("voice")
            voice = voice_behind(self)
            if voice is not None:
                out.append(UpdateSettingsFrame(voice.name, {"voice": self.voice}))
        if changes:
            self.settings = self.settings.replace(**changes)
            self._tools.zone = _zone(self.settings.zone)
        return out


def _template(text: object, where: str) -> Template:
    return Template(text if isinstance(text, str) else "", where)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return timezone.utc  # noqa: UP017  # a machine without tzdata has this one
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigurationError.of("agent.zone", zone=name) from None
