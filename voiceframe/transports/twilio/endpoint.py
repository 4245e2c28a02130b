"""Calls that come from Twilio: its webhook is answered, its stream is taken, and both belong to one call of ours.

    POST /twilio/voice   signed   ──▶ the bot is made ──▶ TwiML: open a stream to /twilio/media, with this token
    WS   /twilio/media   signed, start with the token ──▶ the call begins
    POST /twilio/voice   signed, when the stream is over ──▶ another stream if the call goes on, else hang up

A bot that refuses a call does so before it is answered, and one that is not ready in time is not waited for. The
webhook is asked again when a stream ends (the `action` of `<Connect>`), so a call whose stream was lost gets
another one, and a call that the bot has ended is hung up without the REST API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...app import App
from ...audio import PCMU_8K
from ...call import Call
from ...errors import CarrierError, ConfigurationError, Reject, SignatureError, TokenError
from ...server import Gateway, TooLong, read_body
from ...tokens import Tokens
from ..media import MediaSettings, MediaTransport
from ..output import OnWord
from ..sockets import MediaSocket, StreamHandler, StreamOpener
from . import signature, twiml
from .rest import TwilioRest
from .settings import TwilioSettings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ...serializers.base import Started

__all__ = ["Twilio"]

_log = logging.getLogger("voiceframe.twilio")

_TOKEN: Final = "token"
#: How many streams a call may try to open before one of them shows its token.
_STREAMS: Final = 3


class Twilio:
    """The endpoint for Twilio's numbers.

        App(bot, Twilio())

    settings, media: by default from the environment and the settings file. `TWILIO_AUTH_TOKEN` and
    `VOICEFRAME_PUBLIC_URL` suffice; with `TWILIO_ACCOUNT_SID` calls are also hung up by REST.
    refusal: what a caller is told who cannot be taken; empty for the busy tone, which costs nothing. A bot may refuse
    with `Reject("declined")`, or with a sentence that is said.
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
        self._tokens: Tokens[None] | None = None
        self._ringing: dict[str, asyncio.Task[Call]] = {}  # whose bots are being made, by Twilio's id
        self._lines: dict[str, MediaTransport] = {}  # of calls that wait for their stream or run
        # Of those that wait: until when, and how many streams they were promised.
        self._waits: dict[Call, tuple[asyncio.TimerHandle, int]] = {}
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
        from starlette.routing import Route

        self._gateway = gateway
        return (Route(self.settings.webhook_path, self._webhook, methods=["POST"]),)

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
        return _twiml(await self._answer(call_id, fields))

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

    async def _answer(self, call_id: str, fields: dict[str, str]) -> str:
        """The TwiML for a call: a new one, or one whose stream is over."""
        tokens, gateway = self._tokens, self._gateway
        assert tokens is not None
        assert gateway is not None
        if call_id in self._ringing:  # asked twice: the bot is made once
            await asyncio.wait((self._ringing[call_id],))
        elif call_id not in self._lines:
            if tokens.known(call_id):
                return twiml.hang_up()
            refusal = await self._ring(call_id, fields)
            if refusal:
                return refusal
        line = self._lines.get(call_id)
        # It may still seem to have a stream: Twilio asks when that is over, and we may not have been told.
        if line is None or line.ending:
            return twiml.hang_up()
        try:
            token = tokens.issue(call_id, None, again=True)
        except TokenError:
            return twiml.hang_up()
        if line.call.ringing and not self._wait_for_stream(line.call):
            return twiml.hang_up()
        public = gateway.public_url
        stream = "ws" + public.removeprefix("http") + self.settings.media_path
        return twiml.connect(stream, {_TOKEN: token}, action=public + self.settings.webhook_path)

    async def _ring(self, call_id: str, fields: dict[str, str]) -> str:
        """Have the bot made, which then waits for its stream. Returns what the caller is told if it cannot be."""
        app = self._app
        assert app is not None
        if not self._open:
            return self._refuse("busy")
        line = self.line(call_id)
        metadata = {"call_sid": call_id, **_public(fields)}
        making = self._ringing[call_id] = asyncio.get_running_loop().create_task(
            app.take(line, from_=fields.get("From", ""), to=fields.get("To", ""), metadata=metadata, ringing=True)
        )
        try:
            await asyncio.wait((making,), timeout=self.settings.answer_ms / 1000)
            if not making.done():
                making.cancel()
                await asyncio.wait((making,), timeout=1)
                _log.error("call %s: the bot was not made within %d ms", call_id, self.settings.answer_ms)
                return self._refuse("busy")
            call = making.result()
        except Reject as refusal:
            return self._refuse(refusal.reason)
        except Exception:  # the bot's own: this call is lost, and no other
            _log.exception("call %s could not be taken", call_id)
            return self._refuse("busy")
        finally:
            del self._ringing[call_id]
        self._lines[call_id] = line
        task = asyncio.get_running_loop().create_task(self._after(call, call_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return ""

    def _wait_for_stream(self, call: Call) -> bool:
        """A call whose stream does not come while its token holds is over, and so is one whose streams come to nothing:
        Twilio asks again after each, and would do so for ever. Returns whether it goes on."""
        timer, count = self._waits.pop(call, (None, 0))
        if timer is not None:
            timer.cancel()
        if count == _STREAMS:
            call.cancel("no-stream")
            return False
        later = asyncio.get_running_loop().call_later(self.settings.token_ms / 1000, call.cancel, "no-stream")
        self._waits[call] = (later, count + 1)
        return True

    def _waits_no_more(self, call: Call) -> None:
        timer, _ = self._waits.pop(call, (None, 0))
        if timer is not None:
            timer.cancel()

    def _refuse(self, reason: str) -> str:
        """reason: of a `Reject`."""
        if " " in reason:
            return twiml.say(reason)
        if reason == "declined":
            return twiml.reject("rejected")
        return twiml.say(self._refusal) if self._refusal else twiml.reject("busy")

    # -- the stream

    def streams(self, gateway: Gateway) -> Mapping[str, StreamOpener]:
        return {self.settings.media_path: self._open_stream}

    def _open_stream(self, scope: Any) -> StreamHandler | int:
        from .stream import Stream

        gateway = self._gateway
        assert gateway is not None
        if not self._signed(scope, websocket=True):
            return 403
        settings = gateway.settings
        return Stream(
            self._begin,
            handshake_ms=settings.handshake_ms,
            handshake_bytes=settings.handshake_bytes,
            message_bytes=settings.message_bytes,
        )

    def line(
        self,
        call_id: str,
        *,
        on_word: OnWord | None = None,
        on_reply: Callable[[int, bool], None] | None = None,
    ) -> MediaTransport:
        """The transport of a new call. on_word, on_reply: see `AudioOutput`."""
        return MediaTransport("twilio", PCMU_8K, leg=call_id, settings=self._media, on_word=on_word, on_reply=on_reply)

    def _begin(self, started: Started, socket: MediaSocket) -> MediaTransport:
        """The line of a stream that shows its token. Raises `TokenError`."""
        from ...serializers import twilio as wire

        tokens = self._tokens
        assert tokens is not None
        call_id = started.call_id
        try:
            tokens.redeem(started.custom.get(_TOKEN, ""), call_id)
        except TokenError as error:
            _log.warning("refused a stream: %s", error.code)
            raise
        line = self._lines[call_id]  # a token is void when its call has ended
        line.attach(socket, wire.outgoing(started.stream_id), started.stream_id)
        if line.call.ringing:
            self._waits_no_more(line.call)
            line.call.answered()
        return line

    async def _after(self, call: Call, call_id: str) -> None:
        """When the call is over, it is over at Twilio too."""
        reason = await call.wait_ended()
        self._lines.pop(call_id, None)
        self._waits_no_more(call)
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


def _plain(status: int) -> Response:
    from starlette.responses import Response

    return Response(status_code=status)


def _twiml(text: str) -> Response:
    from starlette.responses import Response

    return Response(text, media_type=twiml.CONTENT_TYPE)
