"""What is asked, and how an answer becomes a check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from ..checks import Check, Fact, Missing, Verdict

__all__ = ["DAYS", "Found", "failed", "ids", "judged", "not_asked"]

#: Days that a certificate must be good for.
DAYS: Final = 14

Found: TypeAlias = "Check | Missing"

#: What is asked, by id: the section of the report, and the question as it reads when the answer is yes.
_QUESTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "secret": ("Account", "There is a secret to know Twilio by"),
    "dns": ("Way to this machine", "The name has an address"),
    "tls.certificate": ("Way to this machine", "TLS is trusted, and for this name"),
    "tls.days": ("Way to this machine", f"The certificate lasts {DAYS} days at least"),
    "gateway.local": ("Gateway", "A gateway listens on the configured port"),
    "gateway.identity": ("Gateway", "It is this gateway that answers at the public URL"),
    "proxy.path": ("Proxy", "The path arrives as it was sent"),
    "proxy.query": ("Proxy", "The query arrives as it was sent"),
    "proxy.headers": ("Proxy", "The headers of Twilio arrive"),
    "proxy.body": ("Proxy", "The body arrives as it was sent, byte for byte"),
    "proxy.signature": ("Proxy", "The signature of a POST holds"),
    "stream.upgrade": ("Stream", "A WebSocket opens"),
    "stream.compression": ("Stream", "No compression is agreed on"),
    "stream.signature": ("Stream", "The signature of a handshake holds"),
    "stream.round-trip": ("Stream", "Messages come and go at once"),
    "twilio.webhook": ("Twilio", "The webhook takes what Twilio signs"),
    "twilio.stream": ("Twilio", "The stream takes what Twilio signs, and refuses a wrong token"),
    "twilio.credentials": ("Account", "Twilio accepts the account and its token"),
    "twilio.number": ("Account", "A number of the account asks our webhook"),
    "clock": ("Account", "The clock of this machine is right"),
}


def judged(id: str, verdict: Verdict, evidence: Sequence[Fact], fix: str | None = None) -> Check:
    section, title = _QUESTIONS[id]
    return Check(id, verdict, evidence, fix=None if verdict == "pass" else fix, title=title, section=section)


def ids(*areas: str) -> list[str]:
    """All that is asked in these areas."""
    return [id for id in _QUESTIONS if id.partition(".")[0] in areas]


def not_asked(why: str, what: Iterable[str]) -> list[Found]:
    return [Missing(id, why) for id in what]


def failed(check: Found) -> bool:
    return isinstance(check, Check) and check.verdict == "fail"
