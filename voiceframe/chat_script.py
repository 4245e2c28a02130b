"""Scripts for `voiceframe chat`: what a caller says and does, one thing a line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .errors import ConfigurationError

__all__ = ["HELP", "Action", "parse_line", "parse_script"]

HELP = """\
what you can type, and what a script may have, one thing a line:
  some words               say them when the bot has finished
  /interrupt 400 wait      say "wait" when the bot has been speaking for 400 ms
  /keys 12#                press keys
  /wait 1500               wait for 1,500 ms
  /hears which day         the bot must have said this (a regular expression) within 10 s
  /hangup                  leave
  /called +447700900101    first in a script: the bot calls this number, and you have picked up
  # a remark               nothing
"""


@dataclass(slots=True, frozen=True)
class Action:
    """One thing that a caller does. `ms` belongs to `interrupt` and `wait`."""

    do: Literal["say", "interrupt", "keys", "wait", "hears", "hangup", "called"]
    text: str = ""
    ms: int = 0


def parse_script(text: str, path: str = "script") -> list[Action]:
    """The actions of a script. Raises `ConfigurationError` (`script.syntax`) with the line that is wrong."""
    actions = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            action = parse_line(line)
        except ValueError as error:
            raise ConfigurationError.of("script.syntax", path=path, line=number, error=error) from None
        if action is not None:
            actions.append(action)
    return actions


def parse_line(line: str) -> Action | None:
    """The action of a line, None for an empty one or a remark. Raises `ValueError` for one that makes no sense."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    if not line.startswith("/"):
        return Action("say", line)
    command, _, rest = line[1:].partition(" ")
    rest = rest.strip()
    if command == "hangup" and not rest:
        return Action("hangup")
    if command == "keys" and rest and re.fullmatch(r"[0-9*#A-D]+", rest):
        return Action("keys", rest)
    if command == "wait" and rest.isdecimal():
        return Action("wait", ms=int(rest))
    if command == "called" and re.fullmatch(r"\+[1-9][0-9]{6,14}", rest):
        return Action("called", rest)
    if command == "hears" and rest:
        try:
            re.compile(rest)
        except re.error as error:
            raise ValueError(f"{rest!r} is not a regular expression: {error}") from None
        return Action("hears", rest)
    if command == "interrupt":
        delay, _, words = rest.partition(" ")
        if delay.isdecimal() and words.strip():
            return Action("interrupt", words.strip(), int(delay))
    examples = {
        "hangup": "/hangup",
        "keys": "/keys 12#",
        "wait": "/wait 1500",
        "hears": "/hears which day",
        "called": "/called +447700900101",
        "interrupt": "/interrupt 400 wait",
    }
    if command in examples:
        raise ValueError(f"write it like this: {examples[command]}")
    raise ValueError(f"there is no /{command}; there are {', '.join('/' + name for name in examples)}")
