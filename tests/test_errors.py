"""Every error says what to do, and every code that is documented is used."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from voiceframe import errors
from voiceframe.errors import Explanation, Reject, VoiceframeError, catalogue

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = [entry for entry in catalogue() if entry[0].__module__.startswith(f"{errors.__name__}.")]
ENTRIES = pytest.mark.parametrize(
    ("cls", "code", "explanation"), [pytest.param(*entry, id=entry[1]) for entry in CATALOGUE]
)


class _Facts(dict[str, object]):
    """Any fact, by its own name; one that is formatted with `!r` or a width works as well."""

    def __missing__(self, name: str) -> str:
        return f"<{name}>"


@ENTRIES
def test_a_fix_names_a_setting_a_command_or_a_call(
    cls: type[VoiceframeError], code: str, explanation: Explanation
) -> None:
    assert re.search(r"`[^`]+`", explanation.fix), f"{code}: nothing in backticks in {explanation.fix!r}"
    assert explanation.fix.count("`") % 2 == 0


@ENTRIES
def test_the_sentences_are_sentences(cls: type[VoiceframeError], code: str, explanation: Explanation) -> None:
    assert explanation.message.endswith((".", "?"))
    assert explanation.fix.endswith((".", "?", ").")), explanation.fix


@ENTRIES
def test_the_templates_take_the_facts_that_they_name(
    cls: type[VoiceframeError], code: str, explanation: Explanation
) -> None:
    for template in explanation:
        text = string.Formatter().vformat(template, (), _Facts())
        assert "{" not in text.replace("{}", "")
    facts = {
        name for template in explanation for _, name, _, _ in string.Formatter().parse(template) if name is not None
    }
    assert all(name.isidentifier() for name in facts)
    error = cls.of(code, **{name: f"<{name}>" for name in facts})
    assert error.code == code
    assert all(fact in str(error) for fact in re.findall(r"<\w+>", explanation.message))


@ENTRIES
def test_every_code_is_used(cls: type[VoiceframeError], code: str, explanation: Explanation) -> None:
    assert f'"{code}"' in SOURCE, f"nothing raises {code}"


def _source() -> str:
    """All code and tests; of the catalogue only the class that raises its own code."""
    catalogues = ROOT / "voiceframe" / "errors"
    files = [file for folder in ("voiceframe", "tests") for file in sorted((ROOT / folder).rglob("*.py"))]
    others = "".join(
        file.read_text("utf-8") for file in files if file.parent != catalogues and file.name != "test_errors.py"
    )
    own = (catalogues / "call.py").read_text("utf-8")
    return others + own.partition("class Reject")[2].partition("\nclass ")[0]


SOURCE = _source()


def test_a_code_belongs_to_one_class() -> None:
    codes = [code for _, code, _ in CATALOGUE]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9-]+", code) for code in codes)


def test_every_class_is_exported_and_explains_itself() -> None:
    classes = {cls for cls, _, _ in CATALOGUE}
    assert all(getattr(errors, cls.__name__) is cls for cls in classes)
    assert {cls.__name__ for cls in classes} <= set(errors.__all__)
    assert all(cls.__doc__ for cls in classes)


def test_an_error_reads_as_what_happened_and_what_to_do() -> None:
    error = errors.StoreError.of("store.url", url="here")
    assert str(error) == f"{error.message} {error.fix} [store.url]"
    assert "'here'" in error.message


def test_a_code_of_another_class_is_a_mistake_in_the_program() -> None:
    with pytest.raises(KeyError):
        errors.LinkError.of("store.url", url="here")


def test_a_refusal_carries_its_reason() -> None:
    assert Reject("busy").reason == Reject.of("call.rejected", reason="busy").reason == "busy"
