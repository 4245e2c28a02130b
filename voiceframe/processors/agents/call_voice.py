"""Settings of the parts of a call that hear and speak, given where it is decided who answers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import RouterError
from ...settings import Settings

if TYPE_CHECKING:
    from ...processor import Processor

__all__ = ["CallVoice"]


@dataclass(frozen=True, slots=True)
class CallVoice:
    """How a call sounds and listens, whoever answers it.

        CallVoice(voice="anna", language="de", turns={"silence_ms": 900})

    voice: of the TTS, for agents that have none of their own. language: of the TTS and of the STT.
    model: of the agents' model, another one of the same vendor.
    tts, stt, turns, vad: settings of these processors. What is not in the pipeline (in a call of text) is left out.
    """

    voice: str = ""
    language: str = ""
    model: str = ""
    tts: Mapping[str, Any] = field(default_factory=dict)
    stt: Mapping[str, Any] = field(default_factory=dict)
    turns: Mapping[str, Any] = field(default_factory=dict)
    vad: Mapping[str, Any] = field(default_factory=dict)

    def changes(self, processors: Iterable[Processor], router: str) -> dict[Processor, dict[str, Any]]:
        """What is to be set of the processors of a call.

        Raises `RouterError` (`router.setting`) for a setting that one of them does not have, and `ConfigurationError`
        for a value that it does not take.
        """
        changes: dict[Processor, dict[str, Any]] = {}
        for processor, wanted in self._wanted(processors):
            settings = getattr(processor, "settings", None)
            known = list(type(settings)._settings) if isinstance(settings, Settings) else []
            for name in wanted:
                if name not in known:
                    raise RouterError.of(
                        "router.setting",
                        router=router,
                        name=name,
                        processor=processor.name,
                        nearest=_nearest(name, known),
                    )
            if wanted and isinstance(settings, Settings):
                settings.replace(**wanted)
                changes[processor] = dict(wanted)
        return changes

    def _wanted(self, processors: Iterable[Processor]) -> Iterator[tuple[Processor, Mapping[str, Any]]]:
        from ..stt import STT
        from ..tts import TTS
        from ..turn import Turns
        from ..vad.base import VAD

        spoken = {name: value for name, value in (("voice", self.voice), ("language", self.language)) if value}
        heard = {"language": self.language} if self.language else {}
        for processor in processors:
            if isinstance(processor, TTS):
                yield processor, {**spoken, **self.tts}
            elif isinstance(processor, STT):
                yield processor, {**heard, **self.stt}
            elif isinstance(processor, Turns):
                yield processor, self.turns
            elif isinstance(processor, VAD):
                yield processor, self.vad


def _nearest(name: str, known: list[str]) -> str:
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return found[0] if found else "no setting"
