"""Those who attack the gateway in `benchmarks.hostile`, in a process of their own: over real sockets, seeded, bounded.

Each attack is one connection, or a few, of one kind, with a generator of its own. What the gateway does about it is
counted: an answer, a close code, a dropped connection; or that it is still open when the attacker has had enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import socket
import struct
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from voiceframe.transports.twilio.signature import HEADER, sign

from ._hostile_calls import form, frame, opening, started, token_of
from ._hostile_server import SECRET, URL, core

__all__ = ["Attacks", "main"]

#: How long an attacker waits for what the gateway does, and then goes.
PATIENCE_S: Final = 12.0
#: Connections at the same time.
MOST: Final = 400
#: Calls at the same time of those who have a token: they are dear as calls, not for what they say.
_MOST_CALLS: Final = 20
#: Bytes in one write, at most: what a gateway may find when it reads once.
_WRITE: Final = 65_536
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass
class Attacks:
    """What they have done, and what came of it. spoiled: what went wrong with an attack itself."""

    messages: int = 0
    handshakes: int = 0
    bytes: int = 0
    #: Connections at the same time, at most.
    most: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    spoiled: list[str] = field(default_factory=list)


class _World:
    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.seed = seed
        self.found = Attacks()
        #: How many messages may be sent, and connections be opened.
        self.allowance = self.due = 0.0
        self.calling = 0
        self._calls = 0

    async def allowed(self, messages: int) -> None:
        """Wait until so many messages may be sent."""
        while self.allowance < 1:  # noqa: ASYNC110 - it fills by the clock
            await asyncio.sleep(0.01)
        self.allowance -= messages
        self.found.messages += messages

    def call(self) -> str:
        self._calls += 1
        return f"CAbad{self.seed}x{self._calls}"

    async def token(self, sid: str) -> str:
        """Who has the secret, or has read along, may have one."""
        body = form(sid)
        peer = await Peer.open(self)
        try:
            await peer.send(
                request(body, {"Content-Type": _FORM, HEADER: sign(URL + "/twilio/voice", body, _FORM, SECRET)})
            )
            return token_of((await peer.answer())[1])
        finally:
            peer.abort()


class Peer:
    """A hostile connection."""

    def __init__(self, world: _World, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._world = world
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, world: _World, *, deaf: bool = False) -> Peer:
        """deaf: it is going to take nothing of what the gateway sends, but for some KB in the kernel."""
        sock = socket.socket()
        sock.setblocking(False)
        if deaf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", world.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=65_536)
        world.found.handshakes += 1
        world.due -= 1
        return cls(world, reader, writer)

    async def send(self, data: bytes) -> None:
        """Raises `ConnectionError` when the gateway has had enough."""
        self._world.found.bytes += len(data)
        for at in range(0, len(data), _WRITE):
            self._writer.write(data[at : at + _WRITE])
            await self._writer.drain()

    def stop_reading(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def flood(self, frames: Sequence[bytes], *, burst: int) -> None:
        """Send these, so many at a time in one write, as fast as attackers may."""
        for at in range(0, len(frames), burst):
            some = frames[at : at + burst]
            await self._world.allowed(len(some))
            await self.send(b"".join(some))

    async def upgraded(self, *more: str, signature: str | None = None, path: str = "/twilio/media") -> int:
        """Ask for a stream. Returns the status of the answer."""
        await self.send(opening(*more, signature=signature, path=path))
        return (await self.answer(body=False))[0]

    async def answer(self, *, body: bool = True) -> tuple[int, str]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        size = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        return status, (await self._reader.readexactly(size)).decode() if body else ""

    async def fate(self, wait_s: float = PATIENCE_S) -> str:
        """What the gateway does about this connection: a close code, an HTTP status, "dropped", or "still open"."""
        said = bytearray()
        with contextlib.suppress(ConnectionError):
            try:
                async with asyncio.timeout(wait_s):
                    while data := await self._reader.read(65_536):
                        said += data
                        if found := _last(said):
                            return found
            except TimeoutError:
                return "still open"
        return "dropped"

    def abort(self) -> None:
        self._writer.transport.abort()


def _last(said: bytearray) -> str:
    """The last word of the gateway: a status if it speaks HTTP, else the code of its close frame. Takes out what is
    none."""
    if said.startswith(b"HTTP/1.1 "):
        return f"HTTP {said[9:12].decode()}" if len(said) >= 12 else ""
    while len(said) >= 4:
        size, begin = said[1], 2
        if size == 126:
            size, begin = int.from_bytes(said[2:4], "big"), 4
        if len(said) < begin + size:
            break
        if said[0] == 0x88:
            return f"close {int.from_bytes(said[begin : begin + 2], 'big')}" if size else "close without a code"
        del said[: begin + size]
    return ""


def request(body: bytes, headers: dict[str, str], *, path: str = "/twilio/voice", size: int | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: voice.test", *(f"{name}: {value}" for name, value in headers.items())]
    lines += [f"Content-Length: {len(body) if size is None else size}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


# -- the kinds. Each gets the world and its generator, and returns what came of it.

Kind: TypeAlias = Callable[[_World, random.Random], Awaitable[str]]


def says(data: Callable[[random.Random], bytes], *, trickles: float = 0.0) -> Kind:
    """An attack that says this on a new connection. trickles: seconds between its bytes, else all at once."""

    async def attack(world: _World, rng: random.Random) -> str:
        peer = await Peer.open(world)
        try:
            said = data(rng)
            if not trickles:
                await peer.send(said)
                return await peer.fate()
            fate = asyncio.ensure_future(peer.fate())
            for at in range(len(said)):
                if fate.done():
                    break
                await peer.send(said[at : at + 1])
                await asyncio.sleep(trickles)
            return await fate
        finally:
            peer.abort()

    return attack


def headers_without_end(rng: random.Random) -> bytes:
    return b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(50))


def half_a_request(rng: random.Random) -> bytes:
    return request(b"CallSid=CA1", {"Content-Type": _FORM}, size=rng.choice((12, 5_000, 900_000)))


def huge_headers(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 300_000 + b"\r\n\r\n"
    return b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(6_000)) + b"\r\n"


def tls_hello(rng: random.Random) -> bytes:
    return b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(508)


def odd_request(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
            b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n",
            b"GET /%00%ff/../\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
            b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /twilio/media HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            opening("Sec-WebSocket-Key: twice"),
            opening().replace(b"Version: 13", b"Version: 99"),
            opening().replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
        )
    )


def wrong_webhook(rng: random.Random) -> bytes:
    body = form("CA" + "0" * 32)
    right = sign(URL + "/twilio/voice", body, _FORM, SECRET)
    digest = hashlib.sha256(body).hexdigest()
    return rng.choice(
        (
            request(body, {"Content-Type": _FORM}),
            request(body, {"Content-Type": _FORM, HEADER: b64encode(rng.randbytes(20)).decode()}),
            request(
                body, {"Content-Type": _FORM, HEADER: sign("https://evil.example/twilio/voice", body, _FORM, SECRET)}
            ),
            request(body + b"&x=y", {"Content-Type": _FORM, HEADER: right}),
            request(body, {"Content-Type": "application/json", HEADER: right}),
            request(
                body, {"Content-Type": "text/plain", HEADER: right}, path=f"/twilio/voice?bodySHA256={digest[:-1]}x"
            ),
            request(b"&".join(b"a%d=%%zz" % n for n in range(1_200)), {"Content-Type": _FORM, HEADER: right}),
            request(b"a" * 200_000, {"Content-Type": _FORM, HEADER: right}),
            request(b"", {HEADER: right}, size=2_000_000),
        )
    )


async def wrong_handshake(world: _World, rng: random.Random) -> str:
    """Not signed, or not by who has the secret."""
    peer = await Peer.open(world)
    try:
        signature = rng.choice(
            ("", "AAAA", b64encode(rng.randbytes(20)).decode(), sign(URL, b"", "", SECRET), "x" * 5_000)
        )
        return f"HTTP {await peer.upgraded(signature=signature)}"
    finally:
        peer.abort()


async def gone_at_once(world: _World, rng: random.Random) -> str:
    """It asks, and does not wait for the answer."""
    peer = await Peer.open(world)
    await peer.send(rng.choice((opening(), opening() + frame(b"{}"), half_a_request(rng), opening()[:100])))
    await asyncio.sleep(rng.choice((0, 0.001, 0.05)))
    peer.abort()
    return "gone"


def frames(make: Callable[[random.Random], Sequence[bytes]], *, burst: int = 1, deaf: bool = False) -> Kind:
    """An attack that opens a stream, as one who has seen a handshake of the carrier can, and then sends these."""

    async def attack(world: _World, rng: random.Random) -> str:
        peer = await Peer.open(world, deaf=deaf)
        try:
            if (status := await peer.upgraded()) != 101:
                return f"HTTP {status}"
            if deaf:
                peer.stop_reading()
            fate = asyncio.ensure_future(peer.fate())
            with contextlib.suppress(ConnectionError):
                await peer.flood(make(rng), burst=burst)
            return await fate
        finally:
            peer.abort()

    return attack


def broken_frame(rng: random.Random) -> Sequence[bytes]:
    return (
        rng.choice(
            (
                frame(b"{}", masked=False),
                frame(b"{}", first=0xC0),
                frame(b"{}", first=0xF0),
                frame(b"{}", 3),
                frame(b"", 11),
                frame(b"{}", 9, first=0),  # a ping in parts
                frame(b"x" * 126, 9),
                frame(b"{}", 0),  # the rest of nothing
                frame(b"{", first=0) + frame(b"{}"),  # another one in the middle of one
                struct.pack("!BBQ", 0x81, 0xFF, 2**63 + 5),
                struct.pack("!BBQ", 0x81, 0xFF, 2**62) + b"\0\0\0\0abc",
                struct.pack("!BBQ", 0x82, 0xFF, 70_000) + b"\0\0\0\0",
                frame(b"\xff\xfe"),
                frame(b"\xed\xa0\x80"),
                rng.randbytes(300),
            )
        ),
    )


def odd_close(rng: random.Random) -> Sequence[bytes]:
    code = rng.choice((0, 999, 1004, 1005, 1006, 1015, 2_999, 5_000, 65_535))
    return (
        rng.choice((frame(struct.pack("!H", code), 8), frame(b"\x03", 8), frame(b"\x03\xe8\xff", 8), frame(b"", 8))),
    )


def pings(rng: random.Random) -> Sequence[bytes]:
    return [frame(rng.randbytes(rng.choice((0, 125))), rng.choice((9, 10)))] * rng.choice((50, 300))


def fragments(rng: random.Random) -> Sequence[bytes]:
    """A message in parts that never ends, of no bytes or of many."""
    size = rng.choice((0, 1, 400))
    return [frame(b"x" * size, first=0), *[frame(b"x" * size, 0, first=0)] * 200]


def binary(rng: random.Random) -> Sequence[bytes]:
    return [frame(rng.randbytes(rng.choice((0, 300, 60_000))), 2)] * rng.choice((1, 20))


def unknown_events(rng: random.Random) -> Sequence[bytes]:
    return [frame(b'{"event":"%b"}' % (b"x" * rng.choice((1, 1, 200))))] * rng.choice((100, 500))


def huge_messages(rng: random.Random) -> Sequence[bytes]:
    size = rng.choice((65_000, 65_537, 200_000, 1_000_000))
    inner = rng.choice((b"[" * 60_000, b"[]," * 20_000, b"9" * 60_000, b'"' + b"\\u0100" * 10_000 + b'"'))
    if size == 65_000:
        return [frame(b'{"event":"clap","x":' + inner)] * 3
    return (frame(b'{"event":"' + b"x" * size + b'"}'),)


def no_token(rng: random.Random) -> Sequence[bytes]:
    sid = "CA" + "0" * 32
    return (started(sid, rng.choice(("", "guess", rng.randbytes(32).hex(), "x" * 9_000))),)


def media(number: int, payload: bytes) -> bytes:
    return (
        b'{"event":"media","sequenceNumber":"%d","streamSid":"MZ1","media":{"track":"inbound","chunk":"%d",'
        b'"timestamp":"%d","payload":"%b"}}' % (number + 2, number + 1, number * 20, b64encode(payload))
    )


async def in_a_call(
    world: _World,
    rng: random.Random,
    make: Callable[[random.Random], Sequence[bytes]],
    burst: int = 1,
    *,
    deaf: bool = False,
) -> str:
    """Somebody who has a token has a call, and then sends these."""
    if world.calling >= _MOST_CALLS:
        return await foreign_token(world, rng)
    sid = world.call()
    world.calling += 1
    token = await world.token(sid)
    peer = await Peer.open(world, deaf=deaf)
    try:
        if (status := await peer.upgraded()) != 101:
            return f"HTTP {status}"
        if deaf:
            peer.stop_reading()
        fate = asyncio.ensure_future(peer.fate())
        with contextlib.suppress(ConnectionError):
            await peer.send(started(sid, token))
            await peer.flood(make(rng), burst=burst)
        return await fate
    finally:
        world.calling -= 1
        peer.abort()


def calls(make: Callable[[random.Random], Sequence[bytes]], *, burst: int = 1, deaf: bool = False) -> Kind:
    return lambda world, rng: in_a_call(world, rng, make, burst, deaf=deaf)


def mutated(rng: random.Random) -> Sequence[bytes]:
    """What a stream sends, with bytes of it changed, cut, doubled, or in another order."""
    messages = [media(number, rng.randbytes(160)) for number in range(20)]
    messages += [b'{"event":"mark","streamSid":"MZ1","mark":{"name":"1"}}', b'{"event":"dtmf","dtmf":{"digit":"5"}}']
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(messages))
        message = messages[at]
        spot = rng.randrange(len(message) + 1)
        match rng.randrange(6):
            case 0:
                messages[at] = message[:spot]
            case 1:
                messages[at] = message[:spot] + rng.randbytes(3) + message[spot:]
            case 2:
                messages[at] = message.replace(b'"payload":"', b'"payload":"' + rng.choice((b"!", b"====", b"A")))
            case 3:
                messages[at] = message.replace(b'"media"', rng.choice((b'"Media"', b'"start"', b'""', b"null")), 1)
            case 4:
                messages.insert(rng.randrange(len(messages)), message)
            case _:
                rng.shuffle(messages)
    return [frame(message) for message in messages]


def second_start(rng: random.Random) -> Sequence[bytes]:
    return (frame(media(0, bytes(160))), started("CA1", "again"))


def too_much_sound(rng: random.Random) -> Sequence[bytes]:
    return [frame(media(number, b"\xff" * 160)) for number in range(300)]


def large_sound(rng: random.Random) -> Sequence[bytes]:
    """As much sound in a message as it may hold; two of them are more than the time allows."""
    return [frame(media(number, b"\xff" * 48_000)) for number in range(3)]


def some_sound(rng: random.Random) -> Sequence[bytes]:
    return [frame(media(number, b"\xff" * 160)) for number in range(20)]


async def foreign_token(world: _World, rng: random.Random) -> str:
    token = await world.token(world.call())
    peer = await Peer.open(world)
    try:
        if (status := await peer.upgraded()) != 101:
            return f"HTTP {status}"
        await peer.send(started(world.call(), token))
        return await peer.fate()
    finally:
        peer.abort()


async def many_at_once(world: _World, rng: random.Random) -> str:
    """More connections in one moment than a gateway may take in one turn of its loop."""
    peers = await asyncio.gather(*(Peer.open(world) for _ in range(40)))
    await asyncio.sleep(0.1)
    for peer in peers:
        peer.abort()
    return "gone"


#: Each kind: how often, and what it is.
KINDS: Final[dict[str, tuple[int, Kind]]] = {
    "idle": (3, says(lambda _: b"")),
    "40 connections at once": (1, many_at_once),
    "slow headers": (3, says(headers_without_end, trickles=0.1)),
    "half a request": (4, says(half_a_request)),
    "garbage": (4, says(lambda rng: rng.randbytes(rng.randrange(1, 3_000)))),
    "HTTP/2": (2, says(lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")),
    "TLS": (2, says(tls_hello)),
    "huge headers": (3, says(huge_headers)),
    "odd request": (6, says(odd_request)),
    "wrong webhook": (8, says(wrong_webhook)),
    "gone at once": (6, gone_at_once),
    "handshake, wrong signature": (8, wrong_handshake),
    "stream, broken frame": (8, frames(broken_frame)),
    "stream, odd close": (4, frames(odd_close)),
    "stream, silent": (2, frames(lambda _: ())),
    "stream, ping flood": (3, frames(pings, burst=100)),
    "stream, ping flood, not reading": (2, frames(pings, burst=100, deaf=True)),
    "stream, endless fragments": (3, frames(fragments, burst=100)),
    "stream, binary": (4, frames(binary, burst=10)),
    "stream, unknown events": (3, frames(unknown_events, burst=200)),
    "stream, huge": (4, frames(huge_messages)),
    "stream, wrong token": (6, frames(no_token)),
    "stream, foreign token": (3, foreign_token),
    "call, mutated": (10, calls(mutated)),
    "call, second start": (2, calls(second_start)),
    "call, binary": (2, calls(binary)),
    "call, huge": (2, calls(huge_messages)),
    "call, too much sound": (3, calls(too_much_sound, burst=200)),
    "call, large sound": (2, calls(large_sound)),
    "call, ping flood": (2, calls(pings, burst=100)),
    "call, not reading": (2, calls(some_sound, burst=20, deaf=True)),
}


async def _attack(world: _World, name: str, kind: Kind, rng: random.Random) -> None:
    found = world.found
    try:
        async with asyncio.timeout(PATIENCE_S * 2):
            found.outcomes[name, await kind(world, rng)] += 1
    except (ConnectionError, asyncio.IncompleteReadError):
        found.outcomes[name, "dropped"] += 1
    except TimeoutError:
        found.outcomes[name, "no answer"] += 1
    except asyncio.CancelledError:
        found.outcomes[name, "open at the end"] += 1
        raise
    except Exception as error:
        found.spoiled.append(f"{name}: {error!r}")


async def attack(port: int, phases: Sequence[tuple[float, float]], rate: float, seed: int, only: str = "") -> Attacks:
    """Attack within these times of the monotonic clock, with so many messages and a twentieth as many connections per
    second. Between them there is nobody."""
    world = _World(port, seed)
    names = [name for name in KINDS if name.startswith(only)]
    weights = [KINDS[name][0] for name in names]
    order = random.Random(seed).sample(names, len(names))  # each of them once, and then as it comes
    number = 0
    for begin, end in phases:
        await asyncio.sleep(begin - time.monotonic())
        running: set[asyncio.Task[None]] = set()
        last = time.monotonic()
        while (now := time.monotonic()) < end:
            world.allowance = min(world.allowance + rate * (now - last), rate / 10)
            world.due = min(world.due + rate / 20 * (now - last), 10.0)
            last = now
            for _ in range(min(int(world.due), MOST - len(running))):
                rng = random.Random(f"{seed} {number}")
                name = order[number] if number < len(order) else rng.choices(names, weights)[0]
                number += 1
                task = asyncio.create_task(_attack(world, name, KINDS[name][1], rng))
                running.add(task)
                task.add_done_callback(running.discard)
            world.found.most = max(world.found.most, len(running))
            await asyncio.sleep(0.01)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return world.found


def main(pipe: Connection, port: int, rate: float, seed: int, only: str) -> None:
    """What the process does: says that it is there, is told when to attack, and tells what it has done."""
    core(1)
    with contextlib.suppress(AttributeError):
        os.nice(5)  # behind the calls, with which it shares a core
    pipe.send("ready")
    phases = pipe.recv()
    pipe.send(asyncio.run(attack(port, phases, rate, seed, only)))
