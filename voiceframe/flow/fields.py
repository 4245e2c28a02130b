"""Fields of a flow's file: what may stand there, as it is read, as JSON Schema has it, and in words.

One table of them (`kinds.py`) makes the reader, the schema and the page of documentation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any, Final

from ..errors import FlowError
from .document import Branching, Listing, Scalar, Tree
from .nearest import nearest
from .places import Place

__all__ = [
    "WRONG",
    "Anything",
    "Clock",
    "Each",
    "Field",
    "Many",
    "Number",
    "OneOf",
    "Problems",
    "Record",
    "Shape",
    "Text",
    "Truth",
]

#: What a field that could not be read stands for; its problem is told.
WRONG: Final[Any] = object()


class Problems(list[FlowError]):
    """What is wrong with a file, in the order in which it was found."""

    def add(self, code: str, where: Place, **facts: object) -> Any:
        self.append(FlowError.of(code, where=where, **facts))
        return WRONG

    def wrong_type(self, tree: Tree, what: str, name: str, expected: str) -> Any:
        return self.add("flow.type", tree.place, name=name, what=what, found=in_words(tree), expected=expected)


def in_words(tree: Tree) -> str:
    """What somebody has written, for an error."""
    if isinstance(tree, Listing):
        return "a list"
    if isinstance(tree, Branching):
        return "a mapping"
    return "nothing" if tree.empty else repr(tree.text if len(tree.text) <= 60 else f"{tree.text[:59]}…")


class Shape(ABC):
    """What may stand in a field."""

    #: In words: "a text", "a whole number from 1 to 20".
    words: str

    @abstractmethod
    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        """The value, or `WRONG` when a problem was told."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """As JSON Schema has it."""


class Text(Shape):
    """A text. Numbers and words like `yes` are texts where one is wanted."""

    def __init__(self, words: str = "a text", *, empty: bool = False, pattern: str = "") -> None:
        self.words = words
        self._empty = empty
        self._pattern = pattern

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        if not isinstance(tree, Scalar) or (tree.plain and tree.empty) or not (tree.text.strip() or self._empty):
            return problems.wrong_type(tree, what, name, self.words)
        return " ".join(tree.text.split())

    def schema(self) -> dict[str, Any]:
        # In a file `key: 1` is a number to others' readers, and a text to this one.
        made: dict[str, Any] = {"type": ["string", "number", "boolean"]}
        if not self._empty:
            made["minLength"] = 1
        if self._pattern:
            made["pattern"] = self._pattern
        return made


class Number(Shape):
    """A whole number within bounds."""

    def __init__(self, low: int, high: int) -> None:
        self._low = low
        self._high = high
        self.words = f"a whole number from {low:,} to {high:,}"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        value = tree.value if isinstance(tree, Scalar) else None
        if not isinstance(value, int) or isinstance(value, bool) or not self._low <= value <= self._high:
            return problems.wrong_type(tree, what, name, self.words)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self._low, "maximum": self._high}


class Real(Shape):
    """A number within bounds."""

    def __init__(self, low: float, high: float) -> None:
        self._low = low
        self._high = high
        self.words = f"a number from {low:g} to {high:g}"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        value = tree.value if isinstance(tree, Scalar) else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not self._low <= value <= self._high:
            return problems.wrong_type(tree, what, name, self.words)
        return float(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self._low, "maximum": self._high}


class Truth(Shape):
    """true or false."""

    words = "true or false"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        value = tree.value if isinstance(tree, Scalar) else None
        return value if isinstance(value, bool) else problems.wrong_type(tree, what, name, self.words)

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Clock(Shape):
    """A time of the day."""

    words = "a time such as 09:30"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        try:
            return time.fromisoformat(tree.text if isinstance(tree, Scalar) else "")
        except ValueError:
            return problems.wrong_type(tree, what, name, self.words)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"}


class OneOf(Shape):
    """One of some words."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self.words = f"one of {', '.join(options)}"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        if not isinstance(tree, Scalar):
            return problems.wrong_type(tree, what, name, self.words)
        if tree.text not in self._options:
            kind = f"value of {name!r}"
            best = nearest(tree.text, self._options)
            return problems.add("flow.unknown-name", tree.place, kind=kind, name=tree.text, nearest=best)
        return tree.text

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self._options)}


class Anything(Shape):
    """A text, a number, true or false."""

    words = "a text, a number, true or false"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        if not isinstance(tree, Scalar) or tree.value is None:
            return problems.wrong_type(tree, what, name, self.words)
        return tree.value

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean"]}


class Many(Shape):
    """A list, or one alone where `single` lets it stand without brackets."""

    def __init__(self, item: Shape, *, single: bool = False, least: int = 0) -> None:
        self._item = item
        self._single = single
        self._least = least
        self.words = f"a list, each {item.words}"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        if self._single and not isinstance(tree, Listing):
            one = self._item.read(tree, what, name, problems)
            return one if one is WRONG else [one]
        if not isinstance(tree, Listing) or len(tree.items) < self._least:
            return problems.wrong_type(tree, what, name, self.words)
        found = [self._item.read(item, what, name, problems) for item in tree.items]
        return WRONG if any(one is WRONG for one in found) else found

    def schema(self) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "array", "items": self._item.schema()}
        if self._least:
            made["minItems"] = self._least
        return {"anyOf": [self._item.schema(), made]} if self._single else made


class Each(Shape):
    """A mapping of names, each with the same kind of value."""

    def __init__(self, item: Shape, *, least: int = 0) -> None:
        self._item = item
        self._least = least
        self.words = f"a mapping of names, each with {item.words}"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        if not isinstance(tree, Branching) or len(tree.entries) < self._least:
            return problems.wrong_type(tree, what, name, self.words)
        twice(tree, what, problems)
        found = {key: self._item.read(value, what, key, problems) for key, (_, value) in tree.entries.items()}
        return WRONG if any(one is WRONG for one in found.values()) else found

    def schema(self) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "object", "additionalProperties": self._item.schema()}
        if self._least:
            made["minProperties"] = self._least
        return made


class Either(Shape):
    """One of two shapes: the first where a mapping stands, else the second."""

    def __init__(self, mapping: Shape, other: Shape) -> None:
        self._mapping = mapping
        self._other = other
        self.words = f"{other.words}, or {mapping.words}"

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        shape = self._mapping if isinstance(tree, Branching) else self._other
        return shape.read(tree, what, name, problems)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self._other.schema(), self._mapping.schema()]}


@dataclass(frozen=True)
class Field:
    """A field: its name, what may stand there, what it does, and what holds without it."""

    name: str
    shape: Shape
    doc: str
    required: bool = False
    default: str = ""


@dataclass
class Read:
    """A mapping that was read: its values, and the places of them."""

    values: dict[str, Any]
    places: dict[str, Place]
    place: Place
    wrong: bool = False


class Record(Shape):
    """A mapping with these fields."""

    def __init__(self, words: str, fields: Sequence[Field]) -> None:
        self.words = words
        self.fields = {one.name: one for one in fields}

    def read(self, tree: Tree, what: str, name: str, problems: Problems) -> Any:
        found = self.read_record(tree, what or self.words, name, problems)
        return WRONG if found.wrong else found

    def read_record(self, tree: Tree, what: str, name: str, problems: Problems, *, skip: Iterable[str] = ()) -> Read:
        """The values with their places. skip: keys that somebody else reads."""
        made = Read({}, {}, tree.place)
        if not isinstance(tree, Branching):
            problems.wrong_type(tree, what, name, self.words)
            made.wrong = True
            return made
        before = len(problems)
        twice(tree, what, problems)
        skipped = set(skip)
        for key, (place, value) in tree.entries.items():
            known = self.fields.get(key)
            if key in skipped:
                continue
            if known is None:
                problems.add(
                    "flow.unknown-key", place, what=what, name=key, nearest=nearest(key, {*self.fields, *skipped})
                )
                continue
            made.places[key] = value.place
            if isinstance(value, Branching):
                made.places.update({f"{key}.{inner}": at for inner, (at, _) in value.entries.items()})
            found = known.shape.read(value, what, key, problems)
            if found is not WRONG:
                made.values[key] = found
        for one in self.fields.values():
            if one.required and one.name not in tree.entries:
                problems.add("flow.missing-key", tree.place, what=what, name=one.name)
        made.wrong = len(problems) > before
        return made

    def schema(self) -> dict[str, Any]:
        return object_schema(self.fields.values())


def twice(tree: Branching, what: str, problems: Problems) -> None:
    """Tell of keys that stand there more than once: the later one would be lost."""
    for place, key in tree.twice:
        problems.add("flow.yaml", place, error=f"{what} has {key!r} twice")


def object_schema(fields: Iterable[Field], *, constants: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON Schema of a mapping with these fields."""
    fields = list(fields)
    properties: dict[str, Any] = {name: {"const": value} for name, value in (constants or {}).items()}
    for one in fields:
        properties[one.name] = {**one.shape.schema(), "description": one.doc}
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [*(constants or {}), *(one.name for one in fields if one.required)]
    if required:
        made["required"] = required
    return made
