"""The auditor: a second pair of eyes beside a call, which the call cannot feel.

what was said ──▶ due: a turn, or the time ──▶ look ──▶ nothing
                      ▲                         │ ├───▶ correction ──▶ waits ──▶ told to the agent, as data
                      └── never two at once ────┘ ├───▶ complete ──▶ told to the agent; looks no more
                                                  └───▶ abort ──▶ a last sentence, and the call ends
"""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Iterable
from datetime import timezone, tzinfo
from typing import TYPE_CHECKING, Any, Final, get_args
from zoneinfo import ZoneInfo

from ...errors import AuditorError, VoiceframeError
from ...events import (
    AuditorAborted,
    AuditorClosed,
    AuditorCompleted,
    AuditorCorrected,
    AuditorFailed,
    AuditorLooked,
    LoggedEvent,
)
from ...frames import (
    HeardFrame,
    InputDTMFFrame,
    StartFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ...processor import Observer, Processor, observes
from ...subject import About, Subject, set_subject, subject_of
from ...tools.tool import AnyTool
from .agent import Agent
from .auditor_delivery import Deliver, Delivery
from .auditor_desk import Desk, Verdict
from .auditor_look import Looks, Spent
from .auditor_settings import LEAST_MS, AuditorSettings
from .auditor_transcript import Transcript
from .auditor_voice import Voice, voices_in
from .entries import HAND_OFF
from .template import Template, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pipeline import Pipeline

__all__ = ["Auditor", "AuditorSettings"]

_log = logging.getLogger("voiceframe.auditor")

#: How often a look that has failed is tried again while nothing more is said, with an interval.
_MOST_RETRIES: Final = 3
#: How long the words of a turn are waited for that was committed without them.
_WORDS_S: Final = 2.0
_NOTHING_NEW: Final = "(Nothing. Your last look was given up: see what came before.)"


class Auditor(Observer):
    """Looks on at a call, fills what the call is about, and has the agent put right what went wrong.

        auditor = Agent("auditor", "Check what is collected.", llm, tools=[fill])
        Pipeline([..., agent, ...], observers=[Auditor(auditor)])

    agent: what the auditor is: its instructions, its model and its own tools, whose results are for it alone. It is
        asked as text and stands in no pipeline. It may be the very agent of the call, which then looks at itself; of
        the tools that it has there it gets those without side effects, so that nothing is done twice.
    every_ms: look at this interval, 3,000 at least. None: as the settings say, by default at each turn of the caller.
    deliver: when the agent is told of a correction: with its next answer (`"turn"`), or at once (`"now"`), as soon as
        nobody speaks; if the caller says something before that, with the answer to it.
    of: the name of the agent that is listened to, where the pipeline has several.
    subject: what the call is about, for the auditor's tools (`subject_of(ctx.call)`) and its instructions
        (`{{ data.subject.id }}`); by default what the call itself says.
    tools: in place of the agent's own.

    The model gives its verdict by tools: `correction(message)`, `complete(message)`, `abort(message)`. A look that is
    slow, or fails, is an event, and what it was about is in the next one; the call never waits for it.

    Raises `AuditorError` for what cannot work, here and where the call begins, before it is answered.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        every_ms: int | None = None,
        deliver: Deliver = "turn",
        of: str = "",
        subject: About | None = None,
        tools: Iterable[AnyTool] | None = None,
        settings: AuditorSettings | None = None,
    ) -> None:
        if every_ms is not None and every_ms < LEAST_MS:
            raise AuditorError.of("auditor.interval", every_ms=every_ms, least_ms=LEAST_MS, default_ms=5_000)
        if deliver not in get_args(Deliver):
            raise AuditorError.of("auditor.deliver", deliver=deliver)
        self._checked(agent)
        self.settings = settings or AuditorSettings.load()
        #: The interval between looks; None: it looks at each turn.
        self.every_ms = every_ms or (self.settings.every_ms if self.settings.look == "interval" else None)
        self.deliver: Deliver = deliver
        self.agent = agent
        #: The name of the agent that it listens to; empty for the only one.
        self.of = of
        #: How many looks there were, and how many of them have failed.
        self.looks = 0
        self.failures = 0
        #: Whether it has said that everything is there, or has ended the call: it looks no more.
        self.over = False
        self._about = Subject.of(subject) if subject is not None else None
        self._given_tools = None if tools is None else list(tools)
        self._instructions = agent.instructions
        self._template = Template(agent.instructions if isinstance(agent.instructions, str) else "", "The auditor")
        self._transcript = Transcript()
        self._itself = False
        self._given: list[Verdict] = []  # in this look
        self._due = False
        self._failed_in_a_row = 0
        self._looking: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._delivery = Delivery(self)
        self._zone = _zone(agent.settings.zone)
        self._desk = Desk(self, agent.settings, self._zone, self._given_tools or ())
        self._talk = Looks(self, agent, self._desk, rounds=self.settings.rounds, budget=self.settings.history_tokens)

    @staticmethod
    def _checked(agent: object) -> None:
        if not isinstance(agent, Agent):
            raise AuditorError.of("auditor.no-agent", what=repr(agent)[:80])
        if type(agent).reply is not Agent.reply:
            raise AuditorError.of("auditor.own-reply", agent=agent.name, kind=type(agent).__name__)
        if agent.llm is None and type(agent).inference is Agent.inference:
            raise AuditorError.of("auditor.no-model", agent=agent.name)

    # -- the life of the call

    async def setup(self) -> None:
        voice = self._delivery.voice = self._found(node.proc for node in self.call.engine.nodes)
        self._itself = self.agent._front is voice.processor  # the same, or a specialist of that squad
        if self._given_tools is None:
            own, servers = tools_of(self.agent)
            if self._itself:
                own = [tool for tool in own if not tool.side_effects and not tool.confirm]
            self._desk.add(own)
            self._desk.serve(servers)
        if self._about is not None:
            set_subject(self.call, self._about)
        self._told(strict=True)
        if self.agent.llm is not None:
            self.spawn(self.agent.llm.warm(), name=f"{self.name} warms its model", lasting=True)
        self._unsubscribe = self.call.log.subscribe(self._on_event)

    def check_pipeline(self, pipeline: Pipeline) -> None:
        if "#" not in self.of:  # such a name is given when the call begins
            self._found(pipeline.processors())

    def _found(self, processors: Iterable[Processor]) -> Voice:
        """The agent of the call. Raises `AuditorError`."""
        voices = voices_in(processors)
        known = ", ".join(voice.name for voice in voices)
        if self.of:
            found = [voice for voice in voices if voice.name == self.of]
            if not found and voices:
                nearest = difflib.get_close_matches(self.of, [voice.name for voice in voices], n=1, cutoff=0.0)[0]
                raise AuditorError.of(
                    "auditor.unknown-voice", auditor=self.name, name=self.of, known=known, nearest=nearest
                )
            voices = found
        if not voices:
            raise AuditorError.of("auditor.no-voice", auditor=self.name)
        if len(voices) > 1:
            raise AuditorError.of("auditor.which-voice", auditor=self.name, known=known, first=voices[0].name)
        return voices[0]

    async def cleanup(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self.emit(
                AuditorClosed(
                    auditor=self.name,
                    looks=self.looks,
                    failures=self.failures,
                    unseen=0 if self.over else self._transcript.unseen,
                    undelivered=tuple(self._delivery.waiting),
                )
            )
        await self._desk.end()

    @observes(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        if self.every_ms is not None:
            self.spawn(self._every(self.every_ms / 1000), name=f"{self.name} looks", lasting=True)

    # -- what is said

    @observes(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        private = self.call.log.private > 0
        self._transcript.said(frame.turn, frame.text, frame.source, private=private)
        self._delivery.tell_with_turn(frame.turn)  # before the agent sees the turn: it is in the request for the answer
        if self.every_ms is not None:
            return
        self._due = True
        if frame.text or not self._delivery.voice.hears_itself:
            self._begin()
        else:  # such a model commits a turn when it answers, often before its words are known: `_on_event` has them
            self.spawn(self._look_without_words(), name=f"{self.name} waits for words", lasting=True)

    async def _look_without_words(self) -> None:
        await asyncio.sleep(_WORDS_S)
        self._begin()

    @observes(HeardFrame, upstream=True)
    def on_heard(self, frame: HeardFrame) -> None:
        cut = frame.final and not frame.complete
        self._transcript.heard(frame.reply, frame.text, private=self.call.log.private > 0, cut=cut)

    def _on_event(self, event: LoggedEvent) -> None:
        if event.kind == "turn.transcribed" and event.turn is not None and event.personal is not None:
            self._transcript.transcribed(event.turn, str(event.personal["text"]))
            if self.every_ms is None:
                self._due = True
                self._begin()

    @observes(VADUserStartedSpeakingFrame)
    def on_sound(self, frame: VADUserStartedSpeakingFrame) -> None:
        self._delivery.loud = True

    @observes(VADUserStoppedSpeakingFrame)
    def on_silence(self, frame: VADUserStoppedSpeakingFrame) -> None:
        self._delivery.loud = False
        self._delivery.fell_silent()

    @observes(UserStartedSpeakingFrame, InputDTMFFrame)
    def on_speech(self, frame: UserStartedSpeakingFrame | InputDTMFFrame) -> None:
        # Such a model answers the caller before their turn is known to anybody else: it must know by now.
        if self._delivery.voice.hears_itself:
            self._delivery.tell_with_turn(self.call.turns.last + 1)

    @observes(UserStoppedSpeakingFrame)
    def on_speech_end(self, frame: UserStoppedSpeakingFrame) -> None:
        self._delivery.fell_silent()

    # -- looking

    async def _every(self, every_s: float) -> None:
        """Look on a fixed grid. A look that takes longer than the interval takes the place of the next."""
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while not self.over:
            next_s += every_s * max(1, -(-(loop.time() - next_s) // every_s))
            await asyncio.sleep(next_s - loop.time())
            self._due = True
            self._begin()
            if self._looking is not None:
                await asyncio.wait({self._looking})

    def _begin(self) -> None:
        """Look now, or behind the look that is under way."""
        idle = self._looking is None or self._looking.done()
        if self._due and idle and not self.over and not self.call.engine.ending:
            self._looking = self.spawn(self._look_while_due(), name=f"{self.name} looks", lasting=True)

    async def _look_while_due(self) -> None:
        while self._due and not self.over and not self.call.engine.ending:
            self._due = False
            if self._transcript.unseen or 0 < self._failed_in_a_row <= _MOST_RETRIES:
                await self._look()

    async def _look(self) -> None:
        """One look. Nothing that goes wrong in it leaves it, but for its events."""
        self.looks += 1
        look, turn = self.looks, self._transcript.turn
        news, entries = self._transcript.take()
        spent = Spent()
        self._given.clear()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        limit = asyncio.timeout(self.settings.look_ms / 1000)
        try:
            async with limit:
                await self._desk.ready()
                await self._talk.look(self._told(), news or _NOTHING_NEW, spent, itself=self._itself)
        except Exception as error:
            self._failed_in_a_row += 1
            late = isinstance(error, TimeoutError) and limit.expired()
            message = f"It took longer than {self.settings.look_ms} ms." if late else str(error)
            self._has_failed(error, look, turn, round((loop.time() - began_s) * 1000), message)
            return
        self._failed_in_a_row = 0
        self.emit(
            AuditorLooked(
                auditor=self.name,
                look=look,
                turn=turn,
                entries=entries,
                took_ms=round((loop.time() - began_s) * 1000),
                verdict=self._given[-1] if self._given else "none",
                requests=spent.requests,
                tools=spent.tools,
                input_tokens=spent.input_tokens,
                output_tokens=spent.output_tokens,
                cost_usd=spent.cost_usd,
                note=spent.note,
            )
        )

    def _has_failed(self, error: Exception, look: int, turn: int, took_ms: int, message: str) -> None:
        """Its failures are nobody else's: no error goes through the pipeline."""
        self.failures += 1
        _log.warning("%s: look %d of %s failed: %s", self.call.id, look, self.name, type(error).__name__)
        if not self.call.ended:
            self.emit(
                AuditorFailed(
                    auditor=self.name,
                    look=look,
                    turn=turn,
                    took_ms=took_ms,
                    error=type(error).__name__,
                    code=error.code if isinstance(error, VoiceframeError) else None,
                    message=message,
                )
            )

    def fail(self, error: Exception, *, fatal: bool = False) -> None:
        self._has_failed(error, self.looks, self._transcript.turn, 0, str(error))

    def _told(self, *, strict: bool = False) -> str:
        """Its instructions, with what they name."""
        if callable(self._instructions):
            return self._instructions(self.call)
        values = values_of(self.call, self.agent.name, self._zone)
        return self._template.fill(values, strict=strict)

    # -- verdicts

    def judge(self, verdict: Verdict, message: str) -> str:
        """The model has given a verdict. Returns what it is told."""
        if self.call.engine.ending:
            return "The call is over."
        if self.over:
            return "You have given your last verdict already."
        self._given.append(verdict)
        turn = self._transcript.turn
        if verdict == "correction":
            replaces = verdict in self._delivery.waiting
            self._delivery.add(verdict, f"Something has to be put right with the caller. {message}")
            self.emit(
                AuditorCorrected(auditor=self.name, look=self.looks, turn=turn, replaces=replaces, message=message)
            )
            return "The agent will be told."
        self.over = True
        subject = subject_of(self.call)
        about: dict[str, Any] = {
            "auditor": self.name,
            "look": self.looks,
            "turn": turn,
            "subject_type": subject.type if subject else None,
            "subject_id": subject.id if subject else None,
            "message": message,
        }
        if verdict == "complete":
            self._delivery.add(
                verdict, f"Everything that this call is for is there; it can be closed. {message}".strip()
            )
            self.emit(AuditorCompleted(**about))
            return "The agent will be told, and may close."
        self._delivery.waiting.clear()
        self.emit(AuditorAborted(**about))
        self.spawn(self._delivery.abort(message), name=f"{self.name} ends the call", lasting=True)
        return "The call ends."


def tools_of(agent: Agent) -> tuple[list[AnyTool], list[Any]]:
    """The tools that an agent was given, and the MCP servers that have more."""
    own = [tool for tool in agent._tools.tools.values() if tool.name != HAND_OFF]  # an auditor has no caller to give
    return own, list(agent._servers._servers)


def _zone(name: str) -> tzinfo:
    # A machine without tzdata has this one; any other name was looked up when the agent was made.
    return timezone.utc if name == "UTC" else ZoneInfo(name)  # noqa: UP017
