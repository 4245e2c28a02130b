"""Where a gateway answers `voiceframe doctor`, and how the two know each other: see `doctor/`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .app import App
from .errors import SignatureError
from .server import Gateway, TooLong, read_body
from .transports.twilio import Twilio, TwilioSettings, signature

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

    from .transports.sockets import StreamOpener

__all__ = ["PROBE", "DoctorEndpoint", "Signer", "probe_routes"]

#: Where a gateway answers the doctor (RFC 8615).
PROBE: Final = "/.well-known/voiceframe"
#: How old a ticket may be, in seconds; the clocks of two processes may differ by as much.
_TICKET_S: Final = 300
_TICKET: Final = re.compile(r"([0-9]{1,12})-([0-9a-f]{32})-([0-9a-f]{64})")
#: What one connection of the doctor may send, and how long it may last.
_ECHOES, _ECHO_S = 200, 30

#: A key of this process alone.
_process_key: Final = secrets.token_bytes(32)


class Signer:
    """Signs as Twilio does: with the auth token, or where there is none with the first of the shared keys."""

    def __init__(self, settings: TwilioSettings) -> None:
        self._name, self.secret = "", settings.auth_token
        if not self.secret:
            self._name, self.secret = next(iter(settings.keys().items()), ("", ""))
        self._key = hmac.digest(self.secret.encode(), b"voiceframe doctor", "sha256")

    def headers(self, url: str, body: bytes = b"", content_type: str = "") -> dict[str, str]:
        algorithm = "HMAC_SHA256" if self._name else "HMAC_SHA1"
        headers = {signature.HEADER: signature.sign(url, body, content_type, self.secret, algorithm=algorithm)}
        if self._name:
            headers[signature.SETTINGS_HEADER] = f"key={self._name},algorithm={algorithm}"
        return headers

    def ticket(self) -> str:
        said = f"{int(time.time())}-{secrets.token_hex(16)}"
        return f"{said}-{self._mac('ticket', said)}"

    def nonce(self, ticket: str) -> str | None:
        """The nonce of a ticket; None if it is none of ours, or too old."""
        match = _TICKET.fullmatch(ticket)
        if match is None or not self.secret:
            return None
        made, nonce, mac = match.groups()
        if not hmac.compare_digest(self._mac("ticket", f"{made}-{nonce}"), mac):
            return None
        return nonce if abs(time.time() - int(made)) <= _TICKET_S else None

    def proof(self, nonce: str) -> str:
        """What only who has the secret can say about a nonce."""
        return self._mac("proof", nonce)

    def _mac(self, what: str, said: str) -> str:
        return hmac.digest(self._key, f"{what} {said}".encode(), "sha256").hex()


class DoctorEndpoint:
    """Answers the doctor, and nobody else, at `/.well-known/voiceframe`. A `WebEndpoint` that takes no calls.

    settings: those of Twilio, whose secret it shares with the doctor; by default from the environment and the file.
    """

    def __init__(self, settings: TwilioSettings | None = None) -> None:
        self._settings = settings or TwilioSettings.load()
        self._signer = Signer(self._settings)
        self._keys = self._settings.keys()
        self._gateway: Gateway | None = None

    async def open(self, app: App) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""

    def problems(self) -> Sequence[str]:
        return ()

    def routes(self, gateway: Gateway) -> Sequence[BaseRoute]:
        from starlette.routing import Route, WebSocketRoute

        self._gateway = gateway
        if not self._signer.secret:
            return ()
        return (
            Route(PROBE + "/{ticket}", self._ask, methods=["GET", "POST"]),
            WebSocketRoute(PROBE + "/{ticket}/stream", self._echo),
        )

    def streams(self, gateway: Gateway) -> Mapping[str, StreamOpener]:
        return {}  # carriers open none here; the doctor's own is among the routes

    async def _ask(self, request: Request) -> Response:
        from starlette.responses import JSONResponse, Response

        gateway = self._gateway
        assert gateway is not None
        nonce = self._signer.nonce(request.path_params["ticket"])
        if nonce is None:
            return Response("Not Found", 404, media_type="text/plain")  # as for a path that there is not
        try:
            body = await read_body(request, gateway.settings)
        except TooLong:
            return Response(status_code=413)
        scope = request.scope
        return JSONResponse(
            {
                **self._proofs(nonce),
                "path": bytes(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
                "query": bytes(scope["query_string"]).decode("latin-1"),
                "headers": {name: value for name, value in request.headers.items() if name in _WATCHED},
                "body": base64.b64encode(body[:4_096]).decode("ascii"),
                "body_sha256": hashlib.sha256(body).hexdigest(),
                "signature": self._checked(scope, body, request.headers.get("content-type", "")),
            },
            headers={"Cache-Control": "no-store"},
        )

    async def _echo(self, websocket: WebSocket) -> None:
        gateway = self._gateway
        assert gateway is not None
        nonce = self._signer.nonce(websocket.path_params["ticket"])
        if nonce is None:
            await websocket.close(1008)  # before it is accepted: the answer is 403
            return
        await websocket.accept()
        # Without a signature too, so that the doctor can tell a lost header from a lost upgrade.
        said = {**self._proofs(nonce), "signature": self._checked(websocket.scope, websocket=True)}
        await websocket.send_text(json.dumps(said))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ECHO_S):
                for _ in range(_ECHOES):
                    received = await websocket.receive()
                    text = received.get("text")
                    if received["type"] == "websocket.disconnect" or text is None:
                        break
                    await websocket.send_text(text)
        with contextlib.suppress(RuntimeError):  # it is closed
            await websocket.close()

    def _proofs(self, nonce: str) -> dict[str, str]:
        process = hmac.digest(_process_key, nonce.encode(), "sha256").hex()
        return {"proof": self._signer.proof(nonce), "process": process}

    def _checked(self, scope: Any, body: bytes = b"", content_type: str = "", *, websocket: bool = False) -> str:
        """The code of what is wrong with the signature; empty if it holds."""
        assert self._gateway is not None
        headers = {bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in scope["headers"]}
        path = scope.get("raw_path") or scope["path"].encode()
        try:
            signature.check(
                signature.requested(self._gateway.public_url, path, scope["query_string"], websocket=websocket),
                body,
                content_type,
                headers.get(signature.HEADER.lower(), ""),
                self._settings.auth_token,
                settings=headers.get(signature.SETTINGS_HEADER.lower(), ""),
                keys=self._keys,
            )
        except SignatureError as error:
            return error.code
        return ""


#: Headers of the doctor's own request that it is told of again.
_WATCHED: Final = frozenset({signature.HEADER.lower(), signature.SETTINGS_HEADER.lower(), "content-type"})


def probe_routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """What a gateway answers the doctor at: none without an endpoint for Twilio, whose secret that takes."""
    if any(isinstance(endpoint, DoctorEndpoint) for endpoint in gateway.app.endpoints):
        return ()
    for endpoint in gateway.app.endpoints:
        if isinstance(endpoint, Twilio):
            return DoctorEndpoint(endpoint.settings).routes(gateway)
    return ()
