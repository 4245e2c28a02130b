"""The command: all checks of a bot, and their report."""

from __future__ import annotations

from typing import TextIO

from ..checks import Check, Missing, Report
from ..report import show
from .agents import agents
from .bot import bot
from .endpoints import endpoints
from .named import environment, files
from .needs import needs
from .settings import settings
from .subject import Subject

__all__ = ["check_bot", "check_command"]


def check_command(where: str, *, form: str = "text", strict: bool = False, out: TextIO | None = None) -> int:
    """Check the bot or app that `where` names and show the report. Returns the exit code.

    Raises `ConfigurationError` (`bot.not-found`, `bot.no-bot`) if it names none.
    """
    return show(check_bot(where, strict=strict), form, out)


def check_bot(where: str, *, strict: bool = False) -> Report:
    """What a call of this bot would need, and whether it is there. See `check_command()` for what is raised."""
    subject = Subject(where)
    checks: list[Check | Missing] = [
        *bot(subject),
        *agents(subject),
        *settings(),
        *environment(subject),
        *needs(subject),
        *files(subject),
        *endpoints(subject),
    ]
    return Report(checks, title=f"voiceframe check {where}", strict=strict)
