"""The start of a service: what cannot take a call is refused before the first one comes."""

from __future__ import annotations

import logging
from typing import Final

from ..app import App
from ..checks import Check
from ..errors import ConfigurationError, Reject, VoiceframeError
from .agents import agents
from .named import environment
from .questions import wrong
from .sources import place_of
from .subject import Subject

__all__ = ["refuse_unusable"]

_log = logging.getLogger("voiceframe.check")

#: What only a call can tell is told, and does not keep the service from starting.
_SAID: Final = "the bot could not be tried before the first call: %s%s: %s; `voiceframe check` says more"


async def refuse_unusable(app: App) -> None:
    """Have the bot make the pipeline of a call that nobody makes, and resolve every name in it, as `voiceframe check`
    does. Nothing of it is started.

    Raises `ConfigurationError` (`bot.unusable`) with all that cannot work, each with its file and the nearest name.
    What else the bot raises there may be due to this call: it is logged.
    """
    subject = Subject.of(app)
    await subject.rehearse()
    error = subject.rehearsal.error if subject.rehearsal is not None else None
    problems: list[str] = []
    fixes: list[str] = []
    if isinstance(error, VoiceframeError) and not isinstance(error, Reject):
        problems, fix = wrong(error, subject.modules)
        fixes.append(fix)
    elif error is not None and not isinstance(error, Reject):
        place = place_of(error)
        _log.warning(_SAID, f"{place}: " if place else "", type(error).__name__, error)
    for check in (*environment(subject), *agents(subject)):
        if not isinstance(check, Check) or check.verdict == "pass":
            continue
        said = [line if isinstance(line, str) else _row(line) for line in check.evidence]
        if check.verdict == "fail":
            problems += [line for line in said if line]
            fixes.append(check.fix or "")
        else:
            _log.warning("%s: %s %s", check.id, " ".join(filter(None, said)), check.fix or "")
    if problems:
        name = getattr(app.bot, "__qualname__", type(app.bot).__name__)
        raise ConfigurationError.of(
            "bot.unusable",
            bot=f"The bot {name}",
            problems=" ".join(problems).removesuffix("."),
            fixes=" ".join(filter(None, dict.fromkeys(fixes))),
            where=subject.where,
        )


def _row(fact: object) -> str:
    """Of a table only what is missing: an environment variable."""
    found = fact if isinstance(fact, dict) else {}
    missing = found.get("needed") and not found.get("set")
    return f"{found['where']}: the environment variable {found['variable']} is not set." if missing else ""
