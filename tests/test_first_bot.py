"""The page about a first bot is gone through as its reader does: files are saved, and its tests are run."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs voiceframe[telephony]")

from voiceframe.chat import chat
from voiceframe.models import POCKETSPHINX, places

PAGE = (Path(__file__).resolve().parent.parent / "docs/first-bot.md").read_text(encoding="utf-8")
SAVED = re.compile(r"`(\w+\.py)`[^`]*:\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_files_of_the_page() -> None:
    assert [name for name, _ in SAVED.findall(PAGE)] == [
        "my_bot.py",
        "conftest.py",
        "test_my_bot.py",
        "my_bot.py",
        "test_by_sound.py",
        "test_by_phone.py",
    ]
    assert PAGE.count("```python") == 6


def test_a_reader_gets_as_far_as_the_page_says(pytester: pytest.Pytester) -> None:
    """The tests of the first bot hold for the second one as well; those with sound where there is a recognizer."""
    hears = any(place.present for place in places(POCKETSPHINX))
    for name, code in SAVED.findall(PAGE):
        if hears or name not in ("test_by_sound.py", "test_by_phone.py"):
            (pytester.path / name).write_text(code, encoding="utf-8")
        if name == "test_my_bot.py":
            pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=4 if hears else 2)
    assert (pytester.path / "call.wav").exists() == hears


def test_the_last_bot_is_talked_to_in_text_too(pytester: pytest.Pytester) -> None:
    bot, script, out = pytester.path / "my_bot.py", pytester.path / "script.txt", io.StringIO()
    bot.write_text(dict(SAVED.findall(PAGE))["my_bot.py"], encoding="utf-8")
    script.write_text("/hears where we are\nopening hours\n/hears nine to five\n/keys 3\n/hears goodbye\n")
    assert chat(str(bot), script=str(script), out=out) == 0, out.getvalue()
