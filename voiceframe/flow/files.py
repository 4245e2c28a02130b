"""Flows in files: read once, looked at again for each call, and read anew when they have changed.

current ──the file has changed──▶ read ──it works──▶ current, for the calls from now on
                                    └──it does not──▶ the one before stays, and every call says so
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import FlowError
from ..events import Event, FlowLoaded, FlowReloadFailed
from ..tools import Tool
from .document import MOST_BYTES
from .load import Declaration, read
from .places import shown
from .slots import Slot
from .wording import Wording

__all__ = ["Current", "current"]

_log = logging.getLogger("voiceframe.flow")

#: How many files are kept: more than any program has, fewer than one that makes them up could fill the memory with.
_MOST_FILES: Final = 64
#: What a log or an event says of one broken file.
_MOST_PROBLEMS: Final = 20


class Current(NamedTuple):
    """What a call goes by: what the file declares, and the events that say so."""

    declaration: Declaration
    events: tuple[Event, ...]


class _File:
    """One file, with what it may name."""

    def __init__(self, path: Path, arguments: dict[str, Any]) -> None:
        self._path = path
        self._arguments = arguments
        self._mark: tuple[int, ...] = ()
        self._declaration: Declaration | None = None
        self._failure: FlowReloadFailed | None = None

    def current(self) -> Current:
        """Raises `FlowError` only as long as the file has never been right."""
        mark = self._look()
        if mark != self._mark or self._declaration is None:
            try:
                self._declaration = self._read()
                self._failure = None
            except FlowError as error:
                if self._declaration is None:
                    raise
                self._fail(error, self._declaration)
            self._mark = mark
        made = self._declaration
        loaded = FlowLoaded(file=made.file, digest=made.digest, nodes=len(made.states))
        return Current(made, (loaded, self._failure) if self._failure is not None else (loaded,))

    def _look(self) -> tuple[int, ...]:
        """What changes when the file does; empty when it is not there."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _read(self) -> Declaration:
        name = shown(str(self._path))
        try:
            with self._path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise FlowError.of("flow.file", where=name, error=error.strerror or error) from None
        return read(data, name, **self._arguments)

    def _fail(self, error: FlowError, before: Declaration) -> None:
        problems = [problem.message for problem in error.problems or (error,)]
        self._failure = FlowReloadFailed(
            file=before.file, digest=before.digest, code=error.code, problems=tuple(problems[:_MOST_PROBLEMS])
        )
        _log.error(
            "%s has changed and cannot be used; calls go by version %s: %s",
            before.file,
            before.digest,
            " ".join(problems[:_MOST_PROBLEMS]),
        )


_files: OrderedDict[tuple[object, ...], _File] = OrderedDict()


def current(
    path: str | os.PathLike[str],
    *,
    tools: Iterable[Tool[..., Any]],
    agents: Iterable[str],
    slots: Iterable[Slot[Any]],
    variables: Iterable[str],
    values: Iterable[str],
    wording: Wording | None,
) -> Current:
    """What the file declares now. Its agents are stand-ins by these names: each call has agents of its own."""
    from .mocks import mock_agent

    place = Path(path).absolute()
    tools, names, slots = tuple(tools), tuple(agents), tuple(slots)
    key = (place, tools, names, slots, frozenset(variables), frozenset(values), id(wording) if wording else None)
    file = _files.get(key)
    if file is None:
        arguments = {
            "tools": tools,
            "agents": tuple(mock_agent(name) for name in names),
            "slots": slots,
            "variables": frozenset(variables),
            "values": frozenset(values),
            "wording": wording,
        }
        file = _files[key] = _File(place, arguments)
        while len(_files) > _MOST_FILES:
            _files.popitem(last=False)
    _files.move_to_end(key)
    return file.current()
