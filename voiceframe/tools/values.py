"""Values of tools as JSON, and as text for a model; and secrets taken out of them."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Collection, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Union, get_args, get_origin

from ..errors import ToolError

__all__ = ["SECRET", "as_text", "hidden", "hidden_in", "masked", "plain", "without_secrets"]

#: What stands for a secret argument.
SECRET: Final = "[secret]"


def plain(value: Any) -> Any:
    """A value as JSON has it: dates and times in ISO 8601, dataclasses and pydantic models as objects, anything unknown
    as its `repr`."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, Decimal):
        return str(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return plain(dump(mode="json"))
    return repr(value)


def as_text(value: Any, returns: Any = Any) -> str:
    """A result as a model reads it. returns: what the tool may return; where that is one of several classes, the text
    says which it is."""
    if value is None:
        return "Done."
    if isinstance(value, str):
        return value or "Done: there is nothing."
    found = plain(value)
    if isinstance(found, str):
        return found
    if isinstance(found, dict) and get_origin(returns) in (Union, types.UnionType):
        classes = [case for case in get_args(returns) if case is not type(None)]
        if type(value) in classes and len(classes) > 1:
            found = {"result": type(value).__name__, **found}
    return json.dumps(found, ensure_ascii=False)


def masked(arguments: Mapping[str, Any], secret: Collection[str]) -> dict[str, Any]:
    """The arguments as JSON, for events and frames: secret ones are hidden."""
    return {name: SECRET if name in secret else plain(value) for name, value in arguments.items()}


def without_secrets(text: str, arguments: Mapping[str, Any], secret: Collection[str]) -> str:
    """A text in which the values of secret arguments are hidden."""
    leaves = {leaf for name in secret for leaf in _leaves(plain(arguments.get(name)))}
    # Errors quote what they were given, and are quoted themselves: in them a line feed, say, is an escape.
    quoted = leaves | {repr(leaf)[1:-1] for leaf in leaves} | {json.dumps(leaf)[1:-1] for leaf in leaves}
    written = quoted | {repr(leaf)[1:-1] for leaf in quoted}
    for value in sorted(written, key=len, reverse=True):
        text = text.replace(value, SECRET)
    return text


def hidden(value: Any, arguments: Mapping[str, Any], secret: Collection[str]) -> Any:
    """A value as JSON has it, without those of secret arguments: a tool may return what it was given."""
    if isinstance(value, Mapping):
        return {name: hidden(item, arguments, secret) for name, item in value.items()}
    if isinstance(value, list):
        return [hidden(item, arguments, secret) for item in value]
    if not secret or value is None or isinstance(value, bool):
        return value
    shown = without_secrets(str(value), arguments, secret)
    return value if shown == str(value) else shown


def hidden_in(error: ToolError, arguments: Mapping[str, Any], secret: Collection[str]) -> ToolError:
    """The error, or one like it without the values of secret arguments and without what it came from."""
    if not secret:
        return error
    message, fix = (without_secrets(text, arguments, secret) for text in (error.message, error.fix))
    return ToolError(error.code, message, fix)


def _leaves(value: Any) -> list[str]:
    """The texts in a value, the longest first. A short one (a `2`) would hide half of any sentence: it stays."""
    if isinstance(value, Mapping):
        found = [leaf for item in value.values() for leaf in _leaves(item)]
    elif isinstance(value, list):
        found = [leaf for item in value for leaf in _leaves(item)]
    else:
        found = [] if value is None or isinstance(value, bool) else [str(value)]
    return sorted((leaf for leaf in found if len(leaf) > 2), key=len, reverse=True)
