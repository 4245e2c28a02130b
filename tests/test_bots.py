"""Finding a bot by name, and saying what is wrong when it is not found."""

from __future__ import annotations

from pathlib import Path

import pytest

from voiceframe.bots import load_bot
from voiceframe.errors import ConfigurationError


def test_a_file_and_a_function_in_it(tmp_path: Path) -> None:
    file = tmp_path / "somewhere.py"
    file.write_text("def bot(call): return 1\ndef mine(call): return 2\n")
    assert load_bot(str(file))(None) == 1
    assert load_bot(f"{file}:mine")(None) == 2


def test_a_module() -> None:
    assert load_bot("voiceframe.soak:restless_bot").__name__ == "restless_bot"


def test_a_bot_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "prices_of_this_test.py").write_text("PRICE = 7\n")
    file = tmp_path / "shop.py"
    file.write_text("from prices_of_this_test import PRICE\ndef bot(call): return PRICE\n")
    assert load_bot(str(file))(None) == 7


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, "bot.not-found", "no such file"),
        ("def bot(call)\n", "bot.not-found", "line 1"),
        ("import no_such_package_anywhere\ndef bot(call): ...\n", "bot.not-found", "no_such_package_anywhere"),
        ("x = 1\n", "bot.no-bot", "defines no `bot`"),
        ("bot = 1\n", "bot.no-bot", "defines no `bot`"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | None, code: str, words: str) -> None:
    file = tmp_path / "broken.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_bot(str(file))
    assert caught.value.code == code
    assert words in caught.value.message


def test_a_module_that_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="no_such_module_at_all"):
        load_bot("no_such_module_at_all:bot")
