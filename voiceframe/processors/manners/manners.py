"""Manners as settings: what a person does without thinking when a telephone behaves like one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import TypeVar

from ...errors import MannersError
from ...processor import Processor
from ...settings import Settings
from ..realtime.base import Realtime
from ..stt.base import STT
from ..turn import Turns
from ..vad.base import VAD
from .ears import Ears
from .gate import Gate
from .hold import Hold, HoldSettings
from .idle import IdleSettings
from .languages import Language, LanguageSettings, Tongue, untranslated
from .noise import NoiseSettings, NoiseWatch
from .switching import check_hearing
from .voicemail import Voicemail, VoicemailSettings

__all__ = ["Manners"]

S = TypeVar("S", bound=Settings)


class Manners:
    """The manners of one call, around what hears the caller:

        Pipeline([
            call.transport.input(),
            *Manners(voicemail=True, idle=True, hold=True).around(SileroVAD(), DeepgramSTT(), Turns()),
            Agent(...), CartesiaTTS(), call.transport.output(),
        ])

    voicemail: tells answering machines from people, in outbound calls. idle: asks a caller who is silent. hold: is
        silent, and deaf for music, while the caller has put us on hold. noise: offers keys on a noisy line. Each is
        settings, True for those of the environment and the settings file, or None.
    languages: those in which the call may go on; the first is the one of the agent and of all settings. language: when.

    What is not asked for costs nothing: it puts nothing into the pipeline.

    Raises `MannersError` (`manners.no-message`, `manners.languages`, `manners.untranslated`), and `ConfigurationError`.
    """

    def __init__(
        self,
        *,
        voicemail: VoicemailSettings | bool | None = None,
        idle: IdleSettings | bool | None = None,
        hold: HoldSettings | bool | None = None,
        noise: NoiseSettings | bool | None = None,
        languages: Sequence[Language] = (),
        language: LanguageSettings | None = None,
    ) -> None:
        self.voicemail = _settings(VoicemailSettings, voicemail)
        self.idle = _settings(IdleSettings, idle)
        self.hold = _settings(HoldSettings, hold)
        self.noise = _settings(NoiseSettings, noise)
        self._tongue = Tongue(languages, language or LanguageSettings.load()) if languages else None
        if self.voicemail is not None and self.voicemail.policy == "message" and not self.voicemail.message.strip():
            raise MannersError.of("manners.no-message")
        missing = untranslated(languages[1:], self._texts())
        if missing is not None:
            raise MannersError.of("manners.untranslated", tag=missing[0], text=missing[1])
        self._gate: Gate | None = None

    def _texts(self) -> list[str]:
        """What is said to the caller of these manners."""
        found: list[str] = []
        if self.idle is not None:
            found += (*self.idle.prompts, self.idle.goodbye)
        if self.hold is not None:
            found.append(self.hold.back)
        if self.noise is not None:
            found.append(self.noise.offer)
        return found

    @property
    def language(self) -> str:
        """The tag of the language that is spoken now; empty where none were declared."""
        return self._tongue.now.code if self._tongue is not None else ""

    def switch(self, code: str) -> None:
        """Let the call go on in another language, as the program wants it: in a tool, say.

        Raises `MannersError` (`manners.unknown-language`) for one that was not declared, and `ProcessorError` before
        the call.
        """
        tongue = self._tongue
        found = tongue.find(code) if tongue is not None else None
        if tongue is None or found is None or self._gate is None:
            known = [each.code for each in tongue.languages] if tongue is not None else []
            nearest = (difflib.get_close_matches(code, known, n=1, cutoff=0.0) or ["en-US"])[0]
            raise MannersError.of(
                "manners.unknown-language", tag=code, known=", ".join(known) or "(none)", nearest=nearest
            )
        self._gate.switch(found)

    def around(self, *hearing: Processor) -> list[Processor]:
        """What is to stand between the input and the agent: the processors that hear the caller (VAD, recognizer, turn
        taking; or a `Realtime`), in their order, with those of the manners before and behind them.

        Raises `MannersError`: `manners.used-twice`, `manners.no-vad`, `manners.no-turns`, `manners.one-language`.
        """
        if not any((self.voicemail, self.idle, self.hold, self.noise, self._tongue)):
            return list(hearing)
        if self._gate is not None:
            raise MannersError.of("manners.used-twice")
        self._check(hearing)
        gate = self._gate = Gate()
        ears = Ears()
        gate.tongue = self._tongue
        self._tell_machines(ears, gate)
        self._hold(ears, gate, hearing)
        self._mind_noise(ears, gate)
        self._ask_idle(gate, hearing)
        before: list[Processor] = [ears] if self.voicemail or self.hold or self.noise else []
        return [*before, *hearing, gate]

    def _check(self, hearing: tuple[Processor, ...]) -> None:
        names = ", ".join(proc.name for proc in hearing) or "(nothing)"
        known = all(type(proc).__module__.startswith("voiceframe.") for proc in hearing)
        # A processor of the user's own, or of the test kit, may well do what it takes; one of ours is known.
        sees = any(isinstance(proc, VAD | Realtime) or getattr(proc, "hears_turns", False) for proc in hearing)
        for manner, wanted in (("Voicemail", self.voicemail is not None), ("Noise", self.noise is not None)):
            if wanted and known and not sees:
                raise MannersError.of("manners.no-vad", manner=manner, processors=names)
        turns = any(proc.decides_interruptions for proc in hearing)
        for manner, there, wanted in (
            ("Voicemail", turns, self.voicemail is not None),
            ("Hold", turns, self.hold is not None),
            ("Idle", any(isinstance(proc, Turns) for proc in hearing), self.idle is not None),
        ):
            if wanted and not there:
                raise MannersError.of("manners.no-turns", manner=manner, processors=names)
        if self._tongue is not None:
            check_hearing(hearing, self._tongue.languages)

    # -- one by one

    def _tell_machines(self, ears: Ears, gate: Gate) -> None:
        settings = self.voicemail
        if settings is None:
            return
        voicemail = gate.voicemail = Voicemail(
            settings,
            gate,
            beeps=lambda detector: setattr(ears, "beeps", detector),
            hush=gate.hush_for_machine,
            deafen=lambda: setattr(ears, "deaf", True),
            message=_message(gate, settings.message),
        )
        ears.on_beep = voicemail.beep

    def _hold(self, ears: Ears, gate: Gate, hearing: tuple[Processor, ...]) -> None:
        if self.hold is not None:
            known = all(type(proc).__module__.startswith("voiceframe.processors.") for proc in hearing)
            words = any(isinstance(proc, STT) for proc in hearing) or not known
            ears.hold = gate.hold = Hold(self.hold, words=words)
            ears.on_hold = gate.on_hold

    def _mind_noise(self, ears: Ears, gate: Gate) -> None:
        if self.noise is not None:
            gate.noise_settings = self.noise
            ears.noise = gate.noise = NoiseWatch(self.noise)
            ears.on_noise = gate.on_noise

    def _ask_idle(self, gate: Gate, hearing: tuple[Processor, ...]) -> None:
        if self.idle is None:
            return
        gate.idle = self.idle
        for proc in hearing:
            if isinstance(proc, Turns):
                # One more than there are prompts: the gate says goodbye, in the language of the call.
                count = len(self.idle.prompts) + 1
                proc.configure(idle_ms=self.idle.after_ms, idle_reprompts=count, idle_prompt="", idle_goodbye="")
                proc.excuse(gate.somebody_works)


def _settings(cls: type[S], given: S | bool | None) -> S | None:
    if given is True:
        return cls.load()
    return given or None


def _message(gate: Gate, text: str) -> Callable[[], str]:
    """The message with the values of the call; a name without a value says nothing."""
    from ..agents.template import Template, values_of

    template = Template(text, "The message")
    return lambda: template.fill(values_of(gate.call, gate.name, UTC), strict=False)
