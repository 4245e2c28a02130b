"""YAML as a tree of texts, each with its place. Only what a flow needs of YAML, and nothing that can be turned against
the reader: no tags, no anchors and aliases, one document, bounded in size, depth and number.

Scalars stay texts: what they are is decided where they are read, so that `no` is a word where a word is wanted and
`09:00` is a time.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..errors import FlowError
from ..extras import optional
from .places import Place

__all__ = ["MOST_BYTES", "Branching", "Listing", "Scalar", "Tree", "parse"]

#: Bounds of a file: far above what anybody writes, and far below what would hold up a process that has calls.
MOST_BYTES: Final = 256 * 1024
MOST_DEPTH: Final = 16
MOST_NODES: Final = 20_000
#: A number or a truth by YAML 1.2's core schema, where anything may stand.
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]{1,18}|[0-9]{1,18}(\.[0-9]{0,18})?)([eE][-+]?[0-9]{1,3})?")
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NOTHING: Final = ("", "~", "null", "Null", "NULL")


@dataclass(slots=True)
class Scalar:
    """A text; plain if it stands without quotes."""

    text: str
    plain: bool
    place: Place

    @property
    def value(self) -> str | int | float | bool | None:
        """What it is where anything may stand."""
        text = self.text
        if not self.plain:
            return text
        if text in _NOTHING:
            return None
        if text in _TRUTHS:
            return _TRUTHS[text]
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    @property
    def empty(self) -> bool:
        """Whether nothing was written."""
        return self.plain and self.text in _NOTHING


@dataclass(slots=True)
class Listing:
    """A list."""

    items: list[Tree]
    place: Place


@dataclass(slots=True)
class Branching:
    """A mapping: for each key its place and its value."""

    entries: dict[str, tuple[Place, Tree]]
    place: Place
    twice: list[tuple[Place, str]] = field(default_factory=list)


Tree: TypeAlias = Scalar | Listing | Branching


def parse(data: bytes, file: str) -> Tree:
    """The tree of a document. Raises `FlowError` (`flow.file`, `flow.yaml`) with the place, and `MissingExtra`."""
    if len(data) > MOST_BYTES:
        error = f"it has {len(data):,} bytes, and at most {MOST_BYTES:,} are read"
        raise FlowError.of("flow.file", where=file, error=error)
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FlowError.of("flow.file", where=Place(file, line), error="it is not UTF-8") from None
    yaml = optional("yaml", extra="flows", what="A flow in YAML")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(file, yaml)
    try:
        return builder.build(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        raise _refused(error, text, file) from None
    except (ValueError, OverflowError, RecursionError) as error:  # PyYAML on escapes that are no character
        raise FlowError.of("flow.yaml", where=Place(file, 1), error=f"it is no YAML: {error}") from None


def _refused(error: Any, text: str, file: str) -> FlowError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    if mark is not None:
        place = Place(file, mark.line + 1, mark.column + 1)
    else:
        position = min(getattr(error, "position", 0) or 0, len(text))
        line_start = text.rfind("\n", 0, position) + 1
        place = Place(file, text.count("\n", 0, position) + 1, position - line_start + 1)
    context = getattr(error, "context", None)
    words = " ".join(f"{context + ': ' if context else ''}{problem}".split())
    return FlowError.of("flow.yaml", where=place, error=words[:300])


class _Builder:
    """Makes the tree of the events of the parser: with a stack, since the depth is the author's."""

    def __init__(self, file: str, yaml: Any) -> None:
        self._file = file
        self._yaml = yaml
        self._count = 0

    def _place(self, event: Any) -> Place:
        return Place(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def build(self, events: Iterator[Any]) -> Tree:
        yaml = self._yaml
        root: Tree | None = None
        stack: list[Listing | Branching] = []
        keys: list[Scalar | None] = []  # for each mapping on the stack the key that waits for its value
        for event in events:
            tree: Tree
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                raise self._error(event, "there is a second document")
            if isinstance(event, yaml.AliasEvent):
                raise self._error(event, f"there are no aliases in a flow: write what *{event.anchor} stands for")
            if isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                stack.pop()
                keys.pop()
                continue
            if not isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent):
                continue
            self._check(event, len(stack))
            place = self._place(event)
            if isinstance(event, yaml.ScalarEvent):
                tree = Scalar(event.value, not event.style, place)  # libyaml has "" for a plain one
            elif isinstance(event, yaml.SequenceStartEvent):
                tree = Listing([], place)
            else:
                tree = Branching({}, place)
            if not stack:
                root = tree
            else:
                self._put(stack[-1], keys, tree, event)
            if not isinstance(tree, Scalar):
                stack.append(tree)
                keys.append(None)
        if root is None:
            raise FlowError.of("flow.yaml", where=Place(self._file, 1), error="it is empty")
        return root

    def _put(self, parent: Listing | Branching, keys: list[Scalar | None], tree: Tree, event: Any) -> None:
        if isinstance(parent, Listing):
            parent.items.append(tree)
            return
        key = keys[-1]
        if key is None:
            if not isinstance(tree, Scalar):
                raise self._error(event, "a key has to be a name")
            keys[-1] = tree
            return
        keys[-1] = None
        if key.text in parent.entries:
            parent.twice.append((key.place, key.text))
        else:
            parent.entries[key.text] = (key.place, tree)

    def _check(self, event: Any, depth: int) -> None:
        self._count += 1
        if self._count > MOST_NODES:
            raise self._error(event, f"there are more than {MOST_NODES:,} values")
        if depth >= MOST_DEPTH:
            raise self._error(event, f"it is nested deeper than {MOST_DEPTH} levels")
        if event.anchor is not None:
            raise self._error(event, f"there are no anchors in a flow: remove &{event.anchor}")
        if event.tag is not None:
            raise self._error(event, f"there are no tags in a flow: remove {event.tag}")

    def _error(self, event: Any, error: str) -> FlowError:
        return FlowError.of("flow.yaml", where=self._place(event), error=error)
