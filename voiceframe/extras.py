"""Optional packages: imported where they are needed, and named with their extra when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingExtra

__all__ = ["optional"]


def optional(package: str, *, extra: str, what: str) -> ModuleType:
    """Import `package` for `what`. Raises `MissingExtra`, which says that `extra` installs it.

    An error inside of a package that is installed is not hidden.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package.partition(".")[0]:
            raise
        raise MissingExtra.of("extra.missing", what=what, package=package, extra=extra) from error
