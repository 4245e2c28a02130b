"""`voiceframe doctor` on loopback: a gateway, a proxy in front of it with one fault at a time, and an account."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs voiceframe[telephony]")
pytest.importorskip("uvicorn", reason="needs voiceframe[telephony]")

from starlette.applications import Starlette

from voiceframe.app import App
from voiceframe.call import Call
from voiceframe.checks import Check, Report
from voiceframe.cli import main
from voiceframe.doctor import examine
from voiceframe.errors import ConfigurationError
from voiceframe.pipeline import Pipeline
from voiceframe.probe import PROBE, DoctorEndpoint, Signer, probe_routes
from voiceframe.server import Gateway, ServerSettings, serve
from voiceframe.transports.twilio import Twilio, TwilioSettings

pytestmark = pytest.mark.real_time

SECRET = "12345"
TWILIO = TwilioSettings(auth_token=SECRET)
ACCOUNT = "AC" + "0" * 32


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own settings and proxies counts."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("TWILIO_AUTH_TOKEN", "TWILIO_ACCOUNT_SID", "VOICEFRAME_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)


# -- a reverse proxy


@dataclass
class Head:
    """The head of a request, as the proxy passes it on."""

    line: str
    headers: list[tuple[str, str]]

    def drop(self, *names: str) -> None:
        self.headers = [each for each in self.headers if each[0].lower() not in names]


Fault = Callable[[Head, bytes], bytes]
Answered = Callable[[bytes], bytes]


def _as_it_is(head: Head, body: bytes) -> bytes:
    return body


def _unchanged(head: bytes) -> bytes:
    return head


class Proxy:
    """Passes requests on, one on each connection, and upgrades. `fault` may change what goes in, `answered` the head
    of what comes out."""

    def __init__(self, fault: Fault = _as_it_is, answered: Answered = _unchanged, prefix: str = "") -> None:
        self.target = 0
        self.fault, self.answered, self.prefix = fault, answered, prefix
        self.seen: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            head = Head(lines[0], [(name, value) for name, _, value in (x.partition(": ") for x in lines[1:] if x)])
            self.seen.append(head.line)
            length = next((int(value) for name, value in head.headers if name.lower() == "content-length"), 0)
            body = await reader.readexactly(length)
            method, path, version = head.line.split(" ")
            head.line = f"{method} {path.removeprefix(self.prefix)} {version}"
            body = self.fault(head, body)
            head.drop("content-length")
            if length:
                head.headers.append(("Content-Length", str(len(body))))
            back, upstream = await asyncio.open_connection("127.0.0.1", self.target)
            passed = "\r\n".join([head.line, *(f"{name}: {value}" for name, value in head.headers), "", ""])
            upstream.write(passed.encode("latin-1") + body)
            writer.write(self.answered(await back.readuntil(b"\r\n\r\n")))
            await asyncio.gather(_pipe(back, writer), _pipe(reader, upstream))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            for each in (writer, upstream):
                if each is not None:
                    each.close()

    async def aclose(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.asynccontextmanager
async def behind(
    proxy: Proxy, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", **changes: Any
) -> AsyncIterator[ServerSettings]:
    """The settings of a gateway behind this proxy."""
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.target = free_port()
    url = f"http{'s' if tls else ''}://{host}:{server.sockets[0].getsockname()[1]}{proxy.prefix}"
    try:
        yield ServerSettings(public_url=url, port=proxy.target, drain_ms=0, **changes)
    finally:
        server.close()
        await proxy.aclose()
        await server.wait_closed()


async def found(proxy: Proxy, twilio: TwilioSettings = TWILIO, **more: Any) -> dict[str, Check]:
    async with behind(proxy, **more) as settings:
        return by_id(await examine(settings, twilio))


def by_id(report: Report) -> dict[str, Check]:
    return {check.id: check for check in report.checks}


def failing(checks: Mapping[str, Check]) -> set[str]:
    return {check.id for check in checks.values() if check.verdict == "fail"}


def drop(*names: str) -> Fault:
    def fault(head: Head, body: bytes) -> bytes:
        head.drop(*names)
        return body

    return fault


# -- what is right


async def test_behind_a_proxy_that_changes_nothing_all_is_well() -> None:
    proxy = Proxy(prefix="/voice")
    checks = await found(proxy)
    assert failing(checks) == set()
    warned = {id for id, check in checks.items() if check.verdict == "warn"}
    assert warned == {"dns", "tls.certificate"}  # loopback, without TLS
    assert {"gateway.identity", "proxy.signature", "stream.round-trip", "twilio.webhook", "twilio.stream"} <= set(
        checks
    )
    assert all(line.split(" ")[1].startswith("/voice/") for line in proxy.seen)
    assert all(check.evidence for check in checks.values())


async def test_a_gateway_that_listens_is_asked_itself() -> None:
    async with behind(Proxy()) as settings, serving(settings):
        checks = by_id(await examine(settings, TWILIO))
        assert "What listens on" in str(checks["gateway.local"].evidence[0])
        assert failing(checks) == set()


async def test_before_there_is_an_account_the_proxy_can_be_seen_to() -> None:
    checks = await found(Proxy(), TwilioSettings())
    assert failing(checks) == {"secret"}


async def test_shared_keys_sign_as_well_as_the_token() -> None:
    assert failing(await found(Proxy(), TwilioSettings(signing_keys=("one:first", "two:second")))) == set()


def through(call: Call) -> Pipeline:
    return Pipeline([call.transport.input(), call.transport.output()])


@contextlib.asynccontextmanager
async def serving(settings: ServerSettings, twilio: TwilioSettings = TWILIO) -> AsyncIterator[Gateway]:
    """A gateway as `voiceframe run` would have it."""
    app = App(through, Twilio(twilio), DoctorEndpoint(twilio), store=None)
    gateway = Gateway(app, settings)
    stop, up = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(gateway, started=lambda port: up.set(), stop=stop))
    await up.wait()
    try:
        yield gateway
    finally:
        stop.set()
        await task


# -- one fault at a time


async def test_a_path_that_the_proxy_changes() -> None:
    def fault(head: Head, body: bytes) -> bytes:
        head.line = head.line.replace(" /", " /app/", 1)
        return body

    checks = await found(Proxy(fault))
    assert failing(checks) == {"gateway.identity", "twilio.webhook", "twilio.stream"}
    assert "404" in str(checks["gateway.identity"].evidence)
    assert "with the path as it is" in (checks["gateway.identity"].fix or "")


async def test_a_prefix_that_the_proxy_leaves_on() -> None:
    proxy = Proxy(prefix="/voice")
    async with behind(proxy) as settings:
        proxy.prefix = ""
        checks = by_id(await examine(settings, TWILIO))
    assert "take `/voice` off" in (checks["gateway.identity"].fix or "")


async def test_a_query_that_the_proxy_writes_anew() -> None:
    def fault(head: Head, body: bytes) -> bytes:
        head.line = head.line.replace("%c3%A9", "%C3%A9")
        return body

    assert failing(await found(Proxy(fault))) == {"proxy.query", "proxy.signature"}


async def test_a_signature_header_that_is_dropped() -> None:
    checks = await found(Proxy(drop("x-twilio-signature")))
    assert failing(checks) == {
        "proxy.headers",
        "proxy.signature",
        "stream.signature",
        "twilio.webhook",
        "twilio.stream",
    }
    assert checks["proxy.headers"].fix == "Let the proxy pass on `X-Twilio-Signature`."
    assert "signature.missing" in str(checks["proxy.signature"].evidence)


async def test_a_body_that_is_written_anew() -> None:
    checks = await found(Proxy(lambda head, body: body.replace(b"+", b"%20").replace(b"%2b", b"%2B")))
    # Decoded it is the same, so the signature holds; a body of another kind would be refused.
    assert failing(checks) == {"proxy.body"}
    checks = await found(Proxy(lambda head, body: body.replace(b"&Digits=&", b"&")))
    assert failing(checks) == {"proxy.body", "proxy.signature"}


async def test_upgrades_that_are_refused() -> None:
    checks = await found(Proxy(drop("upgrade", "connection")))
    assert failing(checks) == {"stream.upgrade", "twilio.stream"}
    assert "proxy_set_header Upgrade" in (checks["stream.upgrade"].fix or "")
    assert "stream.round-trip" not in checks


async def test_compression_that_the_proxy_agrees_on() -> None:
    proxy = Proxy()

    def agree(head: bytes) -> bytes:
        return head.replace(b"\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n", 1)

    def fault(head: Head, body: bytes) -> bytes:
        offered = any(name.lower() == "sec-websocket-extensions" for name, _ in head.headers)
        proxy.answered = agree if offered else _unchanged
        return body

    proxy.fault = fault
    checks = await found(proxy)
    assert checks["stream.compression"].verdict == "warn"
    assert failing(checks) == set()


async def test_a_redirection_is_not_followed() -> None:
    def answered(head: bytes) -> bytes:
        return b"HTTP/1.1 301 Moved\r\nLocation: https://www.example.com/\r\nContent-Length: 0\r\n\r\n"

    checks = await found(Proxy(answered=answered))
    assert "`https://www.example.com/`" in (checks["gateway.identity"].fix or "")


async def test_another_gateway_answers() -> None:
    # The public URL leads to a process on another port: one with the same secret, which may be right, and one without.
    for twilio, verdict in ((TWILIO, "warn"), (TwilioSettings(auth_token="other"), "fail")):
        proxy = Proxy()
        async with behind(proxy) as settings:
            other = settings.replace(port=free_port())
            proxy.target = other.port
            process = await asyncio.create_subprocess_exec(
                *_ANOTHER, str(other.port), other.public_url, twilio.auth_token, stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            await process.stdout.readline()
            try:
                checks = by_id(await examine(settings, TWILIO))
            finally:
                process.terminate()
                await process.communicate()
            assert checks["gateway.identity"].verdict == verdict


_ANOTHER = (
    sys.executable,
    "-c",
    """
import sys
from voiceframe.app import App
from voiceframe.probe import DoctorEndpoint
from voiceframe.server import ServerSettings, run
from voiceframe.transports.twilio import Twilio, TwilioSettings
twilio = TwilioSettings(auth_token=sys.argv[3])
run(App(None, Twilio(twilio), DoctorEndpoint(twilio), store=None),
    settings=ServerSettings(port=int(sys.argv[1]), public_url=sys.argv[2], drain_ms=0),
    started=lambda gateway, port: print("up", flush=True))
""",
)


async def test_nothing_answers() -> None:
    async with behind(Proxy()) as settings:
        pass
    checks = by_id(await examine(settings, TWILIO))
    assert "ConnectionRefusedError" in str(checks["gateway.identity"].evidence)
    assert failing(checks) == {"gateway.identity", "twilio.webhook", "twilio.stream"}


async def test_a_name_without_an_address() -> None:
    settings = ServerSettings(public_url="https://voice.invalid")
    report = await examine(settings, TWILIO)
    assert failing(by_id(report)) == {"dns"}
    assert {"tls.certificate", "gateway.local", "twilio.webhook"} <= {item.id for item in report.missing}


async def test_something_else_on_the_port() -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        writer.close()

    proxy = Proxy()
    async with behind(proxy) as settings:
        server = await asyncio.start_server(hello, "127.0.0.1", settings.port)
        async with server:
            checks = by_id(await examine(settings, TWILIO))
    assert "the same `TWILIO_AUTH_TOKEN`" in (checks["gateway.identity"].fix or "")


# -- TLS


def certificate(folder: Path, name: str, *, days: tuple[int, int]) -> tuple[Path, Path]:
    """A self-signed certificate for `name`, good from so many days to so many days from now, made by OpenSSL."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no `openssl` here to make a certificate with")
    key, request, made = folder / f"{name}.key", folder / f"{name}.csr", folder / f"{name}.pem"
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    config = folder / "ca.cnf"
    config.write_text(
        f"[ca]\ndefault_ca=it\n[it]\ndatabase={folder}/index.txt\nserial={folder}/serial\nnew_certs_dir={folder}\n"
        "default_md=sha256\npolicy=any\nx509_extensions=ext\nunique_subject=no\n[any]\ncommonName=supplied\n"
        f"[ext]\nsubjectAltName=DNS:{name}\nbasicConstraints=critical,CA:TRUE\n"
    )
    now = datetime.now(UTC)
    start, end = ((now + timedelta(days=day)).strftime("%Y%m%d%H%M%SZ") for day in days)

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, timeout=30)

    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-subj", f"/CN={name}", "-out", str(request))
    run(
        *("ca", "-batch", "-notext", "-selfsign", "-config", str(config), "-keyfile", str(key)),
        *("-in", str(request), "-out", str(made), "-startdate", start, "-enddate", end),
    )
    return made, key


def context(made: Path, key: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made, key)
    return tls


@pytest.mark.parametrize(
    ("name", "days", "trusted", "fails", "warns", "fix"),
    [
        ("localhost", (-1, 90), True, set(), {"dns"}, ""),
        ("localhost", (-1, 5), True, set(), {"dns", "tls.days"}, "Renew"),
        ("localhost", (-9, -1), True, {"tls.certificate"}, {"dns"}, "it has expired"),
        ("localhost", (-1, 90), False, {"tls.certificate"}, {"dns"}, "public authority"),
        ("voice.example.com", (-1, 90), True, {"tls.certificate"}, {"dns"}, "for the very name"),
    ],
    ids=["good", "soon", "expired", "self-signed", "other-name"],
)
async def test_certificates(
    name: str,
    days: tuple[int, int],
    trusted: bool,
    fails: set[str],
    warns: set[str],
    fix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, key = certificate(tmp_path, name, days=days)
    monkeypatch.setenv("SSL_CERT_FILE", str(made) if trusted else "/dev/null")
    checks = await found(Proxy(), tls=context(made, key), host="localhost")
    # Whatever the certificate is like, all else is asked too.
    assert failing(checks) == fails
    assert {id for id, check in checks.items() if check.verdict == "warn"} == warns
    assert fix in ((checks["tls.days"] if "tls.days" in warns else checks["tls.certificate"]).fix or "")


async def test_a_signature_that_can_be_used_again_goes_no_way_that_others_can_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("voiceframe.doctor.visit._is_loopback", lambda host: False)
    proxy = Proxy()
    async with behind(proxy) as settings:
        report = await examine(settings, TWILIO)
    assert failing(by_id(report)) == {"tls.certificate"}
    assert "twilio.stream" in {item.id for item in report.missing}
    assert not any("/twilio/media" in line for line in proxy.seen)


# -- the account


class Rest:
    """What Twilio's REST API says of an account."""

    def __init__(self, *numbers: dict[str, Any], token: str = SECRET, late_s: int = 0, status: str = "active") -> None:
        self.numbers, self.token, self.late_s, self.status = numbers, token, late_s, status
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = lines[0].split(" ")[1]
        self.asked.append(path)
        right = base64.b64encode(f"{ACCOUNT}:{self.token}".encode()).decode()
        root = f"/2010-04-01/Accounts/{ACCOUNT}"
        answer: dict[str, Any] = {"code": 20003, "message": "Authenticate"}
        status = "401 Unauthorized"
        if f"Authorization: Basic {right}" in lines:
            status = "200 OK"
            pages: dict[str, dict[str, Any]] = {
                f"{root}.json": {"sid": ACCOUNT, "status": self.status, "type": "Trial"},
                f"{root}/IncomingPhoneNumbers.json?PageSize=1000": {
                    "incoming_phone_numbers": self.numbers[:1],
                    "next_page_uri": f"{root}/IncomingPhoneNumbers.json?Page=1" if self.numbers[1:] else None,
                },
                f"{root}/IncomingPhoneNumbers.json?Page=1": {
                    "incoming_phone_numbers": self.numbers[1:],
                    "next_page_uri": "https://elsewhere.example.com/",
                },
            }
            answer = pages[path]
        body = json.dumps(answer).encode()
        date = formatdate(time.time() - self.late_s, usegmt=True)
        head = f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()


async def account(rest: Rest, proxy: Proxy | None = None) -> dict[str, Check]:
    server = await asyncio.start_server(rest, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        proxy = proxy or Proxy()
        async with behind(proxy) as settings:
            rest.numbers = tuple(
                {**number, "voice_url": number.get("voice_url", f"{settings.public_url}/twilio/voice")}
                for number in rest.numbers
            )
            twilio = TwilioSettings(auth_token=SECRET, account_sid=ACCOUNT, api_url=url)
            return by_id(await examine(settings, twilio))


OURS = {"phone_number": "+18005551212", "voice_method": "POST"}
OTHER = {"phone_number": "+18005550000", "voice_method": "POST", "voice_url": "https://u:p@demo.twilio.com/x?key=1"}


async def test_an_account_with_a_number_that_asks_us() -> None:
    rest = Rest(OTHER, OURS)
    checks = await account(rest)
    assert failing(checks) == set()
    assert {"twilio.credentials", "twilio.number", "clock"} <= set(checks)
    assert len(rest.asked) == 3
    assert "u:p" not in str(checks["twilio.number"].evidence)
    assert "key=1" not in str(checks["twilio.number"].evidence)


@pytest.mark.parametrize(
    ("rest", "failed"),
    [
        (Rest(OURS, token="another"), {"twilio.credentials"}),
        (Rest(OURS, status="suspended"), {"twilio.credentials"}),
        (Rest(OTHER), {"twilio.number"}),
        (Rest(), {"twilio.number"}),
        (Rest({**OURS, "voice_method": "GET"}), {"twilio.number"}),
        (Rest({**OURS, "voice_application_sid": "AP1"}), {"twilio.number"}),
        (Rest(OURS, late_s=60), {"clock"}),
        (Rest(OURS, late_s=-60), {"clock"}),
    ],
    ids=["token", "suspended", "elsewhere", "none", "get", "application", "slow", "fast"],
)
async def test_what_is_wrong_with_an_account(rest: Rest, failed: set[str]) -> None:
    assert failing(await account(rest)) == failed


async def test_a_rest_api_that_is_not_there() -> None:
    twilio = TwilioSettings(auth_token=SECRET, account_sid=ACCOUNT, api_url=f"http://127.0.0.1:{free_port()}")
    checks = await found(Proxy(), twilio)
    assert failing(checks) == {"twilio.credentials"}
    assert "curl" in (checks["twilio.credentials"].fix or "")


# -- the probe


async def test_who_has_no_ticket_learns_nothing() -> None:
    ours, other = Signer(TWILIO), Signer(TwilioSettings(auth_token="other"))
    fresh = ours.ticket()
    made, nonce, mac = fresh.split("-")
    assert ours.nonce(fresh) == nonce
    assert other.nonce(fresh) is None
    assert ours.nonce(f"{int(made) + 1}-{nonce}-{mac}") is None  # the time is covered
    old = f"{int(made) - 600}-{nonce}"
    assert ours.nonce(f"{old}-{ours._mac('ticket', old)}") is None
    assert Signer(TwilioSettings()).nonce(Signer(TwilioSettings()).ticket()) is None  # nobody has no secret
    # What is proved is no ticket, and neither is a signature of Twilio's.
    assert ours.proof(nonce) != mac

    settings = ServerSettings(public_url="https://voice.example.com", port=free_port(), drain_ms=0)
    async with serving(settings):
        for path in (f"{PROBE}/{other.ticket()}", f"{PROBE}/x", PROBE, "/nothing"):
            reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 404")
            assert answer.endswith(b"Not Found")


async def test_a_gateway_offers_the_probe_with_the_secret_of_its_endpoint() -> None:
    settings = ServerSettings(public_url="https://voice.example.com")
    with_twilio = Gateway(App(lambda call: Pipeline([]), Twilio(TWILIO), store=None), settings)
    assert [route.path for route in Starlette(routes=probe_routes(with_twilio)).routes] == [  # type: ignore[attr-defined]
        PROBE + "/{ticket}",
        PROBE + "/{ticket}/stream",
    ]
    for app in (
        App(lambda call: Pipeline([]), store=None),
        App(lambda call: Pipeline([]), Twilio(TwilioSettings()), store=None),
        App(lambda call: Pipeline([]), Twilio(TWILIO), DoctorEndpoint(TWILIO), store=None),  # it has one
    ):
        assert probe_routes(Gateway(app, settings)) == ()


# -- the command


def test_without_a_public_url_it_says_how_to_get_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError):
        asyncio.run(examine(ServerSettings(), TWILIO))
    assert main(["doctor"]) == 2
    assert "cloudflared" in capsys.readouterr().err


def test_the_command_shows_the_report_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", SECRET)
    monkeypatch.chdir(tmp_path)
    port = str(free_port())
    arguments = ["doctor", "--port", port, "--public-url", f"http://127.0.0.1:{port}"]
    assert main([*arguments, "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["exit_code"]) == ("warn", 0)
    assert SECRET not in json.dumps(said)
    assert main([*arguments, "--strict"]) == 1
    assert "✓ A WebSocket opens" in capsys.readouterr().out
    bot = tmp_path / "mine.py"
    bot.write_text(
        "from voiceframe import App\n"
        "from voiceframe.transports.twilio import Twilio, TwilioSettings\n"
        f"twilio = Twilio(TwilioSettings(auth_token={SECRET!r}, webhook_path='/mine'))\n"
        "app = App(lambda call: None, twilio, store=None)\n"
    )
    monkeypatch.delenv("TWILIO_AUTH_TOKEN")
    assert main(["doctor", str(bot), *arguments[1:]]) == 0
    assert not list(tmp_path.glob("*.db"))
    bot.write_text("1 / 0\n")
    assert main(["doctor", str(bot), *arguments[1:]]) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err
