"""Writing a model so that it is there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

__all__ = ["keep_file", "keep_folder"]


def keep_file(data: bytes, target: Path) -> None:
    """Write the file so that it is there as a whole or not at all."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    part = Path(name)
    try:
        os.close(handle)
        _write(data, part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def keep_folder(files: Mapping[str, bytes], target: Path) -> None:
    """Write the folder so that it is there as a whole or not at all. Whoever is killed leaves a hidden one behind."""
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for name, data in files.items():
            path = part.joinpath("new", *PurePosixPath(name).parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(data, path)
        # No folder takes the place of another that has something in it: the old one goes first. The second time is for
        # somebody else who fetched the same and was faster.
        for number in range(2):
            old = part / f"old{number}"
            if target.exists():
                target.rename(old)
            try:
                (part / "new").rename(target)
                break
            except OSError:
                if not target.exists() and old.exists():
                    old.rename(target)
                    raise
                if number or not target.is_dir():
                    raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(data: bytes, path: Path) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)
