"""Strangers attack the gateway over real sockets: no call beside them is disturbed, and nothing is left of them.

The first test is a short run of `benchmarks/hostile.py`, which tells how late calls are: a test asks no times of a busy
machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("msgspec", reason="needs voiceframe[telephony]")
pytest.importorskip("starlette", reason="needs voiceframe[telephony]")
pytest.importorskip("uvicorn", reason="needs voiceframe[telephony]")

from benchmarks._hostile_attacks import KINDS
from benchmarks._hostile_calls import frame, opening
from benchmarks._hostile_server import SECRET, URL
from benchmarks.hostile import report, run
from voiceframe import App, Call, Pipeline
from voiceframe.server import Gateway, ServerSettings, serve
from voiceframe.transports.twilio import Twilio, TwilioSettings

pytestmark = [pytest.mark.slow, pytest.mark.real_time]

CALLS = 20


@pytest.mark.parametrize("seed", [1, 2])
def test_calls_beside_attackers_are_undisturbed(seed: int) -> None:
    result = run(calls=CALLS, seconds=3, turns=1, rate=2_000, seed=seed)
    told = report(result, kinds=True)
    assert not result.wrong, told
    attacks, watched = result.attacks, result.watched
    assert {kind for kind, _ in attacks.outcomes} == set(KINDS), told
    assert attacks.messages > 1_500
    assert attacks.handshakes > 100
    # Each was sent all its sound in order, as `wrong` knows, and hardly ever too late for the 180 ms in hand.
    assert len(watched.calls) == CALLS
    assert sum(tally.underruns for tally in watched.calls.values()) <= 5 * CALLS, told
    assert result.late_ms(attacked=True, percent=99).median < 1_000, told
    # Of the attackers nothing is left, and in the end of the calls neither.
    first, left = watched.samples[0], watched.left
    assert left["files"] <= first.files + 3, told
    assert left["tasks"] <= first.tasks + 3, told


# -- one stranger alone


@contextlib.asynccontextmanager
async def stranger() -> AsyncIterator[tuple[socket.socket, asyncio.Event, asyncio.Task[int]]]:
    """A connection to a gateway, what stops that, and its task."""

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), call.transport.output()])

    loop = asyncio.get_running_loop()
    app = App(bot, Twilio(TwilioSettings(auth_token=SECRET)), store=None)
    gateway = Gateway(app, ServerSettings(public_url=URL, port=0, drain_ms=0))
    stop, port = asyncio.Event(), loop.create_future()
    task = loop.create_task(serve(gateway, started=port.set_result, stop=stop))
    peer = socket.socket()
    peer.setblocking(False)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    try:
        await loop.sock_connect(peer, ("127.0.0.1", await port))
        yield peer, stop, task
    finally:
        peer.close()
        stop.set()
        assert await task == 0


UNREAD = {
    "answers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 500,
    "pongs": frame(b"x" * 125, 9) * 500,
}


@pytest.mark.parametrize("what", UNREAD)
async def test_who_takes_nothing_does_not_keep_the_gateway_from_stopping(what: str) -> None:
    async with stranger() as (peer, stop, task):
        loop = asyncio.get_running_loop()
        if what == "pongs":
            await loop.sock_sendall(peer, opening())
            await loop.sock_recv(peer, 4_096)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(300):  # 20 MB are more than the kernel keeps
                await asyncio.wait_for(loop.sock_sendall(peer, UNREAD[what]), 1)
        await asyncio.sleep(12)  # until nothing goes any more
        stop.set()
        assert (await asyncio.wait((task,), timeout=15))[0]


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
async def test_a_request_that_does_not_come_is_not_waited_for(said: bytes) -> None:
    async with stranger() as (peer, _, _):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, said)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(loop.sock_recv(peer, 4_096), 15) in (b"", b"HTTP/1.1 408")


async def test_a_head_of_very_many_lines_is_refused() -> None:
    async with stranger() as (peer, _, _):
        loop = asyncio.get_running_loop()
        lines = b"".join(b"X-%d: y\r\n" % number for number in range(5_000))
        await loop.sock_sendall(peer, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")
        assert (await asyncio.wait_for(loop.sock_recv(peer, 4_096), 5)).startswith(b"HTTP/1.1 4")


async def test_half_a_body_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with stranger() as (peer, _, _):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nCallSid")
        await asyncio.sleep(0.1)
        peer.close()
        await asyncio.sleep(0.2)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
