"""Where in the author's files something was declared."""

from __future__ import annotations

import contextlib
import contextvars
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Place", "at", "here", "shown"]

_OWN: Final = str(Path(__file__).resolve().parent)


class Place(NamedTuple):
    """A file and a line; in a YAML file also a column. Both count from 1, and column 0 is none."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


#: The place of what is being made out of a file, in which case the line of the program says nothing.
_given: contextvars.ContextVar[Place | None] = contextvars.ContextVar("voiceframe-flow-place", default=None)


@contextlib.contextmanager
def at(place: Place) -> Iterator[None]:
    """What is declared in this context was declared there."""
    token = _given.set(place)
    try:
        yield
    finally:
        _given.reset(token)


def here() -> Place:
    """The line outside of this package that is being run, or the place that `at()` gives."""
    given = _given.get()
    if given is not None:
        return given
    frame = sys._getframe(1)
    while frame.f_back is not None and str(Path(frame.f_code.co_filename).parent).startswith(_OWN):
        frame = frame.f_back
    return Place(shown(frame.f_code.co_filename), frame.f_lineno)


def shown(file: str) -> str:
    """The name of a file as people read it: below the working directory without that."""
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return file
