"""Callers of the clinic, made by a seed: who they are, what they want, how they say it, and what goes wrong meanwhile.

    plan = make_plan(seed, now)           # decided beforehand: the same seed is the same caller
    await phone(caller, plan)             # act it out, over text or over audio
    assert verdict(plan, ...) == ""       # booked as asked, or handed over as it should be

A caller answers what the bot has asked, corrects what it got wrong, and sometimes changes their mind, coughs over the
bot, is silent, asks for help, says something else altogether, presses keys, interrupts, or wants a person.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

from ..flow import Date, Time
from ..flow.slots import Context
from ..flow.words import MONTHS, ORDINALS, WEEKDAYS, spell
from ..testing import AudioCaller, Caller
from .calendar import CLOSED, DOCTORS, HORIZON_DAYS, LAST, OPENS, PATIENTS, STEP_MINUTES, times

DAY = Date("day", earliest_days=1, latest_days=HORIZON_DAYS, closed=CLOSED)
AT = Time("at", earliest=OPENS, latest=LAST, step_minutes=STEP_MINUTES)

SLOTS = ("patient", "doctor", "day", "at")
#: What callers say that has nothing to do with what was asked.
ASIDES = (
    "is this the right number for the car repair",
    "hold on a second I am looking for my glasses",
    "the weather has been terrible all week",
    "my husband usually takes care of these things",
    "I was told that somebody would ring me back",
    "there is a lot of traffic outside",
)
OPENINGS = ("book an appointment", "an appointment please", "I'd like to make an appointment", "make an appointment")
REPEAT = ("repeat that", "say that again", "repeat", "pardon")
PERSON = ("operator", "speak to a person", "talk to a person please", "speak to someone")
Trick = Literal["", "cough", "silence", "help", "repeat", "aside", "interrupt"]


@dataclass(frozen=True)
class Plan:
    """All that a seed decides about a caller. `person_at` is the question at which they want a person, or -1."""

    seed: int
    now: datetime
    goal: dict[str, str]  # what is to be booked, each value as the clinic says it
    day: date
    at: time
    opening: str
    hours_first: bool
    keys: frozenset[str]  # questions that are answered by keys
    forms: dict[str, str]  # how each value is said
    change: tuple[str, str, str] | None  # at the first confirmation: the slot, its new value, and how it is said
    person_at: int
    person: str
    trick: Trick
    trick_at: int
    aside: str
    polite: dict[str, str] = field(default_factory=dict)

    @property
    def wants(self) -> Literal["appointment", "person"]:
        return "person" if self.person_at >= 0 else "appointment"

    def key(self) -> tuple[object, ...]:
        """What tells this caller's words and deeds from another's."""
        return (
            tuple(sorted(self.goal.items())),
            self.opening,
            self.hours_first,
            tuple(sorted(self.keys)),
            tuple(sorted(self.forms.items())),
            self.change,
            (self.person_at, self.person),
            (self.trick, self.trick_at, self.aside if self.trick == "aside" else ""),
            tuple(sorted(self.polite.items())),
        )


def make_plan(seed: int, now: datetime) -> Plan:
    """The caller of this seed, calling at `now` (the clinic's own time)."""
    rng = random.Random(f"caller {seed}")
    day, at = _pick_day(rng, now), rng.choice(times())
    patient, doctor = rng.choice(PATIENTS), rng.choice(DOCTORS)
    forms = {
        "patient": patient if rng.random() < 0.5 else f"my name is {patient}",
        "doctor": doctor.replace("Dr", "doctor"),
        "day": rng.choice(day_forms(day, now)),
        "at": rng.choice(time_forms(at)),
    }
    change = change_of_mind(rng, doctor, day, at, now) if rng.random() < 0.3 else None
    tricks: tuple[Trick, ...] = ("cough", "silence", "help", "repeat", "aside", "interrupt")
    return Plan(
        seed=seed,
        now=now,
        goal={"patient": patient, "doctor": doctor, "day": DAY.say(day), "at": AT.say(at)},
        day=day,
        at=at,
        opening=rng.choice(OPENINGS),
        hours_first=rng.random() < 0.1,
        keys=frozenset(name for name in ("menu", "doctor", "day", "at", "confirm") if rng.random() < 0.08),
        forms=forms,
        change=change,
        person_at=rng.randrange(5) if rng.random() < 0.12 else -1,
        person=rng.choice(PERSON),
        trick=rng.choice(tricks) if rng.random() < 0.6 else "",
        trick_at=rng.randrange(1, 5),
        aside=rng.choice(ASIDES),
        polite={name: rng.choice(("", "", " please")) for name in SLOTS},
    )


def change_of_mind(rng: random.Random, doctor: str, day: date, at: time, now: datetime) -> tuple[str, str, str]:
    """The slot in which they want something else after all, its new value, and how it is said."""
    slot = rng.choice(("doctor", "day", "at"))
    if slot == "doctor":
        other = rng.choice([name for name in DOCTORS if name != doctor])
        return slot, other, other.replace("Dr", "doctor")
    if slot == "day":
        new_day = _pick_day(rng, now, but=day)
        return slot, DAY.say(new_day), rng.choice(day_forms(new_day, now))
    new_at = rng.choice([other for other in times() if other != at])
    return slot, AT.say(new_at), rng.choice(time_forms(new_at))


def _pick_day(rng: random.Random, now: datetime, but: date | None = None) -> date:
    days = [now.date() + timedelta(n) for n in range(1, HORIZON_DAYS)]
    open_days = [day for day in days if WEEKDAYS[day.weekday()] not in CLOSED and day != but]
    # Most people want to come soon.
    return rng.choice(open_days[:10] if rng.random() < 0.6 else open_days)


@lru_cache(maxsize=1_024)
def day_forms(day: date, now: datetime) -> tuple[str, ...]:
    """Ways to say a day that mean it and no other."""
    weekday, ordinal, month = WEEKDAYS[day.weekday()], ORDINALS[day.day], MONTHS[day.month - 1]
    context = Context(now)
    forms = (
        f"{weekday} the {ordinal} of {month}",
        f"the {ordinal} of {month}",
        f"{month} the {ordinal}",
        f"{weekday} the {ordinal}",
        f"on {weekday}",
        "tomorrow",
        "the day after tomorrow",
        f"next {weekday}",
    )
    return tuple(text for text in forms if DAY.parse(text, context) == day)


@lru_cache(maxsize=256)
def time_forms(at: time) -> tuple[str, ...]:
    """Ways to say a time of day that mean it and no other."""
    hour = spell((at.hour - 1) % 12 + 1)
    half = "in the morning" if at.hour < 12 else "in the afternoon"
    forms = (AT.say(at), f"half past {hour}", f"{hour} o'clock", f"{AT.say(at)} {half}")
    return tuple(text for text in forms if AT.parse(text, Context()) == at)


class OnTheLine:
    """What a plan needs of a caller of `voiceframe.testing.dial()`, over text or over audio."""

    def __init__(self, caller: Caller | AudioCaller) -> None:
        self._caller = caller
        #: What was said and heard, for a person to read.
        self.transcript: list[str] = []
        #: When they began to speak over the bot, by sound, in the call's milliseconds.
        self.barged: list[float] = []

    @property
    def over(self) -> bool:
        return self._caller.call.ended or self._caller.call.engine.ending

    async def listens(self) -> str:
        heard = await self._caller.listens()
        self.transcript.append(f"bot: {' / '.join(heard.split(chr(10)))}")
        return heard

    async def says(self, text: str) -> None:
        self.transcript.append(f"caller: {text}")
        if not self.over:
            await self._caller.says(text)

    async def interrupts(self, text: str, *, after_ms: int) -> None:
        self.transcript.append(f"caller, interrupting: {text}")
        if self.over:
            return
        if not isinstance(self._caller, AudioCaller):
            await self._caller.interrupts(text, after_ms=after_ms)
            return
        before = len(self._caller.spoke)
        await self._caller.interrupts(text, after_ms=after_ms)
        self.barged += [began for began, _ in self._caller.spoke[before : before + 1]]

    async def coughs_over(self, *, after_ms: int) -> None:
        """Cough while the bot speaks; over text nobody does."""
        if isinstance(self._caller, AudioCaller) and not self.over:
            self.transcript.append("caller: (coughs)")
            await self._caller.coughs(after_ms=after_ms)

    async def presses(self, digits: str) -> None:
        self.transcript.append(f"caller: [{digits}]")
        await self._caller.listens()
        if not self.over:
            await self._caller.presses(digits)

    async def waits(self, ms: int) -> None:
        await self._caller.waits(ms)


QUESTIONS = {
    "confirm": r"is that right|, perhaps\?",
    "menu": r"would you like to book",
    "patient": r"what is your name",
    "doctor": r"which doctor would you like",
    "day": r"on which day",
    "at": r"at what time",
    "which": r"what should i change",
}
_FREE = re.compile(r"what is free is (.+?)\.", re.IGNORECASE)


class Actor:
    """Acts a plan out. `goal` is what they want by now: offers that they took and changes of mind included.

    impatient: they speak over most of what the bot says to an answer of theirs, again and again.
    """

    def __init__(self, line: OnTheLine, plan: Plan, *, impatient: bool = False) -> None:
        self.line = line
        self.plan = plan
        self.goal = dict(plan.goal)
        self._forms = dict(plan.forms)
        self._change = plan.change
        #: What they wanted something else in, after all.
        self.changed = ""
        self._trick: Trick = plan.trick
        self._hours = plan.hours_first
        self._asked = -1
        self._tries: dict[str, int] = {}
        # Drawn apart from the plan, which is the same with and without.
        self._impatience = random.Random(f"impatient {plan.seed}") if impatient else None

    async def act(self) -> None:
        """Until the call is over, or the caller has had enough."""
        for _ in range(40):
            heard = await self.line.listens()
            if self.line.over:
                return
            question = self._question(heard)
            if question is None:
                await self.line.waits(1_000)
                continue
            self._asked += 1
            if self.plan.person_at == self._asked:
                await self.line.says(self.plan.person)
            elif self._trick and self._asked >= self.plan.trick_at and await self._play_trick():
                continue
            else:
                await self._answer(question, heard)

    @staticmethod
    def _question(heard: str) -> str | None:
        """The last question in what was heard."""
        found = [
            (match.start(), name)
            for name, pattern in QUESTIONS.items()
            for match in re.finditer(pattern, heard, re.IGNORECASE)
        ]
        return max(found)[1] if found else None

    async def _play_trick(self) -> bool:
        """Whether that took the place of an answer."""
        trick, self._trick = self._trick, ""
        if trick == "silence":
            await self.line.waits(16_500)
            return True
        if trick in ("help", "repeat"):
            await self.line.says(trick)
            return True
        if trick == "aside":
            await self.line.says(self.plan.aside)
            return True
        self._trick = trick  # a cough or an interruption comes with the next long sentence of the bot
        return False

    async def _answer(self, question: str, heard: str) -> None:
        offer = _FREE.search(heard)
        if offer is not None:
            self._take(offer[1])
        wrong = self._wrong(heard)
        if question == "confirm":
            await self._confirm(heard, wrong)
        elif wrong:
            await self._says(f"no {self._form(wrong[0])}")
        elif question == "menu":
            await self._menu()
        elif question == "which":
            await self._says(self._form(self._doubtful()))
        else:
            await self._give(question)

    async def _menu(self) -> None:
        if self._hours:
            self._hours = False
            await self._says("opening hours")
        elif "menu" in self.plan.keys:
            await self.line.presses("1")
        else:
            await self._says(self.plan.opening)

    async def _give(self, slot: str) -> None:
        tries = self._tries[slot] = self._tries.get(slot, 0) + 1
        if slot in self.plan.keys or tries > 2:
            keys = self._keys(slot)
            if keys:
                await self.line.presses(keys)
                return
        await self._says(self._form(slot) + self.plan.polite[slot])

    async def _confirm(self, heard: str, wrong: list[str]) -> None:
        if wrong:
            self._tries["confirm"] = self._tries.get("confirm", 0) + 1
            await self._says(f"no {self._form(wrong[0])}")
        elif self._change is not None and "with" in heard.lower():
            (slot, value, form), self._change = self._change, None
            self.goal[slot], self._forms[slot], self.changed = value, form, slot
            await self._says(f"no {form}")
        elif "confirm" in self.plan.keys:
            await self.line.presses("1")
        else:
            await self._says("yes")

    async def _says(self, text: str) -> None:
        await self.line.says(text)
        if self._trick == "interrupt":
            self._trick = ""
            await self.line.interrupts("repeat that", after_ms=700)
        elif self._trick == "cough":
            self._trick = ""
            await self.line.coughs_over(after_ms=500)
        elif self._impatience is not None and text != "yes" and self._impatience.random() < 0.9:
            rng = self._impatience
            await self.line.interrupts(rng.choice(REPEAT), after_ms=rng.randint(300, 1_300))

    def _wrong(self, heard: str) -> list[str]:
        """The slots for which the bot has just said something else than what is wanted."""
        said = heard.lower().rsplit("\n", 1)[-1]
        if "is that right" not in said:
            # What it has understood stands right before the next question; anything else is information.
            before = re.split(r"(?<=[.?])\s+", said.strip())[-2:-1]
            said = before[0] if before and not before[0].startswith(("we ", "that ", "sorry", "i ", "what is")) else ""
        found = []
        for slot, values in _VALUES.items():
            named = _longest([value for value in (*values, *self._all(slot)) if _contains(said, value)])
            if named and self.goal[slot].lower() not in named:
                found.append(slot)
        return found

    def _all(self, slot: str) -> list[str]:
        if slot != "day":
            return []
        today = self.plan.now.date()
        return [DAY.say(today + timedelta(n)).lower() for n in range(HORIZON_DAYS + 10)]

    def _take(self, offer: str) -> None:
        """The first time that is offered will do."""
        today = self.plan.now.date()
        days = {DAY.say(today + timedelta(n)): today + timedelta(n) for n in range(1, HORIZON_DAYS + 30)}
        first = offer.split(", or ")[0]
        day, _, rest = first.partition(" at ")
        at = rest.split(" or ")[0]
        if day in days:
            self.goal["day"], self.goal["at"] = day, at
            self._forms["day"], self._forms["at"] = day, at

    def _form(self, slot: str) -> str:
        """The value as this caller says it; after a misunderstanding as the bot itself would."""
        if self._tries.get("confirm", 0) + self._tries.get(slot, 0) > 2:
            return self.goal[slot].replace("Dr", "doctor")
        return self._forms[slot]

    def _doubtful(self) -> str:
        return "day"

    def _keys(self, slot: str) -> str:
        if slot == "doctor":
            return str(DOCTORS.index(self.goal["doctor"]) + 1)
        if slot == "day":
            day = DAY.parse(self.goal["day"], Context(self.plan.now))
            return f"{day:%d%m}" if day is not None else ""
        if slot == "at":
            at = AT.parse(self.goal["at"], Context(self.plan.now))
            return f"{at:%H%M}" if at is not None else ""
        return ""


_VALUES = {
    "patient": [name.lower() for name in PATIENTS],
    "doctor": [name.lower() for name in DOCTORS],
    "day": [],
    "at": [AT.say(at).lower() for at in times()],
}


def _contains(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def _longest(values: list[str]) -> list[str]:
    """Without those that are only a part of another: "ten" of "ten thirty"."""
    return [value for value in values if not any(value != other and _contains(other, value) for other in values)]


async def phone(caller: Caller | AudioCaller, plan: Plan) -> Actor:
    """Act the plan out. What they wanted in the end is the result's `goal`."""
    actor = Actor(OnTheLine(caller), plan)
    await actor.act()
    return actor


def verdict(actor: Actor, reason: str, outcome: str, booked: list[tuple[str, str, str, str]]) -> str:
    """What is wrong about how the call ended; "" if nothing is.

    reason: why the call ended. outcome: what the dialog says it came to. booked: the rows of this call's appointments:
    doctor, day, time, patient.
    """
    if actor.plan.wants == "person":
        return "" if reason == "handed-over" and not booked else f"wanted a person; {reason}, {outcome}, {booked}"
    goal = actor.goal
    day = DAY.parse(goal["day"], Context(actor.plan.now))
    at = AT.parse(goal["at"], Context(actor.plan.now))
    wanted = (goal["doctor"], f"{day}", f"{at:%H:%M}", goal["patient"])
    if booked == [wanted] and outcome == "booked":
        return ""
    return f"wanted {wanted}; {reason}, {outcome}, {booked}"
