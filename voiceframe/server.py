"""The gateway: where carriers ask about calls and open their streams. An ASGI application, and what serves it.

    run(App(bot, Twilio()))                      # a process of its own
    uvicorn bot:app                              # any other server: an `App` is an ASGI application

Everything that comes in is taken for hostile until its signature and its token say otherwise: bodies, handshakes and
messages are bounded in size and time, and nothing of a bot exists before that. Where the service is known to be is
configured; what a request says about that is not believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, runtime_checkable
from urllib.parse import urlsplit

from .app import App
from .collector import without_pauses
from .errors import ConfigurationError
from .extras import optional
from .settings import Settings, setting
from .transports.sockets import StreamOpener, serve_websocket

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

__all__ = ["Gateway", "ServerSettings", "WebEndpoint", "read_body", "run"]

_log = logging.getLogger("voiceframe.server")

#: Connections that may wait to be accepted: all of them are, in one turn of the loop.
_BACKLOG: Final = 128
#: How long peers have to take what was sent to them, when the calls are over and the process stops.
_STOP_S: Final = 5

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ServerSettings(Settings, prefix="SERVER"):
    """Where the gateway listens, where it is known to be, and what it takes from strangers."""

    host: str = setting(default="127.0.0.1", doc="address to listen at; 0.0.0.0 in a container")
    port: int = setting(default=8_080, doc="port to listen at; 0 for any free one", ge=0, le=65_535)
    public_url: str = setting(
        default="",
        doc="where carriers reach the gateway: `https://voice.example.com`; signatures are checked against it",
        variable="VOICEFRAME_PUBLIC_URL",
    )
    tls_certificate: str = setting(
        default="", doc="file with the certificate chain (PEM), to serve TLS without a proxy"
    )
    tls_key: str = setting(default="", doc="file with the key of that certificate (PEM)")
    insecure: bool = setting(
        default=False,
        doc="take requests without signature, from this machine only and never through a proxy; for development",
    )
    body_bytes: int = setting(default=1_048_576, doc="longest body of a request", ge=1_024)
    body_ms: int = setting(default=10_000, doc="time in which a body must have come", ge=100)
    handshake_ms: int = setting(default=5_000, doc="time in which a new stream must show its token", ge=100)
    handshake_bytes: int = setting(default=65_536, doc="what a stream may send before that", ge=1_024)
    message_bytes: int = setting(default=65_536, doc="longest message of a stream", ge=1_024)
    websockets: Literal["websockets", "picows"] = setting(
        default="websockets",
        doc="what reads the streams of `voiceframe run`; picows costs less per call and needs the extra `picows`",
    )
    rehearse: bool = setting(
        default=True,
        doc="have the bot make a pipeline before calls are taken, and do not start with one that cannot work",
    )
    drain_ms: int = setting(
        default=30_000, doc="time that calls have to end by themselves when the process stops", ge=0
    )


@runtime_checkable
class WebEndpoint(Protocol):
    """An endpoint whose carrier comes by HTTP: see `voiceframe.app.Endpoint`."""

    async def open(self, app: App) -> None:
        """Begin to take calls. Raises `VoiceframeError` if a secret is missing."""

    async def close(self) -> None:
        """Take no more calls. Those that run go on."""

    def routes(self, gateway: Gateway) -> Sequence[BaseRoute]:
        """What it answers."""

    def streams(self, gateway: Gateway) -> Mapping[str, StreamOpener]:
        """The paths at which its carrier opens WebSockets, and who looks at each handshake."""

    def problems(self) -> Sequence[str]:
        """Why it is not ready, in sentences; empty if it is."""


class Gateway:
    """The ASGI application of an `App`: its endpoints' routes, `/healthz` and `/readyz`.

    `/healthz` says that the process lives. `/readyz` is 503 with the reasons while it should get no calls: it drains,
    is full, or an endpoint is not ready.
    """

    def __init__(self, app: App, settings: ServerSettings | None = None) -> None:
        what = "The gateway"
        applications = optional("starlette.applications", extra="telephony", what=what)
        routing = optional("starlette.routing", extra="telephony", what=what)
        self.app = app
        self.settings = settings or ServerSettings.load()
        self.public_url = _checked_url(self.settings.public_url)
        self._entered = False
        #: Where carriers open WebSockets.
        self.streams: dict[str, StreamOpener] = {}
        routes = [
            routing.Route("/healthz", self._health, methods=["GET"]),
            routing.Route("/readyz", self._ready, methods=["GET"]),
        ]
        for endpoint in app.endpoints:
            if isinstance(endpoint, WebEndpoint):
                routes += endpoint.routes(self)
                self.streams |= endpoint.streams(self)
        for path, opener in self.streams.items():
            routes.append(routing.WebSocketRoute(path, partial(serve_websocket, opener=opener)))
        from .probe import probe_routes  # it imports this module

        routes += probe_routes(self)
        self._asgi = applications.Starlette(routes=routes, lifespan=self._lifespan)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        await self._asgi(scope, receive, send)

    # -- life

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: object) -> Any:
        """For servers other than `run()`, which opens and drains the app itself."""
        if self._entered:
            yield
            return
        await self._rehearsed()
        async with self.app:
            yield

    async def enter(self) -> None:
        """Try the bot and open the app's endpoints. Raises what they raise, and `ConfigurationError`."""
        self._entered = True
        await self._rehearsed()
        await self.app.__aenter__()

    async def _rehearsed(self) -> None:
        if self.settings.rehearse:
            from .check.startup import refuse_unusable  # it imports this module

            await refuse_unusable(self.app)

    # -- what is known of a request

    def trusted(self, scope: _Scope) -> bool:
        """Whether a request without a signature may be taken: it is allowed, and comes from this very machine.

        What has come through a proxy or a tunnel has not, whatever its address.
        """
        if not self.settings.insecure or any(name in _FORWARDED for name, _ in scope["headers"]):
            return False
        client = scope.get("client")
        try:
            return client is not None and ipaddress.ip_address(client[0]).is_loopback
        except ValueError:
            return client is not None and client[0] in _IN_MEMORY

    # -- health

    async def _health(self, request: Request) -> Response:
        return _answer(200, {"status": "alive", "calls": len(self.app.calls)})

    async def _ready(self, request: Request) -> Response:
        reasons = self.problems()
        return _answer(
            503 if reasons else 200, {"ready": not reasons, "reasons": reasons, "calls": len(self.app.calls)}
        )

    def problems(self) -> list[str]:
        """Why no calls should come here now."""
        found = []
        if self.app.draining:
            found.append("The process is being stopped.")
        if len(self.app.calls) >= self.app.limits.max_calls:
            found.append(f"There are {len(self.app.calls)} calls, as many as `VOICEFRAME_LIMITS_MAX_CALLS` allows.")
        if self.settings.insecure:
            found.append("Signatures are not checked (`VOICEFRAME_SERVER_INSECURE`): this is for development only.")
        for endpoint in self.app.endpoints:
            if isinstance(endpoint, WebEndpoint):
                found += endpoint.problems()
        return found


#: What proxies and tunnels add.
_FORWARDED: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via", b"cf-ray"}
)
#: The clients of test kits that call an ASGI application in memory.
_IN_MEMORY: Final = frozenset({"testclient", "memory"})


def _checked_url(url: str) -> str:
    if not url:
        return ""
    parts = urlsplit(url)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment or parts.username:
        raise ConfigurationError.of("server.public-url", url=url)
    return url.rstrip("/")


def _answer(status: int, content: object) -> Response:
    from starlette.responses import Response

    return Response(json.dumps(content), status, media_type="application/json")


class TooLong(Exception):
    """A body with more bytes, or that takes more time, than is allowed, or that never comes to its end."""


async def read_body(request: Request, settings: ServerSettings) -> bytes:
    """The body as it came. Raises `TooLong`."""
    from starlette.requests import ClientDisconnect

    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and len(length) < 20 and int(length) > settings.body_bytes:
        raise TooLong
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.body_ms / 1000):
            async for part in request.stream():
                size += len(part)
                if size > settings.body_bytes:
                    raise TooLong
                parts.append(part)
    except (TimeoutError, ClientDisconnect):
        raise TooLong from None
    return b"".join(parts)


# -- to serve it


def run(
    app: App,
    *,
    host: str | None = None,
    port: int | None = None,
    settings: ServerSettings | None = None,
    started: Callable[[Gateway, int], None] | None = None,
) -> int:
    """Serve an app until the process is told to stop (SIGTERM, SIGINT), then let its calls end. Returns the exit code.

    On the first signal no more calls are taken and `/readyz` says so; calls have `drain_ms` to end by themselves, then
    they are ended politely. A second signal ends them at once.

    started: told the gateway and the port, when carriers can come.

    Raises what the endpoints raise when they are opened, such as for a missing secret, and `ConfigurationError`.
    """
    chosen = settings or ServerSettings.load()
    chosen = chosen.replace(
        **({"host": host} if host is not None else {}), **({"port": port} if port is not None else {})
    )
    gateway = Gateway(app, chosen)
    return asyncio.run(serve(gateway, started=None if started is None else lambda port: started(gateway, port)))


async def serve(
    gateway: Gateway, *, started: Callable[[int], None] | None = None, stop: asyncio.Event | None = None
) -> int:
    """Serve on the running loop until a signal comes or `stop` is set. Returns the exit code.

    started: told the port, when carriers can come.
    """
    uvicorn = optional("uvicorn", extra="telephony", what="The gateway")
    settings, app = gateway.settings, gateway.app

    from .server_http import HttpProtocol, WebSocketProtocol

    streams: Any = WebSocketProtocol
    if settings.websockets == "picows":
        from .transports.sockets_picows import handing_over

        streams = handing_over(gateway.streams, message_bytes=settings.message_bytes)
    up = asyncio.Event()  # or it cannot be

    class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
        """Stops when it is told to, and not by signals: calls come first."""

        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            yield

        async def startup(self, sockets: Any = None) -> None:
            try:
                await super().startup(sockets=sockets)
            except SystemExit:  # it cannot listen, and has said so; here that is no reason to leave all else as it is
                self.should_exit = True
            up.set()

    server = Server(
        uvicorn.Config(
            gateway,
            host=settings.host,
            port=settings.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            http=HttpProtocol,
            ws=streams,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_STOP_S,
            ws_max_size=settings.message_bytes,
            # Of µ-law in base64 it saves little, and costs a third of what a call costs.
            ws_per_message_deflate=False,
            ssl_certfile=settings.tls_certificate or None,
            ssl_keyfile=settings.tls_key or None,
        )
    )
    loop = asyncio.get_running_loop()
    stop = stop or asyncio.Event()
    signals = 0

    def told() -> None:
        nonlocal signals
        signals += 1
        stop.set()
        if signals > 1:
            for call in list(app.calls.values()):
                call.end("stopped", after="now")

    await gateway.enter()
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, ValueError):  # Windows, and threads other than the main one
                loop.add_signal_handler(number, told)
                stack.callback(loop.remove_signal_handler, number)
        serving = loop.create_task(server.serve())
        waiting = loop.create_task(stop.wait())
        try:
            await up.wait()
            async with without_pauses(lambda: len(app.calls)):
                if server.started and started is not None:
                    started(server.servers[0].sockets[0].getsockname()[1])
                await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
                _log.info("stopping: %d calls", len(app.calls))
                await app.drain(settings.drain_ms)
        except asyncio.CancelledError:  # whoever cancels wants no wait
            await app.drain(0)
            raise
        finally:
            server.should_exit = True
            waiting.cancel()
            await serving
            if server.server_state.tasks:  # uvicorn has cancelled them, and waits for none
                await asyncio.wait(tuple(server.server_state.tasks), timeout=1)
            await app.aclose()
        return 0 if server.started else 1
