"""What cannot work about a flow is found when it is made: everything at once, each with its file and line."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from ..errors import FlowError
from .branch import Branch
from .nearest import nearest
from .node import Asking
from .places import Place
from .results import exit_problems, fits, members
from .slots import Choice, Slot
from .states import AgentNode, AgentResult, AnyState, Do, End, Handoff, Intent, Message, State, Voicemail
from .template import about_call, variables
from .validate_nodes import branch_problems, node_problems
from .words import tokens

__all__ = ["checked"]


#: Of a result whose fields nobody has declared: it may have any.
ANY_FIELD = "*"


class _Edge(NamedTuple):
    """A way from a state to another: what leads there, and which values it adds and takes away."""

    what: str
    to: str
    place: Place
    adds: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()


def checked(
    states: Sequence[AnyState],
    *,
    start: str,
    person: str | None,
    give_up: str | None,
    given: Collection[str],
    universals: Mapping[str, Sequence[str]],
    place: Place,
) -> tuple[dict[str, AnyState], dict[str, Slot[Any]]]:
    """The states and slots by name. Raises `FlowError` (`flow.invalid`) if the flow cannot work."""
    check = _Check(states, start, give_up, frozenset(given), universals, place)
    problems = list(check.problems())
    if person is None and give_up is None:
        problems.append(FlowError.of("flow.no-person", where=place))
    if problems:
        lines = " ".join(f"({n}) {problem.message} {problem.fix}" for n, problem in enumerate(problems, 1))
        error = FlowError.of("flow.invalid", count=len(problems), problems=lines)
        error.problems = tuple(problems)
        raise error
    return check.states, check.slots


class _Check:
    def __init__(
        self,
        states: Sequence[AnyState],
        start: str,
        give_up: str | None,
        given: frozenset[str],
        universals: Mapping[str, Sequence[str]],
        place: Place,
    ) -> None:
        self._given = given
        self._universals = universals
        self._place = place
        self._all = states
        self._roots = [_Edge("start", start, place), *([_Edge("give_up", give_up, place)] if give_up else [])]
        self.states: dict[str, AnyState] = {}
        self.slots: dict[str, Slot[Any]] = {}
        self._doubles: list[FlowError] = []
        for state in states:
            self._add(self.states, state.name, state, "state")
            for slot in _slots_of(state):
                self._add(self.slots, slot.name, slot, "slot")
        self._edges = {state.name: list(_edges(state)) for state in self.states.values()}

    def _add(self, table: dict[str, Any], name: str, what: Any, kind: str) -> None:
        other = table.setdefault(name, what)
        if other is not what:
            self._doubles.append(
                FlowError.of("flow.duplicate", where=what.place, kind=kind, name=name, other=other.place)
            )

    def problems(self) -> Iterator[FlowError]:
        yield from self._doubles
        yield from self._targets()
        yield from self._reachable()
        for state in self.states.values():
            yield from node_problems(state)
            if isinstance(state, State):
                yield from self._asking(state)
                yield from self._phrases(state)
                yield from self._keys(state)
            elif isinstance(state, Do):
                yield from exit_problems(state)
        yield from self._loops()
        known = self._known()
        for name, values in known.items():
            state = self.states[name]
            yield from self._texts(state, values)
            if isinstance(state, Do):
                yield from self._tool(state, values)
            elif isinstance(state, Branch):
                # What is known on some ways only may be asked for: where it is not known the case does not hold.
                fields = {name: self._fields(name) for name in self._ever}
                yield from branch_problems(state, self._ever, self.slots, fields)

    # -- the ways

    def _targets(self) -> Iterator[FlowError]:
        for edge in (*self._roots, *(edge for edges in self._edges.values() for edge in edges)):
            if edge.to not in self.states:
                best = nearest(edge.to, self.states)
                yield FlowError.of("flow.unknown-state", where=edge.place, what=edge.what, name=edge.to, nearest=best)

    def _reachable(self) -> Iterator[FlowError]:
        reached = self._closure({edge.to for edge in self._roots})
        ending = self._ending()
        for state in self.states.values():
            if state.name not in reached:
                yield FlowError.of("flow.unreachable", where=state.place, name=state.name)
            stuck = isinstance(state, State) and state.to is None and (not state.intents or state.confirm is not None)
            if stuck or state.name not in ending:
                yield FlowError.of("flow.dead-end", where=state.place, name=state.name)

    def _closure(self, names: set[str]) -> set[str]:
        pending = [name for name in names if name in self.states]
        reached = set(pending)
        while pending:
            for edge in self._edges[pending.pop()]:
                if edge.to in self.states and edge.to not in reached:
                    reached.add(edge.to)
                    pending.append(edge.to)
        return reached

    def _ending(self) -> set[str]:
        """The states from which the caller comes to an end or to a person."""
        before: dict[str, list[str]] = {}
        for name, edges in self._edges.items():
            for edge in edges:
                before.setdefault(edge.to, []).append(name)
        pending = [name for name, state in self.states.items() if isinstance(state, End | Handoff)]
        found = set(pending)
        while pending:
            for name in before.get(pending.pop(), ()):
                if name not in found:
                    found.add(name)
                    pending.append(name)
        return found

    def _loops(self) -> Iterator[FlowError]:
        """Circles of states that never wait for the caller."""
        silent = [name for name, state in self.states.items() if _is_silent(state)]
        told: set[str] = set()
        for name in silent:
            pending, seen = [name], set[str]()
            while pending:
                for edge in self._edges[pending.pop()]:
                    if edge.to in silent and edge.to not in seen:
                        seen.add(edge.to)
                        pending.append(edge.to)
            if name in seen and not seen & told:  # each circle once
                told |= seen
                yield FlowError.of("flow.loop", where=self.states[name].place, name=name)

    def _known(self) -> dict[str, frozenset[str]]:
        """For each state that can be reached the values that are known there, whichever way was taken."""
        known: dict[str, frozenset[str]] = {}
        pending = [(edge.to, self._given) for edge in self._roots if edge.to in self.states]
        while pending:
            name, values = pending.pop()
            before = known.get(name)
            now = values if before is None else before & values
            if now == before:
                continue
            known[name] = now
            pending += [
                (edge.to, (now - edge.drops) | edge.adds) for edge in self._edges[name] if edge.to in self.states
            ]
        return known

    # -- one state

    def _asking(self, state: State) -> Iterator[FlowError]:
        for slot in state.slots:
            if slot.prompt is None and not (state.prompt and len(state.slots) == 1):
                yield FlowError.of("flow.no-prompt", where=slot.place, name=slot.name)
            if not slot.name.isidentifier():
                error = f"{slot.name!r} is not a name for a slot: it has to be one word, as a variable has"
                yield FlowError.of("flow.value", where=slot.place, error=error, what=type(slot).__name__)
        if state.intents and not state.prompt and (not state.slots or state.to is None):
            yield FlowError.of("flow.no-prompt", where=state.place, name=state.name)
        for name in sorted(set(state.clear) - {slot.name for slot in state.slots}):
            error = f"clear= names {name!r}, for which the state does not ask"
            yield FlowError.of("flow.value", where=state.place, error=error, what="State")

    def _phrases(self, state: State) -> Iterator[FlowError]:
        taken: dict[tuple[str, ...], str] = {
            tuple(tokens(phrase)): f"the command {name}" for name, said in self._universals.items() for phrase in said
        }
        for intent in state.intents:
            if not any(tokens(phrase) for phrase in intent.phrases):
                example = f'Intent("{intent.name}", "{intent.name.replace("_", " ")}", to=...)'
                yield FlowError.of("flow.no-phrases", where=intent.place, name=intent.name, example=example)
            for phrase in intent.phrases:
                words = tuple(tokens(phrase))
                if any(word.isdigit() for word in words):
                    error = f"the phrase {phrase!r} has numerals, which nobody can say: write them in words"
                    yield FlowError.of("flow.value", where=intent.place, error=error, what="Intent")
                other = taken.setdefault(words, intent.name)
                if other != intent.name:
                    yield FlowError.of(
                        "flow.phrase-twice",
                        where=intent.place,
                        phrase=" ".join(words),
                        first=other,
                        second=intent.name,
                        state=state.name,
                    )

    def _keys(self, state: State) -> Iterator[FlowError]:
        taken: dict[str, Intent] = {}
        for intent in state.intents:
            if intent.key is None:
                continue
            if len(intent.key) != 1 or intent.key not in "123456789":
                yield FlowError.of("flow.key", where=intent.place, key=intent.key, name=intent.name)
            other = taken.setdefault(intent.key, intent)
            if other is not intent:
                yield FlowError.of(
                    "flow.key-twice",
                    where=intent.place,
                    key=intent.key,
                    first=other.name,
                    second=intent.name,
                    state=state.name,
                )
            menu = next((slot for slot in state.slots if isinstance(slot, Choice) and slot.digits == 1), None)
            if menu is not None:
                yield FlowError.of(
                    "flow.key-twice",
                    where=intent.place,
                    key=intent.key,
                    first=menu.name,
                    second=intent.name,
                    state=state.name,
                )

    def _texts(self, state: AnyState, known: frozenset[str]) -> Iterator[FlowError]:
        yield from self._text(state.prompt, "the prompt", state, state.place_of("prompt"), known)
        if not isinstance(state, State):
            return
        mine = known - set(state.clear)
        everything = known | {slot.name for slot in state.slots}
        for slot in state.slots:
            yield from self._text(slot.prompt or "", f"the prompt of {slot.name!r}", state, slot.place, mine)
            mine |= {slot.name}
        yield from self._text(state.confirm or "", "confirm=", state, state.place_of("confirm"), everything)
        for text in state.reprompts:
            yield from self._text(text, "a reprompt", state, state.place_of("reprompts"), known - set(state.clear))

    def _text(self, text: str, what: str, state: AnyState, where: Place, known: frozenset[str]) -> Iterator[FlowError]:
        try:
            names = [(name, known) for name in variables(text)]
            names += [(name, self._ever) for name in variables(text, optional=True)]
        except ValueError as error:
            yield FlowError.of("flow.template", where=where, text=text, error=error)
            return
        for name, known in names:
            first, _, field = name.partition(".")
            if about_call(name):
                continue
            fields = self._fields(first) if field else set()
            if first not in known or (field and field not in fields and ANY_FIELD not in fields):
                options = [*known, *(f"{k}.{f}" for k in known for f in self._fields(k))]
                yield FlowError.of(
                    "flow.variable",
                    where=where,
                    what=what,
                    name=name,
                    state=state.name,
                    nearest=nearest(name, options),
                )

    @cached_property
    def _ever(self) -> frozenset[str]:
        """What may be known anywhere."""
        adds = (edge.adds for edges in self._edges.values() for edge in edges)
        return self._given.union(self.slots, *adds)

    def _fields(self, result: str) -> set[str]:
        """The fields that a result saved under this name may have."""
        fields: set[str] = set()
        for state in self.states.values():
            kinds: Iterable[Any] = ()
            if isinstance(state, Do) and state.save == result:
                kinds = members(state.tool.returns)
            elif isinstance(state, AgentNode) and state.save == result:
                kinds = (AgentResult,)
            elif isinstance(state, Voicemail) and state.save == result:
                kinds = (Message,)
            for kind in kinds:
                if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                    fields.update(field.name for field in dataclasses.fields(kind))
                elif getattr(kind, "any_field", False):
                    fields.add(ANY_FIELD)
        return fields

    # -- tools

    def _tool(self, state: Do, known: frozenset[str]) -> Iterator[FlowError]:
        tool = state.tool
        for name in sorted(set(state.arguments) - set(tool.parameters)):
            error = f"arguments= names {name!r}, which {tool.name} does not take"
            yield FlowError.of("flow.value", where=state.place, error=error, what="Do")
        for parameter in tool.parameters.values():
            if parameter.name in state.arguments:
                continue
            if parameter.name not in known:
                if parameter.required:
                    yield FlowError.of(
                        "flow.tool-parameter",
                        where=state.place,
                        tool=tool.name,
                        name=parameter.name,
                        state=state.name,
                        nearest=nearest(parameter.name, known),
                    )
                continue
            slot = self.slots.get(parameter.name)
            if slot is not None and not fits(slot.type, parameter.type):
                yield FlowError.of(
                    "flow.tool-type",
                    where=state.place,
                    tool=tool.name,
                    name=parameter.name,
                    expected=getattr(parameter.type, "__name__", parameter.type),
                    other=slot.place,
                    found=slot.type.__name__,
                )


def _slots_of(state: AnyState) -> Iterator[Slot[Any]]:
    if isinstance(state, State):
        yield from state.slots
        for intent in state.intents:
            yield from intent.takes


def _edges(state: AnyState) -> Iterator[_Edge]:
    if isinstance(state, State):
        drops = frozenset(state.clear)
        for intent in state.intents:
            yield _Edge(f"the intent {intent.name!r}", intent.to, intent.place, drops=drops)
        if state.to is not None:
            names = frozenset(slot.name for slot in state.slots)
            yield _Edge(f"the state {state.name!r}", state.to, state.place_of("to"), adds=names)
    elif isinstance(state, Branch):
        for case in state.cases:
            yield _Edge(f"a case of {state.name!r}", case.to, case.place)
        yield _Edge(f"the branch {state.name!r}", state.to, state.place_of("to"))
    elif isinstance(state, AgentNode):
        for outcome, to in state.exits.items():
            where = state.place_of(f"exits.{outcome}")
            yield _Edge(f"the exit {outcome!r} of {state.name!r}", to, where, adds=frozenset((state.save,)))
        yield _Edge(f"failed= of {state.name!r}", state.failed, state.place_of("failed"))
    elif isinstance(state, Voicemail):
        yield _Edge(f"the voicemail {state.name!r}", state.to, state.place_of("to"), adds=frozenset((state.save,)))
        if state.empty != state.to:
            yield _Edge(f"empty= of {state.name!r}", state.empty, state.place_of("empty", "to"))
    elif isinstance(state, Do):
        adds = frozenset((state.save,))
        for case, to in state.exits.items():
            where = state.place_of(f"exits.{getattr(case, '__name__', case)}", f"exits.{str(case).lower()}")
            yield _Edge(f"an exit of {state.name!r}", to, where, adds=adds)
        if state.to:
            yield _Edge(f"an exit of {state.name!r}", state.to, state.place_of("to"), adds=adds)
        yield _Edge(f"failed= of {state.name!r}", state.failed, state.place_of("failed"))
    if isinstance(state, Asking):
        drops = frozenset(state.clear) if isinstance(state, State) else frozenset()
        for what in ("give_up", "limit_to"):
            to = getattr(state, what)
            if to is not None:
                yield _Edge(f"{what}= of {state.name!r}", to, state.place_of(what), drops=drops)


def _is_silent(state: AnyState) -> bool:
    return isinstance(state, Do | Branch) or (isinstance(state, State) and not state.asks)
