"""Whether agents fit into their pipeline: voices that there are, and somebody to whom a tool can give the caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args

from ...errors import ConfigurationError, SquadError
from ...tools.handoff import Handoff

if TYPE_CHECKING:
    from ...pipeline import Pipeline
    from ...processor import Processor
    from ..tts import TTS
    from .agent import Agent

__all__ = ["check_speakers", "check_voice", "tts_behind"]


def check_speakers(front: Processor, speakers: Iterable[Agent], pipeline: Pipeline) -> None:
    """Raise `ConfigurationError` (`agent.voice`) or `SquadError` (`squad.alone`) for an agent that cannot speak there.

    front: the processor that stands in the pipeline for them.
    """
    tts = tts_behind(front, pipeline)
    for agent in speakers:
        if agent.voice:
            check_voice(tts, agent.voice, f"The agent {agent.name!r}")
        if agent._exchange is not None:
            continue
        for tool in agent._tools.tools.values():
            if Handoff in _members(tool.returns):
                raise SquadError.of("squad.alone", name=agent.name, tool=tool.name)


def check_voice(tts: TTS | None, voice: str, who: str) -> None:
    """Raise `ConfigurationError` (`agent.voice`) for a voice that this TTS is known not to have."""
    nearest = tts.nearest_voice(voice) if tts is not None and voice else None
    if tts is not None and nearest is not None:
        raise ConfigurationError.of("agent.voice", who=who, voice=voice, tts=tts.name, nearest=nearest)


def tts_behind(front: Processor, pipeline: Pipeline) -> TTS | None:
    """The voice that says what is made at this place."""
    from ..tts import TTS

    processors = list(pipeline.processors())
    behind = processors[processors.index(front) :] if front in processors else []
    return next((each for each in behind if isinstance(each, TTS)), None)


def _members(kind: Any) -> tuple[Any, ...]:
    return (kind, *(inner for part in get_args(kind) for inner in _members(part)))
