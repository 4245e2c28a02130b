"""What the package `pocketsphinx` brings along: an acoustic model, a dictionary, a language model (BSD licence)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...extras import optional

__all__ = ["model_path", "package"]


def package() -> Any:
    """The module `pocketsphinx`. Raises `MissingExtra`."""
    return optional("pocketsphinx", extra="local", what="PocketSphinxSTT")


def model_path() -> Path:
    """Where the models and the dictionary are."""
    return Path(package().get_model_path()) / "en-us"
