"""Calls that come from Twilio: its webhook is answered, its stream is taken, and both belong to one call of ours.

    POST /twilio/voice   signed   ──▶ TwiML: open a stream to /twilio/media, with this token
    WS   /twilio/media   signed, start with the token ──▶ the bot
    POST /twilio/voice   signed, when the stream is over ──▶ another stream if the call goes on, else hang up

The webhook is asked again when a stream ends (the `action` of `<Connect>`), so a call whose stream was lost gets
another one, and a call that the bot has ended is hung up without the REST API.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...app import App
from ...audio import PCMU_8K
from ...call import Call
from ...errors import CarrierError, ConfigurationError, Reject, SignatureError, TokenError
from ...server import Gateway, TooLong, read_body
from ...tokens import Tokens
from ..media import NORMAL, MediaSettings, MediaTransport
from . import signature, twiml
from .rest import TwilioRest
from .settings import TwilioSettings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

__all__ = ["Twilio"]

_log = logging.getLogger("voiceframe.twilio")

#: WebSocket close codes (RFC 6455 section 7.4.1).
_UNSUPPORTED, _INVALID, _POLICY, _TOO_BIG = 1003, 1007, 1008, 1009
_TOKEN: Final = "token"
#: How long a peer may take to take that it is over.
_CLOSE_MS: Final = 2_000


class _Asked(NamedTuple):
    """What the webhook has said about a call."""

    from_: str
    to: str
    fields: dict[str, str]


class Twilio:
    """The endpoint for Twilio's numbers.

        App(bot, Twilio())

    settings, media: by default from the environment and the settings file. `TWILIO_AUTH_TOKEN` and
    `VOICEFRAME_PUBLIC_URL` suffice; with `TWILIO_ACCOUNT_SID` calls are also hung up by REST.
    refusal: what a caller is told who cannot be taken; empty for the busy tone, which costs nothing.
    """

    def __init__(
        self, settings: TwilioSettings | None = None, *, media: MediaSettings | None = None, refusal: str = ""
    ) -> None:
        self.settings = settings or TwilioSettings.load()
        self._media = media
        self._refusal = refusal
        self._keys = self.settings.keys()
        self._gateway: Gateway | None = None
        self._app: App | None = None
        self._tokens: Tokens[_Asked] | None = None
        self._lines: dict[str, MediaTransport] = {}  # of calls that run, by Twilio's id
        self._rest: TwilioRest | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = False

    # -- the app's side

    async def open(self, app: App) -> None:
        """Begin to take calls.

        Raises `ConfigurationError` (`server.no-secret`, `server.no-public-url`) if what comes could not be checked.
        """
        self._app = app
        self._tokens = Tokens(self.settings.token_ms, self.settings.tokens)
        gateway = self._gateway
        if gateway is not None:
            if not self.settings.auth_token and not self._keys and not gateway.settings.insecure:
                raise ConfigurationError.of("server.no-secret", carrier="Twilio", setting="TWILIO_AUTH_TOKEN")
            if not gateway.public_url:
                raise ConfigurationError.of("server.no-public-url", carrier="Twilio", port=gateway.settings.port)
        if self.settings.account_sid and self.settings.auth_token:
            self._rest = TwilioRest(self.settings)
        self._open = True

    async def close(self) -> None:
        """Take no more calls; those that run go on."""
        self._open = False
        await self._done()

    def problems(self) -> Sequence[str]:
        return () if self._open else ("Twilio's calls are not taken yet, or no more.",)

    def routes(self, gateway: Gateway) -> Sequence[BaseRoute]:
        from starlette.routing import Route, WebSocketRoute

        self._gateway = gateway
        return (
            Route(self.settings.webhook_path, self._webhook, methods=["POST"]),
            WebSocketRoute(self.settings.media_path, self._stream),
        )

    # -- the webhook

    async def _webhook(self, request: Request) -> Response:
        gateway = self._gateway
        assert gateway is not None
        try:
            body = await read_body(request, gateway.settings)
        except TooLong:
            return _plain(413)
        scope = request.scope
        if not self._signed(scope, body, request.headers.get("content-type", "")):
            return _plain(403)
        try:
            fields = {name: values[0] for name, values in signature.form(body).items()}
        except SignatureError:
            return _plain(400)
        call_id = fields.get("CallSid", "")
        if not call_id or len(call_id) > 64 or not call_id.isalnum() or not call_id.isascii():
            return _plain(400)
        return _twiml(self._answer(call_id, fields))

    def _signed(self, scope: Any, body: bytes = b"", content_type: str = "", *, websocket: bool = False) -> bool:
        gateway = self._gateway
        assert gateway is not None
        headers = dict(scope["headers"])

        def header(name: str) -> str:
            return bytes(headers.get(name.lower().encode("ascii"), b"")).decode("latin-1")

        if not header(signature.HEADER) and gateway.trusted(scope):
            return True
        path = scope.get("raw_path") or scope["path"].encode()
        url = signature.requested(gateway.public_url, path, scope["query_string"], websocket=websocket)
        try:
            signature.check(
                url,
                body,
                content_type,
                header(signature.HEADER),
                self.settings.auth_token,
                settings=header(signature.SETTINGS_HEADER),
                keys=self._keys,
            )
        except SignatureError as error:
            _log.warning("refused a request: %s [%s]", error.message, error.code)
            return False
        return True

    def _answer(self, call_id: str, fields: dict[str, str]) -> str:
        """The TwiML for a call."""
        app, gateway, tokens = self._app, self._gateway, self._tokens
        assert app is not None
        assert gateway is not None
        assert tokens is not None
        line = self._lines.get(call_id)
        if line is not None:
            # It may still seem to have a stream: Twilio asks when that is over, and we may not have been told.
            if line.ending:
                return twiml.hang_up()
        elif tokens.known(call_id):
            return twiml.hang_up()
        elif app.draining or not self._open or len(app.calls) + len(tokens) >= app.limits.max_calls:
            return self._refuse()
        asked = _Asked(fields.get("From", ""), fields.get("To", ""), fields)
        try:
            token = tokens.issue(call_id, asked, again=line is not None)
        except TokenError:
            return twiml.hang_up()
        public = gateway.public_url
        stream = "ws" + public.removeprefix("http") + self.settings.media_path
        return twiml.connect(stream, {_TOKEN: token}, action=public + self.settings.webhook_path)

    def _refuse(self) -> str:
        return twiml.say(self._refusal) if self._refusal else twiml.reject("busy")

    # -- the stream

    async def _stream(self, websocket: WebSocket) -> None:
        if not self._signed(websocket.scope, websocket=True):
            await websocket.close(_POLICY)  # before it is accepted: the answer is 403
            return
        await websocket.accept()
        socket = _Socket(websocket)
        try:
            await self._serve(websocket, socket)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not socket.given_up or task is None:
                raise
            task.uncancel()  # the peer takes nothing, not even that it is over
        finally:
            await socket.aclose()

    async def _serve(self, websocket: WebSocket, socket: _Socket) -> None:
        from ...serializers import twilio as wire
        from ...serializers.base import Connected, Digit, Marked, Media, Started, Stopped, Unrecognized, WireError

        gateway = self._gateway
        assert gateway is not None
        settings = gateway.settings
        line: MediaTransport | None = None
        size = 0
        loop = asyncio.get_running_loop()
        deadline: float | None = loop.time() + settings.handshake_ms / 1000
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    received = await websocket.receive()
            except TimeoutError:
                socket.close(_POLICY, "no token in time")
                return
            if received["type"] == "websocket.disconnect":
                if line is not None:
                    line.detached(socket, f"closed by the peer ({received.get('code', 1006)})")
                return
            text = received.get("text")
            if text is None:
                self._close(line, socket, _UNSUPPORTED, "a binary message")
                return
            try:
                message = wire.decode(text, limit=settings.message_bytes)
            except WireError as error:
                self._close(line, socket, _TOO_BIG if error.code == "wire.size" else _INVALID, error.code)
                return
            if line is None:
                size += len(text)
                if isinstance(message, Started):
                    line = await self._begin(message, socket)
                    if line is None:
                        return
                    deadline = None
                elif not isinstance(message, Connected | Unrecognized):
                    socket.close(_POLICY, "not started")
                    return
                elif size > settings.handshake_bytes:
                    socket.close(_POLICY, "too much before the start")
                    return
            elif not line.serves(socket):  # it was given up, or another one has come
                socket.close(_POLICY, "not the stream of this call")
                return
            elif isinstance(message, Media):
                if message.track == "inbound":
                    line.audio(message.payload)
            elif isinstance(message, Marked):
                line.marked(message.name)
            elif isinstance(message, Digit):
                line.digit(message.digit)
            elif isinstance(message, Stopped):
                line.stopped()
                return
            elif isinstance(message, Started):
                self._close(line, socket, _POLICY, "a second start")
                return

    def line(self, call_id: str) -> MediaTransport:
        """The transport of a new call."""
        return MediaTransport("twilio", PCMU_8K, leg=call_id, settings=self._media)

    @staticmethod
    def _close(line: MediaTransport | None, socket: _Socket, code: int, reason: str) -> None:
        if line is not None:
            line.detached(socket, reason, code)
        socket.close(code, reason)

    async def _begin(self, started: Any, socket: _Socket) -> MediaTransport | None:
        """The call of a stream that shows its token; None, and the socket is closed, if it does not."""
        from ...serializers import twilio as wire

        app, tokens = self._app, self._tokens
        assert app is not None
        assert tokens is not None
        call_id = started.call_id
        try:
            asked = tokens.redeem(started.custom.get(_TOKEN, ""), call_id)
        except TokenError as error:
            _log.warning("refused a stream: %s", error.code)
            socket.close(_POLICY, error.code)
            return None
        outgoing = wire.outgoing(started.stream_id)
        line = self._lines.get(call_id)
        if line is not None:
            line.attach(socket, outgoing, started.stream_id)
            return line
        parameters = {name: value for name, value in started.custom.items() if name != _TOKEN}
        line = self.line(call_id)
        line.attach(socket, outgoing, started.stream_id)
        self._lines[call_id] = line
        try:
            call = await app.take(
                line,
                from_=asked.from_,
                to=asked.to,
                metadata={"call_sid": call_id, "parameters": parameters, **_public(asked.fields)},
            )
        except BaseException as error:
            del self._lines[call_id]
            tokens.ended(call_id)
            socket.close(NORMAL, error.reason if isinstance(error, Reject) else "refused")
            if isinstance(error, Reject):
                return None
            if isinstance(error, Exception):  # the bot's own: this call is lost, and no other
                _log.exception("a call could not be taken")
                return None
            raise
        call.answered()
        task = asyncio.get_running_loop().create_task(self._after(call, call_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return line

    async def _after(self, call: Call, call_id: str) -> None:
        """When the call is over, it is over at Twilio too."""
        reason = await call.wait_ended()
        self._lines.pop(call_id, None)
        if self._tokens is not None:
            self._tokens.ended(call_id)
        if self._rest is not None and reason != "hangup":
            try:
                await self._rest.hang_up(call_id)
            except CarrierError as error:
                _log.warning("call %s: %s [%s]", call_id, error.message, error.code)
        await self._done()

    async def _done(self) -> None:
        """After the last call nothing is asked any more."""
        if not self._open and not self._lines and self._rest is not None:
            rest, self._rest = self._rest, None
            await rest.aclose()


def _public(fields: dict[str, str]) -> dict[str, str]:
    """What the webhook has said, without what is known elsewhere."""
    return {name: value for name, value in fields.items() if name not in ("From", "To", "CallSid")}


class _Socket:
    """A WebSocket of Starlette whose sending waits for nobody: a task writes, and what waits is counted."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: deque[str] = deque()
        self._size = 0
        self._more = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._broken = False
        #: Whether the peer has not even taken that it is over.
        self.given_up = False
        self._handler = asyncio.current_task()
        self._writer = asyncio.get_running_loop().create_task(self._write())

    @property
    def waiting(self) -> int:
        return self._size

    def send(self, message: bytes) -> None:
        if self._closing is None and not self._broken:
            self._queue.append(message.decode("ascii"))
            self._size += len(message)
            self._more.set()

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = (code, reason[:120])
            if code != NORMAL:
                self._queue.clear()
            self._more.set()
            asyncio.get_running_loop().call_later(_CLOSE_MS / 1000, self._give_up)

    def _give_up(self) -> None:
        if not self._writer.done() and self._handler is not None and not self._handler.done():
            self.given_up = True
            self._handler.cancel()

    async def _write(self) -> None:
        send = self._websocket.send_text
        queue = self._queue
        try:
            while True:
                while queue:
                    text = queue[0]
                    await send(text)
                    if queue:  # not cleared meanwhile
                        queue.popleft()
                        self._size -= len(text)
                if self._closing is not None:
                    await self._websocket.close(*self._closing)
                    return
                self._more.clear()
                await self._more.wait()
        except Exception:  # it is closed: the reader hears of that
            self._broken = True
            queue.clear()
            self._size = 0

    async def aclose(self) -> None:
        """Let the writer finish, but not for long."""
        self.close(NORMAL, "")
        _, late = await asyncio.wait((self._writer,), timeout=0 if self.given_up else 1)
        for task in late:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _plain(status: int) -> Response:
    from starlette.responses import Response

    return Response(status_code=status)


def _twiml(text: str) -> Response:
    from starlette.responses import Response

    return Response(text, media_type=twiml.CONTENT_TYPE)
