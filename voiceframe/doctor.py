"""`voiceframe doctor`: whether carriers reach this gateway, asked from outside in through its own public URL.

    doctor ──▶ DNS ──▶ TLS ──▶ proxy or tunnel ──▶ the gateway on this machine ──▶ what it saw ──▶ doctor

What is asked is the gateway that listens on the configured port: that is the one which calls come to, with its own
environment. Where nothing listens, the doctor listens there itself for as long as it asks, with the same endpoints, and
refuses calls as busy; so a proxy can be set up before there is a bot. Both answer at `/.well-known/voiceframe`:

- Only who shows a ticket is answered, made with a key that is derived from the secret which Twilio signs with. It
  stands in the path, because that is what no proxy drops. All others get 404, and learn nothing.
- The answer proves by the same key that it is a gateway with this secret, and by a key of the process that it is the
  very process that has answered on the local port. It says how the request has arrived, and whether its signature held.

Nothing that could be a signature of Twilio's is ever made for somebody else: the keys are apart.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import ipaddress
import json
import re
import secrets
import socket
import ssl
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO, TypeAlias
from urllib.parse import urlencode, urlsplit

from .app import App
from .bots import load_app
from .check_command import show
from .checks import Check, Fact, Missing, Report, Verdict
from .errors import ConfigurationError, Reject, VoiceframeError
from .extras import optional
from .probe import PROBE, DoctorEndpoint, Signer
from .server import Gateway, ServerSettings, serve
from .transports.twilio import Twilio, TwilioSettings

if TYPE_CHECKING:
    pass

__all__ = ["doctor", "examine"]

_TIMEOUT_S: Final = 10
_FORM: Final = "application/x-www-form-urlencoded; charset=UTF-8"
#: Everything that a proxy likes to write in its own way: escapes, their case, a plus, empty values, order.
_QUERY: Final = "b=%c3%A9+%2F&a=1&a=2&empty=&c=x%20y"
_BODY: Final = b"Caller=%2B14155550101&Speech=caf%C3%a9+au+lait%21&Digits=&Digits=1&From=%2b14155550101"
#: Days that a certificate must be good for.
_DAYS: Final = 14
#: How far clocks may be apart, in seconds.
_APART_S: Final = 5
#: A round trip above it is heard as a pause.
_SLOW_MS: Final = 150
_ROUNDS: Final = 20
#: Pages of numbers that are read, 1,000 on each.
_PAGES: Final = 20

_Found: TypeAlias = "Check | Missing"

#: The addresses that Twilio itself asks.
_ENDPOINT: Final = ["twilio.webhook", "twilio.stream"]


def doctor(
    where: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    public_url: str | None = None,
    form: str = "text",
    strict: bool = False,
    out: TextIO | None = None,
) -> int:
    """Ask, and show the report. Returns the exit code.

    where: a bot or an app, if its endpoint for Twilio has settings of its own.

    Raises `ConfigurationError`, also when there is no public URL (`server.no-public-url`), and `MissingExtra`.
    """
    settings = ServerSettings.load()
    changes = {"host": host, "port": port, "public_url": public_url}
    settings = settings.replace(**{name: value for name, value in changes.items() if value is not None})
    try:
        found = load_app(where) if where else None
    except Exception as error:
        if isinstance(error, VoiceframeError):
            raise
        raise ConfigurationError.of("bot.not-found", path=where, error=f"{type(error).__name__}: {error}") from error
    endpoints = found.endpoints if isinstance(found, App) else ()
    twilio = next((endpoint.settings for endpoint in endpoints if isinstance(endpoint, Twilio)), None)
    return show(asyncio.run(examine(settings, twilio or TwilioSettings.load(), strict=strict)), form, out)


async def examine(settings: ServerSettings, twilio: TwilioSettings, *, strict: bool = False) -> Report:
    """All checks, in the order in which a request of a carrier meets what is checked."""
    if not settings.public_url:
        raise ConfigurationError.of("server.no-public-url", carrier="Twilio", port=settings.port)
    visit = _Visit(settings, twilio)
    checks: list[_Found] = [visit.secret()]
    checks.append(await visit.dns())
    if _failed(checks[-1]):
        checks += _not_asked(
            "the name of the public URL has no address", _ids("tls", "gateway", "proxy", "stream") + _ENDPOINT
        )
    else:
        checks += await visit.tls()
        async with visit.gateway() as (local, problem):
            checks.append(local)
            if problem:
                checks += _not_asked(problem, ["gateway.identity", *_ids("proxy", "stream"), *_ENDPOINT])
            else:
                checks += await visit.through()
    checks += await visit.rest()
    checks.append(visit.clock())
    return Report(checks, title=f"voiceframe doctor {visit.public}", strict=strict)


#: What is asked, by id: the section of the report, and the question as it reads when the answer is yes.
_QUESTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "secret": ("Account", "There is a secret to know Twilio by"),
    "dns": ("Way to this machine", "The name has an address"),
    "tls.certificate": ("Way to this machine", "TLS is trusted, and for this name"),
    "tls.days": ("Way to this machine", f"The certificate lasts {_DAYS} days at least"),
    "gateway.local": ("Gateway", "A gateway listens on the configured port"),
    "gateway.identity": ("Gateway", "It is this gateway that answers at the public URL"),
    "proxy.path": ("Proxy", "The path arrives as it was sent"),
    "proxy.query": ("Proxy", "The query arrives as it was sent"),
    "proxy.headers": ("Proxy", "The headers of Twilio arrive"),
    "proxy.body": ("Proxy", "The body arrives as it was sent, byte for byte"),
    "proxy.signature": ("Proxy", "The signature of a POST holds"),
    "stream.upgrade": ("Stream", "A WebSocket opens"),
    "stream.compression": ("Stream", "No compression is agreed on"),
    "stream.signature": ("Stream", "The signature of a handshake holds"),
    "stream.round-trip": ("Stream", "Messages come and go at once"),
    "twilio.webhook": ("Twilio", "The webhook takes what Twilio signs"),
    "twilio.stream": ("Twilio", "The stream takes what Twilio signs, and refuses a wrong token"),
    "twilio.credentials": ("Account", "Twilio accepts the account and its token"),
    "twilio.number": ("Account", "A number of the account asks our webhook"),
    "clock": ("Account", "The clock of this machine is right"),
}


def _said(id: str, verdict: Verdict, evidence: Sequence[Fact], fix: str | None = None) -> Check:
    section, title = _QUESTIONS[id]
    return Check(id, verdict, evidence, fix=None if verdict == "pass" else fix, title=title, section=section)


def _ids(*areas: str) -> list[str]:
    return [id for id in _QUESTIONS if id.partition(".")[0] in areas]


def _not_asked(why: str, ids: Iterable[str]) -> list[_Found]:
    return [Missing(id, why) for id in ids]


def _failed(check: _Found) -> bool:
    return isinstance(check, Check) and check.verdict == "fail"


# -- the doctor's side


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class _Unreachable(Exception):
    """Nobody has answered, in words."""


class _SaysItself(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: a carrier's signed request would not survive one."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _fetch(
    url: str,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None,
    *,
    body: bytes | None = None,
    timeout_s: float = _TIMEOUT_S,
    direct: bool = False,
) -> _Answer:
    """Ask by HTTP. Blocks. Raises `_Unreachable`."""
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
            return _Answer(answer.status, found, answer.read(1 << 20))
    except urllib.error.URLError as error:
        raise _Unreachable(_words(error.reason)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Unreachable(_words(error)) from None


def _words(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _Visit:
    """One examination."""

    def __init__(self, settings: ServerSettings, twilio: TwilioSettings) -> None:
        self._own_secret = bool(twilio.auth_token or twilio.signing_keys)
        # A proxy can be examined before there is an account: then with a secret that only the doctor has.
        self._twilio = twilio if self._own_secret else twilio.replace(auth_token=secrets.token_hex(16))
        self._settings = settings
        self._signer = Signer(self._twilio)
        app = App(_refuse, Twilio(self._twilio), DoctorEndpoint(self._twilio), store=None)
        self._standing_in = Gateway(app, settings)  # for the gateway that does not listen; checks the public URL too
        self.public = self._standing_in.public_url
        parts = urlsplit(self.public)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._local_url = ""
        self._trust: ssl.SSLContext | None = ssl.create_default_context() if self._secure else None
        self._private = self._secure or _is_loopback(self._host)  # whether nobody can read what is asked
        self._far = False  # whether the public URL leads to another machine than this one
        #: The differences of clocks in seconds, each with whose clock it was.
        self._clocks: list[tuple[str, float]] = []

    async def _get(
        self,
        base: str,
        path: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        body: bytes | None = None,
        local: bool = False,
    ) -> _Answer:
        trust = _trusting() if local else self._trust
        asked = time.time()
        answer = await asyncio.to_thread(_fetch, base + path, headers, trust, body=body, direct=local)
        if not local:
            self._note_clock(self._host, answer, asked)
        return answer

    def _note_clock(self, whose: str, answer: _Answer, asked: float) -> None:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            said = parsedate_to_datetime(answer.headers["date"]).timestamp() if "date" in answer.headers else None
            if said is not None:
                # It was said between the question and now, and whole seconds are all that it tells.
                now = time.time()
                apart = min(0.0, said + 1 - asked) if said + 1 < asked else max(0.0, said - now)
                self._clocks = [each for each in self._clocks if each[0] != whose]
                self._clocks.append((whose, apart))

    # -- before the gateway

    def secret(self) -> Check:
        if self._own_secret:
            source = "TWILIO_AUTH_TOKEN" if self._twilio.auth_token else "VOICEFRAME_TWILIO_SIGNING_KEYS"
            return _said("secret", "pass", f"{source} is set.")
        error = ConfigurationError.of("server.no-secret", carrier="Twilio", setting="TWILIO_AUTH_TOKEN")
        return _said("secret", "fail", error.message, error.fix)

    async def dns(self) -> Check:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            return _said(
                "dns",
                "fail",
                f"{self._host}: {error.strerror or error}",
                f"Add an A record (and AAAA, if it has IPv6) for `{self._host}`, or mend `VOICEFRAME_PUBLIC_URL`.",
            )
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        self._far = any(ipaddress.ip_address(each.partition("%")[0]).is_global for each in addresses)
        said = f"{self._host}: {', '.join(addresses)}"
        if self._far:
            return _said("dns", "pass", said)
        return _said(
            "dns",
            "warn",
            [said, "From here that leads into a private network, where no carrier is."],
            "Ask the public DNS, such as `dig @1.1.1.1 NAME`; if it says the same, set `VOICEFRAME_PUBLIC_URL` to "
            "a name that everybody can reach.",
        )

    async def tls(self) -> list[_Found]:
        if not self._secure:
            fix = "Put a proxy with a certificate in front, or serve one by `VOICEFRAME_SERVER_TLS_CERTIFICATE`, and "
            fix += "let `VOICEFRAME_PUBLIC_URL` begin with `https://`: Twilio opens streams by `wss://` only."
            said = "The public URL begins with http://."
            check = _said("tls.certificate", "warn" if _is_loopback(self._host) else "fail", said, fix)
            return [check, Missing("tls.days", "there is no TLS")]
        assert self._trust is not None
        try:
            certificate, version = await self._handshake(self._trust)
        except ssl.SSLCertVerificationError as error:
            code, said = error.verify_code, error.verify_message
            # The rest is asked without trust, so that one run finds all that is wrong; nothing secret goes that way.
            self._trust = _trusting()
            self._private = _is_loopback(self._host)
            fix = next((fix for codes, fix in _CERTIFICATE_FIXES if code in codes), _CERTIFICATE_FIXES[-1][1])
            check = _said("tls.certificate", "fail", f"{self._host}:{self._port}: {said}", fix)
            return [check, Missing("tls.days", "the certificate is not trusted")]
        except (OSError, asyncio.IncompleteReadError) as error:
            fix = f"See that something serves TLS at `{self._host}:{self._port}`, and that no firewall stands between."
            said = f"{self._host}:{self._port}: {_words(error)}"
            check = _said("tls.certificate", "fail", said, fix)
            return [check, Missing("tls.days", "there was no TLS handshake")]
        until = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        days = (until - time.time()) / 86_400
        names = ", ".join(str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS")
        facts = [f"{version}, for {names or self._host}", f"Issued by {_issuer(certificate)}"]
        lasting = f"It ends on {certificate['notAfter']}, in {days:.0f} days."
        fix = "Renew the certificate: see why what renews it (`caddy`, `certbot renew`) has not."
        return [
            _said("tls.certificate", "pass", facts),
            _said("tls.days", "pass" if days >= _DAYS else "warn", lasting, fix),
        ]

    async def _handshake(self, trust: ssl.SSLContext) -> tuple[Mapping[str, Any], str]:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(self._host, self._port, ssl=trust)
        try:
            tls = writer.get_extra_info("ssl_object")
            return writer.get_extra_info("peercert") or {}, tls.version() or "TLS"
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    # -- the gateway on this machine

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[tuple[Check, str]]:
        """The gateway that listens on the port, or one that stands in for it; and why there is none to ask."""
        settings = self._settings
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.host, settings.host)
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if settings.tls_certificate else "http"
        if settings.port and await _listens(host, settings.port):
            self._local_url = f"{scheme}://{shown}:{settings.port}"
            said = f"What listens on {shown}:{settings.port} is asked."
            yield _said("gateway.local", "pass", said), ""
            return
        app = self._standing_in.app
        stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()

        def started(number: int) -> None:
            app.draining = True  # refuses calls as busy
            port.set_result(number)

        serving = asyncio.ensure_future(serve(self._standing_in, started=started, stop=stop))
        try:
            await asyncio.wait((serving, port), return_when=asyncio.FIRST_COMPLETED)
            if not port.done():
                if serving.exception() is not None:
                    error: object = _words(serving.exception())
                else:
                    error = "see above"
                fix = "Set `VOICEFRAME_SERVER_HOST` and `VOICEFRAME_SERVER_PORT` to an address of this machine."
                said = f"Nothing listens on {shown}:{settings.port}, and the doctor cannot: {error}."
                check = _said("gateway.local", "fail", said, fix)
                yield check, "there is no gateway to ask"
                return
            self._local_url = f"{scheme}://{shown}:{port.result()}"
            said = f"Nothing listened on {shown}:{port.result()}, so the doctor does while it asks; it takes no calls."
            yield _said("gateway.local", "pass", said), ""
        finally:
            app.draining = False  # so that its endpoints are closed
            stop.set()
            with contextlib.suppress(Exception):
                await serving

    # -- through the public URL

    async def through(self) -> list[_Found]:
        identity, reached = await self._identity()
        checks: list[_Found] = [identity]
        if reached:
            checks += await self._proxy()
            checks += await self._stream()
        else:
            checks += _not_asked("what answers at the public URL is not the gateway", _ids("proxy", "stream"))
        checks.append(await self._webhook())
        if self._private:
            checks.append(await self._media())
        else:
            # The signature of a handshake is always the same: whoever reads this one could open streams with it.
            checks.append(Missing("twilio.stream", "it takes a signature that is not for everybody to read: mend TLS"))
        return checks

    async def _identity(self) -> tuple[Check, bool]:
        """Whether the public URL leads to the gateway on this machine, and whether to one with its secret at all."""
        ticket = self._signer.ticket()
        nonce = ticket.split("-")[1]
        path = f"{PROBE}/{ticket}"

        def check(verdict: Verdict, said: str, fix: str | None = None) -> Check:
            return _said("gateway.identity", verdict, [said], fix)

        here = f"`{self._local_url}`"
        try:
            local = _proofs(await self._get(self._local_url, path, local=True))
        except _Unreachable as error:
            fix = f"See what listens at {here}, and whether `VOICEFRAME_SERVER_TLS_CERTIFICATE` is set as it is for it."
            return check("fail", f"{self._local_url} is not asked by HTTP: {error}.", fix), False
        if local.get("proof") != self._signer.proof(nonce):
            fix = f"Stop what listens at {here}, or give it and the doctor the same `TWILIO_AUTH_TOKEN` and settings."
            said = f"What listens at {self._local_url} is no gateway with the secret that is set here, or an older one."
            return check("fail", said, fix), False
        try:
            answer = await self._get(self.public, path)
        except _Unreachable as error:
            fix = f"Start the proxy or tunnel that leads from `{self.public}` to {here}, and open its port."
            return check("fail", f"{self.public}: {error}.", fix), False
        found = _proofs(answer)
        if found.get("proof") == self._signer.proof(nonce):
            if found.get("process") == local.get("process"):
                said = f"The process at {self._local_url} has answered by way of {self.public}."
                return check("pass", said), True
            fix = f"If several processes take your calls, that is right; else let the proxy lead to {here}."
            return check("warn", "Another process with the same secret has answered.", fix), True
        server = answer.headers.get("server", "")
        said = f"{self.public} was answered with {answer.status}{f' by {server[:60]}' if server else ''}."
        if 300 <= answer.status < 400:
            target = answer.headers.get("location", "")[:120]
            fix = f"Set `VOICEFRAME_PUBLIC_URL` to what it leads to (`{target}`): no signature survives a redirection."
        elif answer.status in (401, 403, 407, 429, 503) and "proof" not in found:
            fix = "Let the proxy ask nobody for a password or a challenge, and keep carriers out of its bot protection."
        elif answer.status in (502, 504):
            fix = f"The proxy does not reach the gateway: let it lead to {here}."
        elif self._prefix:
            fix = f"Let the proxy lead to {here}, and take `{self._prefix}` off the path and nothing else."
        else:
            fix = f"Let the proxy lead to {here} with the path as it is."
        return check("fail", said, fix), False

    async def _proxy(self) -> list[_Found]:
        """How a signed request arrives."""
        path = f"{PROBE}/{self._signer.ticket()}"
        url = f"{self.public}{path}?{_QUERY}"
        sent = {"Content-Type": _FORM, **self._signer.headers(url, _BODY, _FORM)}
        try:
            answer = await self._get(self.public, f"{path}?{_QUERY}", sent, body=_BODY)
            found = json.loads(answer.body) if answer.status == 200 else {}
        except (_Unreachable, ValueError) as error:
            answer, found = _Answer(0, {}, str(error).encode()), {}
        if not isinstance(found, dict) or "body" not in found:
            said = f"A POST was answered with {answer.status or answer.body.decode('utf-8', 'replace')}, a GET well."
            fix = f"Let the proxy pass on requests with the method `POST` to `{PROBE}` and to the webhook."
            check = _said("proxy.path", "fail", said, fix)
            return [check, *_not_asked("the POST did not reach the gateway", _ids("proxy")[1:])]

        def same(id: str, sent: str, came: str, fix: str) -> Check:
            if sent == came:
                return _said(id, "pass", [f"{sent} came as it was sent."])
            return _said(id, "fail", [f"Sent: {sent}", f"Came: {came}"], fix)

        headers = {name.lower(): value for name, value in dict(found.get("headers", {})).items()}
        lost = [name for name, value in sent.items() if headers.get(name.lower()) != value]
        came = base64.b64decode(str(found["body"])).decode("latin-1")
        code = str(found.get("signature", ""))
        right = "Let the proxy pass on path and query as they came: nginx does if `proxy_pass` has no path of its own."
        shown = f"{PROBE}/…"
        ticket = path.rpartition("/")[2]
        return [
            same("proxy.path", shown, str(found.get("path", "")).replace(ticket, "…"), right),
            same("proxy.query", _QUERY, str(found.get("query", "")), right),
            _said(
                "proxy.headers",
                "fail" if lost else "pass",
                [f"{name} {'was lost or changed.' if name in lost else 'came.'}" for name in sent],
                f"Let the proxy pass on {', '.join(f'`{name}`' for name in lost)}.",
            ),
            same(
                "proxy.body",
                _BODY.decode("ascii"),
                came,
                "Let nothing between here and the carrier read and write bodies anew, such as a firewall for web "
                "applications or a function that parses forms.",
            ),
            _said(
                "proxy.signature",
                "fail" if code else "pass",
                f"The gateway has refused it: {code}." if code else "The gateway has verified it.",
                "Mend what is red above, then see that the gateway has the same `VOICEFRAME_PUBLIC_URL` as the "
                "doctor: it verifies the URL that is set, and not the one that is asked.",
            ),
        ]

    # -- the stream

    async def _stream(self) -> list[_Found]:
        client = optional("websockets.asyncio.client", extra="telephony", what="The doctor")
        errors = optional("websockets.exceptions", extra="telephony", what="The doctor")
        path = f"{PROBE}/{self._signer.ticket()}/stream"
        try:
            async with self._connect(client, path, compression="deflate") as opened:
                agreed = opened.response.headers.get("Sec-WebSocket-Extensions", "")
                said = json.loads(await asyncio.wait_for(opened.recv(), _TIMEOUT_S))
            times = await self._rounds(client, path)
        except errors.InvalidStatus as error:
            upgrade = self._refused(error.response.status_code)
            check = _said("stream.upgrade", "fail", upgrade[0], upgrade[1])
            return [check, *_not_asked("no WebSocket opens", _ids("stream")[1:])]
        except (errors.WebSocketException, OSError, ValueError, TypeError) as error:
            fix = "Let the proxy upgrade connections to WebSockets, and speak HTTP/1.1 to the gateway for it."
            check = _said("stream.upgrade", "fail", _words(error), fix)
            return [check, *_not_asked("no WebSocket works", _ids("stream")[1:])]
        code = str(said.get("signature", ""))
        middle, worst = statistics.median(times), max(times)
        fix = "Let the gateway have the headers of the handshake too, above all `X-Twilio-Signature`, and the same "
        fix += "`VOICEFRAME_PUBLIC_URL` as the doctor."
        return [
            _said("stream.upgrade", "pass", f"101 from {self._socket(PROBE)}/…"),
            _said(
                "stream.compression",
                "warn" if agreed else "pass",
                f"Agreed on: {agreed}." if agreed else "permessage-deflate was offered and not taken.",
                "Switch off `permessage-deflate` in the proxy: of sound it saves little, and costs a third of a "
                "call's time.",
            ),
            _said(
                "stream.signature",
                "fail" if code else "pass",
                f"The gateway would have refused it: {code}." if code else "The gateway has verified it.",
                fix,
            ),
            _said(
                "stream.round-trip",
                "pass" if middle <= _SLOW_MS else "warn",
                f"{len(times)} messages came back, in {middle:.1f} ms (median) and {worst:.1f} ms (longest).",
                "Let the proxy buffer nothing (nginx: `proxy_buffering off`), and put it near to the gateway.",
            ),
        ]

    def _socket(self, path: str) -> str:
        return "ws" + self.public.removeprefix("http") + path

    def _connect(self, client: Any, path: str, *, compression: str | None = None) -> Any:
        url = self._socket(path)
        return client.connect(
            url,
            additional_headers=self._signer.headers(url),
            user_agent_header="voiceframe-doctor",
            compression=compression,
            open_timeout=_TIMEOUT_S,
            close_timeout=2,
            ssl=self._trust,
        )

    async def _rounds(self, client: Any, path: str) -> list[float]:
        """What messages as long as 20 ms of sound take to come back, in ms."""
        times: list[float] = []
        async with self._connect(client, path) as opened, asyncio.timeout(2 * _TIMEOUT_S):
            await opened.recv()
            for number in range(_ROUNDS):
                message = json.dumps({"event": "media", "chunk": number, "payload": "f" * 216})
                began = time.perf_counter()
                await opened.send(message)
                if await opened.recv() != message:
                    raise ValueError("another message came back than was sent")
                times.append((time.perf_counter() - began) * 1000)
        return times

    @staticmethod
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

    # -- the very endpoints that Twilio asks

    async def _webhook(self) -> _Found:
        """A signed request for no call: the webhook says 400 if the signature held, and 403 if not."""
        path = self._twilio.webhook_path
        body = urlencode({"AccountSid": "doctor"}).encode()
        signed = self._signer.headers(self.public + path, body, _FORM)
        try:
            answer = await self._get(self.public, path, {"Content-Type": _FORM, **signed}, body=body)
        except _Unreachable as error:
            said, status = f"{self.public}{path}: {error}.", 0
        else:
            said, status = f"A signed request without a call was answered with {answer.status}.", answer.status
        if status == 400:
            return _said("twilio.webhook", "pass", said)
        if status == 404:
            fix = f"Let the proxy pass on `{path}`, or set `VOICEFRAME_TWILIO_WEBHOOK_PATH` as the gateway has it."
        elif status == 403:
            fix = "Give the gateway the `TWILIO_AUTH_TOKEN` and `VOICEFRAME_PUBLIC_URL` that are set here; restart it."
        else:
            fix = f"Let `{self.public}{path}` lead to the gateway."
        return _said("twilio.webhook", "fail", said, fix)

    async def _media(self) -> _Found:
        """A signed stream with a token that nobody has given out: it must open, and be closed for the token."""
        client = optional("websockets.asyncio.client", extra="telephony", what="The doctor")
        errors = optional("websockets.exceptions", extra="telephony", what="The doctor")
        path = self._twilio.media_path
        status = 0
        try:
            async with self._connect(client, path) as opened:
                await opened.send(json.dumps(_START))
                with contextlib.suppress(errors.ConnectionClosed):
                    await asyncio.wait_for(opened.recv(), _TIMEOUT_S)
                await opened.wait_closed()
            code, reason = opened.close_code, opened.close_reason or ""
            said = f"A signed stream was opened, and closed with {code} ({reason[:60]})."
            if code == 1008 and reason.startswith("token."):
                return _said("twilio.stream", "pass", said)
        except errors.InvalidStatus as error:
            status = error.response.status_code
            said = f"The handshake was answered with {status}."
        except (errors.WebSocketException, OSError) as error:
            said = f"{self._socket(path)}: {_words(error)}."
        if status == 403:
            fix = "Let the proxy pass on `X-Twilio-Signature` in handshakes, and give the gateway the settings that "
            fix += "the doctor has."
        else:
            fix = f"Let `{self._socket(path)}` lead to the gateway, WebSockets included."
        return _said("twilio.stream", "fail", said, fix)

    # -- the account

    async def rest(self) -> list[_Found]:
        """The account and its numbers, by Twilio's REST API."""
        twilio = self._twilio
        if not (twilio.account_sid and self._own_secret and twilio.auth_token):
            why = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not both set"
            return _not_asked(why, ("twilio.credentials", "twilio.number"))
        account = f"/2010-04-01/Accounts/{twilio.account_sid}"
        if not re.fullmatch("[0-9A-Za-z]{1,64}", twilio.account_sid):
            fix = "Set `TWILIO_ACCOUNT_SID` to the id on the first page of Twilio's console, `AC…`."
            check = _said("twilio.credentials", "fail", "That is no id of an account.", fix)
            return [check, Missing("twilio.number", "the account is not known")]
        try:
            status, found = await self._api(f"{account}.json")
        except _Unreachable as error:
            fix = f"See whether the machine reaches it: `curl {twilio.api_url}`; a proxy is set by `HTTPS_PROXY`."
            check = _said("twilio.credentials", "fail", f"{twilio.api_url}: {error}.", fix)
            return [check, Missing("twilio.number", "Twilio was not reached")]
        state = str(found.get("status", ""))
        if status != 200 or state not in ("active", ""):
            fix = "Compare `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN` with the first page of Twilio's console."
            said = f"Twilio has answered with {status}{f', the account is {state[:20]}' if state else ''}."
            check = _said("twilio.credentials", "fail", said, fix)
            return [check, Missing("twilio.number", "Twilio does not accept the account")]
        kind = str(found.get("type", "type unknown"))[:20]
        said = f"Account {twilio.account_sid[:6]}…, {kind}, {state or 'state unknown'}."
        return [_said("twilio.credentials", "pass", said), await self._number(account)]

    async def _number(self, account: str) -> _Found:
        url = self.public + self._twilio.webhook_path
        fix = f"At Twilio, under Phone Numbers, Active Numbers, set A call comes in to Webhook, `{url}`, HTTP POST."
        try:
            numbers = [number async for number in self._numbers(f"{account}/IncomingPhoneNumbers.json?PageSize=1000")]
        except _Unreachable as error:
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
        return _said("twilio.number", "pass" if right else "fail", facts, fix)

    async def _numbers(self, path: str) -> AsyncIterator[Mapping[str, Any]]:
        for _ in range(_PAGES):
            status, found = await self._api(path)
            if status != 200:
                raise _Unreachable(f"Twilio has answered with {status}")
            for number in found.get("incoming_phone_numbers") or ():
                if isinstance(number, dict):
                    yield number
            following = found.get("next_page_uri")
            if not isinstance(following, str) or not following.startswith("/2010-04-01/"):
                return
            path = following

    async def _api(self, path: str) -> tuple[int, Mapping[str, Any]]:
        """Raises `_Unreachable`."""
        twilio = self._twilio
        credentials = base64.b64encode(f"{twilio.account_sid}:{twilio.auth_token}".encode()).decode("ascii")
        headers = {"Authorization": f"Basic {credentials}", "Accept": "application/json"}
        url = twilio.api_url.rstrip("/") + path
        trust = ssl.create_default_context()
        asked = time.time()
        timeout_s = twilio.api_timeout_ms / 1000
        answer = await asyncio.to_thread(_fetch, url, headers, trust, timeout_s=timeout_s)
        self._note_clock("Twilio", answer, asked)
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if answer.status == 200 and not isinstance(found, dict):
            raise _Unreachable("what has answered is not Twilio's REST API")
        return answer.status, found if isinstance(found, dict) else {}

    # -- the clock

    def clock(self) -> _Found:
        """By the clock of Twilio if that was asked; else by that of the proxy, if it is not this machine's own."""
        clocks = [each for each in self._clocks if each[0] == "Twilio" or self._far]
        whose = next((each for each in clocks if each[0] == "Twilio"), clocks[0] if clocks else None)
        if whose is None:
            return Missing("clock", "nobody with a clock of his own has answered: neither Twilio nor a far proxy")
        name, apart = whose
        said = f"It differs from that of {name} by {abs(apart):.0f} s{' at least' if apart else ' or less than that'}."
        fix = "Set the clock by NTP: `timedatectl set-ntp true`. Certificates, recordings and events go by it."
        verdict: Any = "pass" if abs(apart) <= _APART_S else "fail"
        return _said("clock", verdict, said, fix)


async def _refuse(call: object) -> Any:
    raise Reject("busy")


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

#: By the code of OpenSSL (X509_V_ERR_*).
_CERTIFICATE_FIXES: Final = (
    ((10,), "Renew the certificate: it has expired. See why `caddy` or `certbot renew` has not done it."),
    ((9,), "The certificate is not valid yet: set the clock of this machine, `timedatectl set-ntp true`."),
    ((62, 64), "Get a certificate for the very name in `VOICEFRAME_PUBLIC_URL`, or set that to a name which it has."),
    ((18, 19), "Get a certificate of a public authority, such as Let's Encrypt: Twilio trusts no other."),
    ((2, 20, 21), "Serve the whole chain (`fullchain.pem`), with a certificate of a public authority."),
    ((), "Get a certificate of a public authority, such as Let's Encrypt, and serve its whole chain."),
)


def _issuer(certificate: Mapping[str, Any]) -> str:
    names = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    return str(names.get("organizationName") or names.get("commonName") or "somebody without a name")


def _proofs(answer: _Answer) -> Mapping[str, Any]:
    try:
        found = json.loads(answer.body) if answer.status == 200 else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _trusting() -> ssl.SSLContext:
    """For what is asked although nobody vouches for it: the local port, and the rest after a bad certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_secrets(url: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(url)
    name = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{name}{parts.path}{'?…' if parts.query else ''}"[:200] if url else ""


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
