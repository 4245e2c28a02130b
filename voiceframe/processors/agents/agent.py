"""The agent: answers the turns of the caller.

turn committed ──▶ begin a reply ──▶ stream its text, call its tools ──▶ end the reply
     ▲                  │ interruption: cancelled; what was heard of it is what the context holds
     └──a tool asks─────┘ the next turn is its answer

What is being said in the call is in `saying`; several agents (a `Squad`) may share it. Then one of them stands in the
pipeline and takes the frames, and `_speaker` is the one that answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from datetime import timezone, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ...call import Call
from ...errors import ConfigurationError, SquadError
from ...events import AgentAdvised
from ...frames import (
    EagerTurnFrame,
    EndFrame,
    Frame,
    HeardFrame,
    ReplyStartedFrame,
    StartFrame,
    TurnResumedFrame,
    UpdateSettingsFrame,
    UserIdleFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
)
from ...llm import LLM, LLMRequest, Message, Part, ToolCall, ToolSpec
from ...prices import prices
from ...processor import Processor, handles, observes
from ...tools.handoff import Handoff
from ...tools.tool import AnyTool
from ...tools.values import hidden_in
from .approvals import Approval
from .asking import Speculation
from .context import Note, View
from .fitting import check_speakers
from .greeting import Greeting, Opening, prepared, voice_behind
from .mind import Mind
from .remarks import Remarks
from .saying import Saying
from .servers import Servers
from .settings import AgentSettings
from .summary import Summaries
from .template import Template
from .toolbox import ToolBox
from .voices import Voices

if TYPE_CHECKING:
    from ...node import Node
    from ...pipeline import Pipeline
    from ...tools.mcp import MCPServer
    from ..guardrails import AgentGuard, Guardrail
    from .exchange import Exchange

__all__ = ["Agent"]


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
    description: what it is for, in a phrase: for the other agents of a `Squad`, and for a `Router`.
    guardrail: judges what the model is asked, what tools get and return, and what is handed over. What the caller and
        the bot say, it judges where it stands in the pipeline: see `Guardrail`.

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
        description: str = "",
        guardrail: Guardrail | None = None,
        settings: AgentSettings | None = None,
    ) -> None:
        self._name = name
        self.settings = settings or AgentSettings.load()
        self.instructions = instructions
        self.llm = llm
        self.greeting = greeting
        self.voice = voice
        self.interruptible = interruptible
        self.description = description
        self._template = _template(instructions, "The instructions")
        self._opening = Opening(greeting)
        self._saying = Saying(self, result_chars=self.settings.result_chars)
        self._view: View = self._saying.conversation.view
        self._tools = ToolBox(self, self._saying.conversation, _zone(self.settings.zone))
        self._tools.questions.on_question = self._question_came
        given = list(tools)
        servers: list[MCPServer] = [tool for tool in given if hasattr(tool, "acquire")]  # type: ignore[misc]
        self._tools.add(tool for tool in given if tool not in servers)  # type: ignore[misc]
        self._servers = Servers(self, self._tools, servers)
        self._first_words = ""  # the greeting, when it is ready
        self._mind = Mind(self)
        self._model_settings: dict[str, Any] = {}
        self._summaries = Summaries(self)
        self._remarks = Remarks(self)
        self._guard: AgentGuard | None = guardrail.beside(self) if guardrail is not None else None
        self._exchange: Exchange | None = None  # of the squad that it belongs to
        self._voices = Voices(self)
        self._saying.before_open = self._voices.sync

    # -- for a subclass

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        """The answer to a turn, piece by piece. Override it for an agent of your own.

        It is cancelled when the caller interrupts. `self.context` ends with the turn. Tools: `await self.use(tool)`.
        """
        async with contextlib.aclosing(self._mind.answer()) as texts:
            async for text in texts:
                yield text

    async def remark(self, note: str) -> AsyncIterator[str]:
        """What to say about a note, of one's own accord: see `advise()`. By default what the model says, and where
        there is none, the note as it is."""
        async with contextlib.aclosing(self._mind.answer() if self._thinks else _said(note)) as texts:
            async for text in texts:
                yield text

    async def inference(self, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...]) -> AsyncGenerator[Part, None]:
        """One request to the model. Override it to ask in a way of your own; closing it cancels the request."""
        assert self.llm is not None
        request = LLMRequest(
            messages,
            tools,
            tool_choice="none" if self._mind.last_round and tools else "auto",
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
        self._saying.entry("a tool").call([called])
        run = self._tools.start(called, tool=tool)
        await self._tools.together([run])
        result = run.done.result()
        if result.error is not None:
            raise hidden_in(result.error, arguments, tool.secret)
        return result.value

    async def hand_off(
        self, target: str, *, reason: str = "", summary: str = "", metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Give the caller to another specialist of the squad, or to a destination: for `reply()` of a subclass, which
        returns then. Who takes over answers the same turn.

        Raises `HandoffError` if it does not take place, and `SquadError` (`squad.outside`) where there is no squad.
        """
        if self._exchange is None:
            raise SquadError.of("squad.outside", name=self.name)
        await self._exchange.hand_over(self, Handoff(target, reason, summary, metadata or {}))

    # -- for everybody

    @property
    def context(self) -> tuple[Message, ...]:
        """The conversation as it was heard: the caller's turns, of the bot's replies what reached the caller, the tools
        with their results, and the notes of programs."""
        return self._saying.conversation.messages(self._view.who)

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
        return self._saying.spoken

    def utter(self, text: str, *, meanwhile: bool = False, filler: bool = False) -> None:
        """Say something in the reply that is being made, or in one of its own.

        meanwhile: while tools run: it stands before their results. filler: it answers nothing.
        """
        self._saying.utter(text, meanwhile=meanwhile, filler=filler)

    def advise(self, text: str, *, source: str = "colleague", speak: bool = False) -> None:
        """Tell the agent something, as a program or an operator: it is in the next request to the model, marked as
        information that the caller has not said, and never part of the instructions.

        source: who tells it, for the model and the log.
        speak: the agent says something about it of its own accord (`remark()`) as soon as nobody speaks and nothing
            waits for an answer; where a turn of the caller comes first, its answer takes care of it.
        """
        if not text.strip() or self.call.engine.ending:
            return
        self.emit(AgentAdvised(agent=self._speaker.name, source=source, speak=speak, text=text))
        note = Note(source, text)
        self._saying.conversation.note(note)
        if speak:
            self._front._remarks.add(note)

    # -- one that stands in the pipeline, and those that speak there

    @property
    def _front(self) -> Agent:
        """The one that stands in the pipeline."""
        return self._saying.agent

    @property
    def _speaker(self) -> Agent:
        """The one that answers now."""
        return self

    def _join(self, front: Agent) -> None:
        """Belong to another agent, which stands in the pipeline."""
        self._saying, self._voices = front._saying, front._voices
        self._tools.join(front._tools)
        self._view = View(self.name)

    def _everybody(self) -> list[Agent]:
        """All that may speak."""
        return [self]

    def _adopt(self, node: Node | None) -> None:
        """Work in the place of another agent."""
        self._node = node

    def _named(self, name: str) -> Agent | None:
        """Who of those that may speak has this name."""
        return self if name == self.name else None

    # -- the life of the call

    def check_pipeline(self, pipeline: Pipeline) -> None:
        check_speakers(self, self._everybody(), pipeline)

    async def setup(self) -> None:
        self._adopt(self._node)
        self._voices.begin()
        self._begin()
        await self._prepare_greeting(self._speaker)

    def _begin(self) -> None:
        """Check what can be wrong, and connect in the background."""
        self._mind.instructions(strict=True)
        prices()  # a file of prices that cannot be read is known now, and not when somebody waits for an answer
        if self.llm is not None:
            self.spawn(self.llm.warm(), name=f"{self.name} warms its model", lasting=True)
        self._servers.begin()

    async def _prepare_greeting(self, who: Agent, opening: Opening | None = None) -> None:
        mind = who._mind
        instructions = mind.instructions()
        self._first_words = await (opening or who._opening).words(
            who, mind.values(), lambda prompt: mind.complete(prompt, instructions)
        )
        voice = voice_behind(self)
        if self._first_words and voice is not None:
            name = f"{self.name} prepares its greeting"
            self.spawn(prepared(self, voice, self._first_words), name=name, lasting=True)

    async def cleanup(self) -> None:
        await self._servers.end()

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        interruptible = self._speaker.settings.greeting_interruptible
        if not self._first_words or not self._saying.open(None, interruptible=interruptible):
            return
        self.utter(self._first_words)
        self._saying.close()

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        """What has side effects is finished by now; nobody waits for the rest any more."""
        self._saying.drop_speculation()
        self._saying.stop()
        await self._tools.stop("the call has ended")

    # -- turns

    @handles(UserTurnFrame, on_interrupt="cancel")
    async def on_turn(self, frame: UserTurnFrame) -> None:
        # An interruption may have come with this turn: what was heard of the reply that it cut belongs before the turn.
        for cut in [reply for reply in self.call.replies.open.values() if reply.swept]:
            await cut
        saying, question = self._saying, self._tools.questions.current
        saying.conversation.turn(frame.turn, self._as_text(frame, private=question is not None and question.private))
        if question is None:
            saying.stop()  # it may be at work without a turn: a question was given up in silence
            saying.close()
        if not saying.open(frame.turn, interruptible=self._speaker.interruptible):
            saying.drop_speculation()
            return
        try:
            if question is not None and saying.work is not None:
                saying.drop_speculation()
                saying.work.said = False  # in this reply
                self._tools.questions.hear(frame)
                self._question_came()
            else:
                self._tools.questions.drop()  # of tools for which no work waits
                saying.begin(lambda: self.reply(frame))
            await saying.until(lambda: self._tools.questions.waits)
        except asyncio.CancelledError:
            # A question that a tool has put to the caller waits for the next turn, and so does the work behind it.
            if self._tools.questions.current is None:
                saying.stop()
            raise
        finally:
            saying.close()

    def _question_came(self) -> None:
        """A tool asks the caller: in the reply that is being made, or in one of its own."""
        text = self._tools.questions.say()
        if text:
            own = self._saying.reply is None
            self.utter(text, meanwhile=True)
            if own:
                self._saying.close()
        self._saying.news.set()

    async def _remark_on(self, note: str) -> None:
        """Say something about a note, in a reply of its own, while nobody speaks."""
        saying = self._saying
        if not saying.open(None, interruptible=self._speaker.interruptible):
            return
        reply = saying.reply
        saying.begin(lambda: self.remark(note))
        await saying.until(lambda: self._tools.questions.waits)
        if saying.reply is reply:
            saying.close()

    @observes(UserStoppedSpeakingFrame)
    def on_silence(self, frame: UserStoppedSpeakingFrame) -> None:
        self._remarks.fell_silent()

    @handles(UserIdleFrame)
    def on_idle(self, frame: UserIdleFrame) -> Frame:
        if self._tools.questions.waits:
            self._tools.questions.silence()
        return frame

    # -- what is heard

    @observes(ReplyStartedFrame)
    def on_other_reply(self, frame: ReplyStartedFrame) -> None:
        """Others speak as well (`call.say()`): their words have their place from now on."""
        self._saying.conversation.answer(frame.reply)

    @handles(HeardFrame, upstream=True, concurrent=True)
    def on_heard(self, frame: HeardFrame) -> Frame:
        self._saying.conversation.heard(frame.reply, frame.text)
        return frame

    # -- asking the model

    @property
    def _thinks(self) -> bool:
        """Whether it can be asked anything."""
        return self.llm is not None or type(self).inference is not Agent.inference

    def _as_text(self, frame: UserTurnFrame, *, private: bool) -> str:
        if private:
            return "(This is kept private.)"
        if frame.source == "dtmf":
            return f"(Keys pressed: {frame.text})"
        return frame.text.strip() or self._speaker.settings.unrecognized

    def _tidy(self) -> None:
        """A reply was made: the caller listens."""
        self._summaries.look()

    # -- eager turns

    @handles(EagerTurnFrame)
    def on_eager(self, frame: EagerTurnFrame) -> Frame:
        saying = self._saying
        saying.drop_speculation()
        if saying.work is None and self._tools.questions.current is None:
            saying.speculation = self._speculate(frame.text.strip())
        return frame

    def _speculate(self, text: str) -> Speculation | None:
        """Ask the model for the answer to a turn that is not committed."""
        custom = type(self).reply is not Agent.reply
        return None if custom or not self.settings.eager or not self._thinks else self._mind.speculate(text)

    @handles(TurnResumedFrame)
    def on_resumed(self, frame: TurnResumedFrame) -> Frame:
        self._saying.drop_speculation()
        return frame

    # -- settings

    @handles(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        """Those of `AgentSettings`, and `instructions`, `model` (a name for the same vendor), `llm`, `voice`."""
        self._voices.changed(frame)
        agent = self._named(frame.target)
        if agent is not None:
            agent._change(frame.changes)
            self._voices.sync()

    def _change(self, settings: Mapping[str, Any]) -> None:
        changes = dict(settings)
        if "instructions" in changes:
            instructions = changes.pop("instructions")
            template = _template(instructions, "The instructions")
            if not callable(instructions):
                template.fill(self._mind.values())
            self.instructions, self._template = instructions, template
        if "llm" in changes:
            self.llm = changes.pop("llm")
            self._model_settings = {}
        if "model" in changes:
            self._model_settings = {"model": changes.pop("model")}
        if "voice" in changes:
            self.voice = changes.pop("voice")
        if changes:
            self.settings = self.settings.replace(**changes)
            self._tools.zone = _zone(self.settings.zone)


async def _said(text: str) -> AsyncGenerator[str, None]:
    yield text


def _template(text: object, where: str) -> Template:
    return Template(text if isinstance(text, str) else "", where)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return timezone.utc  # noqa: UP017  # a machine without tzdata has this one
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigurationError.of("agent.zone", zone=name) from None
