"""Where a recording goes: a new file that nobody else may read, in the directory that was named and in no other."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from ...errors import RecordingError

__all__ = ["check_template", "create", "fill"]

_BINARY: Final[int] = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
_MOST: Final = 10_000  # files of one name


def check_template(template: str) -> None:
    """Raises `RecordingError` (`recording.template`) if anything but `{call}` is to be filled in."""
    found = re.search(r"[{}][^{}]*[{}]?", template.replace("{call}", ""))
    if found:
        raise RecordingError.of("recording.template", path=template, found=repr(found.group()), placeholder="{call}")


def fill(template: str, call: str) -> Path:
    """The path for a call. An id with anything but letters, digits, `-`, `_` and `.` in it is made harmless, and kept
    apart from others by a part of its SHA-256."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", call).lstrip(".")[:100]
    if name != call or not name:
        name += "-" + hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Path(template.replace("{call}", name))


def create(path: Path) -> tuple[int, Path]:
    """Open a new file for reading and writing, with mode 600; directories are made. If the name is taken it gets a
    number: `call-2.wav`.

    Raises `OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(1, _MOST):
        candidate = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        try:
            return os.open(candidate, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o600), candidate
        except FileExistsError:
            continue
    raise FileExistsError(f"{path} and {_MOST - 2} numbered ones exist")
