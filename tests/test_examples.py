"""The examples do what they say: each is called as by its user, on virtual time. None is without a test."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import re
import socket
import sys
import threading
import unittest.mock
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from examples import subclass_processor  # noqa: E402
from voiceframe import App, Call, Pipeline  # noqa: E402
from voiceframe.bots import load_app  # noqa: E402
from voiceframe.chat import chat  # noqa: E402
from voiceframe.clock import run_virtual  # noqa: E402
from voiceframe.events import LoggedEvent  # noqa: E402
from voiceframe.frames import (  # noqa: E402
    Alternative,
    InterimTranscriptionFrame,
    TextFrame,
    TranscriptionFrame,
    UserTurnFrame,
    Word,
)
from voiceframe.models import POCKETSPHINX, places  # noqa: E402
from voiceframe.processors import EnergyVAD, Turns  # noqa: E402
from voiceframe.sinks import SinkFeed  # noqa: E402
from voiceframe.store import open_store  # noqa: E402
from voiceframe.testing import AudioCaller, ScriptedSTT, ToneTTS, dial, run  # noqa: E402
from voiceframe.testing.run import rig  # noqa: E402
from voiceframe.tones import tone  # noqa: E402

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SCRIPTS = sorted((ROOT / "examples").glob("*.txt"))
CARD = "4111 1111 1111 1111"

speech = pytest.mark.skipif(
    not any(place.present for place in places(POCKETSPHINX)),
    reason="needs the recognizer's model: `voiceframe models fetch`",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an example runs: what it writes into the current folder is gone with the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def example(name: str) -> str:
    return str(ROOT / f"examples/{name}.py")


# -- all of them


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_has_a_test(path: Path) -> None:
    """A script that talks to it, or a test that is named after it, here or with the providers."""
    both = [
        Path(__file__).read_text("utf-8"),
        Path(__file__).with_name("test_examples_providers.py").read_text("utf-8"),
    ]
    assert path.with_suffix(".txt").exists() or any(f"def test_{path.stem}_" in text for text in both)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_says_how_it_is_run(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert re.search(rf"voiceframe (chat|run) examples/{path.name}\b", said)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_caller_of_a_script_hears_what_is_expected(script: Path) -> None:
    out = io.StringIO()
    assert chat(example(script.stem), script=str(script), out=out) == 0, out.getvalue()


# -- the README's


def test_first_bot_is_the_bot_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    docstring, _, code = Path(example("first_bot")).read_text(encoding="utf-8").partition("\n\n")
    assert docstring.startswith('"""')
    assert docstring.endswith('"""')
    assert [block for block in blocks if "def bot(" in block] == [code]


async def test_first_bot_is_polite_and_says_what_it_heard() -> None:
    async with dial(example("first_bot")) as caller:
        await caller.hears("hello!")
        await caller.says("hey, are you there?")
        await caller.hears(r"you said: are you there\?$")
    assert caller.record.heard == ["Hello!", "You said: are you there?"]
    assert caller.record.outcomes == {1: "answered"}


# -- Twilio


@speech
async def test_twilio_bot_tells_by_keys_and_hangs_up() -> None:
    async with dial(example("twilio_bot"), via="twilio") as caller:
        await caller.hears("opening hours")
        await caller.presses("2")
        await caller.hears("from seven to six.*about an order")
        await caller.presses("1")
        await caller.hears("number of your order")
        await caller.presses("4711")
        await caller.hears("order four seven one one today at four")
        assert await caller.hears_the_end() == "completed"
    assert caller.record.heard[-1].endswith("goodbye!")  # it was heard to its end before the line was hung up
    assert caller.phone.reason == "completed"
    assert caller.call.data["outcome"] == "told"


@speech
async def test_twilio_bot_tells_by_voice_what_it_knows_and_what_not() -> None:
    async with dial(example("twilio_bot"), via="twilio") as caller:
        await caller.hears("opening hours")
        await caller.says("is my order ready")
        await caller.hears("number of your order")
        await caller.says("four seven one three")
        await caller.hears("no order four seven one three")
        await caller.says("four seven one two")
        await caller.hears("tomorrow at nine")
        assert await caller.hears_the_end() == "completed"
    assert set(caller.record.outcomes.values()) == {"answered"}
    caller.record.tool_called("find", order="4713").tool_called("find", order="4712")


# -- subclasses


async def test_subclass_processor_answers_repeats_the_notice_and_writes_down(folder: Path) -> None:
    async with dial(example("subclass_processor")) as caller:
        await caller.interrupts(f"My card is {CARD}", after_ms=500)  # into the notice
        await caller.hears(rf"{subclass_processor.NOTICE} I have noted: my card is \[card\]\.")
        await caller.says("I complain about that damn noise")
        assert await caller.listens() == "I have noted: I complain about that [beep] noise. What else?"
    assert caller.record.heard[0] == "City council."
    assert (folder / "complaints.txt").read_text() == "call_00000000: I complain about that damn noise\n"


async def test_subclass_processor_finishes_a_complaint_whatever_happens(folder: Path) -> None:
    class Slow(subclass_processor.Complaints):
        async def write(self, text: str) -> None:
            await asyncio.sleep(1)
            await super().write(text)

    async with rig(Slow(folder / "complaints.txt")) as running:
        running.push(UserTurnFrame(1, "I complain"))
        running.call.hang_up()
        await running.call.wait_ended()
    assert (folder / "complaints.txt").exists()


async def test_subclass_processor_redacts_all_that_was_heard() -> None:
    said = f"it is {CARD}"
    words = (Word("it", 0, 200), Word("4111", 200, 400))
    result = await run(
        subclass_processor.Redact(),
        frames=[
            InterimTranscriptionFrame(said),
            TranscriptionFrame(said, words=words, alternatives=(Alternative(said, 0.5),)),
            TranscriptionFrame("room 4111, on 2026-01-05"),
        ],
    )
    assert "1111" not in repr(result.down[:2])
    assert result.texts == ["it is [card]", "room 4111, on 2026-01-05"]


async def test_subclass_processor_keeps_cards_out_of_the_log_of_a_call_with_sound() -> None:
    def bot(call: Call) -> Pipeline:
        return Pipeline(
            [
                call.transport.input(),
                EnergyVAD(),
                ScriptedSTT({2_500: f"It is {CARD}"}),
                subclass_processor.Redact(),
                Turns(),
                subclass_processor.Clerk("clerk"),
                ToneTTS(char_ms=10),
                call.transport.output(),
            ]
        )

    async with dial(bot, via="audio", voice=lambda text: tone(300, 1_500)) as caller:
        await caller.waits(800)
        caller.interrupts_now("It is …")
        await caller.hears("noted")
        await caller.listens()
    assert caller.record.turns == ["It is [card]"]
    assert "1111" not in caller.record.lines()


@pytest.mark.parametrize("interrupted", [False, True])
async def test_subclass_processor_gives_up_its_slow_work_with_the_reply(interrupted: bool) -> None:
    decent = subclass_processor.Decent()
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with rig(decent) as running:
        running.push(TextFrame("Damn!", decent.begin_reply()))
        await asyncio.sleep(0.01)  # it is at work now, and needs 30 ms
        if interrupted:
            running.call.interrupt()
        await running.ends()
    assert running.result.texts == ([] if interrupted else ["[beep]!"])
    assert round(loop.time() - began, 3) == (0.01 if interrupted else 0.03)


# -- the sink


class Webhook:
    """Keeps what is posted, and answers with the next of `answers`, else with 204."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.posts: list[list[dict[str, Any]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posts.append([json.loads(line) for line in body.splitlines()])
                self.send_response(hook.answers.pop(0) if hook.answers else 204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_port}/events?from=test"

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as hook:
        yield hook


@pytest.fixture
def app(webhook: Webhook, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The app of the example. Its store is in the folder of the test."""
    monkeypatch.setenv("EVENTS_URL", webhook.url)
    found = load_app(example("custom_sink"))
    assert isinstance(found, App)
    yield found
    run_virtual(found.aclose())


@pytest.fixture
def events() -> list[LoggedEvent]:
    return run_virtual(run()).events[:2]


async def test_custom_sink_posts_what_the_store_keeps_but_for_what_is_personal(app: App, webhook: Webhook) -> None:
    caller = AudioCaller(lambda text: tone(300, 600))
    await caller.dial(app, 0)
    await caller.hears("corner bakery")
    await caller.hangs_up()
    assert all([await feed.drained(5_000) for feed in app.sinks])
    kept = open_store("sqlite:///voiceframe.db")
    events = kept.events("call_00000000")
    kept.close()
    assert len(events) > 5
    assert [event["id"] for post in webhook.posts for event in post] == [event.id for event in events]
    assert any(event.personal for event in events)
    assert not any(event["personal"] for post in webhook.posts for event in post)


async def test_custom_sink_posts_a_batch_again_that_was_not_taken(
    app: App, webhook: Webhook, events: list[LoggedEvent]
) -> None:
    feed = app.sinks[-1]
    webhook.answers = [503, 302]  # what redirects has not taken it either
    for event in events:
        feed.put(event)
    assert [await feed.drained(5_000) for _ in range(3)] == [False, False, True]
    assert [len(post) for post in webhook.posts] == [2, 2, 2]
    assert webhook.posts[0] == webhook.posts[1] == webhook.posts[2]


async def test_custom_sink_loses_only_the_event_that_is_refused(
    app: App, webhook: Webhook, events: list[LoggedEvent]
) -> None:
    feed = app.sinks[-1]
    webhook.answers = [413, 204, 422]
    for event in events:
        feed.put(event)
    assert await feed.drained(5_000)
    assert [len(post) for post in webhook.posts] == [2, 1, 1, 1]
    assert webhook.posts[3][0]["kind"] == "sink.lost"


async def test_custom_sink_keeps_what_reaches_nobody(app: App, webhook: Webhook, events: list[LoggedEvent]) -> None:
    feed = app.sinks[-1]
    assert isinstance(feed, SinkFeed)
    with unittest.mock.patch.object(socket.socket, "connect", side_effect=ConnectionRefusedError):
        feed.put(events[0])
        assert not await feed.drained(5_000)
    assert feed.pending == 1
    assert await feed.drained(5_000)
    assert len(webhook.posts) == 1


@pytest.mark.parametrize("url", ["", "events", "ftp://example.com/events", "http:///events"])
def test_custom_sink_refuses_what_is_no_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_URL", url)
    with pytest.raises(ValueError, match="not the URL of a webhook"):
        load_app(example("custom_sink"))
