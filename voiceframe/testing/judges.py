"""Judging a call by rules: each is a question about its record, and its answer a check.

    judge(caller.record).heard(r"which day").called("book", day="2026-12-03").no_unanswered_turn().holds()

A rule that finds nothing to look at is not green: see `voiceframe.checks`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from ..checks import Check, Fact, Missing, Report, Verdict, weigh
from ..errors import TestKitError
from ..report import to_text
from . import hearing
from .deeds import Line
from .matching import pattern, shown_call
from .record import CallTranscript, with_arguments
from .sequence import Step, first_missing

__all__ = ["Judge", "judge"]

#: Lines of evidence that a report can bear.
_MOST_LINES = 12

_TRY_GUARD = "Try the text by itself: `voiceframe guard try`."


def judge(record: CallTranscript, *, name: str = "call") -> Judge:
    """Begin to judge a call. name: the beginning of the ids of its checks, and their section."""
    return Judge(record, name)


class Judge:
    """Rules about one call. Each method adds a check and returns the judge; `report()` has them all.

    Patterns are regular expressions, their case ignored. A rule that is used twice has a number in its second id:
    `call.heard`, `call.heard.2`.
    """

    def __init__(self, record: CallTranscript, name: str = "call") -> None:
        self.record = record
        self.name = name
        self.checks: list[Check] = []
        self.missing: list[Missing] = []
        self._used: dict[str, int] = {}

    # -- words

    def heard(self, text: str | re.Pattern[str], *, times: int | None = None) -> Self:
        """The caller has heard this; `times`: in exactly so many places."""
        return self._words("heard", "bot", text, times)

    def said(self, text: str | re.Pattern[str], *, times: int | None = None) -> Self:
        """The caller has said this; `times`: in exactly so many places."""
        return self._words("said", "caller", text, times)

    def not_heard(self, text: str | re.Pattern[str]) -> Self:
        """The caller has never heard this. A warning if nothing was heard at all, or not all of it is kept."""
        lines = [line for line in self.record.transcript if line.who == "bot"]
        found = [_row(line, match) for line in lines for match in _matches(text, line)]
        title = f"Never heard: {_shown(text)}"
        if found:
            return self._add(
                "not-heard", "fail", found, title, "Change what the bot says, or the pattern of `not_heard()`."
            )
        lost = sum(line.text is None for line in lines)
        if lost:
            facts = [f"{len(lines)} replies, of which {lost} are not kept: whether it was in them is not known."]
            return self._add("not-heard", "warn", facts, title, "Judge a call that is not `call.private()`.")
        facts = [f"It is in none of the {len(lines)} replies that were heard."] if lines else []
        return self._weighed("not-heard", facts, "pass", title, required=False)

    def order(self, *steps: Step | str) -> Self:
        """These have happened one after the other, whatever was between them.

        steps: `heard()`, `said()`, `called()`, `handed_off()` of the test kit; a text is what is to be heard.
        """
        wanted = [Step("heard", step) if isinstance(step, str) else step for step in steps]
        if not wanted:
            raise TestKitError.of("test.rule", rule="order()", reason="it has no steps")
        missing = first_missing(self.record, wanted)
        title = f"In this order: {'; '.join(map(str, wanted))}"
        if missing is None:
            return self._add("order", "pass", [f"{n}. {step}" for n, step in enumerate(wanted, 1)], title)
        before = f" after {wanted[missing - 1]}" if missing else ""
        facts: list[Fact] = [f"Step {missing + 1} is missing: {wanted[missing]}{before}.", *self._transcript()]
        return self._add("order", "fail", facts, title, "Compare the transcript with the steps of `order()`.")

    def turns(self, *, at_most: int | None = None, at_least: int = 1) -> Self:
        """The caller had to say so many things."""
        count = len(self.record.turns)
        most = math.inf if at_most is None else at_most
        bounds = f"at least {at_least}" + ("" if at_most is None else f" and at most {at_most}")
        verdict: Verdict = "pass" if at_least <= count <= most else "fail"
        facts: list[Fact] = [f"{count} turns; {bounds} were allowed."]
        if verdict == "fail":
            facts += self._transcript()
        return self._add(
            "turns", verdict, facts, "Number of turns", "Shorten the dialog, or change `turns(at_most=...)`."
        )

    # -- deeds

    def called(self, name: str, /, **arguments: Any) -> Self:
        """The tool was called with (at least) these arguments, as in `CallTranscript.tool_called()`."""
        found = [use for use in self.record.tools if use.name == name and with_arguments(use, arguments)]
        facts: list[Fact] = [f"{shown_call(use.name, use.arguments)} at {use.at_ms} ms." for use in found]
        title = f"Called: {shown_call(name, arguments)}"
        if not found:
            facts = [f"It was not called. Called: {self._calls() or 'no tool'}."]
        fix = f"Look at the instructions and the description of `{name}`."
        return self._add("called", "pass" if found else "fail", facts, title, fix)

    def not_called(self, name: str, /, **arguments: Any) -> Self:
        """The tool was not called with these arguments, or not at all if none are given."""
        uses = [use for use in self.record.tools if use.name == name]
        found = [use for use in uses if use.arguments is None or with_arguments(use, arguments)]
        facts: list[Fact] = [f"{shown_call(use.name, use.arguments)} at {use.at_ms} ms." for use in found]
        title = f"Never called: {shown_call(name, arguments) if arguments else name}"
        if not found and self.record.events:
            facts = [f"Called: {self._calls() or 'no tool'}."]
        fix = f"Look at the instructions and the description of `{name}`."
        return self._weighed("not-called", facts, "fail" if found else "pass", title, fix)

    def tools(self, *names: str) -> Self:
        """Exactly these tools were called, in this order; without names, none."""
        called = [use.name for use in self.record.tools]
        verdict: Verdict = "pass" if called == list(names) else "fail"
        facts: list[Fact] = [f"Called: {self._calls() or 'no tool'}."] if self.record.events else []
        if verdict == "fail":
            facts.append(f"Wanted: {', '.join(names) or 'no tool'}.")
        return self._weighed("tools", facts, verdict, "Tools in order", "Change the bot, or the names in `tools()`.")

    def no_failed_tool(self) -> Self:
        """Every tool that was called has returned, and none has failed. A warning if no tool was called."""
        uses = self.record.tools
        bad = [use for use in uses if use.failed is not False]
        facts: list[Fact] = [
            f"{shown_call(use.name, use.arguments)} at {use.at_ms} ms "
            + (f"failed: {use.error}" if use.failed else "has not returned.")
            for use in bad
        ] or ([f"{len(uses)} calls, all returned."] if uses else [])
        fix = "Test the tool by itself: `check_tool(tool, cases)`."
        return self._weighed("no-failed-tool", facts, "fail" if bad else "pass", "No failed tool", fix, required=False)

    def handed_off_to(self, target: str, *, status: str | None = None) -> Self:
        """The caller was handed off to `target`, as in `CallTranscript.handed_off_to()`."""
        found = [one for one in self.record.handoffs if one.fits(target, status)]
        facts = self._handoffs() or ["There was no handoff."]
        fix = "Look at the descriptions of the targets, and at `handoff=` of the squad."
        return self._add("handed-off", "pass" if found else "fail", facts, f"Handed off to {target}", fix)

    def no_handoff(self) -> Self:
        """The caller was not handed off to anybody; what was refused does not count."""
        done = [one for one in self.record.handoffs if one.done]
        facts = self._handoffs() or (["There was no handoff."] if self.record.events else [])
        fix = "Look at the descriptions of the targets, and at `handoff=` of the squad."
        return self._weighed("no-handoff", facts, "fail" if done else "pass", "No handoff", fix)

    def blocked(self, rule: str | None = None, *, stage: str | None = None) -> Self:
        """A guardrail has blocked something: by this rule, at this stage, if they are given."""
        rulings = self.record.rulings
        found = [one for one in rulings if one.blocked and one.fits(rule, stage)]
        facts: list[Fact] = [f"{one}." for one in rulings]
        title = f"Blocked by {rule or 'any rule'}"
        return self._add("blocked", "pass" if found else "fail", facts or ["Nothing was found."], title, _TRY_GUARD)

    def not_blocked(self) -> Self:
        """No guardrail has blocked anything, or escalated."""
        found = [one for one in self.record.rulings if one.blocked]
        facts: list[Fact] = [f"{one}." for one in found]
        if not found and self.record.events:
            facts = ["Nothing was blocked."]
        return self._weighed("not-blocked", facts, "fail" if found else "pass", "Nothing blocked", _TRY_GUARD)

    # -- time

    def no_unanswered_turn(self) -> Self:
        """Every turn of the caller was answered, or needed no answer. A warning if the caller never said anything."""
        outcomes = self.record.outcomes
        reasons = {event.turn: event.data["reason"] for event in self.record.of("turn.unanswered")}
        numbers = [event.turn for event in self.record.of("turn.committed")]
        bad = [number for number in numbers if outcomes.get(number or 0, "open") in ("unanswered", "open")]
        facts: list[Fact] = [
            {"turn": number, "outcome": outcomes.get(number or 0, "open"), "reason": reasons.get(number)}
            for number in numbers
        ]
        fix = "Look at the events of the turn: `caller.record.events`."
        title = "No unanswered turn"
        return self._weighed("answered", facts, "fail" if bad else "pass", title, fix, required=False)

    def answers_within(self, ms: int, *, share: float = 1.0, by: Literal["turn", "voice", "sound"] = "turn") -> Self:
        """Answers begin within `ms`, or (`share`) so large a part of them. An unanswered turn is a late one.

        by: from where. `"turn"`: from the end of the turn, as the bot has seen it. `"voice"`: from the caller's last
        sound, by the bot's events. `"sound"`: from silence to sound at the caller's end; only over audio.
        """
        if not 0 < share <= 1:
            raise TestKitError.of(
                "test.rule", rule=f"answers_within(share={share})", reason="a share is over 0, up to 1"
            )
        took: list[tuple[Any, float]]
        if by == "sound":
            took = [(round(at), took) for at, took in hearing.answers(self._sound())]
        else:
            kind, name = ("turn.answered", "latency_ms") if by == "turn" else ("turn.latency", "total_ms")
            took = [(event.turn, event.data[name]) for event in self.record.of(kind)]
            took += [(event.turn, math.inf) for event in self.record.of("turn.unanswered")]
        fast = sum(one <= ms for _, one in took)
        verdict: Verdict = "pass" if took and fast / len(took) >= share else "fail"
        word = "caller silent at ms" if by == "sound" else "turn"
        facts: list[Fact] = [
            {word: what, "answer after ms": "none" if one == math.inf else round(one), "in time": one <= ms}
            for what, one in took
        ]
        if facts:
            facts.append(f"{fast} of {len(took)} within {ms} ms; {share:.0%} are wanted.")
        fix = "See which part takes the time: `turn.latency` in `caller.record.events`."
        return self._weighed("answers-within", facts, verdict, f"Answers within {ms} ms", fix)

    def no_dead_air(self, ms: int, *, after: Literal["caller", "anybody"] = "caller") -> Self:
        """Nowhere is there silence for longer than `ms`, by the sound at the caller's end.

        after: the caller has spoken, or the call has begun, and the bot is to speak; or every silence.
        """
        found = hearing.silences(self._sound())
        counted = [one for one in found if after == "anybody" or one.after != "bot"]
        long = [one for one in counted if one.ms > ms]
        longest = max((one.ms for one in counted), default=0)
        facts: list[Fact] = [{"from ms": round(one.began_ms), "ms": one.ms, "after": one.after} for one in long]
        facts.append(f"{len(counted)} silences, the longest of {longest} ms; {ms} ms are allowed.")
        fix = "Let the bot say something while it works: `@tool(say_after_ms=...)`."
        return self._add("no-dead-air", "fail" if long else "pass", facts, f"No dead air over {ms} ms", fix)

    def yields_within(self, ms: int) -> Self:
        """When the caller begins to speak over the bot, it falls silent within `ms`, by the sound at the caller's end.
        A warning if the caller never has."""
        found = hearing.yields(self._sound())
        facts: list[Fact] = [
            {"caller spoke at ms": round(at), "bot silent after ms": round(took), "in time": took <= ms}
            for at, took in found
        ]
        verdict: Verdict = "pass" if all(took <= ms for _, took in found) else "fail"
        fix = "Look at the turn taking: `pause` and `interruption` in `caller.record.events`."
        return self._weighed("yields-within", facts, verdict, f"Yields within {ms} ms", fix, required=False)

    # -- the end, and whatever else

    def ended(self, outcome: str | None = None, *, reason: str | None = None) -> Self:
        """The call is over, with this outcome (see `CallTranscript.outcome`) and for this reason, if they are given."""
        found, why = self.record.outcome, self.record.reason
        ok = found != "running" and outcome in (None, found) and reason in (None, why)
        wanted = ", ".join(filter(None, (outcome, reason and f"reason {reason}"))) or "an end"
        facts: list[Fact] = [f"Outcome: {found}{f', reason: {why}' if why else ''}."]
        if not ok:
            facts.append(f"Wanted: {wanted}.")
        fix = "Let the caller stay for it: `await caller.hears_the_end()`."
        return self._add("ended", "pass" if ok else "fail", facts, f"Ended: {wanted}", fix)

    def no_errors(self) -> Self:
        """No processor has failed, and none was given up."""
        bad = self.record.of("processor.failed", "processor.abandoned")
        facts: list[Fact] = [
            f"{event.data['processor']}.{event.data['handler']} {event.kind.partition('.')[2]} at {event.at_ms} ms"
            f"{': ' + str(event.data['error']) if 'error' in event.data else ''}."
            for event in bad
        ] or ([f"{len(self.record.events)} events, none of them an error."] if self.record.events else [])
        fix = "The tracebacks are in `caller.record.events`."
        return self._weighed("no-errors", facts, "fail" if bad else "pass", "No errors", fix)

    def satisfies(self, name: str, rule: Callable[[CallTranscript], bool], *, evidence: str = "") -> Self:
        """A rule of your own: whether the record is as it should be. name: its id."""
        ok = bool(rule(self.record))
        what = evidence or f"{getattr(rule, '__name__', 'the rule')} says {'so' if ok else 'no'}"
        facts: list[Fact] = [what] if ok else [what, *self._transcript()]
        return self._add(name, "pass" if ok else "fail", facts, name, f"Look at the rule {name!r} of `satisfies()`.")

    def add(self, *checks: Check | Missing | Report) -> Self:
        """Checks from elsewhere: of a database, of a model that has judged."""
        for one in checks:
            if isinstance(one, Report):
                self.checks += one.checks
                self.missing += one.missing
            elif isinstance(one, Check):
                self.checks.append(one)
            else:
                self.missing.append(one)
        return self

    # -- the verdict

    def report(self, *, title: str = "") -> Report:
        """All checks together."""
        return Report(self.checks, title=title or f"Verdict on the {self.name}", missing=self.missing)

    @property
    def passed(self) -> bool:
        """Whether no check has failed. False without any."""
        return self.report().exit_code == 0

    def holds(self) -> Self:
        """Raise `TestKitError` (`test.judged`), an `AssertionError` with the report, if a check has failed."""
        report = self.report()
        if report.exit_code:
            raise TestKitError.of("test.judged", report=to_text(report).rstrip())
        return self

    # -- inside

    def _words(self, rule: str, who: str, text: str | re.Pattern[str], times: int | None) -> Self:
        lines = [line for line in self.record.transcript if line.who == who]
        found: list[Fact] = [_row(line, match) for line in lines for match in _matches(text, line)]
        ok = bool(found) if times is None else len(found) == times
        title = f"{rule.capitalize()}: {_shown(text)}" + (f", {times} times" if times is not None else "")
        if ok and found:
            return self._add(rule, "pass", found, title)
        facts: list[Fact] = [*found, f"Found {len(found)} times.", *self._transcript()]
        return self._add(rule, "pass" if ok else "fail", facts, title, f"Change the bot, or the pattern of `{rule}()`.")

    def _sound(self) -> Any:
        if self.record.sound is None:
            raise TestKitError.of("test.no-sound", what="nothing to measure by")
        return self.record.sound

    def _calls(self) -> str:
        return ", ".join(shown_call(use.name, use.arguments) for use in self.record.tools)

    def _handoffs(self) -> list[Fact]:
        return [
            {
                "from": one.source or None,
                "to": one.target or one.asked,
                "status": one.status,
                "reason": one.reason or None,
            }
            for one in self.record.handoffs
        ]

    def _transcript(self) -> list[Fact]:
        lines: Sequence[Line] = self.record.transcript
        facts: list[Fact] = [
            {"at ms": line.at_ms, "who": line.who, "text": _text(line)} for line in lines[-_MOST_LINES:]
        ]
        if len(lines) > _MOST_LINES:
            facts.insert(0, f"The last {_MOST_LINES} of {len(lines)} lines:")
        return facts

    def _id(self, rule: str) -> str:
        number = self._used[rule] = self._used.get(rule, 0) + 1
        return f"{self.name}.{rule}" + (f".{number}" if number > 1 else "")

    def _add(self, rule: str, verdict: Verdict, evidence: Iterable[Fact], title: str, fix: str = "") -> Self:
        shown = fix if fix and verdict != "pass" else None
        self.checks.append(Check(self._id(rule), verdict, list(evidence), fix=shown, title=title, section=self.name))
        return self

    def _weighed(
        self, rule: str, evidence: Sequence[Fact], verdict: Verdict, title: str, fix: str = "", *, required: bool = True
    ) -> Self:
        check = weigh(
            self._id(rule), evidence, verdict, required=required, title=title, section=self.name, fix=fix or None
        )
        assert isinstance(check, Check)
        self.checks.append(check)
        return self


def _matches(text: str | re.Pattern[str], line: Line) -> Iterable[re.Match[str]]:
    return pattern(text).finditer(line.text) if line.text else ()


def _row(line: Line, match: re.Match[str]) -> Mapping[str, Any]:
    return {"at ms": line.at_ms, "who": line.who, "found": match.group(), "text": _text(line)}


def _text(line: Line) -> str:
    return "(not kept)" if line.text is None else line.text


def _shown(text: str | re.Pattern[str]) -> str:
    return f"/{text if isinstance(text, str) else text.pattern}/"
