"""Optional packages: one that is missing is named with the extra that brings it."""

from __future__ import annotations

from pathlib import Path

import pytest

from voiceframe.errors import MissingExtra
from voiceframe.extras import optional


def test_a_package_that_is_there() -> None:
    assert optional("json", extra="json", what="Reading").__name__ == "json"


def test_one_that_is_missing_is_named_with_its_extra() -> None:
    with pytest.raises(MissingExtra) as caught:
        optional("no_such_package.inner", extra="speech", what="Hearing")
    assert caught.value.code == "extra.missing"
    assert caught.value.message == "Hearing needs the package no_such_package.inner, which is not installed."
    assert "pip install 'voiceframe[speech]'" in caught.value.fix


def test_an_error_inside_of_a_package_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_package.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        optional("half_a_package", extra="speech", what="Hearing")
