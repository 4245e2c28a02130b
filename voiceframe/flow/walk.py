"""Walks through a flow with mock replies: every way from every node is taken, by a caller who says and presses what is
needed. No pipeline, no clock and no tool: only the dialog, which is the one that callers meet.

    walk = walk_all(flow)       each walk begins anew and prefers the ways that nobody has taken
    walk.report().exit_code     0 if every node was reached and every way was taken
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..checks import Check, Report
from .branch import Branch, When
from .graph import Way, ways
from .hours import Hours
from .made_up import WORKDAY, as_slot, call_for, liked, results_of, some
from .mocks import MockTool
from .naming import name_of
from .node import Asking
from .slots import Context, Slot
from .states import AgentNode, AnyState, Do, Message, State, Voicemail
from .template import about_call

if TYPE_CHECKING:
    from .flow import Flow

__all__ = ["Step", "Walk", "walk_all"]

#: A walk that comes to no end in so many steps is one that runs in circles.
_MOST_STEPS: Final = 400
#: Walks without a new way after which no more are tried.
_PATIENCE: Final = 40


class Step(NamedTuple):
    """What somebody did in a state, what the bot said then, and which states it came through."""

    state: str
    did: str
    said: str
    states: tuple[str, ...]


class _Key(NamedTuple):
    """A way, however it is worded."""

    source: str
    kind: str
    label: str


@dataclass
class Walk:
    """What all walks came to."""

    states: Mapping[str, AnyState]
    walks: list[list[Step]] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)
    taken: set[_Key] = field(default_factory=set)
    stuck: list[str] = field(default_factory=list)

    @property
    def ways(self) -> list[Way]:
        """All ways of the flow."""
        return ways(self.states)

    def missing(self) -> list[Way]:
        """The ways that were not taken."""
        return [way for way in self.ways if _key(way) not in self.taken]

    def report(self, title: str = "Walk through the flow") -> Report:
        """Every node and every way, with what is missing."""
        missing = self.missing()
        unseen = [name for name in self.states if name not in self.visited]
        total = len(self.ways)
        fix = "Change what leads there, or remove it; `voiceframe flow test --script` takes a way by hand."
        return Report(
            [
                Check(
                    "flow.nodes",
                    "fail" if unseen else "pass",
                    [f"{len(self.visited)} of {len(self.states)} nodes were reached.", *unseen],
                    fix=fix if unseen else None,
                ),
                Check(
                    "flow.ways",
                    "fail" if missing else "pass",
                    [
                        f"{total - len(missing)} of {total} ways were taken, in {len(self.walks)} walks.",
                        *(
                            f"{way.source} → {way.to} ({way.kind}{': ' + way.label if way.label else ''})"
                            for way in missing
                        ),
                    ],
                    fix=fix if missing else None,
                ),
                Check(
                    "flow.ends",
                    "fail" if self.stuck else "pass",
                    [f"{len(self.walks) - len(self.stuck)} of {len(self.walks)} walks came to an end.", *self.stuck],
                    fix="Look at the walk: `voiceframe flow test FILE` prints it." if self.stuck else None,
                ),
            ],
            title=title,
        )


def walk_all(flow: Flow, *, seed: int = 0, most_walks: int = 2_000) -> Walk:
    """Walk until every way was taken, or no walk finds another one."""
    found = Walk(flow.states)
    idle = 0
    for number in range(most_walks):
        before = len(found.taken) + len(found.visited)
        walker = _Walker(flow, found, random.Random(f"{seed}-{number}"))
        found.walks.append(walker.walk())
        idle = 0 if len(found.taken) + len(found.visited) > before else idle + 1
        if not found.missing() and len(found.visited) == len(found.states):
            break
        if idle >= _PATIENCE:
            break
    return found


class _Move(NamedTuple):
    """Something that can be done now. ways: those that it may lead to take; by: what it is called."""

    did: str
    do: Callable[[], None]
    key: _Key | None = None


class _Walker:
    """One caller, who begins anew."""

    def __init__(self, flow: Flow, found: Walk, rng: random.Random) -> None:
        self._flow = flow
        self._found = found
        self._rng = rng
        self._now = WORKDAY + timedelta(hours=rng.randrange(168)) if rng.random() < 0.6 else WORKDAY
        self._distance = _distances(found)
        self._wanted: dict[str, list[Any]] = defaultdict(list)
        for state in flow.states.values():
            for case in state.cases if isinstance(state, Branch) else ():
                self._wanted[case.value if about_call(case.value) else case.value.partition(".")[0]] += liked(case)
                self._hours(case)
        self._call = call_for(self._wanted, rng)
        values: dict[str, Any] = dict(flow.given)
        for name, likes in self._wanted.items():
            if name in flow.changing and likes:
                values[name] = rng.choice([*likes, values.get(name, "")])
        settings = flow.settings.replace(most_failures=max(flow.settings.most_failures, 60))
        self._dialog = flow.new_dialog(self._context, values, settings)
        self._steps: list[Step] = []

    def _hours(self, case: When) -> None:
        """Now and then walk within the hours of a branch."""
        if case.hours and self._rng.random() < 0.3:
            hours = Hours.parse(case.hours[0])
            day = next(n for n in range(7) if (WORKDAY + timedelta(days=n)).weekday() in hours.days)
            begin = (WORKDAY + timedelta(days=day)).replace(hour=hours.begin.hour, minute=hours.begin.minute)
            self._now = begin

    def _context(self, values: Mapping[str, Any]) -> Context:
        return Context(self._now, self._call, values)

    def walk(self) -> list[Step]:
        dialog = self._dialog
        dialog.begin()
        self._note("", "(the call begins)", None)
        for _ in range(_MOST_STEPS):
            if dialog.focus == "over":
                return self._steps
            moves = list(self._moves())
            move = self._choose(moves)
            source = dialog.state.name
            move.do()
            self._note(source, move.did, move.key)
        self._found.stuck.append(f"A walk of {_MOST_STEPS} steps did not end; it was in {dialog.state.name!r} last.")
        return self._steps

    def _note(self, source: str, did: str, key: _Key | None) -> None:
        said, events, _ = self._dialog.take()
        states = tuple(event.state for event in events if event.kind == "flow.entered")  # type: ignore[attr-defined]
        self._steps.append(Step(source, did, said, states))
        found = self._found
        # What was passed through on the way: branches and nodes that only say something.
        came = states[0] if states else None
        if key is not None and came is not None and self._leads(key, came):
            found.taken.add(key)
        for one, other in pairwise(states):
            self._passed(one, other)
        found.visited.update(states)

    def _leads(self, key: _Key, to: str) -> bool:
        return any(_key(way) == key and way.to == to for way in self._found.ways)

    def _passed(self, one: str, other: str) -> None:
        state = self._found.states.get(one)
        if isinstance(state, Branch):
            context = self._context(self._dialog.values)
            case = next((case for case in state.cases if case.holds(context)), None)
            kind, label = ("case", case.label) if case is not None else ("next", "else")
            self._found.taken.add(_Key(one, kind, label))
        elif isinstance(state, State) and not state.asks and state.to == other:
            self._found.taken.add(_Key(one, "next", ""))

    # -- what can be done

    def _choose(self, moves: list[_Move]) -> _Move:
        """A move on a way that nobody has taken, else towards one, else any."""
        found = self._found
        fresh = [move for move in moves if move.key is not None and move.key not in found.taken]
        if fresh:
            return self._rng.choice(fresh)
        if self._rng.random() < 0.15:
            return self._rng.choice(moves)
        targets = {_key(way): way.to for way in found.ways}
        far = len(found.states) + 1
        scored = [(self._distance.get(targets.get(move.key, ""), far) if move.key else far, move) for move in moves]
        least = min(score for score, _ in scored)
        return self._rng.choice([move for score, move in scored if score == least])

    def _moves(self) -> Iterator[_Move]:
        dialog, state = self._dialog, self._dialog.state
        if isinstance(state, Do):
            yield from self._tool(state)
        elif isinstance(state, AgentNode):
            for outcome in state.exits:
                key = _Key(state.name, "outcome", outcome)
                yield _Move(f"(agent: {outcome})", partial(dialog.agent_done, state, outcome, "A summary."), key)
            yield _Move("(the agent fails)", dialog.agent_failed, _Key(state.name, "failed", "failed"))
        elif isinstance(state, Voicemail):
            message = Message("message.wav", 4_000, "Please call me back.")
            label = "message" if state.empty != state.to else ""
            key = _Key(state.name, "next", label)
            yield _Move("(leaves a message)", lambda: dialog.recorded(state, message), key)
            if state.empty != state.to:
                empty = _Key(state.name, "failed", "nothing said")
                yield _Move("(says nothing)", lambda: dialog.recorded(state, None), empty)
        elif isinstance(state, State):
            yield from self._asked(state)
        if isinstance(state, Asking) and not isinstance(state, Voicemail):
            if state.give_up is not None:
                yield _Move(
                    "(says nothing, again and again)", self._gives_up, _Key(state.name, "give_up", "not understood")
                )
            if state.limit_to is not None and state.limit_ms is not None:
                label = f"after {state.limit_ms / 1000:g} s"
                yield _Move("(takes too long)", dialog.overrun, _Key(state.name, "limit", label))

    def _gives_up(self) -> None:
        state = self._dialog.state
        for _ in range(30):
            if self._dialog.state is not state:
                return
            if isinstance(state, AgentNode):
                self._dialog.agent_failed()
                return
            self._dialog.silence()

    def _tool(self, state: Do) -> Iterator[_Move]:
        dialog = self._dialog
        results = state.tool.results if isinstance(state.tool, MockTool) else list(results_of(state.tool))
        for result in results:
            case = next((c for c in state.exits if _is(c, result)), ...)
            if case is ... and state.to is None:
                continue
            key = (
                _Key(state.name, "exit", name_of(case))
                if case is not ...
                else _Key(state.name, "next", "else" if state.exits else "")
            )
            done = partial(dialog.tool_done, state, result, failed=False)
            yield _Move(f"({state.tool.name}: {_brief(result)})", done, key)
        fails = _Key(state.name, "failed", "failed")
        yield _Move(f"({state.tool.name} fails)", lambda: dialog.tool_done(state, None, failed=True), fails)

    def _asked(self, state: State) -> Iterator[_Move]:
        dialog, focus, slot = self._dialog, self._dialog.focus, self._dialog.asked
        yes = _Key(state.name, "next", ", ".join(one.label for one in state.slots))
        if focus in ("value", "confirm"):
            yield self._says("yes", yes)
            return
        if focus == "which":
            yield self._says(state.slots[0].label, None)
            return
        for intent in state.intents:
            label = intent.label if intent.key is None else f"{intent.key} {intent.label}"
            key = _Key(state.name, "option", label)
            if intent.key is not None and self._rng.random() < 0.4:
                yield _Move(f"presses {intent.key}", partial(dialog.keys, intent.key), key)
            else:
                yield self._says(self._rng.choice(intent.phrases), key)
        if focus == "slot" and slot is not None:
            text = self._answer(slot)
            if text is not None:
                yield self._says(text, yes)

    def _says(self, text: str, key: _Key | None) -> _Move:
        return _Move(f"says {text!r}", lambda: self._dialog.hear([(text, 1.0)]), key)

    def _answer(self, slot: Slot[Any]) -> str | None:
        """Something that the slot takes: what a branch asks for, or whatever may be said."""
        context = self._dialog.context()
        wanted = (as_slot(slot, value) for value in self._wanted.get(slot.name, []))
        likes = [value for value in wanted if value is not None]
        good = [value for value in likes if slot.valid(value, context) is None]
        if good and self._rng.random() < 0.7:
            return slot.say(self._rng.choice(good))
        for _ in range(20):
            value = some(slot, self._rng, context)
            if value is not None and slot.valid(value, context) is None:
                return slot.say(value)
        return slot.say(good[0]) if good else "something"


def _distances(found: Walk) -> dict[str, int]:
    """From each node how far it is to one from which a way was not taken yet."""
    back: dict[str, list[str]] = defaultdict(list)
    for way in found.ways:
        back[way.to].append(way.source)
    missing = {way.source for way in found.missing()}
    distance = dict.fromkeys(missing, 0)
    pending = deque(missing)
    while pending:
        name = pending.popleft()
        for source in back[name]:
            if source not in distance:
                distance[source] = distance[name] + 1
                pending.append(source)
    return distance


def _key(way: Way) -> _Key:
    return _Key(way.source, way.kind, way.label)


def _is(case: Any, result: Any) -> bool:
    if isinstance(case, type):
        return isinstance(result, case)
    return type(case) is type(result) and bool(case == result)


def _brief(result: Any) -> str:
    return type(result).__name__ if not isinstance(result, str | int | float | bool | type(None)) else name_of(result)
