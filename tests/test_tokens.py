"""One-time tokens: each opens the stream of its call, once and in time, and nothing else does."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from voiceframe.errors import TokenError
from voiceframe.tokens import Tokens


class Clock:
    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(code: str, tokens: Tokens[str], token: str, call: str) -> str:
    with pytest.raises(TokenError) as raised:
        tokens.redeem(token, call)
    assert raised.value.code == code
    assert not token or token not in str(raised.value) + repr(raised.value)
    return str(raised.value)


def not_issued(tokens: Tokens[str], call: str, *, again: bool = False) -> None:
    with pytest.raises(TokenError) as raised:
        tokens.issue(call, "", again=again)
    assert raised.value.code == "token.ended"


def test_a_token_gives_its_facts_once(clock: Clock) -> None:
    tokens = Tokens[dict[str, str]](now_ms=clock)
    facts = {"from": "+1"}
    token = tokens.issue("CA1", facts)
    assert tokens.redeem(token, "CA1") is facts
    with pytest.raises(TokenError) as raised:
        tokens.redeem(token, "CA1")
    assert raised.value.code == "token.unknown"
    assert len(tokens) == 0


def test_it_cannot_be_guessed_and_goes_into_a_url() -> None:
    tokens = Tokens[str](now_ms=Clock())
    issued = [tokens.issue(f"CA{number}", "") for number in range(1_000)]
    assert len(set(issued)) == 1_000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in issued)  # 256 bits
    # No place of it is always the same.
    assert all(len({token[at] for token in issued}) > 10 for at in range(43))


def test_it_is_nowhere_to_be_read() -> None:
    tokens = Tokens[str](now_ms=Clock())
    token = tokens.issue("CA1", "")
    assert token not in repr(tokens) + repr(vars(tokens))


@pytest.mark.parametrize(("after_ms", "holds"), [(0, True), (59_999, True), (60_000, False), (10_000_000, False)])
def test_it_holds_for_its_time(clock: Clock, after_ms: int, holds: bool) -> None:
    tokens = Tokens[str](lifetime_ms=60_000, now_ms=clock)
    token = tokens.issue("CA1", "facts")
    clock.ms += after_ms
    if holds:
        assert tokens.redeem(token, "CA1") == "facts"
    else:
        assert "60000 ms" in refused("token.expired", tokens, token, "CA1")
        refused("token.unknown", tokens, token, "CA1")


async def test_its_time_is_that_of_the_loop() -> None:
    tokens = Tokens[str](lifetime_ms=60_000)
    early, late = tokens.issue("CA1", "1"), tokens.issue("CA2", "2")
    await asyncio.sleep(59)
    assert tokens.redeem(early, "CA1") == "1"
    await asyncio.sleep(2)
    refused("token.expired", tokens, late, "CA2")


def test_with_the_id_of_another_call_it_is_void(clock: Clock) -> None:
    tokens = Tokens[str](now_ms=clock)
    token = tokens.issue("CA1", "")
    said = refused("token.call", tokens, token, "CA2\n\x1b[31m")
    assert "CA1" in said
    assert "CA2" not in said
    refused("token.unknown", tokens, token, "CA1")
    tokens.redeem(tokens.issue("CA1", ""), "CA1")  # the carrier may ask again


def test_a_second_one_for_the_same_call_voids_the_first(clock: Clock) -> None:
    tokens = Tokens[str](now_ms=clock)
    first, second = tokens.issue("CA1", "1"), tokens.issue("CA1", "2")
    assert len(tokens) == 1
    refused("token.unknown", tokens, first, "CA1")
    assert tokens.redeem(second, "CA1") == "2"


def test_a_call_that_had_its_stream_gets_another_one_only_if_that_is_said(clock: Clock) -> None:
    tokens = Tokens[str](now_ms=clock)
    assert not tokens.known("CA1")
    token = tokens.issue("CA1", "")
    assert not tokens.known("CA1")  # it may ask again
    tokens.redeem(token, "CA1")
    assert tokens.known("CA1")
    not_issued(tokens, "CA1")
    assert tokens.redeem(tokens.issue("CA1", "again", again=True), "CA1") == "again"


def test_a_call_that_is_over_gets_none(clock: Clock) -> None:
    tokens = Tokens[str](now_ms=clock)
    token = tokens.issue("CA1", "")
    tokens.ended("CA1")
    refused("token.ended", tokens, token, "CA1")
    for again in (False, True):
        not_issued(tokens, "CA1", again=again)
    tokens.ended("CA2")  # one that never had one
    not_issued(tokens, "CA2")


def test_the_oldest_goes_when_there_are_too_many(clock: Clock) -> None:
    tokens = Tokens[str](most=3, now_ms=clock)
    issued = [tokens.issue(f"CA{number}", str(number)) for number in range(5)]
    assert len(tokens) == 3
    for number in (0, 1):
        refused("token.unknown", tokens, issued[number], f"CA{number}")
    assert [tokens.redeem(issued[number], f"CA{number}") for number in (2, 3, 4)] == ["2", "3", "4"]


def test_what_is_known_of_calls_is_bounded_in_number_and_time(clock: Clock) -> None:
    tokens = Tokens[str](known=3, known_ms=1_000, now_ms=clock)
    for number in range(5):
        tokens.ended(f"CA{number}")
    assert [tokens.known(f"CA{number}") for number in range(5)] == [False, False, True, True, True]
    clock.ms = 500
    tokens.ended("CA2")  # known anew
    clock.ms = 1_000
    assert [tokens.known(f"CA{number}") for number in range(5)] == [False, False, True, False, False]
    clock.ms = 1_500
    assert not tokens.known("CA2")
    tokens.redeem(tokens.issue("CA2", ""), "CA2")


def test_memory_does_not_grow(clock: Clock) -> None:
    tokens = Tokens[str](most=100, known=100, lifetime_ms=1_000, known_ms=2_000, now_ms=clock)
    for number in range(20_000):
        token = tokens.issue(f"CA{number}", "")
        clock.ms += number % 50
        if number % 3 == 0:
            tokens.redeem(token, f"CA{number}")
        elif number % 3 == 1:
            tokens.ended(f"CA{number}")
    held = [value for value in vars(tokens).values() if isinstance(value, dict)]
    assert len(held) == 3
    assert all(len(value) <= 100 for value in held)
    assert len(tokens) > 0
    clock.ms += 10_000
    assert len(tokens) == 0  # also when nobody has come since
    for number in range(10):  # what is known for too long goes by and by
        tokens.ended(f"CB{number}")
    assert sum(len(value) for value in held) == 10


@pytest.mark.parametrize("token", ["", "x", "é" * 43, "\ud800", "\0" * 43, "A" * 1_000_000])
def test_what_is_no_token_opens_nothing(clock: Clock, token: str) -> None:
    tokens = Tokens[str](now_ms=clock)
    tokens.issue("CA1", "")
    for call in ("CA1", "", "\ud800", "C" * 1_000_000):
        refused("token.unknown", tokens, token, call)
    assert len(tokens) == 1


@given(st.integers(min_value=0, max_value=42), st.characters(codec="ascii"))
def test_a_token_with_another_character_opens_nothing(at: int, character: str) -> None:
    tokens = Tokens[str](now_ms=Clock())
    token = tokens.issue("CA1", "")
    wrong = token[:at] + character + token[at + 1 :]
    if wrong != token:
        refused("token.unknown", tokens, wrong, "CA1")
    tokens.redeem(token, "CA1")


CALLS = st.sampled_from(["CA1", "CA2", "CA3", "CA4"])


class Model(RuleBasedStateMachine):
    """Tokens against the plainest model of them, with few calls so that they meet."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.tokens = Tokens[int](lifetime_ms=100, most=2, known=2, known_ms=300, now_ms=self.clock)
        self.issued: list[str] = []
        self.awaited: dict[str, tuple[str, int, int]] = {}  # token: call, issued_ms, facts
        self.past: dict[str, tuple[int, bool]] = {}

    def known(self, call: str) -> bool | None:
        at, over = self.past.get(call, (-sys.maxsize, False))
        return over if self.clock.ms - at < 300 else None

    def remember(self, call: str, over: bool) -> None:
        self.past.pop(call, None)
        self.past[call] = (self.clock.ms, over)
        while len(self.past) > 2:
            del self.past[next(iter(self.past))]

    @rule(ms=st.sampled_from([1, 50, 100, 300]))
    def wait(self, ms: int) -> None:
        self.clock.ms += ms

    @rule(call=CALLS, again=st.booleans())
    def issue(self, call: str, again: bool) -> None:
        facts = len(self.issued)
        if self.known(call) or (self.known(call) is False and not again):
            with pytest.raises(TokenError, match=r"token\.ended"):
                self.tokens.issue(call, facts, again=again)
            return
        self.awaited = {t: entry for t, entry in self.awaited.items() if entry[0] != call}
        living = {t: entry for t, entry in self.awaited.items() if self.clock.ms - entry[1] < 100}
        if len(living) == 2:
            self.awaited.pop(next(iter(living)))
        token = self.tokens.issue(call, facts, again=again)
        self.issued.append(token)
        self.awaited[token] = (call, self.clock.ms, facts)

    @rule(number=st.integers(min_value=0, max_value=5), call=CALLS)
    def redeem(self, number: int, call: str) -> None:
        if number >= len(self.issued):
            return
        token = self.issued[-1 - number]
        bound, at, facts = self.awaited.pop(token, ("", -sys.maxsize, 0))
        if bound == call and self.clock.ms - at < 100:
            assert self.tokens.redeem(token, call) == facts
            self.remember(call, over=False)
        else:
            with pytest.raises(TokenError):
                self.tokens.redeem(token, call)

    @rule(call=CALLS)
    def end(self, call: str) -> None:
        self.tokens.ended(call)
        self.awaited = {t: entry for t, entry in self.awaited.items() if entry[0] != call}
        self.remember(call, over=True)

    @invariant()
    def agrees(self) -> None:
        assert len(self.tokens) == sum(self.clock.ms - at < 100 for _, at, _ in self.awaited.values())
        for call in ("CA1", "CA2", "CA3", "CA4"):
            assert self.tokens.known(call) == (self.known(call) is not None)


TestModel = Model.TestCase
TestModel.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
