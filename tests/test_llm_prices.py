"""Prices: what was used costs what the table says, or nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.errors import ConfigurationError
from voiceframe.events import ProviderUsage
from voiceframe.llm import Usage
from voiceframe.prices import LIST_PRICES, Amounts, Price, Prices, cost, prices, use_prices


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    use_prices(None)
    yield
    use_prices(None)


def test_tokens_cost_by_what_became_of_them() -> None:
    assert cost("openai", "gpt-4.1", Usage(1_000_000, 100_000)) == pytest.approx(2.00 + 0.80)
    assert cost("openai", "gpt-4.1", Usage(1_000_000, 0, 400_000)) == pytest.approx(1.20 + 0.20)
    claude = cost("anthropic", "claude-haiku-4-5", Usage(1_000_000, 0, 500_000, 300_000))
    assert claude == pytest.approx(0.2 * 1.00 + 0.5 * 0.10 + 0.3 * 1.25)


def test_sound_costs_by_tokens_minutes_or_characters() -> None:
    spoken = Amounts(
        input_tokens=2_000_000,
        cached_tokens=500_000,
        audio_input_tokens=1_000_000,
        audio_cached_tokens=400_000,
        output_tokens=1_000_000,
        audio_output_tokens=900_000,
    )
    expected = 0.9 * 4.00 + 0.1 * 0.40 + 0.6 * 32.00 + 0.4 * 0.40 + 0.1 * 24.00 + 0.9 * 64.00
    assert cost("openai", "gpt-realtime-2", spoken) == pytest.approx(expected)
    assert cost("deepgram", "flux-general-multi", Amounts(audio_ms=90_000)) == pytest.approx(1.5 * 0.0078)
    assert cost("deepgram", "flux-general-multi", Amounts(characters=9)) is None
    own = Prices("own", {"cartesia/sonic-3": Price(characters=35.0)})
    assert cost("cartesia", "sonic-3", Amounts(characters=1_000), table=own) == pytest.approx(0.035)


def test_a_long_prompt_may_cost_more() -> None:
    assert cost("anthropic", "claude-haiku-5-5", Usage(100_000, 0)) == pytest.approx(0.01)
    assert cost("anthropic", "claude-haiku-5-5", Usage(200_000, 0)) == pytest.approx(0.1)


def test_snapshots_cost_what_their_model_does_and_what_is_not_known_is_not_guessed() -> None:
    for model in ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"):
        assert cost("openai", model, Usage(1_000_000, 0)) == pytest.approx(0.40)
    assert cost("anthropic", "claude-haiku-4-5-20251001", Usage(1_000_000, 0)) == pytest.approx(1.00)
    assert cost("openai", "gpt-4.1-maxi", Usage(1, 1)) is None
    assert cost("nobody", "gpt-4.1", Usage(1, 1)) is None
    event = ProviderUsage(
        vendor="openai", service="realtime", processor="r", model="gpt-realtime", audio_tokens=5, input_tokens=9
    )
    assert cost("openai", "gpt-realtime", event) is None


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_costs_more_and_a_cache_never_does(input: int, cached: int, output: int) -> None:
    cached = min(cached, input)
    found = cost("openai", "gpt-4.1-mini", Usage(input, output, cached))
    plain = cost("openai", "gpt-4.1-mini", Usage(input, output))
    more = cost("openai", "gpt-4.1-mini", Usage(input + 1, output, cached))
    assert found is not None
    assert plain is not None
    assert more is not None
    assert 0 <= found <= plain + 1e-9
    assert found < more


def test_prices_of_a_file_lie_over_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        'version = "ours"\n["openai/gpt-4.1-mini"]\ninput = 0.1\noutput = 0\n["local/*"]\ninput = 0\noutput = 0\n'
    )
    monkeypatch.setenv("VOICEFRAME_PRICES_FILE", str(path))
    assert cost("openai", "gpt-4.1-mini", Usage(1_000_000, 9)) == pytest.approx(0.1)
    assert cost("openai", "gpt-4.1", Usage(1_000_000, 0)) == pytest.approx(2.00)
    assert cost("local", "anything", Usage(5, 5)) == 0
    assert prices().version == f"{LIST_PRICES.version}; ours"
    use_prices(Prices("none"))
    assert cost("openai", "gpt-4.1", Usage(1, 1)) is None


@pytest.mark.parametrize(
    "content",
    [
        "no toml",
        "[gpt]\ninput = 1\n",
        '["openai/gpt"]\ninputs = 1\n',
        '["openai/gpt"]\ninput = "1"\n',
        '["openai/gpt"]\ninput = -1\n',
        '"openai/gpt" = 1\n',
    ],
)
def test_a_file_that_is_none_says_why(content: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        Prices.read(path)
    assert caught.value.code == "file.unusable"
    assert str(path) in caught.value.message


def test_a_file_may_be_json(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"openai/gpt": {"input": 1, "long_tokens": 10, "long": {"input": 2}}}))
    table = Prices.read(path)
    assert cost("openai", "gpt", Usage(1_000_000, 0), table=table) == pytest.approx(2.0)
    with pytest.raises(ConfigurationError):
        Prices.read(tmp_path / "nothing.json")
