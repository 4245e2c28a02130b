"""One examination: whom it asks, with which secret, and what it has learned so far."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from ..app import App
from ..errors import Reject
from ..probe import DoctorEndpoint, Signer
from ..server import Gateway, ServerSettings
from ..transports.twilio import Twilio, TwilioSettings
from .asking import TIMEOUT_S, Answer, fetch, trusting

__all__ = ["Visit"]


class Visit:
    """One examination, with what its questions need of one another."""

    def __init__(self, settings: ServerSettings, twilio: TwilioSettings) -> None:
        self.own_secret = bool(twilio.auth_token or twilio.signing_keys)
        # A proxy can be examined before there is an account: then with a secret that only the doctor has.
        self.twilio = twilio if self.own_secret else twilio.replace(auth_token=secrets.token_hex(16))
        self.settings = settings
        self.signer = Signer(self.twilio)
        app = App(_refuse, Twilio(self.twilio), DoctorEndpoint(self.twilio), store=None)
        #: For the gateway that does not listen; checks the public URL too.
        self.standing_in = Gateway(app, settings)
        self.public = self.standing_in.public_url
        parts = urlsplit(self.public)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.secure else 80)
        self.prefix = parts.path.rstrip("/")
        #: Where the gateway on this machine is, once that is known.
        self.local_url = ""
        self.trust: ssl.SSLContext | None = ssl.create_default_context() if self.secure else None
        self.loopback = _is_loopback(self.host)
        #: Whether nobody can read what is asked.
        self.private = self.secure or self.loopback
        #: Whether the public URL leads to another machine than this one.
        self.far = False
        #: The differences of clocks in seconds, each with whose clock it was.
        self.clocks: list[tuple[str, float]] = []

    async def get(
        self,
        base: str,
        path: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        body: bytes | None = None,
        local: bool = False,
    ) -> Answer:
        """Ask the gateway by HTTP. Raises `Unreachable`."""
        trust = trusting() if local else self.trust
        asked = time.time()
        answer = await asyncio.to_thread(fetch, base + path, headers, trust, body=body, direct=local)
        if not local:
            self.note_clock(self.host, answer, asked)
        return answer

    def note_clock(self, whose: str, answer: Answer, asked: float) -> None:
        """How far the clock of who has answered is from ours, if that says the time."""
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            said = parsedate_to_datetime(answer.headers["date"]).timestamp() if "date" in answer.headers else None
            if said is not None:
                # It was said between the question and now, and whole seconds are all that it tells.
                now = time.time()
                apart = min(0.0, said + 1 - asked) if said + 1 < asked else max(0.0, said - now)
                self.clocks = [each for each in self.clocks if each[0] != whose]
                self.clocks.append((whose, apart))

    def socket(self, path: str) -> str:
        """The address of a stream."""
        return "ws" + self.public.removeprefix("http") + path

    def connect(self, client: Any, path: str, *, compression: str | None = None) -> Any:
        """Open a stream, signed as Twilio signs it."""
        url = self.socket(path)
        return client.connect(
            url,
            additional_headers=self.signer.headers(url),
            user_agent_header="voiceframe-doctor",
            compression=compression,
            open_timeout=TIMEOUT_S,
            close_timeout=2,
            ssl=self.trust,
        )


async def _refuse(call: object) -> Any:
    raise Reject("busy")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
