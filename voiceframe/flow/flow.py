"""The processor that runs a declared dialog in a call."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from ..errors import FlowError, ToolError
from ..events import Event, HandoffRequested
from ..frames import EndFrame, UpdateSettingsFrame
from ..processor import handles
from ..tools import Tool, ToolResult, call_tool
from .dialog import Dialog
from .dump import data_of, to_yaml
from .files import current
from .host import Host
from .load import Declaration
from .places import here
from .runner import Runner
from .settings import FlowSettings
from .slots import Context, Slot
from .states import AgentNode, AnyState, Do, End, Handoff, Message, Voicemail
from .tape import Tape
from .validate import checked
from .wording import Wording
from .zones import time_zone

if TYPE_CHECKING:
    from ..call import Call
    from ..pipeline import Pipeline
    from ..processors.agents import Agent

__all__ = ["Flow", "Transfer"]

#: What gives the caller to a person: called with the call and the request, while the sentence is being said.
Transfer = Callable[["Call", HandoffRequested], Awaitable[None]]


class Flow(Runner):
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
        wording = wording or Wording()
        made, slots = checked(
            tuple(states),
            start=start,
            person=person,
            give_up=give_up,
            given={*(variables or ()), *(values or ())},
            universals=wording.universals,
            place=here(),
        )
        self._set_up(
            made,
            slots,
            start=start,
            person=person,
            give_up=give_up,
            zone=zone,
            variables=variables,
            transfer=transfer,
            values=values,
            settings=settings or FlowSettings.load(),
            wording=wording,
        )

    def _set_up(
        self,
        states: Mapping[str, AnyState],
        slots: Mapping[str, Slot[Any]],
        *,
        start: str,
        person: str | None,
        give_up: str | None,
        zone: str,
        variables: Mapping[str, str | Callable[[Call], str]] | None,
        transfer: Transfer | None,
        values: Mapping[str, Any] | None,
        settings: FlowSettings,
        wording: Wording,
    ) -> None:
        super().__init__()
        self._zone = time_zone(zone)
        self._variables = dict(variables or {})
        self._values = dict(values or {})
        self._wording = wording
        self._states = states
        self._slots = slots
        self._start = start
        self._person = person
        self._give_up = give_up
        self._transfer = transfer
        self.settings = settings
        self._first_events: tuple[Event, ...] = ()
        self._begins: datetime | None = None
        self._dialog: Dialog | None = None
        self._tools = 0
        self._tool: tuple[Do, asyncio.Task[None]] | None = None
        agents = [state for state in states.values() if isinstance(state, AgentNode)]
        self._host = Host(self, agents, self._agent_failed)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        tools: Iterable[Tool[..., Any]] = (),
        agents: Iterable[Agent] = (),
        slots: Iterable[Slot[Any]] = (),
        variables: Mapping[str, str | Callable[[Call], str]] | None = None,
        transfer: Transfer | None = None,
        values: Mapping[str, Any] | None = None,
        settings: FlowSettings | None = None,
        wording: Wording | None = None,
    ) -> Self:
        """The flow of a YAML file, for one call: `voiceframe flow schema` has its form.

        tools, agents, slots: those that it may name. What the file says besides these holds before the environment;
        `variables`, `values` and `settings` given here hold before the file.

        The file is read once, and anew when it has changed: for the calls from then on. If it cannot be used then, the
        version before stays; the calls say so in `flow.reload-failed`, and `flow.loaded` which one they go by.

        Raises `FlowError` for a file that has never been right (`flow.file`, `flow.yaml`, `flow.invalid`), with file,
        line and column of each problem, and `MissingExtra` without the extra `flows`.
        """
        given = {agent.name: agent for agent in agents}
        made, events = current(
            path,
            tools=tools,
            agents=given,
            slots=slots,
            variables=variables or (),
            values=values or (),
            wording=wording,
        )
        states = {name: _with_agent(state, given) for name, state in made.states.items()}
        flow = cls.of(
            replace(made, states=states),
            variables={**made.variables, **(variables or {})},
            transfer=transfer,
            values=values,
            **({"settings": settings} if settings is not None else {}),
        )
        flow._first_events = events
        return flow

    @classmethod
    def of(cls, made: Declaration, **options: Any) -> Self:
        """The flow of what a file declares, as it is: with mocks, if it was read with those."""
        flow = cls.__new__(cls)
        given: dict[str, Any] = {
            "start": made.start,
            "person": made.person,
            "give_up": made.give_up,
            "zone": made.zone,
            "variables": made.variables,
            "transfer": None,
            "values": None,
            "settings": FlowSettings.load(**made.settings),
            "wording": made.wording,
        }
        flow._set_up(made.states, made.slots, **{**given, **options})
        return flow

    def to_yaml(self) -> str:
        """The flow as the YAML that `Flow.load()` reads, without its tools and agents, which are named.

        Raises `FlowError` (`flow.not-in-yaml`) for what only a program can say, and `MissingExtra`.
        """
        functions = [name for name, value in self._variables.items() if not isinstance(value, str)]
        if functions:
            raise FlowError.of(
                "flow.not-in-yaml", where="variables=", what=repr(functions[0]), error="it is a function"
            )
        data = data_of(
            self._states,
            start=self._start,
            person=self._person,
            give_up=self._give_up,
            zone=str(self._zone),
            variables=dict(self._variables),
        )
        return to_yaml(data)

    @property
    def state(self) -> str:
        """The name of the state in which the dialog is."""
        return self.dialog.state.name

    @property
    def states(self) -> Mapping[str, AnyState]:
        """The states by name."""
        return self._states

    @property
    def dialog(self) -> Dialog:
        """The dialog of the call; it begins with the call."""
        if self._dialog is None:
            values = self.call.data.setdefault("slots", {})
            values.update(self._values)
            values.update({name: v if isinstance(v, str) else v(self.call) for name, v in self._variables.items()})
            self._dialog = self.new_dialog(self._context, values, self.settings)
        return self._dialog

    def new_dialog(
        self, context: Callable[[Mapping[str, Any]], Context], values: dict[str, Any], settings: FlowSettings
    ) -> Dialog:
        """Another dialog of the same states, which belongs to no call."""
        return Dialog(
            self._states,
            self._slots,
            start=self._start,
            person=self._person,
            give_up=self._give_up,
            settings=settings,
            wording=self._wording,
            context=context,
            values=values,
            double=True,
        )

    @property
    def start(self) -> str:
        """The name of the first state."""
        return self._start

    @property
    def given(self) -> Mapping[str, Any]:
        """What is known before the call: values, and the variables that are texts."""
        return {**self._values, **{name: value for name, value in self._variables.items() if isinstance(value, str)}}

    @property
    def changing(self) -> frozenset[str]:
        """The variables whose value depends on the call."""
        return frozenset(name for name, value in self._variables.items() if not isinstance(value, str))

    def _context(self, values: Mapping[str, Any]) -> Context:
        now = datetime.fromtimestamp(self.call.clock.wall_ms() / 1000, self._zone)
        if self._begins is not None:
            now = self._begins + timedelta(milliseconds=self.call.clock.at_ms())
        return Context(now, self.call, values)

    def begins_at(self, moment: datetime) -> None:
        """Let the dialog take this for the moment at which the call begins, in its own zone: for tests of hours."""
        self._begins = moment.replace(tzinfo=self._zone)

    # -- what the states do

    def _do(self, effect: AnyState, turn: int | None, *, said: bool) -> None:
        if isinstance(effect, Do):
            self._call_tool(effect, turn)
        elif isinstance(effect, AgentNode):
            self._let_talk(effect, turn)
        elif isinstance(effect, Voicemail):
            self._tape = Tape(self, effect, self._recorded)
            if not said:
                self._tape.begin()
        elif isinstance(effect, Handoff):
            self._hand_over(effect)
        elif isinstance(effect, End):
            self.call.data["outcome"] = effect.outcome
            self.call.end("completed")

    def _left(self) -> None:
        state = self.dialog.state
        if self._tool is not None and self._tool[0] is not state and not self._tool[0].tool.side_effects:
            self._tool[1].cancel()  # nobody waits for it any more
        if self._host.node is not None:
            self._host.interrupted()
            self._host.stop()
            self._voices.unsure()

    def _recorded(self, state: Voicemail, message: Message | None) -> None:
        turn = self._tape.turn_at_end if self._tape is not None else None
        self._tape = None
        if not self.call.engine.ending and self.dialog.state is state:
            self.dialog.recorded(state, message)
            self._act(turn)

    # -- agents

    def check_pipeline(self, pipeline: Pipeline) -> None:
        from ..processors.agents.fitting import check_speakers, check_voice, tts_behind

        tts = tts_behind(self, pipeline)
        for state in self._states.values():
            check_voice(tts, state.voice or "", f"{state.place_of('voice')}: {state.name!r}")
        check_speakers(self, [one for agent in self._host.agents for one in agent._everybody()], pipeline)

    async def setup(self) -> None:
        for event in self._first_events:
            self.emit(event)
        await self._host.setup(self.finish)

    def _let_talk(self, state: AgentNode, turn: int | None) -> None:
        known = self.dialog.summary()
        asked = self._turn if self._turn is not None and self._turn.turn == turn else None
        self._use_voice(state)
        self._host.begin(
            state,
            f"What is known of the caller's wish: {known}." if known else "",
            asked,
            attempts=state.attempts or self.settings.attempts,
        )

    def finish(self, outcome: str, summary: str = "") -> None:
        """The agent that talks now is done; the dialog goes on by the exit of this outcome.

        Raises `ToolError` (`tool.refused`) where none talks, or its node has no such exit.
        """
        state = self._host.node
        if state is None or self.dialog.state is not state:
            raise ToolError.of("tool.refused", tool="finish", reason="the dialog has gone on already")
        if outcome not in state.exits:
            reason = f"there is no outcome {outcome!r}; there are {', '.join(state.exits)}"
            raise ToolError.of("tool.refused", tool="finish", reason=reason)
        agent = state.agent
        # A reply that has no words yet is the one that answers the turn: the dialog speaks in it.
        silent = self._host.answering and not agent.spoken
        self._host.stop()
        self._voices.unsure()
        self.dialog.agent_done(state, outcome, summary)
        if silent and not self.dialog.has_words:
            agent.utter(self._wording.wait)
        self._act(None, utter=agent.utter if silent and self.dialog.has_words else None)

    def _agent_failed(self) -> None:
        self.dialog.agent_failed()
        self._act(None)

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        await self._host.end(frame)

    @handles(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        self._host.settings(frame)

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
        request = HandoffRequested(
            target=state.target,
            reason=state.reason,
            summary=self.dialog.summary(),
            target_kind=state.target_kind,
            number=state.target if state.target_kind == "number" else "",
        )
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
        self._keying.drop()
        self._silence.stop()
        self._limit.stop()
        if self._tape is not None:
            await self._tape.wait()
        await self._host.cleanup()


def _with_agent(state: AnyState, agents: Mapping[str, Agent]) -> AnyState:
    """The state with the agent of this call in place of the stand-in."""
    if not isinstance(state, AgentNode):
        return state
    made = copy.copy(state)
    made.agent = agents[state.agent.name]
    made.voice = state.voice or made.agent.voice
    return made
