"""The settings that change when the call goes on in another language: those of recognizer, agents and voice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import MannersError
from ...frames import UpdateSettingsFrame
from ...processor import Processor
from ..stt.base import STT

if TYPE_CHECKING:
    from ...call import Call
    from ..agents import Agent
    from .languages import Language

__all__ = ["Switchboard", "check_hearing"]


def check_hearing(hearing: tuple[Processor, ...], languages: tuple[Language, ...]) -> None:
    """Raise `MannersError` (`manners.one-language`) if a recognizer cannot be told another language."""
    changes = any(language.stt is not None for language in languages[1:])
    for proc in hearing:
        if isinstance(proc, STT) and changes and not _takes_settings(proc):
            raise MannersError.of("manners.one-language", processor=proc.name)


def _takes_settings(proc: Processor) -> bool:
    return proc.table.find(UpdateSettingsFrame, upstream=False, observes=False) is not None


class Switchboard:
    """What stands in the pipeline of a call, and how it was set at its beginning."""

    def __init__(self, owner: Processor, languages: tuple[Language, ...]) -> None:
        """Raises `MannersError` (`manners.no-voice`)."""
        from ..agents import Agent
        from ..tts import TTS

        self._call: Call = owner.call
        procs = [node.proc for node in owner.call.engine.nodes]
        behind = procs[procs.index(owner) :]
        self._recognizers = [(proc, proc.language) for proc in procs if isinstance(proc, STT)]
        agents = [agent for proc in behind if isinstance(proc, Agent) for agent in _all_of(proc)]
        self._agents = [(agent, agent.instructions, agent.voice) for agent in agents]
        self._voices = [(proc, proc.voice, proc.language) for proc in behind if isinstance(proc, TTS)]
        for voice, _, _ in self._voices:
            for language in languages[1:]:
                if not (language.voice or hasattr(voice.settings, "language")):
                    raise MannersError.of("manners.no-voice", processor=voice.name, tag=language.code)

    @property
    def heard(self) -> str:
        """The language that the recognizer is set to; empty without one."""
        return self._recognizers[0][1] if self._recognizers else ""

    def turn(self, language: Language, *, first: bool) -> None:
        """Go on in this language. first: it is the one that the call began in."""
        for proc, heard in self._recognizers:
            if language.stt is not None and _takes_settings(proc):
                self._change(proc, {"language": heard if first else language.code, **language.stt})
        for agent, instructions, own in self._agents:
            changes: dict[str, Any] = dict(language.agent)
            if own is not None and (first or language.voice):
                changes.setdefault("voice", language.voice or own)
            changes.setdefault("instructions", instructions if first else _extended(instructions, language))
            self._change(agent, changes)
        for voice, name, tongue in self._voices:
            changes = {}
            if language.voice or first:
                changes["voice"] = language.voice or name
            if hasattr(voice.settings, "language"):
                changes["language"] = tongue if first and tongue else language.base
            self._change(voice, {**changes, **language.tts})

    def _change(self, proc: Processor, changes: Mapping[str, Any]) -> None:
        if changes:
            self._call.send(UpdateSettingsFrame(proc.name, changes))


def _all_of(agent: Agent) -> list[Agent]:
    """An agent; of a squad or a router those who speak, each of whom takes settings under its own name."""
    inside: Mapping[str, Agent] = getattr(agent, "agents", None) or getattr(agent, "targets", None) or {}
    return [one for member in inside.values() for one in _all_of(member)] or [agent]


def _extended(instructions: str | Callable[[Call], str], language: Language) -> str | Callable[[Call], str]:
    more = language.instructions or f"The caller speaks {language.called[0].title()}. Say everything in that language."
    if callable(instructions):
        made = instructions
        return lambda call: f"{made(call)}\n\n{more}"
    return f"{instructions}\n\n{more}" if instructions else more
