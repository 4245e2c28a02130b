"""What an expectation says about a value, and whether a value will do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import TestKitError
from ..tools.values import plain

__all__ = ["fits", "pattern", "shown", "shown_call"]


def fits(wanted: Any, given: Any) -> bool:
    """Whether `given` is what was expected.

    wanted: `...` for anything; a compiled pattern that a text must match somewhere; a class; a function that says
    whether a value will do; a mapping or a list of these; or the value, also as JSON has it (a date is its ISO text).
    """
    if wanted is ...:
        return True
    if isinstance(wanted, re.Pattern):
        return isinstance(given, str) and wanted.search(given) is not None
    if isinstance(wanted, type):
        return isinstance(given, wanted)
    if callable(wanted):
        return bool(wanted(given))
    if isinstance(wanted, Mapping):
        return (
            isinstance(given, Mapping)
            and {str(key) for key in wanted} == {str(key) for key in given}
            and all(fits(wanted[key], given.get(key, given.get(str(key)))) for key in wanted)
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(given, list | tuple)
            and len(wanted) == len(given)
            and all(fits(one, other) for one, other in zip(wanted, given, strict=True))
        )
    return bool(wanted == given) or plain(wanted) == plain(given)


def pattern(text: str | re.Pattern[str]) -> re.Pattern[str]:
    """A regular expression, its case ignored unless it is compiled already. Raises `TestKitError`
    (`test.rule`) if it is none."""
    if not isinstance(text, str):
        return text
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise TestKitError.of("test.rule", rule=f"the pattern {text!r}", reason=error) from error


def shown(wanted: Any) -> str:
    """What is expected, for people."""
    if wanted is ...:
        return "anything"
    if isinstance(wanted, re.Pattern):
        return f"/{wanted.pattern}/"
    if callable(wanted):
        return str(getattr(wanted, "__name__", wanted))
    return repr(plain(wanted))


def shown_call(name: str, arguments: Mapping[str, Any] | None) -> str:
    """A call of a tool, for people."""
    if arguments is None:
        return f"{name}(arguments not kept)"
    return f"{name}({', '.join(f'{key}={shown(value)}' for key, value in arguments.items())})"
