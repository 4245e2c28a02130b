"""The account: its secret, its numbers by Twilio's REST API, and the clock that certificates and events go by."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from ..checks import Check, Fact, Missing
from ..errors import ConfigurationError
from .asking import Unreachable, fetch
from .questions import Found, judged, not_asked
from .visit import Visit

__all__ = ["clock", "rest", "secret"]

#: How far clocks may be apart, in seconds.
_APART_S: Final = 5
#: Pages of numbers that are read, 1,000 on each.
_PAGES: Final = 20


def secret(visit: Visit) -> Check:
    if visit.own_secret:
        source = "TWILIO_AUTH_TOKEN" if visit.twilio.auth_token else "VOICEFRAME_TWILIO_SIGNING_KEYS"
        return judged("secret", "pass", f"{source} is set.")
    error = ConfigurationError.of("server.no-secret", carrier="Twilio", setting="TWILIO_AUTH_TOKEN")
    return judged("secret", "fail", error.message, error.fix)


async def rest(visit: Visit) -> list[Found]:
    """The account and its numbers, by Twilio's REST API."""
    twilio = visit.twilio
    if not (twilio.account_sid and visit.own_secret and twilio.auth_token):
        why = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not both set"
        return not_asked(why, ("twilio.credentials", "twilio.number"))
    account = f"/2010-04-01/Accounts/{twilio.account_sid}"
    if not re.fullmatch("[0-9A-Za-z]{1,64}", twilio.account_sid):
        fix = "Set `TWILIO_ACCOUNT_SID` to the id on the first page of Twilio's console, `AC…`."
        check = judged("twilio.credentials", "fail", "That is no id of an account.", fix)
        return [check, Missing("twilio.number", "the account is not known")]
    try:
        status, found = await _api(visit, f"{account}.json")
    except Unreachable as error:
        fix = f"See whether the machine reaches it: `curl {twilio.api_url}`; a proxy is set by `HTTPS_PROXY`."
        check = judged("twilio.credentials", "fail", f"{twilio.api_url}: {error}.", fix)
        return [check, Missing("twilio.number", "Twilio was not reached")]
    state = str(found.get("status", ""))
    if status != 200 or state not in ("active", ""):
        fix = "Compare `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN` with the first page of Twilio's console."
        said = f"Twilio has answered with {status}{f', the account is {state[:20]}' if state else ''}."
        check = judged("twilio.credentials", "fail", said, fix)
        return [check, Missing("twilio.number", "Twilio does not accept the account")]
    kind = str(found.get("type", "type unknown"))[:20]
    said = f"Account {twilio.account_sid[:6]}…, {kind}, {state or 'state unknown'}."
    return [judged("twilio.credentials", "pass", said), await _number(visit, account)]


async def _number(visit: Visit, account: str) -> Found:
    url = visit.public + visit.twilio.webhook_path
    fix = f"At Twilio, under Phone Numbers, Active Numbers, set A call comes in to Webhook, `{url}`, HTTP POST."
    try:
        numbers = [number async for number in _numbers(visit, f"{account}/IncomingPhoneNumbers.json?PageSize=1000")]
    except Unreachable as error:
        return Missing("twilio.number", f"the numbers could not be listed: {error}")
    facts: list[Fact] = []
    right = 0
    for number in numbers:
        set_to, method = str(number.get("voice_url") or ""), str(number.get("voice_method") or "")
        instead = next((name for name in ("trunk_sid", "voice_application_sid") if number.get(name)), "")
        # Twilio looks at no webhook where a number belongs to a trunk or to a TwiML application.
        fits = set_to == url and method.upper() == "POST" and not instead
        right += fits
        if fits or len(facts) < 10:
            facts.append(
                {
                    "number": str(number.get("phone_number", ""))[:20],
                    "ours": fits,
                    "webhook": _without_secrets(set_to) or "none",
                    "method": method[:10],
                    "instead": instead or None,
                }
            )
    if not numbers:
        facts, fix = ["The account has no number."], "Buy one at Twilio, under Phone Numbers, then: " + fix
    return judged("twilio.number", "pass" if right else "fail", facts, fix)


async def _numbers(visit: Visit, path: str) -> AsyncIterator[Mapping[str, Any]]:
    for _ in range(_PAGES):
        status, found = await _api(visit, path)
        if status != 200:
            raise Unreachable(f"Twilio has answered with {status}")
        for number in found.get("incoming_phone_numbers") or ():
            if isinstance(number, dict):
                yield number
        following = found.get("next_page_uri")
        if not isinstance(following, str) or not following.startswith("/2010-04-01/"):
            return
        path = following


async def _api(visit: Visit, path: str) -> tuple[int, Mapping[str, Any]]:
    """Raises `Unreachable`."""
    twilio = visit.twilio
    credentials = base64.b64encode(f"{twilio.account_sid}:{twilio.auth_token}".encode()).decode("ascii")
    headers = {"Authorization": f"Basic {credentials}", "Accept": "application/json"}
    url = twilio.api_url.rstrip("/") + path
    trust = ssl.create_default_context()
    asked = time.time()
    timeout_s = twilio.api_timeout_ms / 1000
    answer = await asyncio.to_thread(fetch, url, headers, trust, timeout_s=timeout_s)
    visit.note_clock("Twilio", answer, asked)
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if answer.status == 200 and not isinstance(found, dict):
        raise Unreachable("what has answered is not Twilio's REST API")
    return answer.status, found if isinstance(found, dict) else {}


def clock(visit: Visit) -> Found:
    """By the clock of Twilio if that was asked; else by that of the proxy, if it is not this machine's own."""
    clocks = [each for each in visit.clocks if each[0] == "Twilio" or visit.far]
    whose = next((each for each in clocks if each[0] == "Twilio"), clocks[0] if clocks else None)
    if whose is None:
        return Missing("clock", "nobody with a clock of his own has answered: neither Twilio nor a far proxy")
    name, apart = whose
    said = f"It differs from that of {name} by {abs(apart):.0f} s{' at least' if apart else ' or less than that'}."
    fix = "Set the clock by NTP: `timedatectl set-ntp true`. Certificates, recordings and events go by it."
    verdict: Any = "pass" if abs(apart) <= _APART_S else "fail"
    return judged("clock", verdict, said, fix)


def _without_secrets(url: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(url)
    name = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{name}{parts.path}{'?…' if parts.query else ''}"[:200] if url else ""
