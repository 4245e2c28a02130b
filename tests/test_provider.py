"""What providers share: places, keys, what exceptions mean, and when to try again."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from voiceframe.errors import ProviderError
from voiceframe.provider import Backoff, Place, Vendor, api_key, typed

VENDOR = Vendor("acme", "ACME_API_KEY", "acme", "https://api.acme.test/v1", "ACME_BASE_URL")


def test_a_place_is_the_given_one_or_the_environments_or_the_vendors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Place().http(VENDOR) == "https://api.acme.test/v1"
    assert Place().websocket(VENDOR) == "wss://api.acme.test/v1"
    monkeypatch.setenv("ACME_BASE_URL", "wss://proxy.test/acme/")
    assert Place().http(VENDOR) == "https://proxy.test/acme"
    assert Place("ws://127.0.0.1:1/").http(VENDOR) == "http://127.0.0.1:1"
    assert Place("http://127.0.0.1:1").websocket(VENDOR) == "ws://127.0.0.1:1"


def test_a_query_of_the_user_comes_in_place_of_ours() -> None:
    place = Place(query={"model": "other", "tag": "a b"})
    assert place.with_query("wss://h/listen?x=1", {"model": "ours"}) == "wss://h/listen?x=1&model=other&tag=a+b"


def test_a_key_is_given_or_in_the_environment_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    with pytest.raises(ProviderError, match="ACME_API_KEY") as caught:
        api_key(VENDOR, "", "AcmeSTT")
    assert (caught.value.code, caught.value.vendor, caught.value.retryable) == ("provider.key", "acme", False)
    monkeypatch.setenv("ACME_API_KEY", "env")
    assert [api_key(VENDOR, "", "AcmeSTT"), api_key(VENDOR, "mine", "AcmeSTT")] == ["env", "mine"]


class _Failed(Exception):
    def __init__(self, **facts: Any) -> None:
        super().__init__("it\nwent   wrong")
        self.__dict__.update(facts)


class ConnectionClosed(Exception):  # as `websockets` and others call theirs
    code = 1006


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (_Failed(status_code=401), "provider.auth", False),
        (_Failed(code=403), "provider.auth", False),
        (_Failed(response=SimpleNamespace(status_code=404, headers={})), "provider.request", False),
        (_Failed(status_code=429), "provider.rate-limit", True),
        (_Failed(response=SimpleNamespace(status=503)), "provider.server", True),
        (_Failed(status_code=408), "provider.protocol", False),
        (ConnectionRefusedError("no"), "provider.connection", True),
        (TimeoutError(), "provider.connection", True),
        (ConnectionClosed("gone"), "provider.connection", True),
        (ValueError("what is this"), "provider.protocol", False),
    ],
)
def test_exceptions_become_errors_that_say_what_to_do(error: Exception, code: str, retryable: bool) -> None:
    found = typed(error, VENDOR, "AcmeSTT")
    assert (found.code, found.retryable, found.vendor) == (code, retryable, "acme")
    assert "\n" not in found.message
    assert typed(found, VENDOR, "AcmeSTT") is found


@pytest.mark.parametrize(
    ("headers", "after_ms"),
    [
        ({"Retry-After": "1.5"}, 1_500),
        ({"retry-after-ms": "250"}, 250),
        ({"Retry-After": "Fri, 20 Nov 2026 10:00:02 GMT", "Date": "Fri, 20 Nov 2026 10:00:00 GMT"}, 2_000),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_a_vendor_may_say_when_to_come_again(headers: dict[str, str], after_ms: int | None) -> None:
    assert typed(_Failed(status_code=429, headers=headers), VENDOR, "AcmeSTT").retry_after_ms == after_ms


def test_attempts_are_ever_later_and_differ_from_call_to_call() -> None:
    lost = typed(ConnectionResetError("lost"), VENDOR, "AcmeSTT")
    one, other = Backoff(random.Random(1)), Backoff(random.Random(2))
    waits = [one.next_ms(lost) or 0 for _ in range(8)]
    assert waits[0] == 0
    assert 250 >= waits[1] >= 125
    assert all(wait <= 5_000 for wait in waits)
    assert waits[-1] >= 2_500
    assert waits != [other.next_ms(lost) or 0 for _ in range(8)]
    one.succeeded()
    assert one.next_ms(lost) == 0
    lost.retry_after_ms = 700
    assert one.next_ms(lost) == 700
    assert one.next_ms(typed(_Failed(status_code=401), VENDOR, "AcmeSTT")) is None
