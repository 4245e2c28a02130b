"""What is asked, and how an answer becomes a check."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ..checks import Check, Fact, Verdict
from ..errors import Reject, VoiceframeError

__all__ = ["failure", "judged"]

#: Whose code is not the bot's.
_PACKAGE: Final = Path(__file__).parent.parent

#: What is asked, by id or by the beginning of it: the section of the report, and the question as it reads when the
#: answer is yes.
_QUESTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "bot.loads": ("Bot", "The file loads"),
    "bot.names": ("Bot", "Its names are those of something"),
    "bot.pipeline": ("Bot", "Its pipeline can work"),
    "bot.offline": ("Bot", "It reaches for nothing before its call begins"),
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


def failure(id: str, error: BaseException, title: str = "") -> Check:
    """A check that an error has failed."""
    if isinstance(error, VoiceframeError):
        said, fix = f"{error.message} [{error.code}]", error.fix
        if isinstance(error, Reject):
            said = f"The bot refuses the call of this check: {error.reason}."
            fix = "Let `def bot(call)` refuse by `call.from_` or the time, and run `voiceframe check` again."
            return judged(id, "warn", said, fix, title)
        return judged(id, "fail", said, fix, title)
    frames = traceback.extract_tb(error.__traceback__)
    where = next((f"{frame.filename}, line {frame.lineno}: " for frame in reversed(frames) if _theirs(frame)), "")
    text = f"{where}{type(error).__name__}: {error}"
    fix = "Mend what the line names, then run `voiceframe check` again."
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str) and error.args[0].isupper():
        fix = f"Set the environment variable `{error.args[0]}`, if that is what is missing."
    return judged(id, "fail", text, fix, title)


def _theirs(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    return path.is_file() and _PACKAGE not in path.parents and "site-packages" not in path.parts
