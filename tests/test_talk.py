"""Which model answers: one that is asked for by name or by URL, what is said when there is none, and talking to it."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs voiceframe[openai]")

from tests.clinic_brain import Brain, BrainOpenAI, ListingOpenAI
from tests.served import served
from voiceframe.chat import chat
from voiceframe.cli import main
from voiceframe.demo.calendar import Calendar
from voiceframe.errors import ConfigurationError, ProviderError
from voiceframe.rehearsed import Rehearsed
from voiceframe.talk import choose_model, model_or, refuse
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.testing.providers.server import Fault

pytestmark = pytest.mark.real_time

BOOKING = """\
/hears opening hours
I'd like an appointment with Doctor Lee, please
/hears your name
my name is Anna Smith
/hears on which day
on Wednesday
/hears at what time
eleven
/hears Anna Smith, with Dr Lee, on .* at eleven. Is that right
no, at half past two
/hears at two thirty. Is that right
/keys 1
/hears you have an appointment with Dr Lee on .* at two thirty
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLINIC_DB", str(tmp_path / "clinic.db"))
    return tmp_path


@pytest.fixture
def clinic(folder: Path) -> Iterator[BrainOpenAI]:
    """OpenAI's server with the clinic's dialog for a model. Today is a Wednesday for it and for the caller alike."""
    now = datetime.now(UTC).replace(tzinfo=None)
    with served(BrainOpenAI(Brain(Calendar(folder / "clinic.db"), now), models=("small", "large"))) as fake:
        yield fake


def test_without_being_asked_for_there_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key that would cost something")
    assert choose_model(None, None) is None
    assert choose_model("", "") is None


def test_a_model_of_a_vendor_is_asked_with_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(FakeOpenAI()) as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        found = choose_model("openai/gpt-4.1-mini", None)
        assert found is not None
        assert (found[0].name, found[1]) == ("openai/gpt-4.1-mini", "openai/gpt-4.1-mini")
        assert [asked.path for asked in fake.asked] == ["/v1/chat/completions"]
        monkeypatch.setenv("OPENAI_API_KEY", "another")
        with pytest.raises(ProviderError) as caught:
            choose_model("openai/gpt-4.1-mini", None)
        assert caught.value.code == "provider.auth"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("openai/gpt-4.1-mini", "provider.key", "`OPENAI_API_KEY`"),
        ("anthropic/claude-haiku-4-5", "provider.key", "`ANTHROPIC_API_KEY`"),
        ("opneai/gpt-4.1-mini", "provider.unknown", "the nearest is `openai`"),
        ("openai", "provider.unknown", "'openai/'"),
    ],
)
def test_what_is_missing_is_said_before_anybody_calls(
    name: str, code: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "--llm", name]) == 2
    said = capsys.readouterr()
    assert f"[{code}]" in said.err
    assert words in said.err
    assert said.out == ""


def test_a_server_is_asked_for_its_models_and_the_first_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(ListingOpenAI(plain=True, models=("llama3.2", "qwen3"))) as fake:
        found = choose_model(None, f"{fake.url}/v1")
        assert found is not None
        model, said = found
        assert model.model == "llama3.2"
        assert said == f"llama3.2 at {fake.url}/v1, the first of its models (--llm may name another: qwen3)"
        named = choose_model("qwen3", f"{fake.url}/v1")
        assert named is not None
        assert (named[0].model, named[1]) == ("qwen3", f"qwen3 at {fake.url}/v1")


def test_a_server_that_does_not_say_what_it_has_needs_a_name_and_a_path() -> None:
    with served(FakeOpenAI(plain=True)) as fake:
        with pytest.raises(ConfigurationError, match="it has no path") as caught:
            choose_model(None, fake.url)
        assert caught.value.code == "talk.url"
        assert choose_model("llama3.2", f"{fake.url}/v1") is not None
    with served(ListingOpenAI(plain=True, models=())) as fake:
        with pytest.raises(ConfigurationError) as caught:
            choose_model(None, f"{fake.url}/v1")
        assert caught.value.code == "talk.no-models"


def test_a_server_that_is_not_there_or_fails() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigurationError) as caught:
            choose_model(None, f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
    assert caught.value.code == "talk.unreachable"
    with served(FakeOpenAI(plain=True)) as fake:
        fake.faults.append(Fault(status=400))
        with pytest.raises(ProviderError) as failed:
            choose_model("llama3.2", f"{fake.url}/v1")
    assert failed.value.code == "provider.request"


@pytest.mark.parametrize("url", ["127.0.0.1:11434/v1", "ollama", "ftp://127.0.0.1/v1", "http:///v1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose_model(None, url)
    assert caught.value.code == "talk.url"


@pytest.mark.parametrize("option", ["--fast", "--runs"])
def test_what_has_no_network_goes_without_a_model(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["demo", option, *(["2"] if option == "--runs" else []), "--llm", "openai/gpt-4.1-mini"]
    assert main(command) == 2
    assert f"`{option}`" in capsys.readouterr().err
    refuse(option, None, None)
    with pytest.raises(ConfigurationError, match="goes without both"):
        refuse(option, None, "http://127.0.0.1/v1")


def test_a_bot_of_ones_own_is_given_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "voiceframe.demo.clinic", "--llm", "openai/gpt-4.1-mini"]) == 2
    assert "[talk.bot]" in capsys.readouterr().err


# -- a bot that can do without one

BOT = """
from voiceframe import Agent, Pipeline
from voiceframe.rehearsed import Rehearsed
from voiceframe.talk import model_or

model = model_or(Rehearsed(otherwise="As rehearsed."))

def bot(call):
    return Pipeline([call.transport.input(), Agent("shop", "You sell.", model), call.transport.output()])
"""
TALK = "Hello\n/hears {}\n"


@pytest.fixture
def shop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("VOICEFRAME_LLM_MODEL", raising=False)
    (folder / "shop.py").write_text(BOT)
    (folder / "script.txt").write_text(TALK.format("as rehearsed"))
    return str(folder / "shop.py")


def test_a_bot_answers_as_rehearsed_where_no_model_is_asked_for(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key that would cost something")
    out = io.StringIO()
    assert chat(shop, script="script.txt", show_events=False, out=out) == 0, out.getvalue()
    assert out.getvalue().startswith(f"{shop} answers by what it has rehearsed, without a model; --llm")
    rehearsed = Rehearsed(otherwise="")
    assert model_or(rehearsed) is rehearsed


@pytest.mark.parametrize("by", ["--llm", "--llm-url", "setting"])
def test_the_model_that_is_asked_for_answers_in_its_place(
    shop: str, folder: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "script.txt").write_text(TALK.format("from far away"))
    answers = ["From far away."] * 3
    with served(ListingOpenAI(answers, plain=by == "--llm-url", models=("small",))) as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        if by == "setting":
            monkeypatch.setenv("VOICEFRAME_LLM_MODEL", "openai/gpt-4.1-mini")
        options = {
            "--llm": ("openai/gpt-4.1-mini", None),
            "--llm-url": (None, f"{fake.url}/v1"),
            "setting": (None, None),
        }
        name, url = options[by]
        out = io.StringIO()
        code = chat(shop, llm=name, llm_url=url, script="script.txt", words_per_minute=0, out=out)
        assert code == 0, out.getvalue()
    said = {"--llm": "openai/gpt-4.1-mini", "--llm-url": f"small at {fake.url}/v1", "setting": "VOICEFRAME_LLM_MODEL"}
    assert said[by] in out.getvalue().splitlines()[0]
    assert fake.bodies[-1]["messages"][0]["content"] == "You sell."


def test_a_model_that_cannot_be_asked_is_an_error_and_nothing_is_rehearsed(
    shop: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", shop, "--llm", "openai/gpt-4.1-mini", "--script", "script.txt"]) == 2
    assert "[provider.key]" in capsys.readouterr().err
    monkeypatch.setenv("VOICEFRAME_LLM_MODEL", "opneai/x")
    with pytest.raises(ProviderError, match="opneai"):
        model_or(Rehearsed(otherwise=""))


# -- talking


def test_without_a_bot_the_dialog_of_the_clinic_answers(folder: Path) -> None:
    (folder / "script.txt").write_text(BOOKING)
    out = io.StringIO()
    assert chat(script="script.txt", show_events=False, out=out) == 0, out.getvalue()
    assert out.getvalue().startswith("The clinic answers by its dialog, without a model")
    assert len(Calendar(folder / "clinic.db").appointments()) == 1


@pytest.mark.parametrize("by", ["url", "name"])
def test_a_model_books_in_the_calendar_by_its_tools(
    clinic: BrainOpenAI, folder: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "script.txt").write_text(BOOKING)
    out = io.StringIO()
    asked: dict[str, str] = {"llm_url": f"{clinic.url}/v1"}
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    if by == "name":
        monkeypatch.setenv("OPENAI_BASE_URL", f"{clinic.url}/v1")
        asked = {"llm": "openai/gpt-4.1-mini"}
    code = chat(script="script.txt", words_per_minute=0, out=out, **asked)  # type: ignore[arg-type]
    assert code == 0, out.getvalue()
    who = "small at" if by == "url" else "openai/gpt-4.1-mini"
    assert f"The clinic answers with {who}" in out.getvalue()
    booked = Calendar(folder / "clinic.db").appointments()
    assert [(doctor, at, patient) for doctor, _, at, patient in booked] == [("Dr Lee", "14:30", "Anna Smith")]
    assert "call.ended reason=completed" in out.getvalue()
    assert clinic.connections == 0
    assert {tool["function"]["name"] for tool in clinic.bodies[-1]["tools"]} == {
        *("book", "free_times", "find_patient", "put_through", "hang_up"),
    }
