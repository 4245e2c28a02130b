"""What the recognizer has of PocketSphinx (BSD licence): acoustic model and dictionary; for dictation also its code."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ...errors import MissingExtra
from ...models import POCKETSPHINX, find

__all__ = ["model_path", "package"]


def package() -> Any:
    """The module `pocketsphinx`, which dictation runs. Raises `MissingExtra` (`extra.package`)."""
    try:
        return importlib.import_module("pocketsphinx")
    except ModuleNotFoundError as error:
        if error.name != "pocketsphinx":
            raise
        # Not `extra.missing`: the extra `local` leaves the package out where it has no wheel.
        raise MissingExtra.of("extra.package", what="Dictation", package="pocketsphinx") from error


def model_path() -> Path:
    """The folder of the acoustic model (`en-us`) and the dictionary, of the package or fetched.

    Raises `MissingExtra` (`extra.model`).
    """
    return find(POCKETSPHINX)
