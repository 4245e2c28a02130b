"""What an event is: a registered class whose fields can be kept as JSON, the personal ones apart from the rest."""

from __future__ import annotations

import dataclasses
import math
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from ..errors import EventError

__all__ = ["Event", "Personal", "event", "event_class", "event_classes"]

T = TypeVar("T")
E = TypeVar("E", bound="Event")


class _PersonalMark:
    """The mark that `Personal[...]` leaves in a field's type."""


#: A field that may hold what a person said, wrote, pressed or is called: `text: Personal[str]`. Such fields are kept in
#: a column of their own and can be erased without the rest.
Personal = Annotated[T, _PersonalMark]

_NAME: Final = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9_-]*)*")
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


class Field(NamedTuple):
    """One field of an event class: its name, its type without the mark, and whether it is personal."""

    name: str
    type: Any
    personal: bool
    required: bool


class Event:
    """The base of all events. A subclass names its fields and is registered with `@event(kind, version=...)`.

    Instances are frozen and take keywords only. Fields may be str, int, float, bool, None, `Literal`s, unions of
    these, tuples (`tuple[str, ...]`), mappings with string keys, or `Any` for any JSON value.
    """

    __slots__ = ()

    #: The name of the kind, `area.what`, and the version of its fields.
    kind: ClassVar[str]
    version: ClassVar[int]
    #: The fields in the order of their declaration.
    event_fields: ClassVar[tuple[Field, ...]] = ()

    def split(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields as JSON values: those that are not personal, and those that are. Both are copies.

        Raises `EventError` (`event.value`) for a value that cannot be kept as JSON.
        """
        data: dict[str, Any] = {}
        personal: dict[str, Any] = {}
        for name, _, is_personal, _ in self.event_fields:
            value = getattr(self, name)
            cls = value.__class__
            if cls is not int and cls is not bool and value is not None:
                value = _plain(value, self, name)
            if is_personal:
                personal[name] = value
            else:
                data[name] = value
        return data, personal


_classes: dict[tuple[str, int], type[Event]] = {}
_newest: dict[str, type[Event]] = {}


@dataclass_transform(kw_only_default=True, frozen_default=True)
def event(kind: str, *, version: int) -> Callable[[type[E]], type[E]]:
    """Makes a subclass of `Event` a frozen dataclass and registers it under `kind` and `version`.

    Applications name theirs `custom.<name>`. Raises `EventError` for any other name (`event.name`), a kind and version
    that another class has (`event.registered-twice`) and a field that cannot be kept as JSON (`event.value`).
    """
    # Names that the class body sees but its module does not: an event may be defined inside a function.
    namespace = sys._getframe(1).f_locals

    def register(cls: type[E]) -> type[E]:
        own = cls.__module__.partition(".")[0] == __name__.partition(".")[0]
        if not _NAME.fullmatch(kind) or not (own or kind.startswith("custom.")):
            raise EventError.of("event.name", name=kind)
        new: type[E] = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)
        new.kind = kind
        new.version = version
        new.event_fields = tuple(_fields(new, kind, dict(namespace)))
        other = _classes.get((kind, version))
        # The same class defined again (a bot's file that is loaded a second time) takes the place of the first.
        if other is not None and (other.__module__, other.__qualname__) != (new.__module__, new.__qualname__):
            raise EventError.of(
                "event.registered-twice", name=kind, version=version, first=other.__qualname__, second=new.__qualname__
            )
        _classes[kind, version] = new
        if kind not in _newest or _newest[kind].version <= version:
            _newest[kind] = new
        return new

    return register


def event_class(kind: str, version: int | None = None) -> type[Event]:
    """The class of a kind: of this version, or the newest. Raises `EventError` (`event.unregistered`)."""
    found = _newest.get(kind) if version is None else _classes.get((kind, version))
    if found is None:
        raise EventError.of("event.unregistered", what=kind if version is None else f"{kind} version {version}")
    return found


def event_classes(*, custom: bool = True) -> Iterator[type[Event]]:
    """All registered classes by kind and version; without `custom.*` if `custom` is False."""
    for key in sorted(_classes):
        if custom or not key[0].startswith("custom."):
            yield _classes[key]


def from_fields(cls: type[E], values: Mapping[str, Any]) -> E:
    """An event of `cls` from JSON values, lists turned back into tuples where the field is one.

    Fields that were erased are filled with what their type has for "nothing": None where it may be, else "", 0, (), {}.
    """
    arguments: dict[str, Any] = {}
    for name, annotation, personal, required in cls.event_fields:
        if name in values:
            arguments[name] = _typed(values[name], annotation)
        elif personal and required:
            arguments[name] = _nothing(annotation)
    return cls(**arguments)


def _plain(value: Any, owner: Event, field: str) -> Any:
    """The value as plain JSON: a copy, so that what happens to the original later does not change the record."""
    cls = value.__class__
    if cls is str:
        # A lone surrogate is no text and has no UTF-8: it would fail in every sink, where it could only be lost.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if cls is float and math.isfinite(value):
        return value
    if cls is int or cls is bool or value is None:
        return value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {_plain(str(key), owner, field): _plain(item, owner, field) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        return [_plain(item, owner, field) for item in value]
    elif isinstance(value, str):  # a subclass: an enumeration's member, say
        return _plain(str.__str__(value), owner, field)
    elif isinstance(value, int):
        return int(value)
    raise EventError.of("event.value", name=owner.kind, field=field, what=f"{value!r} ({cls.__name__})")


def _fields(cls: type[Event], kind: str, namespace: dict[str, Any]) -> Iterator[Field]:
    hints = get_type_hints(cls, localns=namespace, include_extras=True)
    for declared in dataclasses.fields(cls):  # type: ignore[arg-type]  # a dataclass by now
        annotation = hints[declared.name]
        personal = get_origin(annotation) is Annotated and _PersonalMark in annotation.__metadata__
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if not _keepable(annotation):
            raise EventError.of("event.value", name=kind, field=declared.name, what=f"the type {annotation}")
        required = declared.default is dataclasses.MISSING and declared.default_factory is dataclasses.MISSING
        yield Field(declared.name, annotation, personal, required)


def _keepable(annotation: Any) -> bool:
    if annotation is Any or annotation in _SCALARS:
        return True
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return all(type(argument) in _SCALARS for argument in arguments)
    if origin in (Union, types.UnionType):
        return all(_keepable(argument) for argument in arguments)
    if origin is tuple:
        return len(arguments) == 2 and arguments[1] is ... and _keepable(arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return arguments[0] is str and _keepable(arguments[1])
    return False


def _typed(value: Any, annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(value, list) and origin is tuple:
        return tuple(_typed(item, arguments[0]) for item in value)
    if isinstance(value, dict) and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _typed(item, arguments[1]) for key, item in value.items()}
    if isinstance(value, list) and origin in (Union, types.UnionType):
        return next((_typed(value, argument) for argument in arguments if get_origin(argument) is tuple), value)
    if annotation is float and isinstance(value, int):
        return float(value)
    return value


def _nothing(annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any or annotation is type(None) or type(None) in arguments:
        return None
    if origin in (Union, types.UnionType):
        return _nothing(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return ()
    return {} if origin is not None else annotation()
