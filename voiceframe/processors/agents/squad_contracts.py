"""Contracts of squads as checks: what is said to them turn by turn, and who must answer it, how.

report = await check_squad(support_desk, [
    SquadTurn("I have a question about my bill", specialist="billing", handoffs=[("triage", "billing", "allowed")]),
])
assert report.exit_code == 0, report.markdown()
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...checks import Check, Report, Verdict
from ...errors import SquadError, VoiceframeError
from ...pipeline import Pipeline
from .agent import Agent

if TYPE_CHECKING:
    from ...call import Call
    from ...events import LoggedEvent
    from ...testing.caller import Caller

__all__ = ["SquadTurn", "check_squad"]

Aspect = Literal["specialist", "handoffs", "tools", "says", "says-not", "outcome", "ended"]


@dataclass(frozen=True)
class SquadTurn:
    """What the caller says, and what must come of it. What is left out is not asked.

    specialist: who has the caller then. handoffs: (source, asked target, status) of each handoff of this turn, in
    order; () for none. tools: the names of the tools that were called, in order, without `hand_off`.
    says, says_not: regular expressions, case ignored, that must (not) be found in what the caller has heard.
    outcome: of the turn. ended: the reason for which the call must have ended.
    name: for the report; by default its place in the list.
    """

    text: str
    specialist: str | None = None
    handoffs: Sequence[tuple[str, str, str]] | None = None
    tools: Sequence[str] | None = None
    says: str = ""
    says_not: str = ""
    outcome: Literal["answered", "unanswered", "skipped"] | None = "answered"
    ended: str | None = None
    name: str = ""


async def check_squad(
    make: Callable[[Call], Agent], turns: Iterable[SquadTurn], *, name: str = "", seed: int = 0
) -> Report:
    """Hold a conversation of text with a squad, a router or an agent, and check each turn.

    make: makes it, for one call, as the function of a bot does. The checks are named `squad.<name>.<turn>.<aspect>`,
    with the aspects specialist, handoffs, tools, says, says-not, outcome and ended. A turn that comes after the end of
    the call fails in all that is asked of it. Models are asked as they are: give scripted ones for a fixed proof.

    Raises `SquadError` (`squad.turns`) without turns.
    """
    from ...testing.caller import dial

    given = list(turns)
    if not given:
        raise SquadError.of("squad.turns")
    made: list[Agent] = []

    def bot(call: Call) -> Pipeline:
        made.append(make(call))
        return Pipeline([call.transport.input(), made[0], call.transport.output()])

    checks: list[Check] = []
    async with dial(bot, seed=seed, words_per_minute=0) as caller:
        await caller.listens()
        title = name or made[0].name
        for number, turn in enumerate(given, 1):
            seen = len(caller.record.events)
            problem, heard = await _said(caller, turn)
            events = caller.record.events[seen:]
            if turn.ended is not None and not problem:
                await caller.hears_the_end()
                events = caller.record.events[seen:]
            judge = _Judge(f"squad.{title}.{turn.name or number}", turn, events, heard, problem)
            checks += judge.checks(made[0]._speaker.name, caller.call.turns.last, caller.record.outcomes)
    return Report(checks, title=f"Contract of {title}")


async def _said(caller: Caller, turn: SquadTurn) -> tuple[str, str]:
    """What went wrong, and what was heard."""
    try:
        await caller.says(turn.text)
        return "", await caller.listens()
    except VoiceframeError as error:
        return str(error), ""


class _Judge:
    """The checks of one turn."""

    def __init__(self, id: str, turn: SquadTurn, events: Sequence[LoggedEvent], heard: str, problem: str) -> None:
        self._id = id
        self._turn = turn
        self._events = events
        self._heard = heard
        self._problem = problem

    def checks(self, specialist: str, number: int, outcomes: dict[int, str]) -> Iterable[Check]:
        turn = self._turn
        if turn.specialist is not None:
            fits = specialist == turn.specialist
            yield self._check("specialist", fits, f"{specialist} has the caller.", f"It must be {turn.specialist}.")
        if turn.handoffs is not None:
            found = [(e.data["source"], e.data["asked"], e.data["status"]) for e in self._of("handoff.decided")]
            wanted = [tuple(handoff) for handoff in turn.handoffs]
            yield self._check(
                "handoffs", found == wanted, f"Handoffs: {_shown(found)}.", f"Expected: {_shown(wanted)}."
            )
        if turn.tools is not None:
            called = [e.data["name"] for e in self._of("tool.called") if e.data["name"] != "hand_off"]
            evidence = f"Called: {', '.join(called) or 'nothing'}."
            yield self._check("tools", called == list(turn.tools), evidence, f"Expected: {list(turn.tools)}.")
        heard = f"Heard: {self._heard.strip() or 'nothing'}"
        if turn.says:
            fits = re.search(turn.says, self._heard, re.IGNORECASE) is not None
            yield self._check("says", fits, heard, f"It must say {turn.says!r}.")
        if turn.says_not:
            fits = re.search(turn.says_not, self._heard, re.IGNORECASE) is None
            yield self._check("says-not", fits, heard, f"It must not say {turn.says_not!r}.")
        if turn.outcome is not None:
            outcome = outcomes.get(number, "open")
            yield self._check("outcome", outcome == turn.outcome, f"It is {outcome}.", f"It must be {turn.outcome}.")
        if turn.ended is not None:
            ended = self._of("call.ended")
            reason = str(ended[-1].data["reason"]) if ended else "not ended"
            yield self._check("ended", reason == turn.ended, f"The call is {reason}.", f"It must be {turn.ended}.")

    def _of(self, kind: str) -> list[LoggedEvent]:
        return [event for event in self._events if event.kind == kind]

    def _check(self, aspect: Aspect, fits: bool, evidence: str, wanted: str) -> Check:
        fits = fits and not self._problem
        verdict: Verdict = "pass" if fits else "fail"
        said = f"The caller says: {self._turn.text}"
        facts = tuple(filter(None, (said, evidence, "" if fits else wanted, self._problem)))
        fix = None if fits else "Correct the instructions, tools or `handoff=` of the squad, or this `SquadTurn`."
        return Check(f"{self._id}.{aspect}", verdict, facts, fix=fix, section=self._turn.name or self._turn.text)


def _shown(handoffs: Sequence[tuple[str, ...]]) -> str:
    return ", ".join(f"{source} to {target}: {status}" for source, target, status in handoffs) or "none"
