"""The very endpoints that Twilio asks: its webhook, and its stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from ..extras import optional
from .asking import FORM, TIMEOUT_S, Unreachable, words
from .questions import Found, judged
from .visit import Visit

__all__ = ["media", "webhook"]

_START: Final[Mapping[str, Any]] = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ" + "0" * 32,
    "start": {
        "accountSid": "AC" + "0" * 32,
        "streamSid": "MZ" + "0" * 32,
        "callSid": "CA" + "0" * 32,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "doctor"},
    },
}


async def webhook(visit: Visit) -> Found:
    """A signed request for no call: the webhook says 400 if the signature held, and 403 if not."""
    path = visit.twilio.webhook_path
    body = urlencode({"AccountSid": "doctor"}).encode()
    signed = visit.signer.headers(visit.public + path, body, FORM)
    try:
        answer = await visit.get(visit.public, path, {"Content-Type": FORM, **signed}, body=body)
    except Unreachable as error:
        said, status = f"{visit.public}{path}: {error}.", 0
    else:
        said, status = f"A signed request without a call was answered with {answer.status}.", answer.status
    if status == 400:
        return judged("twilio.webhook", "pass", said)
    if status == 404:
        fix = f"Let the proxy pass on `{path}`, or set `VOICEFRAME_TWILIO_WEBHOOK_PATH` as the gateway has it."
    elif status == 403:
        fix = "Give the gateway the `TWILIO_AUTH_TOKEN` and `VOICEFRAME_PUBLIC_URL` that are set here; restart it."
    else:
        fix = f"Let `{visit.public}{path}` lead to the gateway."
    return judged("twilio.webhook", "fail", said, fix)


async def media(visit: Visit) -> Found:
    """A signed stream with a token that nobody has given out: it must open, and be closed for the token."""
    client = optional("websockets.asyncio.client", extra="telephony", what="The doctor")
    errors = optional("websockets.exceptions", extra="telephony", what="The doctor")
    path = visit.twilio.media_path
    status = 0
    try:
        async with visit.connect(client, path) as opened:
            await opened.send(json.dumps(_START))
            with contextlib.suppress(errors.ConnectionClosed):
                await asyncio.wait_for(opened.recv(), TIMEOUT_S)
            await opened.wait_closed()
        code, reason = opened.close_code, opened.close_reason or ""
        said = f"A signed stream was opened, and closed with {code} ({reason[:60]})."
        if code == 1008 and reason.startswith("token."):
            return judged("twilio.stream", "pass", said)
    except errors.InvalidStatus as error:
        status = error.response.status_code
        said = f"The handshake was answered with {status}."
    except (errors.WebSocketException, OSError) as error:
        said = f"{visit.socket(path)}: {words(error)}."
    if status == 403:
        fix = "Let the proxy pass on `X-Twilio-Signature` in handshakes, and give the gateway the settings that "
        fix += "the doctor has."
    else:
        fix = f"Let `{visit.socket(path)}` lead to the gateway, WebSockets included."
    return judged("twilio.stream", "fail", said, fix)
