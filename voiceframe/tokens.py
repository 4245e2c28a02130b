"""One-time tokens: what ties the stream that a carrier opens to the call that it has asked about.

              issue()              redeem(): its facts, once
    (new) ─────────────▶ awaited ─────────────▶ had its stream ─── ended() ──▶ over
                          │  ▲                      │
       lifetime, `most`,  │  │ issue()              │ issue(again=True)
       another call's id  ▼  │                      ▼
                         void: as if never issued  awaited

A token is 256 random bits, so it is not guessed. What is kept is its hash: neither the time that a look-up takes nor a
dump of the memory helps anybody to one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from .errors import TokenError

__all__ = ["Tokens"]

T = TypeVar("T")

#: So many calls that are known for too long are forgotten at a time: no call waits while a long list is swept.
_SWEEP: Final = 32


class _Awaited(NamedTuple, Generic[T]):
    call: str
    issued_ms: int
    facts: T


class Tokens(Generic[T]):
    """The tokens of the streams that are awaited, each with facts of its call.

    lifetime_ms: how long a token holds.
    most: how many are kept; when one more is issued the oldest is void. It is the next to expire, and one who can have
        so many issued at once has passed for the carrier.
    known: how many ids of calls that had their stream or are over are remembered, and
    known_ms: for how long; 24 hours, which is as long as a call at Twilio can last. Then a recorded request for such a
        call could have a token again.
    now_ms: the clock; that of the running event loop if left out.

    Use it on one event loop. Nothing here is logged, and `repr` and errors have no token in them.
    """

    def __init__(
        self,
        lifetime_ms: int = 60_000,
        most: int = 10_000,
        *,
        known: int = 100_000,
        known_ms: int = 86_400_000,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self.lifetime_ms = lifetime_ms
        self._most = most
        self._known_most = known
        self._known_ms = known_ms
        self._now_ms = now_ms or _loop_ms
        # All are in the order of their time, for every entry of one lives as long as the others.
        self._awaited: dict[bytes, _Awaited[T]] = {}
        self._of_call: dict[str, bytes] = {}
        self._known: dict[bytes, tuple[int, bool]] = {}  # when it came to be known, and whether it is over

    def issue(self, call_id: str, facts: T, *, again: bool = False) -> str:
        """A new token for this call: 43 letters, digits, `-` and `_`.

        One that it has and has not used is void: a carrier that asks twice has not read the first answer.

        again: for a call that goes on and is to have another stream.

        Raises `TokenError` (`token.ended`) for a call that is over, and without `again` for one that had its stream.
        """
        now = self._now_ms()
        self._sweep(now)
        over = self._over(call_id, now)
        if over or (over is not None and not again):
            raise TokenError.of("token.ended", call=call_id)
        self._drop(self._of_call.get(call_id))
        while len(self._awaited) >= self._most:
            self._drop(next(iter(self._awaited)))
        token = secrets.token_urlsafe(32)
        digest = _digest(token)
        self._awaited[digest] = _Awaited(call_id, now, facts)
        self._of_call[call_id] = digest
        return token

    def redeem(self, token: str, call_id: str) -> T:
        """The facts of the call, once: the token is void from now on, and the call had its stream.

        A token that comes with the id of another call is void as well. The carrier never does that, so whoever does
        has the token of somebody else; he gets no second guess, and the call is better lost than taken over.

        Raises `TokenError`: `token.unknown`, `token.expired`, `token.call`, or `token.ended` when the call was over
        before its stream came.
        """
        now = self._now_ms()
        digest = _digest(token)
        found = self._awaited.get(digest)
        self._drop(digest)
        self._sweep(now)
        if found is None:
            over = self._over(call_id, now)
            raise TokenError.of("token.ended", call=call_id) if over else TokenError.of("token.unknown")
        if now - found.issued_ms >= self.lifetime_ms:
            raise TokenError.of("token.expired", call=found.call, lifetime_ms=self.lifetime_ms)
        if not hmac.compare_digest(_digest(found.call), _digest(call_id)):
            raise TokenError.of("token.call", call=found.call)
        self._remember(call_id, now, over=False)
        return found.facts

    def ended(self, call_id: str) -> None:
        """The call is over: its token is void, and it gets no other one."""
        now = self._now_ms()
        self._sweep(now)
        self._drop(self._of_call.get(call_id))
        self._remember(call_id, now, over=True)

    def known(self, call_id: str) -> bool:
        """Whether this call had its stream or is over, as far as is remembered."""
        return self._over(call_id, self._now_ms()) is not None

    def __len__(self) -> int:
        """How many tokens are awaited and hold."""
        self._sweep(self._now_ms())
        return len(self._awaited)

    def __repr__(self) -> str:
        return f"<Tokens: {len(self._awaited)} awaited>"

    def _over(self, call_id: str, now: int) -> bool | None:
        """None if the call is not known."""
        found = self._known.get(_digest(call_id))
        return None if found is None or now - found[0] >= self._known_ms else found[1]

    def _remember(self, call_id: str, now: int, *, over: bool) -> None:
        digest = _digest(call_id)
        self._known.pop(digest, None)  # it goes to the end
        self._known[digest] = (now, over)
        while len(self._known) > self._known_most:
            del self._known[next(iter(self._known))]

    def _drop(self, digest: bytes | None) -> None:
        found = self._awaited.pop(digest, None) if digest is not None else None
        if found is not None:
            del self._of_call[found.call]

    def _sweep(self, now: int) -> None:
        while (digest := next(iter(self._awaited), None)) is not None:
            if now - self._awaited[digest].issued_ms < self.lifetime_ms:
                break
            self._drop(digest)
        for _ in range(_SWEEP):
            known = next(iter(self._known), None)
            if known is None or now - self._known[known][0] < self._known_ms:
                break
            del self._known[known]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _loop_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)
