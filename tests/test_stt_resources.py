"""What the recognizer has of PocketSphinx: its data from wherever that is, and its code only where it is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from voiceframe.errors import MissingExtra
from voiceframe.models import POCKETSPHINX, fetch, places
from voiceframe.processors.stt.resources import model_path, package

HERE = next((place.path for place in places(POCKETSPHINX) if place.present), None)
needs_model = pytest.mark.skipif(HERE is None, reason="needs the recognizer's model: `voiceframe models fetch`")

#: In a fresh process, with the package or without; prints where the model is, and what is heard in a file.
HEARS = """
import sys
from pathlib import Path
if sys.argv[1] == "without":
    sys.modules["pocketsphinx"] = None
from voiceframe.processors.stt.decoder import compile_grammar, decode
from voiceframe.processors.stt.resources import model_path
grammar = compile_grammar("#JSGF V1.0; grammar g; public <s> = yes please | tomorrow | no thanks;", (), "test")
print(model_path())
print(decode(Path(sys.argv[2]).read_bytes(), 8_000, grammar, 0))
if sys.argv[1] == "with":
    assert "pocketsphinx" not in sys.modules
"""


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package were not installed."""
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)


def python(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@needs_model
def test_the_model_has_the_files_that_the_recognizer_reads() -> None:
    assert model_path() == HERE
    assert (model_path() / "cmudict-en-us.dict").is_file()
    names = {"mdef", "means", "variances", "sendump", "transition_matrices"}
    assert names <= {path.name for path in (model_path() / "en-us").iterdir()}


@needs_model
def test_it_hears_the_same_with_a_fetched_model_and_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("espeakng_loader", reason="no voice to speak with")
    from voiceframe.testing.voices import Voice, speech

    (tmp_path / "sound").write_bytes(speech("yes please", Voice("en-us+m3", 150)))
    _, before = python(HEARS, "with", str(tmp_path / "sound"))
    monkeypatch.setenv("VOICEFRAME_MODELS_DIR", str(tmp_path / "kept"))
    assert HERE is not None
    fetched = fetch(POCKETSPHINX, HERE)
    assert python(HEARS, "without", str(tmp_path / "sound")) == [str(fetched), before]
    assert "'yes please'" in before


def test_without_the_model_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch)
    monkeypatch.setenv("VOICEFRAME_MODELS_DIR", str(tmp_path))
    with pytest.raises(MissingExtra, match=r"PocketSphinxSTT.*`voiceframe models fetch`") as missing:
        model_path()
    assert missing.value.code == "extra.model"
    assert "package pocketsphinx (not installed)" in missing.value.message
    assert f"fetched (no {tmp_path / 'pocketsphinx-en-us'})" in missing.value.message


@needs_model
def test_a_model_without_its_dictionary_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HERE is not None
    shutil.copytree(HERE, tmp_path / "pocketsphinx-en-us")
    (tmp_path / "pocketsphinx-en-us" / "cmudict-en-us.dict").unlink()
    hide(monkeypatch)
    monkeypatch.setenv("VOICEFRAME_MODELS_DIR", str(tmp_path))
    with pytest.raises(MissingExtra, match=r"is incomplete, without cmudict-en-us\.dict"):
        model_path()


def test_dictation_says_that_it_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch)
    with pytest.raises(MissingExtra, match=r"`pip install pocketsphinx`.*compiler") as missing:
        package()
    assert missing.value.code == "extra.package"


def test_an_error_inside_of_the_package_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pocketsphinx.py").write_text("import what_it_needs\n")
    monkeypatch.delitem(sys.modules, "pocketsphinx", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        package()


def test_neither_numpy_nor_the_package_is_imported_before_they_are_used() -> None:
    code = "import sys; from voiceframe.processors.stt import resources; print(*sys.modules, sep='\\n')"
    assert not {"numpy", "pocketsphinx"} & set(python(code))
