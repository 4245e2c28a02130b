"""Settings come from the code, the environment, a file or the default, in this order, and wrong ones are named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import pytest

from voiceframe.errors import ConfigurationError
from voiceframe.settings import Settings, markdown, setting, settings_classes


class EchoSettings(Settings, prefix="TESTECHO"):
    """How an echo sounds."""

    delay_ms: int = setting(default=200, doc="time before it", ge=0, le=5_000)
    gain: float = setting(default=1, doc="loudness", ge=0)
    loud: bool = setting(default=False, doc="whether it shouts")
    mode: Literal["mono", "stereo"] = setting(default="mono", doc="its channels")
    walls: tuple[str, ...] = setting(default=(), doc="what it comes back from")
    limit: int | None = setting(default=None, doc="how often, or always", ge=1)
    token: str = setting(default="", doc="who may hear it", secret=True)
    account: str = setting(default="", doc="who pays", variable="TESTECHO_ACCOUNT")
    rooms: int = setting(default=1, doc="how many", ge=1, variable="TESTECHO_ROOMS")


class RouterSettings(Settings, prefix="TESTECHO_ROUTER"):
    """A prefix that begins with another one."""

    hops: int = setting(default=3, doc="how many")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "voiceframe.toml"
    monkeypatch.setenv("VOICEFRAME_CONFIG", str(path))
    return path


def refused(code: str, act: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        act(*args, **kwargs)
    assert raised.value.code == code
    return str(raised.value)


# -- where values come from


def test_the_code_wins_over_the_environment_and_that_over_the_file_and_that_over_the_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not config.exists()
    config.write_text("[testecho]\ndelay_ms = 1\ngain = 2\nloud = true\n")
    monkeypatch.setenv("VOICEFRAME_TESTECHO_DELAY_MS", "10")
    monkeypatch.setenv("VOICEFRAME_TESTECHO_GAIN", "20")
    settings = EchoSettings.load(delay_ms=100)
    assert (settings.delay_ms, settings.gain, settings.loud, settings.mode) == (100, 20.0, True, "mono")
    assert {r.name: r.source for r in settings.describe()} | {"walls": "", "limit": "", "token": ""} == {
        "account": "default",
        "rooms": "default",
        "delay_ms": "code",
        "gain": "VOICEFRAME_TESTECHO_GAIN",
        "loud": f"{config} [testecho]",
        "mode": "default",
        "walls": "",
        "limit": "",
        "token": "",
    }


def test_plain_construction_reads_nothing_but_checks(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("not TOML")
    monkeypatch.setenv("VOICEFRAME_TESTECHO_DELAY_MS", "10")
    assert EchoSettings().delay_ms == 200
    assert "delay_ms" in refused("settings.range", EchoSettings, delay_ms=-1)


def test_values_are_read_from_the_environment_by_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"LOUD": "Yes", "MODE": "stereo", "WALLS": "rock, ice,", "LIMIT": "", "GAIN": "0.5"}.items():
        monkeypatch.setenv(f"VOICEFRAME_TESTECHO_{name}", text)
    settings = EchoSettings.load()
    assert settings == EchoSettings(loud=True, mode="stereo", walls=("rock", "ice"), limit=None, gain=0.5)


def test_a_list_of_the_file_becomes_a_tuple_and_an_integer_a_number(config: Path) -> None:
    config.write_text('[testecho]\nwalls = ["rock"]\ngain = 2\n')
    settings = EchoSettings.load()
    assert (settings.walls, settings.gain) == (("rock",), 2.0)
    assert isinstance(settings.gain, float)
    assert isinstance(EchoSettings().gain, float)  # the default too


def test_a_longer_prefix_keeps_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_TESTECHO_ROUTER_HOPS", "7")
    assert RouterSettings.load().hops == 7
    assert EchoSettings.load() == EchoSettings()


def test_a_name_that_everybody_knows_is_read_where_its_own_is_not_set(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[testecho]\naccount = "file"\n')
    assert EchoSettings.load().account == "file"
    monkeypatch.setenv("TESTECHO_ACCOUNT", "theirs")
    settings = EchoSettings.load()
    assert settings.account == "theirs"
    assert {r.name: r.source for r in settings.describe()}["account"] == "TESTECHO_ACCOUNT"
    monkeypatch.setenv("VOICEFRAME_TESTECHO_ACCOUNT", "ours")
    assert EchoSettings.load().account == "ours"
    assert "`VOICEFRAME_TESTECHO_ACCOUNT` or `TESTECHO_ACCOUNT`" in markdown()
    assert "| `VOICEFRAME_TESTECHO_TOKEN` |" in markdown()


@pytest.mark.parametrize(("text", "code"), [("many", "settings.type"), ("0", "settings.range")])
def test_a_wrong_value_under_such_a_name_is_named(monkeypatch: pytest.MonkeyPatch, text: str, code: str) -> None:
    monkeypatch.setenv("TESTECHO_ROOMS", text)
    assert "TESTECHO_ROOMS" in refused(code, EchoSettings.load)
    monkeypatch.setenv("VOICEFRAME_TESTECHO_ROOMS", "2")
    assert EchoSettings.load().rooms == 2  # what is not used is not looked at


# -- what is refused


@pytest.mark.parametrize(
    ("variable", "text", "code"),
    [
        ("DELAY_MS", "soon", "settings.type"),
        ("DELAY_MS", "1.5", "settings.type"),
        ("DELAY_MS", "5001", "settings.range"),
        ("GAIN", "nan", "settings.type"),
        ("GAIN", "-0.1", "settings.range"),
        ("LOUD", "maybe", "settings.type"),
        ("MODE", "quad", "settings.type"),
        ("LIMIT", "0", "settings.range"),
        ("DELAY", "1", "settings.unknown"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, code: str) -> None:
    monkeypatch.setenv(f"VOICEFRAME_TESTECHO_{variable}", text)
    assert f"VOICEFRAME_TESTECHO_{variable}" in refused(code, EchoSettings.load)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"delay_ms": "1"}, "settings.type"),
        ({"delay_ms": True}, "settings.type"),
        ({"delay_ms": 1.0}, "settings.type"),
        ({"loud": 1}, "settings.type"),
        ({"gain": float("nan")}, "settings.type"),
        ({"walls": "rock"}, "settings.type"),
        ({"walls": [1]}, "settings.type"),
        ({"limit": 0}, "settings.range"),
        ({"delay": 1}, "settings.unknown"),
    ],
)
@pytest.mark.parametrize("act", [EchoSettings, EchoSettings.load, EchoSettings().replace])
def test_a_wrong_value_in_the_code_is_refused_in_every_way_of_giving_it(act: Any, values: Any, code: str) -> None:
    assert next(iter(values)) in refused(code, act, **values)


def test_an_unknown_name_suggests_the_nearest_one() -> None:
    assert "Did you mean `delay_ms`?" in refused("settings.unknown", EchoSettings, dealy_ms=1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[testecho\n", "settings.file"),
        ("testecho = 1\n", "settings.file"),
        ("[testecho]\ndelay = 1\n", "settings.unknown"),
        ("[testecho]\ndelay_ms = true\n", "settings.type"),
        ("[testecho]\ndelay_ms = -1\n", "settings.range"),
    ],
)
def test_a_wrong_file_is_named(config: Path, text: str, code: str) -> None:
    config.write_text(text)
    assert str(config) in refused(code, EchoSettings.load)


def test_a_file_that_is_not_there_is_an_error_if_it_was_asked_for(config: Path) -> None:
    assert str(config) in refused("settings.file", EchoSettings.load)


# -- the objects


def test_settings_are_frozen_compare_by_value_and_have_no_dict() -> None:
    assert EchoSettings(delay_ms=1) == EchoSettings(delay_ms=1) != EchoSettings()
    assert not hasattr(EchoSettings(), "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        EchoSettings().delay_ms = 1  # type: ignore[misc]


def test_a_changed_copy_is_checked_and_remembers_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_TESTECHO_GAIN", "3")
    copy = EchoSettings.load().replace(delay_ms=1)
    sources = {r.name: r.source for r in copy.describe()}
    assert (copy.delay_ms, copy.gain) == (1, 3.0)
    assert (sources["delay_ms"], sources["gain"]) == ("code", "VOICEFRAME_TESTECHO_GAIN")


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EchoSettings(token="hunter2")
    assert "hunter2" not in repr(settings) + repr(settings.describe())
    assert "hunter2" not in refused("settings.type", EchoSettings, token=["hunter2"])


def test_every_class_is_registered_by_its_prefix() -> None:
    assert {EchoSettings, RouterSettings} <= set(settings_classes())
    with pytest.raises(TypeError, match="TESTECHO"):

        class OtherSettings(Settings, prefix="TESTECHO"):
            pass
