"""An agent's model: asked with what the agent sees of the conversation, round by round of tools.

The request is made from instructions and messages, guarded, and sent by `Agent.inference()`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from ...llm import Message, Stop, TextDelta, ToolCall, ToolSpec
from .asking import Answer as Parts
from .asking import Speculation, asked
from .context import Called
from .runs import Run
from .template import values_of

if TYPE_CHECKING:
    from ..guardrails import AgentGuard
    from .agent import Agent

__all__ = ["Mind"]


class Mind:
    """That of one agent in one call."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        #: Whether no more tools may be called in this turn.
        self.last_round = False

    async def answer(self) -> AsyncGenerator[str, None]:
        """What the model says, with the tools that it calls, round by round."""
        agent = self._agent
        if not agent._thinks:
            raise ConfigurationError.of("agent.no-reply", agent=agent.name)
        await agent._servers.ready()
        saying, number = agent._saying, 0
        while True:
            self.last_round = number >= agent.settings.tool_rounds or saying.rounds_left < 1
            calls: list[ToolCall] = []
            async with contextlib.aclosing(self.ask(agent._tools.specs())) as parts:
                async for part in parts:
                    if isinstance(part, TextDelta):
                        yield part.text
                    elif isinstance(part, ToolCall):
                        calls.append(part)
            if not calls or self.last_round:
                return
            runs = await self.run(calls)
            if any(run.over(saying.reply) for run in runs):
                return
            if any(run.tool.ends_reply and run.done.result().error is None for run in runs):
                saying.was_said()  # by the tool, if anything
                return
            number += 1
            saying.round_over()

    def values(self) -> dict[str, Any]:
        return values_of(self._agent.call, self._agent.name, self._agent._tools.zone)

    def instructions(self, *, strict: bool = False) -> str:
        agent = self._agent
        if callable(agent.instructions):
            return agent.instructions(agent.call)
        return agent._template.fill(self.values(), strict=strict)

    def messages(self, specs: Sequence[ToolSpec], extra: str = "") -> tuple[Message, ...]:
        """What the model is asked with: instructions, and what this agent sees of the conversation."""
        agent = self._agent
        return agent._saying.conversation.request(
            self.instructions(), specs, budget=agent.settings.context_tokens, extra=extra, view=agent._view
        )

    def ask(self, specs: tuple[ToolSpec, ...]) -> Parts:
        """Ask the model, or take the answer for which it was asked already."""
        saying = self._agent._saying
        messages = self.messages(specs)
        saying.conversation.seen(self._agent._view)
        speculation, saying.speculation = saying.speculation, None
        if speculation is not None:
            if speculation.answers(messages, self._agent):
                return speculation.parts()
            speculation.drop()
        return self.asked(messages, specs)

    def asked(self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]) -> Parts:
        if self._agent._guard is not None and self._agent._guard.guards("model-input"):
            return self.guarded(self._agent._guard, messages, specs)
        return self.requested(messages, specs)

    async def guarded(self, guard: AgentGuard, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]) -> Parts:
        """Ask with what the guardrail lets through, or say what it says instead."""
        reply = self._agent._saying.reply
        kept, refusal = await guard.model_input(messages, turn=reply.turn if reply is not None else None)
        if refusal is not None:
            yield TextDelta(refusal.say)
            yield Stop("refused")
            return
        async with contextlib.aclosing(self.requested(kept, specs)) as parts:
            async for part in parts:
                yield part

    def requested(self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]) -> Parts:
        return asked(
            self._agent,
            self._agent.llm,
            self._agent.inference(messages, specs),
            self._agent._model_settings.get("model", ""),
        )

    async def complete(self, prompt: str, instructions: str) -> str:
        """A text by the model that is no part of the conversation."""
        head = (Message("system", instructions),) if instructions else ()
        text = ""
        messages: tuple[Message, ...] = (*head, Message("user", prompt))
        if self._agent._guard is not None:
            messages, refusal = await self._agent._guard.model_input(messages)
            if refusal is not None:
                return ""
        parts = self.requested(messages, ())
        async with contextlib.aclosing(parts):
            async for part in parts:
                if isinstance(part, TextDelta):
                    text += part.text
        return text

    async def run(self, calls: Sequence[ToolCall]) -> list[Run]:
        """Call tools side by side, until all have returned."""
        entry = self._agent._saying.entry("a tool")
        if entry.said and not entry.said[-1].isspace():
            self._agent.utter(" ")  # the voice need not wait for what comes behind
        made: list[Called] = []
        for call in calls:
            made.append(self._agent._tools.called(call, made))
        entry.call(made)
        runs = [self._agent._tools.start(called, call.error) for called, call in zip(made, calls, strict=True)]
        await self._agent._tools.together(runs)
        return runs

    def speculate(self, text: str) -> Speculation:
        """Ask the model for the answer to a turn that is not committed."""
        specs = self._agent._tools.specs()
        self.last_round = False
        messages = self.messages(specs, extra=text)
        return Speculation(self._agent, messages, self.asked(messages, specs))
