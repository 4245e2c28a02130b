"""The guardrail beside an agent: what its model is asked, what its tools get and return, and what it hands over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ...errors import ToolBlocked
from ...guardrails.decisions import Decision, Stage
from ...guardrails.policy import Policy
from ...llm import Message
from ...processor import Processor
from ...tools.handoff import Handoff
from ...tools.values import plain
from .record import put_through, record

__all__ = ["AgentGuard"]

#: Texts whose decision is remembered: the conversation comes again with each request.
_REMEMBERED: Final = 500
#: Strings of one payload that are judged by rules that wait; a larger payload is judged as one text.
_MOST_STRINGS: Final = 20


class AgentGuard:
    """Judges for one agent in one call. Made by `Guardrail.beside(agent)`; an agent with `guardrail=` makes its own."""

    def __init__(self, policy: Policy, agent: Processor, *, excerpts: bool = False) -> None:
        self._policy = policy
        self._agent = agent
        self._excerpts = excerpts
        self._known: OrderedDict[tuple[str, str], Decision] = OrderedDict()

    def guards(self, stage: Stage) -> bool:
        """Whether there is anything to judge at the stage."""
        return self._policy.guards(stage)

    async def model_input(
        self, messages: Sequence[Message], *, turn: int | None = None
    ) -> tuple[tuple[Message, ...], Decision | None]:
        """The messages as the model may have them; or the decision that it is not to be asked at all.

        Instructions are the developer's and are not judged; of the rest each text is judged once. What blocks is only
        the caller's last turn and what came after it: an old text was dealt with when it was new.
        """
        if not self.guards("model-input"):
            return tuple(messages), None
        last = max((at for at, message in enumerate(messages) if message.role == "user"), default=0)
        kept: list[Message] = []
        for at, message in enumerate(messages):
            if message.role == "system" or not message.text.strip():
                kept.append(message)
                continue
            decision = await self._once("model-input", message.role, message.text, turn)
            if decision.blocked and at >= last:
                return tuple(messages), decision
            text = "(removed)" if decision.blocked else decision.text
            kept.append(message if text == message.text else replace(message, text=text))
        return tuple(kept), None

    async def _once(self, stage: Stage, role: str, text: str, turn: int | None) -> Decision:
        key = (role, text)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        decision = await self._policy.judge(stage, text, self._agent)
        record(self._agent, decision, turn=turn, excerpts=self._excerpts)
        put_through(self._agent, decision, self._policy)
        # A verdict in doubt is not kept: the next time the rule may be in time.
        if all(hit.outcome == "found" for hit in decision.hits):
            self._known[key] = decision
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return decision

    async def tool_input(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with which a tool may be called. Raises `ToolBlocked` (`guard.tool-input`)."""
        if not self.guards("tool-input"):
            return dict(arguments)
        found: dict[str, Any] = await self._payload("tool-input", tool, dict(arguments))
        return found

    async def tool_output(self, tool: str, value: Any) -> Any:
        """What of a result (as JSON has it) may enter the conversation. Raises `ToolBlocked` (`guard.tool-output`)."""
        if not self.guards("tool-output"):
            return value
        return await self._payload("tool-output", tool, value)

    async def handoff(self, handoff: Handoff) -> Handoff:
        """A handoff with reason, summary and metadata as they may be passed on.

        Raises `ToolBlocked` (`guard.handoff`) if they may not.
        """
        if not self.guards("handoff"):
            return handoff
        given = {"reason": handoff.reason, "summary": handoff.summary, "metadata": plain(handoff.metadata)}
        found = await self._payload("handoff", handoff.target, given)
        if found == given:
            return handoff
        return replace(handoff, reason=found["reason"], summary=found["summary"], metadata=found["metadata"])

    async def _payload(self, stage: Stage, subject: str, value: Any) -> Any:
        """A JSON value with each text in it judged. Numbers are texts as well: a card's is one."""
        leaves: list[str] = []
        _collect(value, leaves)
        known: dict[str, str] = {}
        texts = list(dict.fromkeys(leaves))
        if self._policy.waits(stage) and len(texts) > _MOST_STRINGS:
            # One after the other they would take too long: the slow rules are asked of all of it at once.
            whole = "\n".join(texts)
            self._refuse(stage, subject, await self._judge(stage, subject, whole))
            for text in texts:
                known[text] = self._refuse(stage, subject, self._quick(stage, subject, text)).text
        else:
            for text in texts:
                known[text] = self._refuse(stage, subject, await self._judge(stage, subject, text)).text
        changed = {text: new for text, new in known.items() if new != text}
        return _changed(value, changed) if changed else value

    async def _judge(self, stage: Stage, subject: str, text: str) -> Decision:
        return self._recorded(await self._policy.judge(stage, text, self._agent), subject)

    def _quick(self, stage: Stage, subject: str, text: str) -> Decision:
        return self._recorded(self._policy.quick(stage, text), subject)

    def _recorded(self, decision: Decision, subject: str) -> Decision:
        put_through(self._agent, decision, self._policy)
        return record(self._agent, decision, subject=subject, excerpts=self._excerpts)

    @staticmethod
    def _refuse(stage: Stage, subject: str, decision: Decision) -> Decision:
        if decision.blocked:
            say = f" (say: {decision.say.rstrip('.')})" if decision.say else ""
            raise ToolBlocked.of(f"guard.{stage}", tool=subject, rule=decision.rule, say=say)
        return decision


def _collect(value: Any, into: list[str]) -> None:
    if isinstance(value, str):
        if value.strip():
            into.append(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _collect(str(key), into)
            _collect(item, into)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, into)
    elif isinstance(value, int | float) and not isinstance(value, bool) and len(str(value)) > 2:
        into.append(str(value))


def _changed(value: Any, changes: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return changes.get(value, value)
    if isinstance(value, Mapping):
        return {changes.get(str(key), key): _changed(item, changes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_changed(item, changes) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return changes.get(str(value), value)
    return value
