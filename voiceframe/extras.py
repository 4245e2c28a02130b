"""Optional packages: imported where they are needed, and named with their extra when they are missing."""

from __future__ import annotations

import importlib
import threading
from types import ModuleType
from typing import Final

from .errors import MissingExtra

__all__ = ["import_lock", "optional"]

#: Held while a large package is imported. Its modules import each other in circles: two threads that come from
#: different ends wait for one another, until Python gives one of them a module that is half done.
import_lock: Final = threading.RLock()


def optional(package: str, *, extra: str, what: str) -> ModuleType:
    """Import `package` for `what`. Raises `MissingExtra`, which says that `extra` installs it.

    An error inside of a package that is installed is not hidden.
    """
    try:
        with import_lock:
            return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package.partition(".")[0]:
            raise
        raise MissingExtra.of("extra.missing", what=what, package=package, extra=extra) from error
