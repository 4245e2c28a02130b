"""Settings: frozen dataclasses whose values come from the code, the environment, a file or the default, in this order.

    class EngineSettings(Settings, prefix="ENGINE"):
        \"\"\"How the engine runs a call.\"\"\"

        mailbox_frames: int = setting(default=512, doc="frames that may wait for one processor", ge=1)

    EngineSettings(mailbox_frames=64)        # what the code says, else the defaults; reads nothing
    EngineSettings.load(mailbox_frames=64)   # then VOICEFRAME_ENGINE_*, then [engine] of the file VOICEFRAME_CONFIG

Either way every value is checked, and a wrong one is a `ConfigurationError` that names the place it came from.
Fields are int, float, bool, str, `Literal`s, `tuple[..., ...]` of these (comma-separated in the environment), or one of
them or None (empty in the environment). A field's unit is part of its name: `timeout_ms`, `rate_hz`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import sys
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import ConfigurationError

__all__ = ["Resolved", "Settings", "setting", "settings_classes"]

T = TypeVar("T")

#: The environment variable that names the settings file (TOML).
CONFIG: Final = "VOICEFRAME_CONFIG"


def setting(
    *,
    default: T,
    doc: str,
    ge: float | None = None,
    le: float | None = None,
    secret: bool = False,
    variable: str = "",
) -> T:
    """A field of a settings class: its default, what it does in a phrase, and the bounds that it must keep.

    A secret one is never shown, by `repr` as little as by `describe()`. `variable` is the name by which everybody knows
    it, such as `TWILIO_AUTH_TOKEN`: an environment variable that is read where its own is not set.
    """
    meta = {"doc": doc, "ge": ge, "le": le, "secret": secret, "variable": variable}
    return dataclasses.field(default=default, metadata=meta, repr=not secret)


class _Field(NamedTuple):
    """What is known of one setting."""

    name: str
    default: Any
    doc: str
    secret: bool
    variable: str  # a second environment variable, or ""
    expected: str  # the type in words
    bounds: str  # the bounds in words, or ""
    read: Callable[[str], Any]  # from an environment variable; raises ValueError
    check: Callable[[Any], Any]  # the value as it is kept; raises ValueError (type) or _OutOfBounds


class _OutOfBounds(Exception):
    pass


class Resolved(NamedTuple):
    """What a setting has resolved to, and from where: `default`, `code`, an environment variable or a file."""

    name: str
    value: Any
    source: str
    doc: str


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting,))
class _SettingsType(type):
    """Makes each settings class a frozen dataclass with slots, and registers it."""

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, prefix: str | None = None
    ) -> _SettingsType:
        cls = super().__new__(mcs, name, bases, namespace)
        # A dataclass with slots is a new class, made by this very method: the first time round is the one that counts.
        if not bases or "__dataclass_fields__" in namespace:
            return cls
        made: Any = dataclasses.dataclass(frozen=True, kw_only=True, slots=True)(cls)
        made.prefix = prefix if prefix is not None else name.removesuffix("Settings").upper()
        hints = get_type_hints(made, localns=sys._getframe(1).f_locals)
        made._settings = {f.name: _field(f, hints[f.name]) for f in dataclasses.fields(made)}
        other = _classes.get(made.prefix)
        if other is not None and (other.__module__, other.__qualname__) != (made.__module__, made.__qualname__):
            raise TypeError(f"{other.__qualname__} and {name} share the prefix {made.prefix!r}")
        _classes[made.prefix] = made
        return made  # type: ignore[no-any-return]

    if not TYPE_CHECKING:  # a type checker must see the generated __init__, not this

        def __call__(cls, **code: Any) -> Any:
            if not code.keys() <= cls._settings.keys():
                _refuse_unknown(cls, f"{cls.__name__}(...)", code)
            return super().__call__(**code)


_classes: dict[str, type[Settings]] = {}


class Settings(metaclass=_SettingsType):
    """The base of all settings classes; see the module. Instances take keywords only, and compare by value.

    `prefix="ENGINE"` makes `VOICEFRAME_ENGINE_<NAME>` its environment variables and `[engine]` its section of the file.
    """

    __slots__ = ("_sources",)  # by name, of what load() and replace() set; no annotation, or it would be a field

    #: The part of the environment variables' names that belongs to this class.
    prefix: ClassVar[str]
    _settings: ClassVar[Mapping[str, _Field]] = {}

    def __post_init__(self) -> None:
        for name, field in self._settings.items():
            value = getattr(self, name)
            if value is field.default:
                continue
            kept = _checked(field, value, f"{type(self).__name__}(...)", name)
            if kept is not value:
                object.__setattr__(self, name, kept)

    @classmethod
    def load(cls, **code: Any) -> Self:
        """The settings from all sources. Raises `ConfigurationError`: `settings.unknown`, `settings.type`,
        `settings.range`, or `settings.file` if the file cannot be read.
        """
        _refuse_unknown(cls, f"{cls.__name__}.load(...)", code)
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, found in (*_from_file(cls), *_from_environment(cls)):
            for name, value in found.items():
                values[name], sources[name] = value, source.format(NAME=name.upper())
        new = cls(**(values | code))
        object.__setattr__(new, "_sources", sources | dict.fromkeys(code, "code"))
        return new

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked like any other. Raises `ConfigurationError`."""
        new = type(self)(**({name: getattr(self, name) for name in self._settings} | changes))
        object.__setattr__(new, "_sources", {**getattr(self, "_sources", {}), **dict.fromkeys(changes, "code")})
        return new

    def sourced(self, sources: Mapping[str, str]) -> Self:
        """The same settings, of which `describe()` says that they came from `sources` (by name)."""
        new = type(self)(**{name: getattr(self, name) for name in self._settings})
        object.__setattr__(new, "_sources", {**getattr(self, "_sources", {}), **sources})
        return new

    def describe(self) -> tuple[Resolved, ...]:
        """What each setting has resolved to and from where; the values of secret ones are hidden."""
        sources = getattr(self, "_sources", {})
        return tuple(
            Resolved(name, _shown(field, getattr(self, name)), sources.get(name) or _guess(self, field), field.doc)
            for name, field in self._settings.items()
        )


def settings_classes() -> Iterator[type[Settings]]:
    """All settings classes that have been defined, by prefix."""
    for prefix in sorted(_classes):
        yield _classes[prefix]


def markdown() -> str:
    """The page `docs/configuration.md`: every settings class with its settings."""
    lines = [
        "# Configuration",
        "",
        "A setting takes its value from the code, else from its environment variable, else from the TOML file that",
        f"`{CONFIG}` names, else it has its default. Lists are comma-separated in the environment.",
    ]
    for cls in settings_classes():
        lines += ["", f"## {cls.__name__}", "", *(cls.__doc__ or "").strip().splitlines()[:1], ""]
        lines += [f"In the file: `[{cls.prefix.lower()}]`", ""]
        lines += ["| setting | environment variable | type | default | meaning |", "| --- | --- | --- | --- | --- |"]
        for field in cls._settings.values():
            expected = f"{field.expected}, {field.bounds}" if field.bounds else field.expected
            default = "" if field.secret else f"`{field.default!r}`"
            variables = " or ".join(f"`{name}`" for name in (_variable(cls, field.name), field.variable) if name)
            cells = (f"`{field.name}`", variables, expected, default, field.doc)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


# -- the sources


def _variable(cls: type[Settings], name: str) -> str:
    return f"VOICEFRAME_{cls.prefix}_{name.upper()}"


def _from_environment(cls: type[Settings]) -> Iterator[tuple[str, dict[str, Any]]]:
    prefix = f"VOICEFRAME_{cls.prefix}_"
    # STT_ROUTER_X belongs to the prefix STT_ROUTER, not to the setting router_x of STT.
    longer = tuple(f"VOICEFRAME_{p}_" for p in _classes if p.startswith(f"{cls.prefix}_"))
    for variable, text in os.environ.items():
        if not variable.startswith(prefix) or (longer and variable.startswith(longer)):
            continue
        name = variable.removeprefix(prefix).lower()
        _refuse_unknown(cls, f"the environment variable {variable}", (name,))
        yield variable, {name: _read(cls._settings[name], text, variable)}
    for name, field in cls._settings.items():
        if field.variable in os.environ and _variable(cls, name) not in os.environ:
            yield field.variable, {name: _read(field, os.environ[field.variable], field.variable)}


def _read(field: _Field, text: str, variable: str) -> Any:
    try:
        value = field.read(text)
    except ValueError:
        raise _type_error(field, text, "the environment", variable) from None
    return _checked(field, value, "the environment", variable)


def _from_file(cls: type[Settings]) -> Iterator[tuple[str, dict[str, Any]]]:
    path = os.environ.get(CONFIG)
    if not path:
        return
    try:
        with Path(path).open("rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ConfigurationError.of("settings.file", path=path, error=error) from error
    section = cls.prefix.lower()
    table = document.get(section, {})
    where = f"{path} [{section}]"
    if not isinstance(table, dict):
        raise ConfigurationError.of("settings.file", path=path, error=f"{section} is not a table")
    _refuse_unknown(cls, where, table)
    yield where, {name: _checked(cls._settings[name], value, where, name) for name, value in table.items()}


def _guess(settings: Settings, field: _Field) -> str:
    return "default" if getattr(settings, field.name) == field.default else "code"


def _shown(field: _Field, value: Any) -> Any:
    return ("***" if value else value) if field.secret else value


def _refuse_unknown(cls: type[Settings], where: str, names: Iterable[str]) -> None:
    for name in names:
        if name not in cls._settings:
            close = difflib.get_close_matches(name, cls._settings, n=1, cutoff=0)
            raise ConfigurationError.of(
                "settings.unknown", where=where, name=name, settings=cls.__name__, nearest=close[0] if close else "-"
            )


# -- types and bounds


def _checked(field: _Field, value: Any, where: str, name: str) -> Any:
    try:
        return field.check(value)
    except ValueError:
        raise _type_error(field, value, where, name) from None
    except _OutOfBounds:
        shown = "***" if field.secret else value
        raise ConfigurationError.of(
            "settings.range", where=where, name=name, value=shown, expected=field.bounds
        ) from None


def _type_error(field: _Field, value: Any, where: str, name: str) -> ConfigurationError:
    shown = "***" if field.secret else value
    return ConfigurationError.of("settings.type", where=where, name=name, value=shown, expected=field.expected)


def _field(field: dataclasses.Field[Any], annotation: Any) -> _Field:
    meta = field.metadata
    if "doc" not in meta:
        raise TypeError(f"{field.name} has no doc: declare it with setting(default=..., doc=...)")
    expected, read, check = _kind(annotation)
    ge, le = meta["ge"], meta["le"]
    bounds = f"from {ge} to {le}" if ge is not None and le is not None else ""
    bounds = bounds or (f"at least {ge}" if ge is not None else f"at most {le}" if le is not None else "")

    def bounded(value: Any) -> Any:
        value = check(value)
        if value is not None and not ((ge is None or value >= ge) and (le is None or value <= le)):
            raise _OutOfBounds
        return value

    new = _Field(
        field.name,
        field.default,
        meta["doc"],
        meta["secret"],
        meta["variable"],
        expected,
        bounds,
        read,
        bounded if bounds else check,
    )
    # A default is kept in the form that every other value takes: 1 as 1.0 where a number is wanted.
    return new._replace(default=_checked(new, field.default, "its class", field.name))


_BOOLEANS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _read_bool(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def _is(cls: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not cls:  # exactly: True is no int here
            raise ValueError(value)
        return value

    return check


def _check_float(value: Any) -> float:
    if type(value) not in (float, int) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


_KINDS: Final[dict[Any, tuple[str, Callable[[str], Any], Callable[[Any], Any]]]] = {
    int: ("an integer", int, _is(int)),
    float: ("a number", float, _check_float),
    bool: ("true or false", _read_bool, _is(bool)),
    str: ("a string", str, _is(str)),
}


def _kind(annotation: Any) -> tuple[str, Callable[[str], Any], Callable[[Any], Any]]:
    """In words, how to read it from a string, and how to check it."""
    if annotation in _KINDS:
        return _KINDS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal and all(type(choice) is str for choice in arguments):

        def choose(value: Any) -> Any:
            if type(value) is not str or value not in arguments:
                raise ValueError(value)
            return value

        return f"one of {', '.join(arguments)}", str, choose
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        expected, read, check = _kind(arguments[0])

        def each(value: Any) -> Any:
            if type(value) not in (list, tuple):
                raise ValueError(value)
            return tuple([check(item) for item in value])

        return (
            f"a list, each {expected}",
            lambda text: tuple(read(part.strip()) for part in text.split(",") if part.strip()),
            each,
        )
    if origin in (Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        expected, read, check = _kind(next(argument for argument in arguments if argument is not type(None)))
        return (
            f"{expected} or none",
            lambda text: read(text) if text.strip() else None,
            lambda value: None if value is None else check(value),
        )
    raise TypeError(f"a setting cannot be {annotation}")
