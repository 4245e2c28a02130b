"""Where in the author's files something was declared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Place", "here"]

_OWN: Final = str(Path(__file__).resolve().parent)


class Place(NamedTuple):
    """A file and a line."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def here() -> Place:
    """The line outside of this package that is being run."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(Path(frame.f_code.co_filename).parent).startswith(_OWN):
        frame = frame.f_back
    name = frame.f_code.co_filename
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        name = str(path.relative_to(Path.cwd()))
    return Place(name, frame.f_lineno)
