"""Asking by HTTP, as a carrier does: no redirection is followed, and every refusal is said in words."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

__all__ = ["FORM", "TIMEOUT_S", "Answer", "Unreachable", "fetch", "trusting", "words"]

TIMEOUT_S: Final = 10
FORM: Final = "application/x-www-form-urlencoded; charset=UTF-8"


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Unreachable(Exception):
    """Nobody has answered, in words."""


class _SaysItself(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: a carrier's signed request would not survive one."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def fetch(
    url: str,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None,
    *,
    body: bytes | None = None,
    timeout_s: float = TIMEOUT_S,
    direct: bool = False,
) -> Answer:
    """Ask by HTTP. Blocks. Raises `Unreachable`."""
    handlers: list[urllib.request.BaseHandler] = [_SaysItself(), urllib.request.HTTPSHandler(context=context)]
    if direct:
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    opener.addheaders = []
    request = urllib.request.Request(url, body, {"User-Agent": "voiceframe-doctor", **headers})
    try:
        try:
            answer = opener.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, answer.read(1 << 20))
    except urllib.error.URLError as error:
        raise Unreachable(words(error.reason)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(words(error)) from None


def words(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def trusting() -> ssl.SSLContext:
    """For what is asked although nobody vouches for it: the local port, and the rest after a bad certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
