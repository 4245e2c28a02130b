"""The processor that runs a declared dialog in a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timezone, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ..errors import FlowError
from ..events import HandoffRequested
from ..frames import (
    ExpectFrame,
    InputDTMFFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
    TextFrame,
    UserIdleFrame,
    UserTurnFrame,
)
from ..processor import Processor, handles
from ..tools import ToolResult, call_tool
from .dialog import Dialog
from .places import here
from .settings import FlowSettings
from .slots import Context
from .states import AnyState, Do, End, Handoff
from .validate import checked
from .wording import Wording

if TYPE_CHECKING:
    from ..call import Call

__all__ = ["Flow", "Transfer"]

#: What gives the caller to a person: called with the call and the request, while the sentence is being said.
Transfer = Callable[["Call", HandoffRequested], Awaitable[None]]


class Flow(Processor):
    """Runs a declared dialog; it stands where an agent stands.

        Flow([State("ask", slots=[day], to="bye"), End("bye", "{day}. Goodbye!")], start="ask", person="reception")

    start: the first state.
    person: to whom a caller goes who says "operator", presses 0, or is not understood; None if there is nobody.
    give_up: the state for a caller who is not understood, where there is no person.
    zone: the time zone of the callee (`"Europe/Berlin"`), in which "tomorrow" begins.
    variables: what prompts may say beside slots and results: texts, or functions of the call.
    transfer: gives the caller to a person. Without it the call ends with the reason `handed-over`.
    values: what is known from the start, slots by name. All values are in `call.data["slots"]` while the call lasts,
        and what it came to in `call.data["outcome"]`.

    Raises `FlowError` (`flow.invalid`) with everything that cannot work about the states.
    """

    def __init__(
        self,
        states: Iterable[AnyState],
        *,
        start: str,
        person: str | None = None,
        give_up: str | None = None,
        zone: str = "UTC",
        variables: Mapping[str, str | Callable[[Call], str]] | None = None,
        transfer: Transfer | None = None,
        values: Mapping[str, Any] | None = None,
        settings: FlowSettings | None = None,
        wording: Wording | None = None,
    ) -> None:
        self._zone = _zone(zone)
        self._variables = dict(variables or {})
        self._values = dict(values or {})
        self._wording = wording or Wording()
        self._states, self._slots = checked(
            tuple(states),
            start=start,
            person=person,
            give_up=give_up,
            given={*self._variables, *self._values},
            universals=self._wording.universals,
            place=here(),
        )
        self._start = start
        self._person = person
        self._give_up = give_up
        self._transfer = transfer
        self.settings = settings or FlowSettings.load()
        self._dialog: Dialog | None = None
        self._expected: ExpectFrame | None = None
        self._keys = ""
        self._key_timer: asyncio.TimerHandle | None = None
        self._takes_keys = False
        self._tools = 0
        self._tool: tuple[Do, asyncio.Task[None]] | None = None

    @property
    def state(self) -> str:
        """The name of the state in which the dialog is."""
        return self.dialog.state.name

    @property
    def dialog(self) -> Dialog:
        """The dialog of the call; it begins with the call."""
        if self._dialog is None:
            values = self.call.data.setdefault("slots", {})
            values.update(self._values)
            values.update({name: v if isinstance(v, str) else v(self.call) for name, v in self._variables.items()})
            self._dialog = Dialog(
                self._states,
                self._slots,
                start=self._start,
                person=self._person,
                give_up=self._give_up,
                settings=self.settings,
                wording=self._wording,
                context=self._context,
                values=values,
            )
        return self._dialog

    def _context(self, values: Mapping[str, Any]) -> Context:
        now = datetime.fromtimestamp(self.call.clock.wall_ms() / 1000, self._zone)
        return Context(now, self.call, values)

    # -- what comes

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        # Turn taking makes turns of keys; where there is none (a call of text) they are collected here.
        self._takes_keys = not any(node.proc.decides_interruptions for node in self.call.engine.nodes)
        self.dialog.begin()
        self._act(None)

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        self._drop_keys()
        if frame.source == "dtmf":
            self.dialog.keys(frame.text)
        else:
            others = [(other.text, other.confidence) for other in frame.alternatives]
            self.dialog.hear([(frame.text, frame.confidence), *others])
        self._act(frame.turn)

    @handles(UserIdleFrame)
    def on_idle(self, frame: UserIdleFrame) -> UserIdleFrame:
        if self.dialog.focus not in ("busy", "over"):
            self.dialog.silence()
            self._act(None)
        return frame

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> InputDTMFFrame:
        if self._takes_keys:
            if not self._keys and any(not reply.swept for reply in self.call.replies.open.values()):
                self.interrupt("caller")
            self._drop_keys(keep=True)
            self._keys += frame.digit
            digits = self._expected.digits if self._expected is not None else 0
            if frame.digit in "#*" or len(self._keys) == digits:
                self._end_keys()
            else:
                engine = self.call.engine
                self._key_timer = engine.loop.call_later(
                    self.settings.key_pause_ms / 1000, engine.dispatcher.in_context, self._end_keys
                )
        return frame

    def _end_keys(self) -> None:
        keys, self._keys = self._keys, ""
        self._drop_keys()
        if keys and not self.call.engine.ending:
            turn = self.call.turns.new()
            self.push(UserTurnFrame(turn, keys, "dtmf"))
            self.dialog.keys(keys)
            self._act(turn)

    def _drop_keys(self, *, keep: bool = False) -> None:
        if not keep:
            self._keys = ""
        if self._key_timer is not None:
            self._key_timer.cancel()
            self._key_timer = None

    # -- what goes

    def _act(self, turn: int | None) -> None:
        """Say, write and do what the dialog has come to."""
        text, events, effect = self.dialog.take()
        for event in events:
            self.emit(event)
        if text:
            self._speak(text, turn, interruptible=self.dialog.state.interruptible)
        self._push_expectation()
        if self._tool is not None and self._tool[0] is not self.dialog.state and not self._tool[0].tool.side_effects:
            self._tool[1].cancel()  # nobody waits for it any more
        if isinstance(effect, Do):
            self._call_tool(effect, None if text else turn)
        elif isinstance(effect, Handoff):
            self._hand_over(effect)
        elif isinstance(effect, End):
            self.call.data["outcome"] = effect.outcome
            self.call.end("completed")

    def _speak(self, text: str, turn: int | None, *, interruptible: bool = True) -> None:
        # A turn whose reply was interrupted takes no other; what is to be said then is said of our own accord.
        number = self.begin_reply(turn, interruptible=interruptible) if turn is not None else 0
        if not number:
            turn = None
            number = self.begin_reply(interruptible=interruptible)
        self.push(ReplyStartedFrame(number, turn, interruptible))
        self.push(TextFrame(text, number))
        self.push(ReplyEndedFrame(number))

    def _push_expectation(self) -> None:
        expectation = self.dialog.expectation
        assert expectation is not None
        frame = ExpectFrame(expectation.jsgf, expectation.phrases, expectation.digits)
        if self._expected is None or (frame.jsgf, frame.digits) != (self._expected.jsgf, self._expected.digits):
            self._expected = frame
            self.push(frame, upstream=True)

    # -- tools and people

    def _call_tool(self, state: Do, turn: int | None) -> None:
        self._tools += 1
        call_id = f"{self.name}-{self._tools}"
        values = self.dialog.values
        arguments = {name: values[name] for name in state.tool.parameters if name in values} | state.arguments
        task = self.spawn(
            self._run_tool(state, arguments, call_id, turn), name=call_id, lasting=not state.tool.side_effects
        )
        self._tool = (state, task)

    async def _run_tool(self, state: Do, arguments: Mapping[str, Any], call_id: str, turn: int | None) -> None:
        calling = asyncio.ensure_future(call_tool(self, state.tool, arguments, call_id))
        try:
            done, _ = await asyncio.wait({calling}, timeout=self.settings.patience_ms / 1000)
            if not done and not state.prompt and self.dialog.state is state:
                self._speak(self._wording.wait, turn)
                turn = None
            result: ToolResult = await calling
        except asyncio.CancelledError:
            calling.cancel()
            raise
        if self.dialog.state is not state or self.call.engine.ending:
            return  # the caller has gone elsewhere meanwhile
        self._tool = None
        self.dialog.tool_done(state, result.value, failed=result.error is not None)
        self._act(turn)

    def _hand_over(self, state: Handoff) -> None:
        request = HandoffRequested(target=state.target, reason=state.reason, summary=self.dialog.summary())
        self.call.data["outcome"] = "handed-over"
        if "handoff" not in self.call.data:
            self.call.data["handoff"] = state.target
            self.emit(request)
            if self._transfer is not None:
                self.spawn(self._transferred(request))
                return
        if self._transfer is None:
            self.call.end("handed-over")

    async def _transferred(self, request: HandoffRequested) -> None:
        assert self._transfer is not None
        await self._transfer(self.call, request)

    async def cleanup(self) -> None:
        self._drop_keys()


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return timezone.utc  # noqa: UP017  # a machine without tzdata has this one
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise FlowError.of("flow.zone", zone=name) from None
