"""What is asked, and how an answer becomes a check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Final

from ..checks import Check, Fact, Verdict
from ..errors import Reject, VoiceframeError
from .sources import place_of

__all__ = ["failure", "judged", "wrong"]

#: What is asked, by id or by the beginning of it: the section of the report, and the question as it reads when the
#: answer is yes.
_QUESTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "bot.loads": ("Bot", "The file loads"),
    "bot.names": ("Bot", "Its names are those of something"),
    "bot.pipeline": ("Bot", "Its pipeline can work"),
    "bot.offline": ("Bot", "It reaches for nothing before its call begins"),
    "agents.cast": ("Agents", "Who may talk is known"),
    "agents.answers": ("Agents", "Whoever is asked has an answer"),
    "agents.variables": ("Agents", "Names in instructions and greetings have a value"),
    "agents.handoffs": ("Agents", "Whoever is given the caller is there"),
    "agents.delivery": ("Agents", "Callers get through to those outside"),
    "agents.settings": ("Agents", "Settings are changed of somebody who is there"),
    "agents.guardrails": ("Agents", "Each rule of a guardrail is asked"),
    "agents.calls": ("Agents", "Calls that are placed have somebody who talks"),
    "settings.values": ("Settings", "Every setting can be read"),
    "settings.variables": ("Settings", "No variable VOICEFRAME_* is misspelled"),
    "settings.file": ("Settings", "No section of the settings file is misspelled"),
    "environment.bot": ("Settings", "The environment variables of the bot are set"),
    "needs": ("Models and extras", ""),
    "model": ("Models and extras", ""),
    "files.bot": ("Files", "The files that the bot names are there"),
    "endpoints": ("Endpoints", "Calls can come"),
    "endpoint": ("Endpoints", ""),
    "endpoint.packages": ("Endpoints", "What the gateway imports is installed"),
    "server.public-url": ("Endpoints", "Carriers can be told where to call"),
    "server.insecure": ("Endpoints", "Signatures are checked"),
    "server.tls": ("Endpoints", "The certificate can be served"),
}


def judged(id: str, verdict: Verdict, evidence: Sequence[Fact], fix: str | None = None, title: str = "") -> Check:
    section, question = _QUESTIONS.get(id) or _QUESTIONS[id.partition(".")[0]]
    fix = None if verdict == "pass" else fix
    return Check(id, verdict, evidence, fix=fix, title=title or question, section=section)


def wrong(error: VoiceframeError, modules: Iterable[ModuleType] = ()) -> tuple[list[str], str]:
    """What an error says, problem by problem, each with its place in the source where that is known; and the fix."""
    problems: tuple[VoiceframeError, ...] = getattr(error, "problems", ())
    if problems:  # each of which names its place
        said = [f"{problem.message} [{problem.code}]" for problem in problems]
        return said, " ".join(dict.fromkeys(problem.fix for problem in problems))
    place = place_of(error, modules)
    return [f"{place}: {error.message} [{error.code}]" if place else f"{error.message} [{error.code}]"], error.fix


def failure(id: str, error: BaseException, title: str = "", modules: Iterable[ModuleType] = ()) -> Check:
    """A check that an error has failed."""
    if isinstance(error, VoiceframeError):
        if isinstance(error, Reject):
            said = f"The bot refuses the call of this check: {error.reason}."
            fix = "Let `def bot(call)` refuse by `call.from_` or the time, and run `voiceframe check` again."
            return judged(id, "warn", said, fix, title)
        lines, fix = wrong(error, modules)
        return judged(id, "fail", lines, fix, title)
    place = place_of(error)
    text = f"{place}: {type(error).__name__}: {error}" if place else f"{type(error).__name__}: {error}"
    fix = "Mend what the line names, then run `voiceframe check` again."
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str) and error.args[0].isupper():
        fix = f"Set the environment variable `{error.args[0]}`, if that is what is missing."
    return judged(id, "fail", text, fix, title)
