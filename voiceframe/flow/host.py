"""The host of a flow's agents: while the dialog is in the state of one, it answers the turns in the flow's place.

An agent works here as it does in a pipeline: the flow stands there for it and passes on what comes.

    resting ──the dialog arrives──▶ talking ──finish(outcome), failures, the limit──▶ resting
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..errors import ToolError
from ..events import LoggedEvent
from ..frames import (
    EagerTurnFrame,
    EndFrame,
    HeardFrame,
    ReplyStartedFrame,
    StartFrame,
    TurnResumedFrame,
    UpdateSettingsFrame,
    UserIdleFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
)
from ..processor import Processor
from ..tools.context import ToolContext
from ..tools.tool import AnyTool
from .states import AgentNode

if TYPE_CHECKING:
    from ..call import Call
    from ..processors.agents import Agent

__all__ = ["FinishTool", "Host", "finish"]

_SOURCE: Final = "dialog"


def finish(call: Call, outcome: str, summary: str = "") -> None:
    """Say what the part of the agent that talks now has come to, from `reply()` of your own agent. The dialog goes
    on by the exit of this outcome.

    Raises `ToolError` (`tool.refused`) where no agent of a flow talks, or its node has no such exit.
    """
    from .flow import Flow

    for node in call.engine.nodes:
        if isinstance(node.proc, Flow):
            node.proc.finish(outcome, summary)
            return
    raise ToolError.of("tool.refused", tool="finish", reason="there is no flow in this call")


class FinishTool(AnyTool):
    """What an agent calls when its part is done."""

    name = "finish"
    side_effects = False
    on_duplicate = "allow"
    on_interrupt = "finish"
    ends_reply = True
    returns = str

    def __init__(self, nodes: Iterable[AgentNode], finished: Callable[[str, str], None]) -> None:
        self._outcomes = list(dict.fromkeys(outcome for node in nodes for outcome in node.exits))
        when = " ".join(dict.fromkeys(node.done for node in nodes if node.done))
        self._finished = finished
        self.description = (
            f"Call this as soon as your part of the conversation is done, and say nothing after it. {when}".strip()
        )

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "outcome": {"type": "string", "enum": self._outcomes, "description": "what it has come to"},
                "summary": {"type": "string", "description": "what whoever comes next must know, in a sentence"},
            },
            "required": ["outcome"],
            "additionalProperties": False,
        }

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        outcome = arguments.get("outcome")
        if not isinstance(outcome, str):
            raise ToolError.of("tool.missing", tool=self.name, name="outcome")
        return {"outcome": outcome, "summary": str(arguments.get("summary") or "")}

    async def attempt(self, context: ToolContext, bound: Mapping[str, Any]) -> str:
        self._finished(bound["outcome"], bound["summary"])
        return "Done."


class Host:
    """The agents of one flow. failed: called when the one that talks has failed too often."""

    def __init__(self, flow: Processor, nodes: Iterable[AgentNode], failed: Callable[[], None]) -> None:
        self._flow = flow
        self._failed = failed
        self._nodes = tuple(nodes)
        self.agents = tuple(dict.fromkeys(node.agent for node in self._nodes))
        #: The state whose agent talks now.
        self.node: AgentNode | None = None
        self._turn: asyncio.Task[None] | None = None
        self._fails = 0
        self._most_fails = 3
        self._own_way: dict[Agent, bool] = {}  # whether they may be interrupted, by themselves
        self._met: set[Agent] = set()  # those that have talked: what is heard is told to them
        self._unsubscribe: Callable[[], None] = lambda: None

    # -- the life of the call

    async def setup(self, finished: Callable[[str, str], None]) -> None:
        if not self.agents:
            return
        for agent in self.agents:
            agent._node = self._flow._node  # it stands where the flow stands
            tool = FinishTool([node for node in self._nodes if node.agent is agent], finished)
            everybody = agent._everybody()
            voices = [member.voice for member in everybody]
            for member in everybody:
                member._tools.add([tool])
                member.voice = None  # nobody of them speaks yet
                self._own_way[member] = member.interruptible
            await agent.setup()
            for member, voice in zip(everybody, voices, strict=True):
                member.voice = None if member is agent else voice  # an agent's own is that of its node
        self._unsubscribe = self._flow.call.log.subscribe(self._look)

    async def end(self, frame: EndFrame) -> None:
        for agent in self.agents:
            await agent.on_end(frame)

    async def cleanup(self) -> None:
        self._unsubscribe()
        for agent in self.agents:
            await agent.cleanup()

    # -- one that talks

    @property
    def agent(self) -> Agent | None:
        """The agent that talks now."""
        return self.node.agent if self.node is not None else None

    @property
    def answering(self) -> bool:
        """Whether it is making an answer."""
        return self._turn is not None and not self._turn.done()

    def begin(self, node: AgentNode, known: str, turn: UserTurnFrame | None, *, attempts: int) -> None:
        """Let the agent of this state talk. known: what it should know; turn: what it should answer, None if the state
        has said something itself."""
        self.node = node
        self._fails, self._most_fails = 0, attempts
        agent = node.agent
        first = agent not in self._met
        self._met.add(agent)
        for member in agent._everybody():
            member.interruptible = self._own_way.get(member, True) and node.interruptible
        if known:
            agent.advise(known, source=_SOURCE)
        if turn is not None:
            self.turn(turn)
        elif first and not node.prompt:
            agent.on_start(StartFrame())  # its greeting

    def stop(self) -> None:
        """The dialog is elsewhere. What the agent is doing comes to its end."""
        self.node = None

    def turn(self, frame: UserTurnFrame) -> None:
        """Let the agent answer, after what it is doing."""
        agent, before = self.agent, self._turn
        assert agent is not None
        self._turn = self._flow.spawn(self._answer(agent, frame, before), name=f"{agent.name} answers", lasting=True)

    async def _answer(self, agent: Agent, frame: UserTurnFrame, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait({before})
        fails = self._fails
        await agent.on_turn(frame)
        if self._fails == fails:
            self._fails = 0

    def interrupted(self) -> None:
        """The caller has interrupted: as for a handler in the pipeline, what is being made of the reply is dropped."""
        if self._turn is not None and not self._turn.done():
            self._turn.cancel()

    def _look(self, event: LoggedEvent) -> None:
        if event.kind != "processor.failed" or self.node is None or event.data["processor"] != self._flow.name:
            return
        self._fails += 1
        if self._fails >= self._most_fails:
            engine = self._flow.call.engine
            node = self.node
            engine.loop.call_soon(engine.dispatcher.in_context, self._fail, node)

    def _fail(self, node: AgentNode) -> None:
        if self.node is node and not self._flow.call.engine.ending:
            self._failed()

    # -- what passes by

    def started(self, frame: ReplyStartedFrame) -> None:
        """The flow, or somebody else, says something."""
        for agent in self._met:
            agent.on_other_reply(frame)

    def heard(self, frame: HeardFrame) -> None:
        for agent in self._met:
            agent.on_heard(frame)

    def eager(self, frame: EagerTurnFrame) -> None:
        if self.agent is not None:
            self.agent.on_eager(frame)

    def fell_silent(self, frame: UserStoppedSpeakingFrame) -> None:
        if self.agent is not None:
            self.agent.on_silence(frame)

    def resumed(self, frame: TurnResumedFrame) -> None:
        if self.agent is not None:
            self.agent.on_resumed(frame)

    def idle(self, frame: UserIdleFrame) -> None:
        if self.agent is not None:
            self.agent.on_idle(frame)

    def settings(self, frame: UpdateSettingsFrame) -> None:
        for agent in self.agents:
            agent.on_settings(frame)
