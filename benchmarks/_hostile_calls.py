"""The well-behaved calls of `benchmarks.hostile`, in a process of their own: they come as Twilio's, at its pace.

Each sends 20 ms of sound every 20 ms, and notes when each message of the bot came: by the kernel's time stamp where
there is one, so that it does not matter when this process had time to read it. What it is late itself is told beside.

How late a message is, is counted from the tick at which it was due. The gateway sends on a grid of 20 ms of the
monotonic clock, which all processes of a machine share, and always up to 200 ms ahead of the clock: so the samples that
came before tell which tick the one before was, and the next one was due 20 ms later.
"""

from __future__ import annotations

import http.client
import math
import re
import select
import socket
import struct
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from voiceframe.transports.twilio.signature import HEADER, sign

from ._hostile_server import PIECE, SECRET, URL, core, numbered, sound

__all__ = ["AHEAD_S", "Called", "Calls", "ask", "form", "frame", "main", "opening", "started", "token_of"]

#: How far the gateway sends ahead of the clock, and at which pace.
AHEAD_S: Final = 0.2
_TICK_S: Final = 0.02
#: Messages that come so close to each other belong to one tick.
_TOGETHER_S: Final = 0.002
#: How well the time of a tick is known from its samples.
_SURE_S: Final = 0.0005
#: `SO_TIMESTAMPNS` of Linux: the socket module does not name it.
_STAMPED: Final = 35
_FORM: Final = "application/x-www-form-urlencoded; charset=UTF-8"


@dataclass
class Called:
    """What one call came to, seen by Twilio."""

    sid: str
    sent: int = 0
    #: Pieces of the bot's sound that are not what it said next.
    wrong: int = 0
    samples: int = 0
    closed: str = ""
    #: When each message came, and how many samples.
    came: list[tuple[float, int]] = field(default_factory=list, repr=False)
    #: For each tick: when it was due, how late it came, and the sound that was left in hand just before, both in ms.
    ticks: list[tuple[float, float, float]] = field(default_factory=list, repr=False)


@dataclass
class Calls:
    """What all of them came to. late, unread: this process's own, in ms: its clock, and from arrival to reading."""

    calls: list[Called]
    late: list[tuple[float, float]]
    unread: list[tuple[float, float]]


# -- the words of Twilio, also for those who only pretend


def ask(port: int, body: bytes, headers: dict[str, str] | None = None, path: str = "/twilio/voice") -> tuple[int, str]:
    """Ask the webhook, signed if no headers are given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        signed = {"Content-Type": _FORM, HEADER: sign(URL + path, body, _FORM, SECRET)}
        connection.request("POST", path, body, signed if headers is None else headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def form(sid: str) -> bytes:
    return urlencode({"CallSid": sid, "From": "+14155550101", "To": "+14155550199", "CallStatus": "ringing"}).encode()


def token_of(answer: str) -> str:
    """The token in an answer of the webhook."""
    found = re.search(r'name="token" value="([^"]+)"', answer)
    assert found is not None, answer
    return found[1]


def opening(*more: str, signature: str | None = None, path: str = "/twilio/media") -> bytes:
    """What asks for a stream. signature: another than the right one, "" for none."""
    if signature is None:
        signature = sign("ws" + URL.removeprefix("http") + path, b"", "", SECRET)
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: voice.test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *([f"{HEADER}: {signature}"] if signature else []),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(payload: bytes, opcode: int = 1, *, first: int = 0x80, masked: bool = True) -> bytes:
    """A frame of a client. first: the bits before the opcode. The mask is of zeros, which costs nobody anything."""
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first | opcode, bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first | opcode, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first | opcode, bit | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def started(sid: str, token: str) -> bytes:
    """The messages with which a stream begins."""
    start = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token},
    }
    message = {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start}
    connected = b'{"event":"connected","protocol":"Call","version":"1.0.0"}'
    return frame(connected) + frame(msgspec.json.encode(message))


# -- a call


class _Clock:
    """The monotonic clock, and how far the wall clock, by which the kernel stamps, is ahead of it."""

    def __init__(self) -> None:
        self.ahead = time.time() - time.monotonic()

    def monotonic(self) -> float:
        before, wall, now = time.monotonic(), time.time(), time.monotonic()
        if now - before < 20e-6:  # else something came between
            self.ahead = wall - (before + now) / 2
        return now


_clock: Final = _Clock()


class _Call:
    def __init__(self, port: int, sid: str, said: bytes) -> None:
        self.found = Called(sid)
        self._said, self._round = said * 2, len(said)
        status, answer = ask(port, form(sid))
        assert status == 200, (status, answer)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(opening())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            assert byte, head
            head += byte
        assert head.startswith(b"HTTP/1.1 101"), head
        self._leaving = False
        self._stamped = False
        if hasattr(select, "epoll"):
            self.socket.setsockopt(socket.SOL_SOCKET, _STAMPED, 1)
            self._stamped = True
        self.socket.sendall(started(sid, token_of(answer)))
        self.socket.setblocking(False)
        self._buffer = bytearray()

    def send(self) -> None:
        """The caller's next 20 ms."""
        found = self.found
        if found.closed:
            return
        audio = b64encode(numbered(found.sent))
        message = (
            b'{"event":"media","sequenceNumber":"%d","streamSid":"MZ1","media":{"track":"inbound","chunk":"%d",'
            b'"timestamp":"%d","payload":"%b"}}' % (found.sent + 2, found.sent + 1, found.sent * 20, audio)
        )
        self._put(frame(message))
        found.sent += 1

    def hang_up(self) -> None:
        self._leaving = True
        stop = b'{"event":"stop","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"%b"}}'
        self._put(frame(stop % self.found.sid.encode()))

    def _put(self, data: bytes) -> None:
        try:
            sent = self.socket.send(data)
        except OSError as error:
            self.found.closed = self.found.closed or repr(error)
            return
        if sent != len(data):  # some hundred messages are not taken
            self.found.closed = "the gateway does not read"

    def read(self) -> float:
        """What has come. Returns for how many seconds it has been there."""
        try:
            data, more, _, _ = self.socket.recvmsg(262_144, 128)
        except BlockingIOError:
            return 0.0
        except OSError as error:
            self.found.closed = self.found.closed or repr(error)
            return 0.0
        now = at = _clock.monotonic()
        if not data:
            self.found.closed = self.found.closed or "dropped"
            return 0.0
        for level, kind, value in more if self._stamped else ():
            if level == socket.SOL_SOCKET and kind == _STAMPED:
                seconds, nanoseconds = struct.unpack("qq", value[:16])
                at = min(now, seconds - _clock.ahead + nanoseconds / 1e9)
        self._buffer += data
        self._take(at)
        return now - at

    def _take(self, at: float) -> None:
        buffer = self._buffer
        while len(buffer) >= 2:
            size, begin = buffer[1], 2
            if size == 126 and len(buffer) >= 4:
                size, begin = int.from_bytes(buffer[2:4], "big"), 4
            elif size == 127 and len(buffer) >= 10:
                size, begin = int.from_bytes(buffer[2:10], "big"), 10
            elif size > 125:
                return
            if len(buffer) < begin + size:
                return
            self._message(buffer[0] & 15, bytes(buffer[begin : begin + size]), at)
            del buffer[: begin + size]

    def _message(self, opcode: int, payload: bytes, at: float) -> None:
        found = self.found
        if opcode == 8:
            code = int.from_bytes(payload[:2], "big")
            found.closed = found.closed or f"{code} {payload[2:].decode('utf-8', 'replace')}"
        elif opcode == 9:
            self._put(frame(payload, 10))
        elif opcode == 1:
            message: Any = msgspec.json.decode(payload)
            if message["event"] == "mark":
                self._put(frame(msgspec.json.encode(message)))
            elif message["event"] == "media" and not self._leaving:  # then it is cut, and faded out
                audio = b64decode(message["media"]["payload"])
                begin = found.samples
                found.samples += len(audio)
                # But for the first piece, which is faded in.
                place = begin % self._round
                found.wrong += begin >= PIECE and audio != self._said[place : place + len(audio)]
                found.came.append((at, len(audio)))
            else:
                found.wrong += not self._leaving


def _ticks(came: list[tuple[float, int]]) -> list[tuple[float, float, float]]:
    """See `Called.ticks`, for messages in a row without a gap."""
    # Sample s is sent at base + s / 8000 at the earliest: of the messages of a second or two, the one that was sent
    # fastest tells the base. For ever it does not hold: it moves when there was nothing to play for a while.
    samples = 0
    bases: dict[int, float] = defaultdict(lambda: math.inf)
    for at, size in came:
        samples += size
        bases[int(at)] = min(bases[int(at)], at - samples / 8_000)
    found = []
    last, samples = 0.0, 0
    for at, size in came:
        if last and at - last >= _TOGETHER_S:
            sent = min(bases[int(at)], bases[int(at) - 1]) + samples / 8_000  # the one before
            due = (int((sent + _SURE_S) / _TICK_S) + 1) * _TICK_S
            found.append((due, (at - due) * 1000, (AHEAD_S - (at - sent)) * 1000))
        last = at
        samples += size
    return found


def main(pipe: Connection, port: int, sids: list[str], first: bool) -> None:
    """What the process does: calls, says so by the pipe, is told until when, and tells what came of it."""
    core(1, first=first)
    said = sound()
    calls = [_Call(port, sid, said) for sid in sids]
    until = math.inf
    pipe.send("all of them are there")
    found = Calls([call.found for call in calls], [], [])
    poll = select.epoll() if hasattr(select, "epoll") else select.poll()
    by_number = {call.socket.fileno(): call for call in calls}
    for number in by_number:
        poll.register(number, select.POLLIN)
    begin = time.monotonic() + 0.05
    sent = 0  # pieces, of all calls together
    stopped = False
    while True:
        # Callers do not speak in the same moment.
        due = begin + sent // len(calls) * _TICK_S + sent % len(calls) * _TICK_S / len(calls)
        now = time.monotonic()
        if due <= now:
            if until == math.inf and pipe.poll():
                until = pipe.recv()
            if due > until:
                break
            found.late.append((due, (now - due) * 1000))
            calls[sent % len(calls)].send()
            sent += 1
            continue
        wait = due - now
        for number, _ in poll.poll(wait if hasattr(select, "epoll") else wait * 1000):
            if not (call := by_number[number]).found.closed:
                found.unread.append((time.monotonic(), call.read() * 1000))
            else:
                poll.unregister(number)
    for call in calls:
        call.hang_up()
    end = time.monotonic() + 5
    while not stopped and time.monotonic() < end:
        for number, _ in poll.poll(0.1 if hasattr(select, "epoll") else 100):
            by_number[number].read()
            if by_number[number].found.closed:
                poll.unregister(number)
        stopped = all(call.found.closed for call in calls)
    for call in calls:
        call.socket.close()
        call.found.ticks = _ticks(call.found.came)
        call.found.came.clear()
    pipe.send(found)
