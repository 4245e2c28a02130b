"""The stream: whether a WebSocket opens, and how long messages take in it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any, Final

from ..extras import optional
from ..probe import PROBE
from .asking import TIMEOUT_S, words
from .questions import Found, ids, judged, not_asked
from .visit import Visit

__all__ = ["stream"]

#: A round trip above it is heard as a pause.
_SLOW_MS: Final = 150
_ROUNDS: Final = 20


async def stream(visit: Visit) -> list[Found]:
    client = optional("websockets.asyncio.client", extra="telephony", what="The doctor")
    errors = optional("websockets.exceptions", extra="telephony", what="The doctor")
    path = f"{PROBE}/{visit.signer.ticket()}/stream"
    try:
        async with visit.connect(client, path, compression="deflate") as opened:
            agreed = opened.response.headers.get("Sec-WebSocket-Extensions", "")
            said = json.loads(await asyncio.wait_for(opened.recv(), TIMEOUT_S))
        times = await _rounds(visit, client, path)
    except errors.InvalidStatus as error:
        upgrade = _refused(error.response.status_code)
        check = judged("stream.upgrade", "fail", upgrade[0], upgrade[1])
        return [check, *not_asked("no WebSocket opens", ids("stream")[1:])]
    except (errors.WebSocketException, OSError, ValueError, TypeError) as error:
        fix = "Let the proxy upgrade connections to WebSockets, and speak HTTP/1.1 to the gateway for it."
        check = judged("stream.upgrade", "fail", words(error), fix)
        return [check, *not_asked("no WebSocket works", ids("stream")[1:])]
    code = str(said.get("signature", ""))
    middle, worst = statistics.median(times), max(times)
    fix = "Let the gateway have the headers of the handshake too, above all `X-Twilio-Signature`, and the same "
    fix += "`VOICEFRAME_PUBLIC_URL` as the doctor."
    return [
        judged("stream.upgrade", "pass", f"101 from {visit.socket(PROBE)}/…"),
        judged(
            "stream.compression",
            "warn" if agreed else "pass",
            f"Agreed on: {agreed}." if agreed else "permessage-deflate was offered and not taken.",
            "Switch off `permessage-deflate` in the proxy: of sound it saves little, and costs a third of a "
            "call's time.",
        ),
        judged(
            "stream.signature",
            "fail" if code else "pass",
            f"The gateway would have refused it: {code}." if code else "The gateway has verified it.",
            fix,
        ),
        judged(
            "stream.round-trip",
            "pass" if middle <= _SLOW_MS else "warn",
            f"{len(times)} messages came back, in {middle:.1f} ms (median) and {worst:.1f} ms (longest).",
            "Let the proxy buffer nothing (nginx: `proxy_buffering off`), and put it near to the gateway.",
        ),
    ]


async def _rounds(visit: Visit, client: Any, path: str) -> list[float]:
    """What messages as long as 20 ms of sound take to come back, in ms."""
    times: list[float] = []
    async with visit.connect(client, path) as opened, asyncio.timeout(2 * TIMEOUT_S):
        await opened.recv()
        for number in range(_ROUNDS):
            message = json.dumps({"event": "media", "chunk": number, "payload": "f" * 216})
            began = time.perf_counter()
            await opened.send(message)
            if await opened.recv() != message:
                raise ValueError("another message came back than was sent")
            times.append((time.perf_counter() - began) * 1000)
    return times


def _refused(status: int) -> tuple[str, str]:
    said = f"The handshake was answered with {status}."
    if status in (502, 504):
        return said, "Let the proxy reach the gateway for WebSockets too, at the same address as for requests."
    return (
        said,
        "Let the proxy pass on `Upgrade` and `Connection`: nginx needs `proxy_http_version 1.1`, "
        '`proxy_set_header Upgrade $http_upgrade` and `proxy_set_header Connection "upgrade"`; Caddy does it '
        "by itself.",
    )
