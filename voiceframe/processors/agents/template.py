"""Texts with names in them: `{{ call.from }}`, `{{ data.customer.name | default("the caller") }}`.

Nothing in a template is run, and what is filled in is never read as a template: names are looked up, values are text.

call.id  call.from  call.to  call.direction  call.metadata.<key>     the call
data.<key>                                                          what the program keeps in `call.data`
date  time  weekday  now                                            by the call's clock, in the agent's zone
agent                                                               the agent's name

A name may go deeper into mappings and dataclasses by dots. After it may stand `| default("...")`, `| upper`, `| lower`
or `| title`. `{{ "..." }}` is the text in quotes, for braces of your own.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...errors import ConfigurationError
from ...tools.values import plain

if TYPE_CHECKING:
    from ...call import Call

__all__ = ["Template", "values_of"]

#: A quote belongs to a text in quotes, so that no text can be read in two ways.
_PART: Final = re.compile(r"""\{\{((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^"'}]|\}(?!\}))*)\}\}""", re.DOTALL)
_PATH: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)*")
_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|' + r"'((?:[^'\\]|\\.)*)'")
_DEFAULT: Final = re.compile(r"default\(\s*(" + _TEXT.pattern + r")\s*\)")
_FILTERS: Final[Mapping[str, Callable[[str], str]]] = {"upper": str.upper, "lower": str.lower, "title": str.title}

#: The names that there are; those that end in a dot have the application's own names below them.
_NAMES: Final = (
    "agent",
    "call.direction",
    "call.from",
    "call.id",
    "call.metadata.",
    "call.to",
    "data.",
    "date",
    "now",
    "time",
    "weekday",
)
#: A value is a detail in a text, and no text of its own.
_MOST_CHARS: Final = 2_000
_MISSING: Final = object()


class _Name(NamedTuple):
    path: tuple[str, ...]
    default: str | None
    filters: tuple[Callable[[str], str], ...]


class Template:
    """A text that was read once. Raises `ConfigurationError` (`agent.template`, `agent.template-name`) for one that
    cannot be filled in. where: what it is, for errors."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._parts: list[str | _Name] = []
        at = 0
        for match in _PART.finditer(text):
            self._parts += [text[at : match.start()], self._read(match[1].strip())]
            at = match.end()
        rest = text[at:]
        if "{{" in rest:
            raise self._wrong(rest[rest.index("{{") + 2 :][:40], "it has no end")
        self._parts.append(rest)

    def _read(self, text: str) -> str | _Name:
        literal = _TEXT.fullmatch(text)
        if literal is not None:
            return _unquoted(literal)
        head, *rest = _split(text)
        if not _PATH.fullmatch(head):
            raise self._wrong(text, "it is not the name of a value")
        path = tuple(head.split("."))
        if not any(name.rstrip(".") == head if not name.endswith(".") else head.startswith(name) for name in _NAMES):
            raise self._unknown(head, [name.rstrip(".") for name in _NAMES])
        default: str | None = None
        filters: list[Callable[[str], str]] = []
        for part in rest:
            given = _DEFAULT.fullmatch(part)
            if given is not None:
                literal = _TEXT.fullmatch(given[1])
                assert literal is not None
                default = _unquoted(literal)
            elif part in _FILTERS:
                filters.append(_FILTERS[part])
            else:
                raise self._wrong(text, f'there is no filter {part!r}, only default("..."), {", ".join(_FILTERS)}')
        return _Name(path, default, tuple(filters))

    def fill(self, values: Mapping[str, Any], *, strict: bool = True) -> str:
        """The text with its values.

        strict: a name without a value and without a default is a `ConfigurationError` (`agent.template-name`);
        otherwise it says nothing.
        """
        return "".join(part if isinstance(part, str) else self._value(part, values, strict) for part in self._parts)

    def names(self) -> Iterator[tuple[tuple[str, ...], str | None]]:
        """The names in it, part by part, each with its default if it has one."""
        return ((part.path, part.default) for part in self._parts if isinstance(part, _Name))

    @staticmethod
    def knows(path: Sequence[str], values: Mapping[str, Any]) -> bool:
        """Whether a name has a value."""
        found: Any = values
        for key in path:
            inside = _inside(found)
            if key not in inside:
                return False
            found = inside[key]
        return True

    def _value(self, name: _Name, values: Mapping[str, Any], strict: bool) -> str:
        found: Any = values
        for depth, key in enumerate(name.path):
            inside = _inside(found)
            if key not in inside:
                if name.default is None and strict:
                    siblings = [".".join((*name.path[:depth], str(other))) for other in inside]
                    raise self._unknown(".".join(name.path), siblings)
                return name.default or ""
            found = inside[key]
        text = _as_text(found)
        if not text and name.default is not None:
            return name.default
        for change in name.filters:
            text = change(text)
        return text

    def _wrong(self, text: str, error: str) -> ConfigurationError:
        return ConfigurationError.of("agent.template", where=self._where, text=text, error=error)

    def _unknown(self, name: str, known: list[str]) -> ConfigurationError:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        best = nearest[0] if nearest else "call.from"
        return ConfigurationError.of("agent.template-name", where=self._where, name=name, nearest=best)


def values_of(call: Call, agent: str, zone: tzinfo) -> dict[str, Any]:
    """What the names of a template mean in this call, now."""
    now = datetime.fromtimestamp(call.clock.wall_ms() / 1000, zone)
    return {
        "agent": agent,
        "call": {
            "id": call.id,
            "from": call.from_,
            "to": call.to,
            "direction": call.direction,
            "metadata": call.metadata,
        },
        "data": call.data,
        "date": f"{now:%A}, {now.day} {now:%B} {now.year}",
        "time": f"{now:%H:%M}",
        "weekday": f"{now:%A}",
        "now": now.isoformat(timespec="minutes"),
    }


def _split(text: str) -> list[str]:
    """The parts between `|`, those in quotes left alone."""
    parts, at, quote = [""], 0, ""
    while at < len(text):
        char = text[at]
        if quote and char == "\\":
            parts[-1] += text[at : at + 2]
            at += 2
            continue
        if char in "\"'" and quote in ("", char):
            quote = "" if quote else char
        if char == "|" and not quote:
            parts.append("")
        else:
            parts[-1] += char
        at += 1
    return [part.strip() for part in parts]


def _unquoted(match: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2])


def _inside(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


def _as_text(value: Any) -> str:
    """A value as a piece of one line: whoever has sent it cannot begin a paragraph of their own."""
    if value is None:
        return ""
    found = plain(value)
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())[:_MOST_CHARS]
