"""Who calls the clinic in `voiceframe demo`, and what they do: always the same things, with other names and dates.

They speak into the greeting, cough over the bot's question whether all is right, then want something else after all,
and confirm that with a key.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from ..errors import TestKitError
from ..frames import Word
from ..testing import AudioCaller
from ..testing.voices import Voice, cough, pick, speech
from ..tones import mix
from .callers import OPENINGS, Actor, OnTheLine, Plan, change_of_mind, make_plan

__all__ = ["DemoActor", "DemoLine", "Spoken", "demo_plan"]

#: A cough has air in it and throat. Of air alone the VAD knows that nobody speaks; of the throat it does not.
_THROAT: Final = Voice("en-us", 200, 35, -18.0)
_AIR: Final = (1, -24.0)
#: How long the bot's question may be waited for.
_COUGH_WAIT_MS: Final = 6_000
_NAMING: Final = "my name is "
#: The letters of a telephone's keys.
_KEYS: Final = {
    letter: digit
    for digit, letters in zip("23456789", ("abc", "def", "ghi", "jkl", "mno", "pqrs", "tuv", "wxyz"), strict=True)
    for letter in letters
}


def demo_plan(seed: int, now: datetime) -> Plan:
    """The caller of this seed, who calls at `now` (the clinic's own time)."""
    plan = make_plan(seed, now)
    rng = random.Random(f"demo {seed}")
    return replace(
        plan,
        opening=rng.choice(OPENINGS),
        hours_first=False,
        keys=frozenset({"confirm"}),
        change=change_of_mind(rng, plan.goal["doctor"], plan.day, plan.at, now),
        person_at=-1,
        trick="",
    )


@dataclass(frozen=True)
class Spoken:
    """What the caller did: `first` counts the stretches of sound that they had made before.

    kind: `says`, `interrupts`, `coughs` or `presses`. words: placed in ms from the first sound.
    """

    kind: str
    text: str
    first: int
    at_ms: int
    words: tuple[Word, ...] = ()


class DemoLine(OnTheLine):
    """Keeps what the caller does, for those who look on, and tells it to `tell`."""

    def __init__(self, caller: AudioCaller, seed: int, tell: Callable[[Spoken], None]) -> None:
        super().__init__(caller)
        self.caller = caller
        self.person = pick(random.Random(seed))
        self.spoken: list[Spoken] = []
        self._tell = tell
        self._kind = "says"

    def voice(self, text: str) -> bytes:
        """How they say it; called when they do."""
        # Nobody says a thing twice in the same way: slower, if it was not understood.
        again = sum(one.text == text for one in self.spoken)
        person = replace(self.person, rate_wpm=max(110, self.person.rate_wpm - 15 * again))
        pcm = speech(text, person)
        self._note(self._kind, text, placed(text, person))
        return pcm

    def _note(self, kind: str, text: str, words: tuple[Word, ...] = ()) -> None:
        at_ms = self.caller.call.clock.at_ms()
        self.spoken.append(Spoken(kind, text, len(self.caller.spoke), at_ms, words))
        self._tell(self.spoken[-1])

    async def interrupts(self, text: str, *, after_ms: int) -> None:
        self._kind = "interrupts"
        try:
            await super().interrupts(text, after_ms=after_ms)
        finally:
            self._kind = "says"

    async def barges_in(self, after: str, text: str) -> None:
        """Speak over the bot as soon as these words of it were heard."""
        await self.caller.hears(after)
        await self.interrupts(text, after_ms=0)

    async def coughs_after(self, words: str) -> bool:
        """Cough over the bot as soon as these words of it were heard. Returns whether they were."""
        try:
            await self.caller.hears(words, within_ms=_COUGH_WAIT_MS)
        except TestKitError:
            return False
        self._note("coughs", "(coughs)")
        await self.caller.plays(self._cough())
        return True

    def _cough(self) -> bytes:
        seed, air_dbfs = _AIR
        person = replace(_THROAT, pitch=60) if "+f" in self.person.name else _THROAT
        throat = speech("huh huh huh", person, self.caller.format.rate)
        air = cough(random.Random(seed), self.caller.format.rate, air_dbfs)
        size = max(len(throat), len(air))
        return mix(throat.ljust(size, b"\0"), air.ljust(size, b"\0"))

    async def plays_file(self, path: str) -> None:
        """Let this file be heard in place of words of theirs."""
        self._note("says", f"({path})")
        await self.caller.plays_file(path)

    async def presses(self, digits: str) -> None:
        await self.caller.listens()
        if not self.over:
            self._note("presses", digits)
            await self.caller.presses(digits)


class DemoActor(Actor):
    """Acts the script out, and answers what the bot has understood otherwise than it was meant."""

    line: DemoLine

    def __init__(self, line: DemoLine, plan: Plan) -> None:
        super().__init__(line, plan)
        self._given = False  # whether the bot has been told all that it asks for
        self._coughed = False

    async def act(self) -> None:
        await self.line.barges_in("an appointment", self.plan.opening)
        await super().act()

    async def _give(self, slot: str) -> None:
        self._given |= slot == "at"
        await super()._give(slot)

    def _form(self, slot: str) -> str:
        form = super()._form(slot)
        if slot == "patient" and self._tries.get(slot, 0) == 2:  # in other words
            return form.removeprefix(_NAMING) if form.startswith(_NAMING) else _NAMING + form
        return form

    def _keys(self, slot: str) -> str:
        if slot == "patient":
            return "".join(_KEYS[letter] for letter in self.goal[slot].split()[-1].lower()) + "#"
        return super()._keys(slot)

    def _wrong(self, heard: str) -> list[str]:
        return [] if "press zero" in heard else super()._wrong(heard)  # that was help, with examples in it

    async def _says(self, text: str) -> None:
        await super()._says(text)
        if self._given and not self._coughed and not self.line.over:
            self._coughed = await self.line.coughs_after("with dr")


def placed(text: str, person: Voice) -> tuple[Word, ...]:
    """The words of `text` as this person says them."""
    from ..espeak import synthesize
    from ..testing.levels import sounds

    said = synthesize(text, person.name, person.rate_wpm, person.pitch)
    first_ms = next((round(begin) for begin, _ in sounds(said.pcm, said.rate)), 0)
    return tuple(
        Word(word.text, max(0, word.start_ms - first_ms), max(0, word.end_ms - first_ms)) for word in said.words
    )
