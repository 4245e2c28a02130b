"""Events as lines of JSON in a file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import StoreError
from ..events import LoggedEvent

if sys.platform != "win32":
    import fcntl

__all__ = ["JSONLSink", "read_jsonl"]

_LINES_AT_ONCE: Final = 64
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


class JSONLSink:
    """Appends each event to the file `path` as one line of JSON (UTF-8).

    A batch is handed to the operating system at once, so that it survives the end of this process in whatever way.
    Only with `fsync=True` it has also reached the disk, and survives a power cut, when `write()` returns. A line that
    such an end has torn is cut off when the file is opened again. A file has one writer at a time: a second one, in
    this process or another, gets `StoreError` (`store.open`); Windows does not enforce it.
    """

    def __init__(self, path: str | os.PathLike[str], *, fsync: bool = False, name: str = "jsonl") -> None:
        self.name = name
        self.path = Path(path)
        self._fsync = fsync
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)  # it holds what people said
            try:
                if sys.platform != "win32":
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._end = _mend(self._file)
            except BaseException:
                os.close(self._file)
                raise
        except OSError as error:
            raise StoreError.of("store.open", url=self.path, error=error) from error

    def write(self, batch: Sequence[LoggedEvent]) -> None:
        """Appends the batch. Raises `OSError` if the disk is full, say: then the file ends where it did before."""
        lines: list[str] = []
        for number, event in enumerate(batch):
            if number % _LINES_AT_ONCE == 0:
                time.sleep(0)  # gives the loop's thread its turn: turning events into JSON holds the interpreter
            lines.append(event.to_json())
        lines.append("")
        data = memoryview("\n".join(lines).encode())
        size = len(data)
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            while data:
                data = data[os.write(self._file, data) :]
            if self._fsync:
                os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += size

    def close(self) -> None:
        """Closes the file; it has reached the disk then."""
        if self._file >= 0:
            try:
                os.fsync(self._file)
            finally:
                os.close(self._file)
                self._file = -1


def read_jsonl(path: str | os.PathLike[str]) -> Iterator[LoggedEvent]:
    """The events of a file; a torn last line is left out. Raises `EventError` for any other line that is no event."""
    with Path(path).open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield LoggedEvent.from_json(line)


def _mend(file: int) -> int:
    """Cuts off what stands behind the last whole line, and returns the length of the rest."""
    end = os.fstat(file).st_size
    position = end
    while position > 0:
        start = max(0, position - 65_536)
        os.lseek(file, start, os.SEEK_SET)
        newline = os.read(file, position - start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position != end:
        os.ftruncate(file, position)
    return position
