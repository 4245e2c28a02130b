"""Finding a model: in the packages that bring it, then among what was fetched."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import MissingExtra
from .model import Model

__all__ = ["Place", "find", "places"]


class Place(NamedTuple):
    """Where a model may be: its file, or the folder of its files; no path for a package that is not installed."""

    model: Model
    path: Path | None
    origin: str
    #: What was fetched is used only if it has the right SHA-256. What a package brings is the matter of that package:
    #: another version may have another model.
    fetched: bool = False

    @property
    def present(self) -> bool:
        return not self.fault

    @property
    def fault(self) -> str:
        """Why the model cannot be taken from here; empty if it can."""
        if self.path is None:
            return "not installed"
        missing = [file.path for file, path in self.model.paths(self.path) if not path.is_file()]
        if len(missing) == len(self.model.files):
            return f"no {self.path}"
        if missing:
            return f"{self.path} is incomplete, without {', '.join(missing)}"
        if self.fetched and (others := self.others):
            where = "" if len(self.model.files) == 1 else f" in {', '.join(others)}"
            return f"{self.path} is damaged or of another version{where}"
        return ""

    @property
    def others(self) -> list[str]:
        """The files that have another SHA-256. Raises `OSError` for one that is missing."""
        pairs = self.model.paths(self.path) if self.path is not None else ()
        return [file.path for file, path in pairs if not file.is_right(_sha256(path))]


def places(model: Model) -> Iterator[Place]:
    """Where the model is looked for, in this order. No package is imported."""
    for module, package, inside in model.packages:
        spec = importlib.util.find_spec(module)
        folders = spec.submodule_search_locations if spec is not None else None
        path = model.at(Path(folders[0], *PurePosixPath(inside).parts)) if folders else None
        yield Place(model, path, f"package {package}")
    yield Place(model, model.kept, "fetched", fetched=True)


def find(model: Model) -> Path:
    """The file of the model, or the folder of its files if it has several.

    Raises `MissingExtra` (`extra.model`), which says where it was looked for, and how to get it.
    """
    faults = []
    for place in places(model):
        fault = place.fault
        if place.path is not None and not fault:
            return place.path
        faults.append(f"{place.origin} ({fault})")
    raise MissingExtra.of(
        "extra.model", model=model.name, purpose=model.purpose, places=", ".join(faults), extra=model.extra
    )


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    # Each call asks for its models again; a file that has not changed is read once.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
