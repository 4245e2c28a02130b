"""Calls that are placed: a number is dialled for a bot, and whoever picks up talks with that bot.

    place() ──▶ admitted, bot made ──▶ ringing ──▶ answered: the call begins
                    │ refused, late       │ busy, no answer, failed, cancelled
                    └──▶ DialError        └──▶ the call ends with that as its reason

A carrier is a subclass of `Dialler` with one method, which makes an `Outgoing`. The app owns the calls: they count
against its limits, it drains them, and their events have the direction `outbound`.
"""

from __future__ import annotations

import abc
import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ..call import Call
from ..errors import DialError, Reject
from ..events import CallLinked, DialEnded, DialStarted
from ..pipeline import Pipeline
from ..settings import Settings, setting
from ..subject import About, Subject
from ..tools.values import plain
from ..transports.base import Transport

if TYPE_CHECKING:
    from ..app import App, Bot

__all__ = ["Answer", "Dialled", "Dialler", "DiallerSettings", "Outcome", "Outgoing", "e164"]

_log = logging.getLogger("voiceframe.dialling")

#: What comes of dialling a number.
Outcome: TypeAlias = Literal["answered", "busy", "no-answer", "failed", "cancelled"]
Kind: TypeAlias = Literal["agent", "router", "bot"]

#: ITU-T E.164 (11/2010): a country code, which does not begin with 0, and at most 15 digits in all.
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
#: How much context is passed on, in characters of JSON.
_MOST_CHARS: Final = 8_000
#: How long a retry finds a call that is over, where it was placed out of none.
_KEEP_S: Final = 600.0
#: How long a carrier has to stop ringing.
_CANCEL_S: Final = 5.0


class DiallerSettings(Settings, prefix="DIALLER"):
    """How calls are placed."""

    start_ms: int = setting(
        default=5_000, doc="time in which the bot of a call must be made, before it is dialled", ge=1
    )
    ring_ms: int = setting(default=45_000, doc="time that a number rings before nobody has answered", ge=1_000)
    from_: str = setting(default="", doc="number that calls come from, unless they say another")


def e164(number: object) -> str:
    """The number, if it is in E.164 form: `+` and at most 15 digits. Raises `DialError` (`dial.number`)."""
    if not isinstance(number, str) or not _E164.fullmatch(number):
        raise DialError.of("dial.number", number=number)
    return number


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of dialling; `reason` is the carrier's own."""

    outcome: Outcome
    reason: str = ""


class Outgoing(abc.ABC):
    """One attempt of a carrier to reach a number. `transport` is the line of the call."""

    transport: Transport

    @abc.abstractmethod
    async def dial(self, call: Call) -> Answer:
        """Dial, and return when somebody has answered, or nobody will. It is cancelled when the call is over or has
        rung for long enough. What it raises is a failure."""

    @abc.abstractmethod
    async def cancel(self) -> None:
        """Stop ringing; hang up if somebody has answered meanwhile. Called after every outcome but `answered`."""


@dataclass(slots=True, eq=False)
class Dialled:
    """A call that was placed. `initiated`: it exists, its bot is made, and the number is being dialled."""

    call: Call
    number: str
    target: str
    kind: Kind
    #: What came of it, when that is known.
    answer: asyncio.Future[Answer] = field(repr=False)
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    async def answered(self) -> Answer:
        """Wait until somebody has answered, or nobody will."""
        return await asyncio.shield(self.answer)

    def cancel(self, reason: str = "cancelled") -> None:
        """Stop ringing. A call that was answered is ended."""
        if not self.call.ended:
            self.call.end(reason, after="now")


@dataclass(slots=True, eq=False)
class DialledBot:
    """A bot, and what it is told of the call that is placed for it."""

    bot: Bot
    target: str
    kind: Kind
    number: str
    dialler: str
    subject: Subject | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    call: Call | None = None

    def __call__(self, call: Call) -> Pipeline | Awaitable[Pipeline]:
        self.call = call
        if self.subject is not None:
            call.data["subject"] = self.subject
        call.data["context"] = self.context
        call.log.write(
            DialStarted(
                dialler=self.dialler,
                role=self.kind,
                target=self.target,
                number=self.number,
                context=self.context,
                subject_type=self.subject.type if self.subject else None,
                subject_id=self.subject.id if self.subject else None,
            )
        )
        return self.bot(call)

    def tell(self, call: Call) -> None:
        """Let whoever talks in the call know what it is about, whether or not their instructions name it."""
        from ..processors.agents.auditor_voice import voices_in

        if self.subject is None and not self.context:
            return
        told: dict[str, Any] = {"placed_to": self.number}
        if self.subject is not None:
            told["subject"] = {"type": self.subject.type, "id": self.subject.id}
        if self.context:
            told["context"] = self.context
        text = f"You are calling this number yourself. What the call is about: {json.dumps(told, ensure_ascii=False)}"
        for voice in voices_in(node.proc for node in call.engine.nodes):
            voice.tell(text, source="who placed the call")


class Dialler(abc.ABC):
    """Places calls over a carrier. It is an endpoint of the app that runs them: `App(bot, dialler)`.

    A subclass says how a number is reached: `outgoing()`.
    """

    def __init__(self, settings: DiallerSettings | None = None) -> None:
        self.settings = settings or DiallerSettings.load()
        self._app: App | None = None
        self._why = "it was given to no app that is open"
        self._coming: dict[Transport, DialledBot] = {}
        self._placed: dict[str, asyncio.Task[Dialled]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    @abc.abstractmethod
    def outgoing(self, number: str, from_: str) -> Outgoing:
        """An attempt to reach this number, with a line of its own. Nothing is dialled yet."""

    # -- as an endpoint

    async def open(self, app: App) -> None:
        """From now on calls can be placed. Raises `DialError` (`dial.opened-twice`) if another app has it."""
        if self._app is app:
            return
        if self._app is not None:
            raise DialError.of("dial.opened-twice", dialler=type(self).__name__)
        self._app = app
        inbound = app.bot

        def bot(call: Call) -> Pipeline | Awaitable[Pipeline]:
            # A call that was placed has its own bot; the app's is for those that come.
            return self._coming.get(call.transport, inbound)(call)

        app.bot = bot

    async def close(self) -> None:
        """Place no more calls. Those that ring or talk go on, as the app lets them."""
        self._app = None
        self._why = "its app takes no more calls"

    # -- placing

    async def place(
        self,
        number: str,
        bot: Bot,
        *,
        target: str = "",
        kind: Kind = "bot",
        subject: About | None = None,
        context: Mapping[str, Any] | None = None,
        from_: str = "",
        parent: Call | None = None,
        tool_call: str = "",
        key: str = "",
        id: str | None = None,
        seed: int | None = None,
    ) -> Dialled:
        """Have `number` called, for `bot` to talk. Returns when the call exists; it rings then.

        target, kind: what the bot is called in events.
        subject, context: what the call is about. Its bot finds them in `call.data`; its agent is told of them as data.
        parent, tool_call: the call from which, and the call of the tool by which it is placed; both logs say so.
        key: a second call of this with the same key returns what the first has placed, and dials nothing.
        id, seed: as of `App.take()`.

        Raises `DialError`: `dial.number`, `dial.subject`, `dial.context`, `dial.closed`, `dial.carrier`,
        `dial.refused`, `dial.start`, `dial.bot`.
        """
        found = self._placed.get(key) if key else None
        if found is None:
            coming = DialledBot(
                bot,
                target or getattr(bot, "__name__", type(bot).__name__),
                kind,
                e164(number),
                type(self).__name__,
                Subject.of(subject) if subject is not None else None,
                _context(context),
            )
            # A task of its own: who waits for it may be given up, and a call must not be left half placed.
            found = asyncio.get_running_loop().create_task(self._place(coming, from_, parent, tool_call, id, seed))
            self._hold(found)
            if key:
                self._placed[key] = found
                found.add_done_callback(lambda task: self._settled(key, task, parent))
        return await asyncio.shield(found)

    def _settled(self, key: str, task: asyncio.Task[Dialled], parent: Call | None) -> None:
        """What was not placed may be tried again; what was is found for as long as somebody may ask for it."""
        if task.cancelled() or task.exception() is not None:
            self._placed.pop(key, None)
        else:
            self._hold(asyncio.get_running_loop().create_task(self._kept(key, task.result(), parent)))

    async def _kept(self, key: str, dialled: Dialled, parent: Call | None) -> None:
        await dialled.call.wait_ended()
        if parent is not None:  # its tools are the only ones that know the key
            await parent.wait_ended()
            self._placed.pop(key, None)
        else:
            asyncio.get_running_loop().call_later(_KEEP_S, self._placed.pop, key, None)

    async def _place(
        self, coming: DialledBot, from_: str, parent: Call | None, tool_call: str, id: str | None, seed: int | None
    ) -> Dialled:
        app, number = self._app, coming.number
        if app is None:
            raise DialError.of("dial.closed", dialler=type(self).__name__, why=self._why)
        from_ = from_ or self.settings.from_
        try:
            outgoing = self.outgoing(number, from_)
        except DialError:
            raise
        except Exception as error:
            raise DialError.of(
                "dial.carrier", dialler=type(self).__name__, number=number, error=str(error).rstrip(".")
            ) from error
        call = await self._taken(app, coming, outgoing.transport, from_, parent, id, seed)
        loop = asyncio.get_running_loop()
        dialled = Dialled(call, number, coming.target, coming.kind, loop.create_future())
        if parent is not None:
            linked = CallLinked(
                parent=parent.id,
                child=call.id,
                tool_call=tool_call,
                target=coming.target,
                subject_type=coming.subject.type if coming.subject else None,
                subject_id=coming.subject.id if coming.subject else None,
            )
            parent.log.write(linked)
            call.log.write(linked)
        try:
            coming.tell(call)
        except Exception as error:  # whoever talks would not know of what
            call.log.write(DialEnded(outcome="failed", reason="the bot could not be told what it is about"))
            call.end("failed", after="now")
            raise DialError.of("dial.bot", target=coming.target, error=str(error).rstrip(".")) from error
        dialled._task = loop.create_task(self._ring(dialled, outgoing))
        self._hold(dialled._task)
        return dialled

    async def _taken(
        self,
        app: App,
        coming: DialledBot,
        transport: Transport,
        from_: str,
        parent: Call | None,
        id: str | None,
        seed: int | None,
    ) -> Call:
        """The call, with its bot made, before anything is dialled."""
        metadata: dict[str, Any] = {"context": coming.context}
        if coming.subject is not None:
            metadata["subject"] = {"type": coming.subject.type, "id": coming.subject.id}
        if parent is not None:
            metadata["parent"] = parent.id
        self._coming[transport] = coming
        limit = asyncio.timeout(self.settings.start_ms / 1000)
        try:
            async with limit:
                return await app.take(
                    transport,
                    direction="outbound",
                    from_=from_,
                    to=coming.number,
                    metadata=metadata,
                    id=id,
                    seed=seed,
                    ringing=True,
                )
        except Reject as refusal:
            raise DialError.of("dial.refused", number=coming.number, reason=refusal.reason) from refusal
        except Exception as error:
            late = isinstance(error, TimeoutError) and limit.expired()
            if coming.call is not None:
                reason = "the bot was not ready in time" if late else "the bot could not begin"
                coming.call.log.write(DialEnded(outcome="failed", reason=reason))
            if late:
                raise DialError.of("dial.start", target=coming.target, waited_ms=self.settings.start_ms) from error
            raise DialError.of("dial.bot", target=coming.target, error=str(error).rstrip(".")) from error
        finally:
            del self._coming[transport]

    async def _ring(self, dialled: Dialled, outgoing: Outgoing) -> None:
        """See what comes of it, whatever that is, and however the carrier behaves."""
        call, loop = dialled.call, asyncio.get_running_loop()
        began_s = loop.time()
        dialling = loop.create_task(outgoing.dial(call))
        over = loop.create_task(call.wait_ended())
        try:
            limit_s = self.settings.ring_ms / 1000
            await asyncio.wait({dialling, over}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            answer, ring_ms = _answer(call, dialling), round((loop.time() - began_s) * 1000)
        finally:
            dialling.cancel()
            over.cancel()
        call.log.write(DialEnded(outcome=answer.outcome, reason=answer.reason, ring_ms=ring_ms))
        dialled.answer.set_result(answer)
        if answer.outcome == "answered":
            call.answered()
        elif not call.ended:
            call.end(answer.outcome, after="now")
        await asyncio.wait({dialling, over}, timeout=_CANCEL_S)
        if answer.outcome != "answered":
            try:
                await asyncio.wait_for(outgoing.cancel(), _CANCEL_S)
            except Exception as error:
                _log.error("%s: the carrier did not stop ringing: %r", call.id, error)

    def _hold(self, task: asyncio.Task[Any]) -> None:
        """The loop itself keeps only weak references."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _answer(call: Call, dialling: asyncio.Task[Answer]) -> Answer:
    if call.ended:
        failed = call.reason == "error"
        return Answer("failed" if failed else "cancelled", "the bot has failed" if failed else call.reason)
    if not dialling.done():
        return Answer("no-answer", "it has rung for long enough")
    error = dialling.exception()
    if error is not None:
        return Answer("failed", f"{type(error).__name__}: {error}"[:200])
    found: object = dialling.result()
    return found if isinstance(found, Answer) else Answer("failed", f"the carrier has said {found!r}"[:200])


def _context(context: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy as JSON has it, so that what happens to the original changes nothing for the call."""
    if context is None:
        return {}
    given: object = context
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        error = f"{type(context).__name__} is no object with names"
    else:
        found: dict[str, Any] = plain(given)
        size = len(json.dumps(found, ensure_ascii=False))
        if size <= _MOST_CHARS:
            return found
        error = f"it has {size} characters"
    raise DialError.of("dial.context", error=error, limit=_MOST_CHARS)
