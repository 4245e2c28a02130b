"""Callers who speak another language: what they have to say or to ask before the call goes on in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ...errors import MannersError
from ...settings import Settings, setting
from .phrases import plain
from .tongues import NAMES, guess

__all__ = ["Language", "LanguageSettings", "Switch", "Tongue"]

_TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


class LanguageSettings(Settings, prefix="LANGUAGE"):
    """When the call goes on in another language."""

    turns: int = setting(
        default=2, doc="how many times in a row the caller must speak another language; asking for it is enough", ge=1
    )
    confidence: float = setting(default=0.6, doc="how sure the recognizer must be of the words for that", ge=0, le=1)
    min_words: int = setting(default=3, doc="how many words there must be at least; fewer are no evidence", ge=1)


@dataclass(frozen=True, slots=True)
class Language:
    """A language in which the call may go on.

    code: a BCP 47 tag, `"es"` or `"es-MX"`. voice: that of the TTS, if it is another.
    confirm: what is said in it when the call goes on in it.
    instructions: added to the agents' own; by default that they are to speak it.
    names: what callers call it; by default those that `tongues.NAMES` has.
    says: the sentences of other manners in it, by those of the settings.
    stt, tts, agent: further changes of the settings of these processors; `stt=None` leaves the recognizer as it is, as
        for one that hears all languages.

    Raises `MannersError` (`manners.language`).
    """

    code: str
    voice: str = ""
    confirm: str = ""
    instructions: str = ""
    names: tuple[str, ...] = ()
    says: Mapping[str, str] = field(default_factory=dict)
    stt: Mapping[str, Any] | None = field(default_factory=dict)
    tts: Mapping[str, Any] = field(default_factory=dict)
    agent: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _TAG.fullmatch(self.code):
            raise MannersError.of("manners.language", tag=self.code, error="that is no tag")
        if not (self.names or self.base in NAMES):
            raise MannersError.of("manners.language", tag=self.code, error="nobody knows what it is called")

    @property
    def base(self) -> str:
        """The first part of the tag: `es` of `es-MX`."""
        return self.code.partition("-")[0].lower()

    @property
    def called(self) -> tuple[str, ...]:
        """What callers call it."""
        return self.names or NAMES[self.base]


class Switch(NamedTuple):
    """The call is to go on in `language`. turns: how many times it was heard; alone: nothing else was said."""

    language: Language
    why: str
    turns: int
    confidence: float
    alone: bool


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: What asks for a language in front of its name, and what may stand between. Without accents.
_ASKS: Final = _words("""
    speak speaks speaking talk switch change continue prefer use
    hablar hablamos habla hablas hable hablan prefiero cambiar seguir parler parlez parlons parle prefere
    sprechen sprechst spricht reden parlare parla parliamo falar fala falamos spreken spreekt
""")
_BETWEEN: Final = _words("""
    in to into with me us you some a little over en auf em mit dir ihnen avec vous el sie hier op
""")
_NOT: Final = _words("""
    not dont doesnt cant cannot never no nicht kein pas nao non niet didnt isnt
""")
#: What is said beside it by those who say nothing else.
_POLITE: Final = _words("""
    please in por favor en bitte auf sil vous plait em per favore instead hello hi hola yes si oui ja can could may
    we you i do would like to rather is it possible that anybody anyone there somebody someone who here
    puede podemos usted quiero quisiera pouvez pouvons je voudrais konnen wir kann ich mochte possiamo
""")
_REQUEST_WORDS: Final = 9


class Tongue:
    """Follows the language of one call. Raises `MannersError` (`manners.languages`)."""

    def __init__(self, languages: Sequence[Language], settings: LanguageSettings) -> None:
        codes = [language.code for language in languages]
        if len(codes) < 2:
            raise _bad(codes, "there is nothing to switch to")
        if len({code.lower() for code in codes}) < len(codes):
            raise _bad(codes, "one is named twice")
        self.languages = tuple(languages)
        self.now = languages[0]
        self._settings = settings
        self._other: Language | None = None
        self._times = 0

    def begin(self, tag: str) -> None:
        """The recognizer is set to this language; the first that was declared, if it is none of them."""
        self.now = self.find(tag) or self.languages[0]

    def find(self, tag: str) -> Language | None:
        """The declared language of a tag: the same, or one with the same first part."""
        tag = tag.lower().replace("_", "-")
        same = next((language for language in self.languages if language.code.lower() == tag), None)
        return same or next((each for each in self.languages if each.base == tag.partition("-")[0]), None)

    def hear(self, text: str, tag: str | None, confidence: float) -> Switch | None:
        """Final words, with the language that the recognizer says. Whether that is enough to switch."""
        words = plain(text)
        asked = self._asked(words)
        if asked is not None:
            alone = len(words) <= _REQUEST_WORDS and all(self._is_request(word, asked) for word in words)
            return self._switch(Switch(asked, "asked", 1, round(confidence, 3), alone))
        if len(words) < self._settings.min_words or confidence < self._settings.confidence:
            return None
        heard, sure = self._heard(words, tag)
        if heard is None:
            return None
        if heard is self.now:
            self._other, self._times = None, 0
            return None
        self._times = self._times + 1 if heard is self._other else 1
        self._other = heard
        if self._times < self._settings.turns:
            return None
        return self._switch(Switch(heard, "heard", self._times, round(min(confidence, sure), 3), False))

    def take(self, language: Language) -> None:
        """It goes on in this language."""
        self.now = language
        self._other, self._times = None, 0

    def _switch(self, switch: Switch) -> Switch:
        self.take(switch.language)
        return switch

    def _heard(self, words: list[str], tag: str | None) -> tuple[Language | None, float]:
        """The language of these words: by the recognizer if it says another than it is set to, else by small words."""
        said = self.find(tag) if tag else None
        if said is not None and said.base != self.now.base:
            return said, 1.0
        found = guess(words, [language.base for language in self.languages])
        if found is not None:
            return self.find(found[0]), found[1]
        return said, 1.0

    def _asked(self, words: list[str]) -> Language | None:
        for language in self.languages:
            if language is not self.now and any(_asks(words, plain(name)) for name in language.called):
                return language
        return None

    def _is_request(self, word: str, language: Language) -> bool:
        named = any(word in plain(name) for name in language.called)
        return named or word in _ASKS or word in _BETWEEN or word in _POLITE


def _asks(words: list[str], name: list[str]) -> bool:
    """Whether these words ask for the language of this name."""
    size = len(name)
    for at in range(len(words) - size + 1):
        if words[at : at + size] != name:
            continue
        before, behind = words[:at], words[at + size :]
        if _NOT & set(before[-6:]):
            continue
        # The name alone, perhaps with a preposition and a please.
        if all(word in _BETWEEN or word in _POLITE for word in (*before, *behind)):
            return True
        # A word that asks, and next to nothing between it and the name; "a Spanish class" is no language.
        back = at
        while back and words[back - 1] in _BETWEEN and at - back < 3:
            back -= 1
        if back and words[back - 1] in _ASKS and (not behind or behind[0] in _BEHIND):
            return True
    return False


#: What may stand behind the name of a language, if it is one that is asked for.
_BEHIND: Final = _words("""
    please instead now here with if and because for i my to it would is por favor con porque si y bitte mit weil
    wenn und sil avec parce et mais but or so thank thanks gracias merci danke per com e
""")


def untranslated(languages: Iterable[Language], texts: Iterable[str]) -> tuple[str, str] | None:
    """The first of these texts that a language does not have, with its code."""
    for language in languages:
        for text in texts:
            if text and text not in language.says:
                return language.code, text
    return None


def _bad(codes: list[str], error: str) -> MannersError:
    return MannersError.of("manners.languages", codes=", ".join(codes) or "(none)", error=error)
