"""What a model is: its files, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .folder import models_dir

__all__ = ["Model", "ModelFile"]


class ModelFile(NamedTuple):
    """A file of a model: its path in the folder of the model, parted by `/`, and its SHA-256."""

    path: str
    sha256: str
    #: The SHA-256 of older versions that do as well.
    older: tuple[str, ...] = ()

    def is_right(self, sha256: str) -> bool:
        return sha256 == self.sha256 or sha256 in self.older


@dataclass(frozen=True, slots=True)
class Model:
    """A model: what it is for, and where it comes from. One of several files is kept in a folder of its own."""

    name: str
    purpose: str
    files: tuple[ModelFile, ...]
    #: Packages that bring the files: the name to import, the name to install, and the folder of the files in it.
    packages: tuple[tuple[str, str, str], ...]
    #: The wheel that it is taken from, and the folder of the files in it.
    wheel: str
    member: str
    extra: str

    def at(self, folder: Path) -> Path:
        """What `find` gives when the files are in `folder`: the only file, or the folder of several."""
        return folder / self.files[0].path if len(self.files) == 1 else folder

    @property
    def kept(self) -> Path:
        """Where it is when it was fetched: a file, or the folder of several."""
        return models_dir() / (self.files[0].path if len(self.files) == 1 else self.name)

    def paths(self, place: Path) -> Iterator[tuple[ModelFile, Path]]:
        """Each file with its path, when `place` is what `find` gives."""
        for file in self.files:
            yield file, place if len(self.files) == 1 else place.joinpath(*PurePosixPath(file.path).parts)
