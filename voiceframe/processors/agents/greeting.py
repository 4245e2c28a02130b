"""The greeting: what an agent says first, ready while the telephone rings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .template import Template

if TYPE_CHECKING:
    from ...call import Call
    from ..tts import TTS
    from .agent import Agent

__all__ = ["Generated", "Greeting", "Opening", "prepared", "voice_behind"]

#: How long the voice is waited for, so that it can prepare the greeting.
_VOICE_MS: Final = 10_000
_BEGINS: Final = "(The call is about to be answered. {prompt})"


@dataclass(frozen=True, slots=True)
class Generated:
    """A greeting that the model makes while the telephone rings.

    prompt: what it is told, `"Greet the caller by name, in one sentence."`; a template as instructions are.
    fallback: what is said when the model fails, or is not there in `AgentSettings.greeting_ms`.
    """

    prompt: str
    fallback: str = "Hello!"


#: A text (a template, see `template`), a function of the call that returns one, or `Generated(...)`.
Greeting: TypeAlias = "str | Generated | Callable[[Call], str]"


class Opening:
    """The greeting of one agent. Raises `ConfigurationError` for a template that cannot be filled in."""

    def __init__(self, greeting: Greeting | None) -> None:
        self._greeting = greeting
        text = greeting.prompt if isinstance(greeting, Generated) else greeting
        self._template = Template(text if isinstance(text, str) else "", "The greeting")

    async def words(self, agent: Agent, values: Mapping[str, Any], complete: Callable[[str], Awaitable[str]]) -> str:
        """What is to be said, "" for nothing. complete: has the model write something."""
        greeting = self._greeting
        if isinstance(greeting, Generated):
            prompt = self._template.fill(values)
            made = ""
            try:
                async with asyncio.timeout(agent.settings.greeting_ms / 1000):
                    made = await complete(_BEGINS.format(prompt=prompt))
            except Exception as error:
                agent.fail(error)
            return made.strip() or greeting.fallback
        if callable(greeting):
            return greeting(agent.call)
        return self._template.fill(values)


def voice_behind(agent: Agent) -> TTS | None:
    """The TTS that stands behind an agent."""
    from ..tts import TTS

    nodes = agent.call.engine.nodes
    place = next((at for at, node in enumerate(nodes) if node is agent._node), 0)
    return next((node.proc for node in nodes[place:] if isinstance(node.proc, TTS)), None)


async def prepared(agent: Agent, voice: TTS, text: str) -> None:
    """Have the greeting spoken before anybody hears it, in the format that the voice has settled on."""
    node = next(node for node in agent.call.engine.nodes if node.proc is voice)
    loop = asyncio.get_running_loop()
    until = loop.time() + _VOICE_MS / 1000
    # Nothing tells when another processor is set up.
    while not node.ready and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if node.ready:
        await voice.prepare([text])
