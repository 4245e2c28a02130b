"""A flow's file, read: what it declares as states and slots, or everything that is wrong with it."""

from __future__ import annotations

import dataclasses
import hashlib
import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..errors import FlowError, VoiceframeError
from ..tools import Tool
from .branch import Branch, When
from .document import Branching, Scalar, Tree, parse
from .fields import WRONG, Problems, Read, Record, in_words, twice
from .kinds import FLOW, NODES, SLOTS, Kind
from .mocks import Mock, mock_tool
from .naming import name_of
from .nearest import nearest
from .node import variable_of
from .places import Place, at
from .results import members
from .settings import FlowSettings
from .slots import Choice, Date, Digits, Name, Number, Slot, Text, Time, YesNo
from .states import AgentNode, AnyState, Do, End, Handoff, Intent, State, Voicemail
from .validate import checked
from .wording import Wording
from .zones import time_zone

if TYPE_CHECKING:
    from ..processors.agents import Agent

__all__ = ["Declaration", "read"]

#: A name that a class or a field may have.
_WORD: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,63}")
_SLOT_TYPES: Final[dict[str, type[Slot[Any]]]] = {
    "date": Date,
    "time": Time,
    "number": Number,
    "digits": Digits,
    "choice": Choice,
    "name": Name,
    "yes_no": YesNo,
    "text": Text,
}


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What a file declares. `digest` is the beginning of its SHA-256."""

    file: str
    digest: str
    states: Mapping[str, AnyState]
    slots: Mapping[str, Slot[Any]]
    start: str
    person: str | None
    give_up: str | None
    zone: str
    variables: Mapping[str, str]
    settings: Mapping[str, Any]
    wording: Wording
    mocks: Mapping[str, Mock]
    place: Place

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of the agents that it needs."""
        nodes = (state for state in self.states.values() if isinstance(state, AgentNode))
        return tuple(dict.fromkeys(node.agent.name for node in nodes))


def read(
    data: bytes,
    file: str,
    *,
    tools: Iterable[Tool[..., Any]] | None = None,
    agents: Iterable[Agent] | None = None,
    slots: Iterable[Slot[Any]] = (),
    variables: Iterable[str] = (),
    values: Iterable[str] = (),
    wording: Wording | None = None,
) -> Declaration:
    """What the file declares. tools, agents: those that it may name; None for mocks in place of whatever it names.

    Raises `FlowError`: `flow.file` or `flow.yaml` where it cannot be read, else `flow.invalid` with all its problems,
    each with file, line and column.
    """
    tree = parse(data, file)
    reader = _Reader(file, tree, tools, agents, slots)
    made = reader.read(hashlib.sha256(data).hexdigest()[:12], wording)
    problems = list(reader.problems)
    if not reader.torn:
        # The names of states are checked here; with a state that could not be read the rest would be guesswork.
        try:
            checked(
                tuple(made.states.values()),
                start=made.start,
                person=made.person,
                give_up=made.give_up,
                given={*made.variables, *variables, *values},
                universals=made.wording.universals,
                place=made.place,
            )
        except FlowError as error:
            problems += error.problems
    if problems:
        raise invalid(problems)
    return made


def invalid(problems: list[FlowError]) -> FlowError:
    """All problems as one error, in the order of the file."""
    lines = " ".join(f"({n}) {problem.message} {problem.fix}" for n, problem in enumerate(problems, 1))
    error = FlowError.of("flow.invalid", count=len(problems), problems=lines)
    error.problems = tuple(problems)
    return error


class _Reader:
    """Reads one file. `torn`: something was left out, because it could not be read."""

    def __init__(
        self,
        file: str,
        tree: Tree,
        tools: Iterable[Tool[..., Any]] | None,
        agents: Iterable[Agent] | None,
        slots: Iterable[Slot[Any]],
    ) -> None:
        self.problems = Problems()
        self.torn = False
        self._file = file
        self._tree = tree
        self._tools = None if tools is None else {tool.name: tool for tool in tools}
        self._agents = None if agents is None else {agent.name: agent for agent in agents}
        self._slots: dict[str, Slot[Any]] = {slot.name: slot for slot in slots}
        self._mocks: dict[str, Mock] = {}

    def read(self, digest: str, wording: Wording | None) -> Declaration:
        top = FLOW.read_record(self._tree, "the flow", "the flow", self.problems, skip=("slots", "nodes"))
        values = top.values
        self._read_mocks(values.get("mocks", {}))
        states: dict[str, AnyState] = {}
        if isinstance(self._tree, Branching):
            self._each("slots", SLOTS, "a slot", self._slot)
            if "nodes" not in self._tree.entries:
                self.problems.add("flow.missing-key", self._tree.place, what="the flow", name="nodes")
            self._each("nodes", NODES, "a node", lambda name, kind, found: self._add(states, name, kind, found))
        self.torn = bool(self.problems)
        place = top.places.get("start", top.place)
        return Declaration(
            file=self._file,
            digest=digest,
            states=states,
            slots=self._slots,
            start=values.get("start", ""),
            person=values.get("person"),
            give_up=values.get("give_up"),
            zone=self._zone(values.get("zone", "UTC"), top),
            variables=values.get("variables", {}),
            settings=self._settings(values.get("settings"), top),
            wording=self._wording(values.get("wording", {}), wording, top),
            mocks=self._mocks,
            place=place,
        )

    def _each(self, section: str, kinds: Mapping[str, Kind], what: str, make: Callable[[str, str, Read], None]) -> None:
        """Read the slots, or the nodes: mappings whose `kind` says which fields they have."""
        assert isinstance(self._tree, Branching)
        if section not in self._tree.entries:
            return
        place, tree = self._tree.entries[section]
        if not isinstance(tree, Branching):
            self.problems.wrong_type(tree, "the flow", section, f"a mapping of names, each with {what}")
            return
        twice(tree, section, self.problems)
        if not tree.entries and section == "nodes":
            self.problems.add("flow.missing-key", place, what="nodes", name="a node")
        for name, (where, entry) in tree.entries.items():
            kind = self._kind(name, entry, kinds, what)
            if kind is None:
                continue
            record = Record(what, kinds[kind].fields)
            described = f"{what.partition(' ')[2]} {name!r} ({kind})"
            found = record.read_record(entry, described, name, self.problems, skip=("kind",))
            found.place = where
            if found.wrong:
                continue
            try:
                with at(where):
                    make(name, kind, found)
            except VoiceframeError as error:
                self.problems.add("flow.value", where, error=error.message.rstrip("."), what="Flow.load")

    def _kind(self, name: str, entry: Tree, kinds: Mapping[str, Kind], what: str) -> str | None:
        if not isinstance(entry, Branching):
            self.problems.wrong_type(entry, what, name, "a mapping with `kind` and its settings")
            return None
        if "kind" not in entry.entries:
            self.problems.add("flow.missing-key", entry.place, what=f"{what.partition(' ')[2]} {name!r}", name="kind")
            return None
        tree = entry.entries["kind"][1]
        if not isinstance(tree, Scalar) or tree.text not in kinds:
            text = tree.text if isinstance(tree, Scalar) else in_words(tree)
            kind = f"kind of {what.partition(' ')[2]}"
            self.problems.add("flow.unknown-name", tree.place, kind=kind, name=text, nearest=nearest(text, kinds))
            return None
        return tree.text

    # -- slots

    def _slot(self, name: str, kind: str, found: Read) -> None:
        values = dict(found.values)
        options = values.get("options")
        if isinstance(options, list):
            values["options"] = list(dict.fromkeys(options))
        given = self._slots.get(name)
        if given is not None:
            self.problems.add("flow.duplicate", found.place, kind="slot", name=name, other=given.place)
            return
        self._slots[name] = _SLOT_TYPES[kind](name, values.pop("prompt", None), **values)

    def _named_slots(self, found: Read, field: str) -> list[Slot[Any]] | None:
        """The slots that a field names; None when one is not there."""
        made: list[Slot[Any]] = []
        for name in found.values.get(field, ()):
            if name not in self._slots and name in self._names("slots"):
                return None  # it could not be read, which is told already
            if name not in self._slots:
                place = found.places.get(field, found.place)
                self.problems.add(
                    "flow.unknown-name", place, kind="slot", name=name, nearest=nearest(name, self._slots)
                )
                return None
            made.append(self._slots[name])
        return made

    def _names(self, section: str) -> Mapping[str, Any]:
        """The names that a section of the file declares, whether they could be read or not."""
        tree = self._tree.entries.get(section) if isinstance(self._tree, Branching) else None
        return tree[1].entries if tree is not None and isinstance(tree[1], Branching) else {}

    # -- nodes

    def _add(self, states: dict[str, AnyState], name: str, kind: str, found: Read) -> None:
        make: Callable[[str, Read], AnyState | None] = getattr(self, f"_{kind}")
        made = make(name, found)
        if made is not None:
            made.places = found.places
            states[name] = made

    def _greet(self, name: str, found: Read) -> AnyState:
        return State(name, **found.values)

    def _listen(self, name: str, found: Read) -> AnyState | None:
        values = dict(found.values)
        save = values.pop("save", variable_of(name))
        slot = self._slots.setdefault(save, Text(save))
        return State(name, slots=[slot], **values)

    def _menu(self, name: str, found: Read) -> AnyState | None:
        values = dict(found.values)
        intents = self._options(values.pop("options"))
        return None if intents is None else State(name, intents=intents, **values)

    def _collect(self, name: str, found: Read) -> AnyState | None:
        values = dict(found.values)
        values["slots"] = self._named_slots(found, "slots")
        intents = self._options(values.pop("options", []))
        return None if intents is None or values["slots"] is None else State(name, intents=intents, **values)

    def _options(self, options: list[Read]) -> list[Intent] | None:
        made: list[Intent] = []
        for option in options:
            values = dict(option.values)
            takes = self._named_slots(option, "takes")
            if takes is None:
                return None
            with at(option.place):
                values.pop("takes", None)
                made.append(Intent(values.pop("name"), *values.pop("say"), takes=takes, **values))
        return made

    def _branch(self, name: str, found: Read) -> AnyState:
        cases = []
        for case in found.values["cases"]:
            values = dict(case.values)
            if "is" in values:
                values["equals"] = values.pop("is")
            with at(case.place):
                cases.append(When(values.pop("value", ""), **values))
        return Branch(name, cases, to=found.values["to"])

    def _tool(self, name: str, found: Read) -> AnyState | None:
        values = dict(found.values)
        wanted = values.pop("tool")
        exits = values.get("exits", {})
        if self._tools is None:
            mock = self._mocks.get(wanted)
            tool: Tool[..., Any] = mock_tool(wanted, mock, exits, any_other="to" in values)
        elif wanted in self._tools:
            tool = self._tools[wanted]
        else:
            where = found.places.get("tool", found.place)
            self.problems.add(
                "flow.unknown-name", where, kind="tool", name=wanted, nearest=nearest(wanted, self._tools)
            )
            return None
        cases = {name_of(case): case for case in members(tool.returns)}
        resolved = {}
        for text, to in exits.items():
            case = cases.get(text, cases.get(text.lower(), WRONG))
            if case is WRONG:
                where = found.places.get(f"exits.{text}", found.place)
                kind = f"result of {wanted}"
                self.problems.add("flow.unknown-name", where, kind=kind, name=text, nearest=nearest(text, cases))
                return None
            resolved[case] = to
        values["exits"] = resolved
        return Do(name, tool, **values)

    def _agent(self, name: str, found: Read) -> AnyState | None:
        values = dict(found.values)
        wanted = values.pop("agent")
        if self._agents is None:
            from .mocks import mock_agent

            return AgentNode(name, mock_agent(wanted), **values)
        if wanted not in self._agents:
            where = found.places.get("agent", found.place)
            self.problems.add(
                "flow.unknown-name", where, kind="agent", name=wanted, nearest=nearest(wanted, self._agents)
            )
            return None
        return AgentNode(name, self._agents[wanted], **values)

    def _voicemail(self, name: str, found: Read) -> AnyState:
        return Voicemail(name, **found.values)

    def _transfer(self, name: str, found: Read) -> AnyState:
        return Handoff(name, **found.values)

    def _hangup(self, name: str, found: Read) -> AnyState:
        return End(name, **found.values)

    # -- the rest

    def _zone(self, name: str, top: Read) -> str:
        try:
            time_zone(name)
        except FlowError as error:
            place = top.places.get("zone", top.place)
            self.problems.add("flow.value", place, error=error.message.rstrip("."), what="Flow.load")
        return name

    def _read_mocks(self, mocks: Mapping[str, Read]) -> None:
        for name, found in mocks.items():
            results = found.values.get("results", [])
            classes = results if isinstance(results, Mapping) else {}
            names = [*classes, *(field for fields in classes.values() for field in fields)]
            wrong = [one for one in names if not _WORD.fullmatch(one) or keyword.iskeyword(one)]
            for one in wrong:
                place = found.places.get("results", found.place)
                error = (
                    f"{one!r} of the results of {name!r} is not a name for a class or a field: it has to be one word"
                )
                self.problems.add("flow.value", place, error=error, what="Flow.load")
            if wrong:
                continue
            self._mocks[name] = Mock(tuple(found.values.get("takes", ())), results)

    def _settings(self, found: Read | None, top: Read) -> Mapping[str, Any]:
        values = {} if found is None else found.values
        try:
            FlowSettings(**values)
        except VoiceframeError as error:
            place = top.places.get("settings", top.place)
            self.problems.add("flow.value", place, error=error.message.rstrip("."), what="FlowSettings")
        return values

    def _wording(self, changes: Mapping[str, str], given: Wording | None, top: Read) -> Wording:
        base = given or Wording()
        known = {one.name: getattr(base, one.name) for one in dataclasses.fields(base)}
        texts = {name for name, value in known.items() if isinstance(value, str)}
        good: dict[str, Any] = {}
        for name, text in changes.items():
            place = top.places.get(f"wording.{name}", top.place)
            if name not in texts:
                self.problems.add("flow.unknown-key", place, what="wording", name=name, nearest=nearest(name, texts))
                continue
            try:
                text.format(**dict.fromkeys(("value", "labels", "keys", "phrases"), ""))
                if any(part not in known[name] for part in _braces(text)):
                    raise KeyError
            except (KeyError, ValueError, IndexError, AttributeError):
                holes = " and ".join(_braces(known[name])) or "no braces"
                self.problems.add("flow.value", place, error=f"wording {name!r} takes {holes}", what="Wording")
                continue
            good[name] = text
        return dataclasses.replace(base, **good)


def _braces(text: str) -> list[str]:
    return re.findall(r"\{[^{}]*\}", text)
