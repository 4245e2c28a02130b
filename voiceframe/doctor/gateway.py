"""The gateway on this machine, and whether it is the one that answers at the public URL."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ..checks import Check, Verdict
from ..probe import PROBE
from ..server import serve
from .asking import Answer, Unreachable, words
from .questions import judged
from .visit import Visit

__all__ = ["gateway", "identity"]


@contextlib.asynccontextmanager
async def gateway(visit: Visit) -> AsyncIterator[tuple[Check, str]]:
    """The gateway that listens on the port, or one that stands in for it; and why there is none to ask."""
    settings = visit.settings
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.host, settings.host)
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.tls_certificate else "http"
    if settings.port and await _listens(host, settings.port):
        visit.local_url = f"{scheme}://{shown}:{settings.port}"
        said = f"What listens on {shown}:{settings.port} is asked."
        yield judged("gateway.local", "pass", said), ""
        return
    app = visit.standing_in.app
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()

    def started(number: int) -> None:
        app.draining = True  # refuses calls as busy
        port.set_result(number)

    serving = asyncio.ensure_future(serve(visit.standing_in, started=started, stop=stop))
    try:
        await asyncio.wait((serving, port), return_when=asyncio.FIRST_COMPLETED)
        if not port.done():
            if serving.exception() is not None:
                error: object = words(serving.exception())
            else:
                error = "see above"
            fix = "Set `VOICEFRAME_SERVER_HOST` and `VOICEFRAME_SERVER_PORT` to an address of this machine."
            said = f"Nothing listens on {shown}:{settings.port}, and the doctor cannot: {error}."
            check = judged("gateway.local", "fail", said, fix)
            yield check, "there is no gateway to ask"
            return
        visit.local_url = f"{scheme}://{shown}:{port.result()}"
        said = f"Nothing listened on {shown}:{port.result()}, so the doctor does while it asks; it takes no calls."
        yield judged("gateway.local", "pass", said), ""
    finally:
        app.draining = False  # so that its endpoints are closed
        stop.set()
        with contextlib.suppress(Exception):
            await serving


async def identity(visit: Visit) -> tuple[Check, bool]:
    """Whether the public URL leads to the gateway on this machine, and whether to one with its secret at all."""
    ticket = visit.signer.ticket()
    nonce = ticket.split("-")[1]
    path = f"{PROBE}/{ticket}"

    def check(verdict: Verdict, said: str, fix: str | None = None) -> Check:
        return judged("gateway.identity", verdict, [said], fix)

    here = f"`{visit.local_url}`"
    try:
        local = _proofs(await visit.get(visit.local_url, path, local=True))
    except Unreachable as error:
        fix = f"See what listens at {here}, and whether `VOICEFRAME_SERVER_TLS_CERTIFICATE` is set as it is for it."
        return check("fail", f"{visit.local_url} is not asked by HTTP: {error}.", fix), False
    if local.get("proof") != visit.signer.proof(nonce):
        fix = f"Stop what listens at {here}, or give it and the doctor the same `TWILIO_AUTH_TOKEN` and settings."
        said = f"What listens at {visit.local_url} is no gateway with the secret that is set here, or an older one."
        return check("fail", said, fix), False
    try:
        answer = await visit.get(visit.public, path)
    except Unreachable as error:
        fix = f"Start the proxy or tunnel that leads from `{visit.public}` to {here}, and open its port."
        return check("fail", f"{visit.public}: {error}.", fix), False
    found = _proofs(answer)
    if found.get("proof") == visit.signer.proof(nonce):
        if found.get("process") == local.get("process"):
            said = f"The process at {visit.local_url} has answered by way of {visit.public}."
            return check("pass", said), True
        fix = f"If several processes take your calls, that is right; else let the proxy lead to {here}."
        return check("warn", "Another process with the same secret has answered.", fix), True
    server = answer.headers.get("server", "")
    said = f"{visit.public} was answered with {answer.status}{f' by {server[:60]}' if server else ''}."
    if 300 <= answer.status < 400:
        target = answer.headers.get("location", "")[:120]
        fix = f"Set `VOICEFRAME_PUBLIC_URL` to what it leads to (`{target}`): no signature survives a redirection."
    elif answer.status in (401, 403, 407, 429, 503) and "proof" not in found:
        fix = "Let the proxy ask nobody for a password or a challenge, and keep carriers out of its bot protection."
    elif answer.status in (502, 504):
        fix = f"The proxy does not reach the gateway: let it lead to {here}."
    elif visit.prefix:
        fix = f"Let the proxy lead to {here}, and take `{visit.prefix}` off the path and nothing else."
    else:
        fix = f"Let the proxy lead to {here} with the path as it is."
    return check("fail", said, fix), False


def _proofs(answer: Answer) -> Mapping[str, Any]:
    try:
        found = json.loads(answer.body) if answer.status == 200 else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


async def _listens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
