"""Twilio's REST API: asked over a real socket, of a server that answers as Twilio does, and as it should not."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import pytest

from voiceframe.errors import CarrierError, MissingExtra
from voiceframe.transports.twilio import TwilioRest, TwilioSettings, rest

pytestmark = pytest.mark.real_time

SID, TOKEN = "AC0123456789abcdef0123456789abcdef", "hunter2hunter2hunter2hunter2hunt"
CALL = "CA0123456789abcdef0123456789abcdef"
BASIC = base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()


class Request(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float


class Answer(NamedTuple):
    status: int
    body: object = None  # JSON, or bytes as they are
    headers: dict[str, str] = {}


class Hang(NamedTuple):
    """No answer at all."""


class Drop(NamedTuple):
    """The connection is closed in the middle of an answer."""


def failure(status: int, code: int, message: str = "no", headers: dict[str, str] | None = None) -> Answer:
    """An error as Twilio writes it."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return Answer(status, {"code": code, "message": message, "more_info": more, "status": status}, headers or {})


DONE = Answer(200, {"sid": CALL, "account_sid": SID, "status": "completed", "date_created": None})
OVER = failure(400, 21220, "Call is not in-progress. Cannot redirect.")


class Twilio:
    """A server on this machine. It gives the answers in turn, the last one for ever."""

    def __init__(self, *answers: Answer | Hang | Drop | Callable[[Request], Answer]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.url = ""
        self.asked = asyncio.Event()
        self._hanging: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._hanging.add(task)
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split()
                headers: dict[str, str] = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                now = asyncio.get_running_loop().time()
                request = Request(method, target, headers, body, now)
                self.requests.append(request)
                self.asked.set()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, Hang):
                    await asyncio.Event().wait()
                elif isinstance(answer, Drop):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
                    break
                else:
                    writer.write(_http(answer if isinstance(answer, Answer) else answer(request)))
                    await writer.drain()
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()
            self._hanging.discard(task)

    async def close(self) -> None:
        for task in self._hanging:
            task.cancel()
        await asyncio.gather(*self._hanging, return_exceptions=True)


def _http(answer: Answer) -> bytes:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def asked(*answers: Any, **changes: Any) -> AsyncIterator[tuple[TwilioRest, Twilio]]:
    twilio = Twilio(*answers)
    server = await asyncio.start_server(twilio.serve, "127.0.0.1", 0)
    twilio.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = TwilioSettings(**{"account_sid": SID, "auth_token": TOKEN, "api_url": twilio.url, **changes})
    try:
        async with TwilioRest(settings) as client:
            yield client, twilio
    finally:
        server.close()
        await twilio.close()
        await server.wait_closed()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "no_proxy", "TWILIO_REGION", "TWILIO_EDGE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(rest, "_PAUSE_MS", 2)


async def refused(code: str, client: TwilioRest, call: str = CALL) -> str:
    with pytest.raises(CarrierError) as raised:
        await client.hang_up(call)
    assert raised.value.code == code, str(raised.value)
    said = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert TOKEN not in said
    assert BASIC not in said
    return str(raised.value)


# -- as Twilio answers


async def test_a_call_is_hung_up_as_twilio_documents_it() -> None:
    async with asked(DONE) as (client, twilio):
        assert await client.hang_up(CALL) is True
    (request,) = twilio.requests
    assert (request.method, request.target) == ("POST", f"/2010-04-01/Accounts/{SID}/Calls/{CALL}.json")
    assert request.headers["authorization"] == f"Basic {BASIC}"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode()) == {"Status": ["completed"]}


@pytest.mark.parametrize("answer", [OVER, failure(404, 20404), Answer(404, b"<html>not found</html>")])
async def test_a_call_that_is_over_is_no_failure(answer: Answer) -> None:
    async with asked(answer) as (client, twilio):
        assert await client.hang_up(CALL) is False
        assert len(twilio.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_wrong_credentials_are_named_and_never_shown(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)

    def echo(request: Request) -> Answer:
        return failure(status, 20003, f"not good: {request.headers['authorization']} {TOKEN}")

    async with asked(echo) as (client, twilio):
        said = await refused("carrier.credentials", client)
        assert len(twilio.requests) == 1
    assert "TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN" in said
    logged = caplog.text + "".join(repr(vars(record)) for record in caplog.records)
    assert TOKEN not in logged
    assert BASIC not in logged
    assert SID not in logged


@pytest.mark.parametrize(("status", "code"), [(400, 20001), (400, 21218), (410, 0), (302, 302), (307, 307)])
async def test_a_refusal_is_not_repeated(status: int, code: int) -> None:
    answer = failure(status, code, headers={"Location": "/elsewhere"})
    async with asked(answer) as (client, twilio):
        said = await refused("carrier.refused", client)
        assert len(twilio.requests) == 1  # and no redirection is followed: the credentials would go along
    assert f"({status}, error {code})" in said
    assert f"/errors/{code}`" in said


# -- attempts


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    async with asked(failure(status, 20429), Answer(status, b"<html>"), DONE) as (client, twilio):
        assert await client.hang_up(CALL) is True
        assert len(twilio.requests) == 3
        assert len({request[:2] + request[3:4] for request in twilio.requests}) == 1


async def test_a_call_that_is_over_meanwhile_is_no_failure() -> None:
    async with asked(failure(503, 20503), OVER) as (client, _):
        assert await client.hang_up(CALL) is False


async def test_a_password_of_the_machine_for_that_host_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter3\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with asked(DONE) as (client, twilio):
        assert await client.hang_up(CALL) is True
    assert twilio.requests[0].headers["authorization"] == f"Basic {BASIC}"


@pytest.mark.parametrize("attempts", [1, 3])
async def test_the_attempts_end(attempts: int) -> None:
    async with asked(failure(500, 20500), api_attempts=attempts) as (client, twilio):
        said = await refused("carrier.busy", client)
        assert len(twilio.requests) == attempts
    assert f"in {attempts} attempts" in said


async def test_the_pauses_grow_and_are_not_all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def recorded(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(rest, "_PAUSE_MS", 1_000)
    async with asked(failure(500, 20500), api_attempts=5, api_total_ms=60_000) as (client, _):
        monkeypatch.setattr(asyncio, "sleep", recorded)
        await refused("carrier.busy", client)
        monkeypatch.setattr(asyncio, "sleep", sleep)
    assert len(slept) == 4
    assert all(0.5 * 2**at <= pause <= 2**at for at, pause in enumerate(slept))
    assert len({round(pause / 2**at, 9) for at, pause in enumerate(slept)}) == 4


async def test_retry_after_is_kept() -> None:
    async with asked(failure(429, 20429, headers={"Retry-After": "1"}), DONE) as (client, twilio):
        assert await client.hang_up(CALL) is True
    first, second = twilio.requests
    assert 1 <= second.at - first.at < 3


@pytest.mark.parametrize("text", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "1e9", "", "9" * 400, "nan", "²"])
async def test_a_retry_after_that_cannot_be_read_is_passed_over(text: str) -> None:
    answer = failure(429, 20429, headers={"Retry-After": text})
    answer = answer._replace(headers={"Retry-After": text.encode().decode("latin-1")})
    async with asked(answer, DONE) as (client, _):
        assert await client.hang_up(CALL) is True


async def test_what_would_take_too_long_is_given_up_at_once() -> None:
    async with asked(failure(429, 20429, headers={"Retry-After": "600"})) as (client, twilio):
        started = time.monotonic()
        await refused("carrier.busy", client)
        assert time.monotonic() - started < 3
        assert len(twilio.requests) == 1


# -- time


async def test_a_server_that_hangs_costs_its_time_and_does_not_block_the_loop() -> None:
    gaps: list[float] = []

    async def watch() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    async with asked(Hang(), api_timeout_ms=400) as (client, twilio):
        watching = asyncio.create_task(watch())
        started = time.monotonic()
        said = await refused("carrier.timeout", client)
        waited = time.monotonic() - started
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert len(twilio.requests) == 1  # it may have been done
    assert 0.35 < waited < 3
    assert "400 ms" in said
    assert len(gaps) > 10
    assert max(gaps) < 0.3


async def test_the_whole_is_bounded_too() -> None:
    async with asked(failure(500, 20500), Hang(), api_timeout_ms=60_000, api_total_ms=300) as (client, twilio):
        started = time.monotonic()
        await refused("carrier.timeout", client)
        assert time.monotonic() - started < 3
        assert len(twilio.requests) == 2


async def test_cancelled_it_stops_at_once() -> None:
    async with asked(Hang()) as (client, twilio):
        asking = asyncio.create_task(client.hang_up(CALL))
        await twilio.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asking, 2)


async def test_many_at_once() -> None:
    calls = [f"CA{number:032x}" for number in range(60)]
    async with asked(lambda request: OVER if request.target.endswith("7.json") else DONE) as (client, twilio):
        done = await asyncio.gather(*(client.hang_up(call) for call in calls))
    assert done == [not call.endswith("7") for call in calls]
    assert sorted(request.target.rpartition("/")[2] for request in twilio.requests) == [
        f"{call}.json" for call in calls
    ]


def test_the_sdk_is_loaded_before_calls_come_and_by_nobody_else() -> None:
    script = """
import asyncio, sys
import voiceframe.transports.twilio as module
assert not {"twilio", "aiohttp", "requests"} & set(sys.modules), "loaded too early"

async def main():
    settings = module.TwilioSettings(account_sid="AC1", auth_token="x", api_url="http://127.0.0.1:9")
    async with module.TwilioRest(settings) as rest:
        before = set(sys.modules)
        try:
            await rest.hang_up("CA1")
        except module.rest.CarrierError as error:
            assert error.code == "carrier.unreachable", error
        late = sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in ("twilio", "aiohttp"))
        assert not late, late

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# -- what is no Twilio


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"null", b"7", b'"x"', b"\xff", b"[" * 100_000])
async def test_an_answer_that_is_none_is_an_error(body: bytes) -> None:
    async with asked(Answer(200, body)) as (client, _):
        await refused("carrier.answer", client)


@pytest.mark.parametrize(
    "body",
    [b"[]", b'{"code": "x", "message": {}}', b'{"type":1,"title":2,"status":"x","code":[]}', b"\xff", b"[" * 100_000],
)
async def test_a_refusal_in_other_words_is_an_error(body: bytes) -> None:
    async with asked(Answer(400, body)) as (client, _):
        with pytest.raises(CarrierError) as raised:
            await client.hang_up(CALL)
        assert raised.value.code in {"carrier.refused", "carrier.answer"}


async def test_a_connection_that_breaks_is_an_error() -> None:
    async with asked(Drop()) as (client, twilio):
        said = await refused("carrier.unreachable", client)
        assert len(twilio.requests) == 1
        assert twilio.url in said


async def test_one_that_cannot_be_made_is_an_error() -> None:
    async with asked(DONE) as (_, twilio):
        url = twilio.url
    async with TwilioRest(TwilioSettings(account_sid=SID, auth_token=TOKEN, api_url=url)) as client:
        assert f"`curl {url}`" in await refused("carrier.unreachable", client)


# -- where it goes


async def test_a_proxy_is_used_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asked(DONE, api_url="http://api.twilio.invalid") as (client, twilio):
        monkeypatch.setenv("HTTP_PROXY", twilio.url)
        assert await client.hang_up(CALL) is True
    assert twilio.requests[0].target == f"http://api.twilio.invalid/2010-04-01/Accounts/{SID}/Calls/{CALL}.json"
    async with asked(DONE) as (client, _):  # but not to a host that it leaves out
        monkeypatch.setenv("HTTP_PROXY", twilio.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert await client.hang_up(CALL) is True


async def test_a_region_does_not_get_into_an_address_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    async with asked(DONE) as (client, _):
        assert await client.hang_up(CALL) is True


async def test_it_can_be_used_again_after_it_was_closed() -> None:
    async with asked(DONE) as (client, twilio):
        await client.hang_up(CALL)
        await client.aclose()
        await client.aclose()
        assert await client.hang_up(CALL) is True
        assert len(twilio.requests) == 2


# -- what is not asked


@pytest.mark.parametrize("call", ["", "CA1/../../x", "CA1?x", "CA1\n", "é", "\ud800", "x" * 65, "../Calls"])
async def test_what_is_no_id_does_not_get_into_a_url(call: str) -> None:
    async with asked(DONE) as (client, twilio):
        await refused("carrier.call", client, call)
        assert twilio.requests == []


@pytest.mark.parametrize("name", ["account_sid", "auth_token"])
def test_without_account_or_token_there_is_nothing_to_ask_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TWILIO_{name.upper()}", "from the environment, where the SDK would find it")
    settings = TwilioSettings(**{"account_sid": SID, "auth_token": TOKEN, name: ""})  # type: ignore[arg-type]
    with pytest.raises(CarrierError) as raised:
        TwilioRest(settings)
    assert raised.value.code == "carrier.account"
    assert f"`TWILIO_{name.upper()}`" in str(raised.value)


def test_without_the_sdk_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "twilio.rest", None)
    with pytest.raises(MissingExtra, match=r"voiceframe\[telephony\]"):
        TwilioRest(TwilioSettings(account_sid=SID, auth_token=TOKEN))
