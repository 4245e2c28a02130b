"""The page of a call: it parses, shows every part, believes nothing that was said, and plays in a browser."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import io
import json
import math
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.demo.page import render

EVIL = "</script><script>alert(1)</script><img src=x onerror='alert(2)' title=\"&amp;\">"
VOID = frozenset({"br", "img", "input", "link", "meta"})


def make_wav(seconds: float = 4.0, channels: int = 2, rate: int = 8_000) -> bytes:
    """The caller hums for the first half, the bot for the second."""
    frames = round(seconds * rate)
    tone = [round(9_000 * math.sin(n / 6)) for n in range(frames)]
    samples = [
        tone[n] if (n < frames / 2) == (channel == 0) else 0 for n in range(frames) for channel in range(channels)
    ]
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()


WAV = make_wav()


def words(text: str, at: float, each: float = 200) -> list[dict[str, Any]]:
    return [
        {"text": word, "start_ms": at + n * each, "end_ms": at + n * each + 150} for n, word in enumerate(text.split())
    ]


def make_result(**other: Any) -> dict[str, Any]:
    said, asked = "an appointment please", "What is your name?"
    return {
        "seed": 17,
        "transcript": [
            {"who": "caller", "at_ms": 200, "end_ms": 800, "text": said, "words": words(said, 200)},
            {
                "who": "bot",
                "at_ms": 2_000,
                "end_ms": 2_600,
                "text": asked,
                "words": words(asked, 2_000)[:3],
                "cut": True,
                "unsaid": "name?",
            },
        ],
        "turns": [
            {
                "turn": 1,
                "text": said,
                "vad_ms": 96,
                "endpointing_ms": 320,
                "stt_ms": 80,
                "agent_ms": 210,
                "tts_ms": 150,
                "sum_ms": 856,
                "voice_to_voice_ms": 850,
            }
        ],
        "latency": {"p50_ms": 850, "p95_ms": 1_204},
        "barge_in": {"began_ms": 2_350, "stop_ms": 250, "stopped_ms": 2_600, "unsaid": "name?"},
        "pauses": [{"from_ms": 2_100, "to_ms": 2_300, "reason": "a cough"}],
        "tools": [{"at_ms": 1_500, "name": "book", "arguments": {"day": "Monday"}, "result": {"id": 4711}, "ms": 12}],
        "starts": [{"reply": 1, "record_ms": 2_000, "recording_ms": 2_003.6}],
        "keys": [{"at_ms": 1_000, "digit": "7"}],
        "appointment": {"patient": "Helen Murray", "doctor": "Dr Novak", "day": "Monday", "time": "10:30"},
        "recording": "/tmp/call.wav",
        "events": "/tmp/call.jsonl",
        "checks": [
            {"id": "booked", "verdict": "pass", "evidence": "id 4711"},
            {"id": "agrees", "verdict": "warn", "evidence": ["3.5 ms", {"reply": 1}]},
        ],
        "passed": True,
        **other,
    }


class Page(html.parser.HTMLParser):
    """Reads a page as strictly as one can: every element is closed, in its turn, and every id is there once."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in self.elements:
            for name in ("aria-labelledby", "for"):
                assert attributes.get(name, ids[0] if ids else None) in ids
            assert not any(name.startswith("on") or name == "style" for name in attributes)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.inside.setdefault(self.open[-1], []).append(data)
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def count(self, tag: str, **wanted: str) -> int:
        return sum(
            name == tag and all(attributes.get(key) == value for key, value in wanted.items())
            for name, attributes in self.elements
        )

    @property
    def data(self) -> Any:
        return json.loads(self.inside["script"][0])


def test_shows_every_part_of_the_call() -> None:
    page = Page(render(make_result(), WAV))
    for part in (
        "Appointment booked",
        "1 of 2 checks passed. 1 warning.",
        "Helen Murray",
        "Dr Novak",
        "10:30",
        "1,204 ms",
        "250 ms",
        "Endpointing 320 ms",
        "sum 856 ms, −6 ms",
        '{"day": "Monday"}',
        '{"id": 4711}',
        "2.004 s",
        "+3.6 ms",
        "an appointment please",
        "cut off",
        "Never said: name?",
        "id 4711",
        "reply: 1",
        "/tmp/call.wav",
        "/tmp/call.jsonl",
    ):
        assert part in page.words, part
    assert page.count("h1") == 1
    assert page.count("audio") == 1
    assert page.count("canvas") == 2
    assert page.count("rect", **{"class": "part4"}) == 1
    assert page.count("del") == 1
    data = page.data
    assert [mark["kind"] for mark in data["marks"]] == ["key", "tool", "pause", "resume", "barge", "stop"]
    assert ["At sample", "20,800"] in data["marks"][-1]["details"]
    assert data["barge"] == [2_350, 2_600]
    assert data["pauses"] == [[2_100, 2_300]]
    assert data["lines"][0]["words"][1] == ["appointment", 400, 550]


def test_the_sound_in_it_is_the_recording() -> None:
    page = Page(render(make_result(), WAV))
    source = next(attributes["src"] for tag, attributes in page.elements if tag == "audio")
    assert base64.b64decode(source.removeprefix("data:audio/wav;base64,")) == WAV


def test_a_call_of_ninety_seconds_fits_into_four_megabytes() -> None:
    assert len(render(make_result(), make_wav(90)).encode()) < 4_000_000


def test_the_same_call_is_the_same_bytes() -> None:
    assert render(make_result(), WAV) == render(make_result(), WAV)


def test_asks_for_nothing_from_outside() -> None:
    page = Page(text := render(make_result(), WAV))
    policy = next(attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for kind, code in (("script", page.inside["script"][1]), ("style", page.inside["style"][0])):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    for _, attributes in page.elements:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    assert not re.search(r"https?://|url\(|@import", re.sub('base64,[^"]*', "", text))


def poisoned(value: Any) -> Any:
    """Every text in it is hostile."""
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return EVIL if isinstance(value, str) and value not in ("caller", "bot", "pass", "warn") else value


def test_what_was_said_is_no_html() -> None:
    result = poisoned(make_result())
    result["appointment"][EVIL] = EVIL
    page, plain = Page(render(result, WAV)), Page(render(make_result(), WAV))
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert page.count("img") == 0
    assert EVIL in page.words
    assert page.data["lines"][0]["words"][0][0] == EVIL
    # The policy stands, and it is the same script that it lets run.
    assert page.inside["script"][1] == plain.inside["script"][1]


@pytest.mark.parametrize("text", ["a\x00b\x1bc", "\ud800", "\u202eevil", "${title} $data", "\r\n\u2028"])
def test_odd_characters_do_no_harm(text: str) -> None:
    page = Page(render(poisoned(make_result(appointment={"patient": text}, seed=text)), WAV))
    assert "\x00" not in page.words
    render(make_result(seed=text), WAV).encode()


def test_numbers_and_keys_that_json_has_not() -> None:
    odd = {"latency": {"p50_ms": 10**400, "p95_ms": math.nan}, "appointment": {(1, 2): {(3, 4): 5}}}
    assert "{(3, 4): 5}" in Page(render(odd, b"")).words


@pytest.mark.parametrize("wav", [b"", b"RIFF", b"\0" * 100, make_wav(0), WAV[:30]])
def test_an_empty_call_has_a_page(wav: bytes) -> None:
    page = Page(render({}, wav))
    assert "No verdict" in page.words
    assert "None was made in this call." in page.words
    assert "Nothing was checked." in page.words
    assert "Nothing was said." in page.words
    assert page.count("audio") == 0


def test_every_part_may_be_missing_or_none() -> None:
    for key in make_result():
        Page(render({name: value for name, value in make_result().items() if name != key}, WAV))
        Page(render(make_result(**{key: None}), WAV))
    assert "There is no recording" in Page(render(make_result(), b"")).words


def test_a_recording_of_one_side_is_played() -> None:
    assert Page(render({}, make_wav(1, channels=1))).data["channels"] == 1


_KEYS = [key for key in make_result()["turns"][0] if key != "turn"]
_KEYS += ["who", "at_ms", "end_ms", "words", "start_ms", "cut", "unsaid", "verdict", "id", "evidence"]
_KEYS += ["began_ms", "stopped_ms", "from_ms", "to_ms", "record_ms", "recording_ms"]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=6),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(make_result())), _VALUES))
def test_whatever_the_result_there_is_a_page(result: dict[str, Any]) -> None:
    page = Page(render(result, b""))
    assert page.data["ms"] >= 0
    assert "NaN" not in page.inside["script"][0]


@pytest.mark.parametrize(
    ("other", "headline"),
    [
        ({}, "Appointment booked"),
        ({"appointment": None}, "Call passed"),
        ({"passed": False}, "Call failed"),
        ({"passed": None}, "No verdict"),
    ],
)
def test_the_verdict_is_the_headline(other: dict[str, Any], headline: str) -> None:
    text = render(make_result(**other), WAV)
    assert f'<h1 id="verdict">{headline}</h1>' in text
    assert f"<title>{headline} · Voiceframe</title>" in text


def test_a_failed_call_says_what_failed() -> None:
    checks = [{"id": "heard", "verdict": "fail", "evidence": "cut"}, {"id": "booked", "verdict": "pass"}]
    assert "1 of 2 checks passed. Failed: heard." in Page(render({"passed": False, "checks": checks}, WAV)).words


def test_a_turn_that_was_not_measured_says_so() -> None:
    by_key = {"turn": 2, "text": "1", "vad_ms": None, "sum_ms": None, "voice_to_voice_ms": None}
    page = Page(render({"turns": [by_key, *make_result()["turns"]]}, WAV))
    assert "Turn 2 1 – not measured" in page.words
    assert page.words.count("Endpointing") == 2  # in the legend, and for the other turn


def test_a_pause_that_ended_in_a_barge_in_was_not_resumed() -> None:
    pauses = [{"from_ms": 2_360, "to_ms": 2_600, "reason": "barge-in"}]
    kinds = [mark["kind"] for mark in Page(render(make_result(pauses=pauses), WAV)).data["marks"]]
    assert "resume" not in kinds


def test_the_way_over_the_line_is_told_from_what_the_bot_took() -> None:
    barge = {"began_ms": 2_350, "stop_ms": 190, "stopped_ms": 2_600, "unsaid": "name?"}
    details = Page(render(make_result(barge_in=barge), WAV)).data["marks"][-1]["details"]
    assert ["After the caller began", "190 ms"] in details
    assert ["In the recording", "250 ms"] in details


@pytest.mark.parametrize(
    ("line", "said", "unsaid"),
    [
        ({"text": "one two", "unsaid": "three"}, ["one", "two"], "three"),
        ({"text": "one two three", "unsaid": "three"}, ["one", "two"], "three"),
        ({"text": "one two three", "unsaid": "three", "words": words("one two three", 0)}, ["one", "two"], "three"),
        ({"text": "one two three", "words": words("one two three", 0)}, ["one", "two"], "three"),
        ({"text": "One, two.", "unsaid": "three", "words": words("one two", 0)}, ["One,", "two."], "three"),
    ],
)
def test_what_was_cut_is_told_from_what_was_heard(line: dict[str, Any], said: list[str], unsaid: str) -> None:
    line = {"who": "bot", "at_ms": 0, "end_ms": 400, "cut": True, **line}
    found = Page(render({"transcript": [line]}, WAV)).data["lines"][0]
    assert " ".join(word[0] for word in found["words"]).split() == said
    assert found["unsaid"] == unsaid
    assert found["stop"] == 400


# -- in a browser

chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
browser = pytest.mark.skipif(
    not chromium and "chromium" not in os.environ.get("TESTS_REQUIRE", ""),
    reason="Chromium is not installed, and this looks at the page in it.",
)


class Browser:
    """A page in a Chromium without a window, driven over two pipes."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back, self._number = to, back, 0
        self._rest = b""
        self.troubles: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self) -> Any:
        while b"\0" not in self._rest:
            assert select.select([self._back], [], [], 60)[0], "Chromium has not answered within 60 s"
            piece = os.read(self._back, 1 << 16)
            assert piece, "Chromium has gone"
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.troubles.append(json.dumps(message["params"]))
        return message

    def visit(self, page: Path) -> None:
        self._ask("Page.navigate", url=page.as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        answer = self._ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            said = {"text": text} if text and kind == "keyDown" else {}
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, **said)

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        x, y = self.run(
            f"(() => {{ const r = document.querySelector({selector!r}).getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def shot(self) -> bytes:
        return base64.b64decode(self._ask("Page.captureScreenshot")["data"])


#: It reads from descriptor 3 and writes to 4, which this puts there.
_EXEC = """if True:
    import fcntl, os, sys
    low, high = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
    for number, wanted in ((low, 3), (high, 4)):
        os.dup2(number, wanted)
    os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    read_by_it, to = os.pipe()
    back, written_by_it = os.pipe()
    command = [str(chromium), "--headless", "--no-sandbox", "--disable-gpu", "--mute-audio", "--no-first-run"]
    command += ["--autoplay-policy=no-user-gesture-required", f"--user-data-dir={folder}", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        [sys.executable, "-c", _EXEC, str(read_by_it), str(written_by_it), *command],
        pass_fds=(read_by_it, written_by_it),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(read_by_it)
    os.close(written_by_it)
    try:
        yield Browser(to, back)
    finally:
        os.close(to)
        os.close(back)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


AT = "Number(document.getElementById('cursor').dataset.ms)"
LATER = """new Promise((done) => { const sound = document.getElementById("sound"); const from = sound.currentTime;
  sound.addEventListener("timeupdate", () => sound.currentTime > from + 0.2 && done(sound.currentTime)); })"""


@browser
def test_it_plays_and_the_words_follow(tmp_path: Path) -> None:
    path = tmp_path / "call.html"
    path.write_text(render(make_result(), WAV), encoding="utf-8")
    with open_browser(tmp_path / "profile") as page:
        page.visit(path)
        assert page.run("Number(document.getElementById('overview').dataset.peaks)") >= 1_000
        assert page.run(AT) == 0
        page.press(" ", " ")
        assert page.run(LATER) > 0.2
        assert page.run(AT) >= 100  # it is drawn with the next frame of the screen
        assert page.run("document.getElementById('play').getAttribute('aria-label')") == "Pause"
        page.press(" ", " ")
        assert page.run("document.getElementById('sound').paused")
        page.click(".word.bot")
        assert page.run(AT) == 2_000
        assert page.run("document.querySelector('.w.now').textContent") == "What"
        page.click(".lines .w:nth-child(2)")
        assert page.run("document.querySelector('.word.now').textContent") == "appointment"
        page.click(".pin.stop")
        assert page.run(AT) == 2_600
        assert "20,800" in page.run("document.getElementById('detail').textContent")
        for button in ("#fit", "#words", "#in", "#out", "#follow", "#play"):
            page.click(button)
        assert page.troubles == []


@browser
def test_hostile_texts_stay_texts_and_an_empty_page_is_quiet(tmp_path: Path) -> None:
    with open_browser(tmp_path / "profile") as page:
        for name, result, wav in (
            ("hostile", poisoned(make_result()), WAV),
            ("empty", {}, b""),
            ("silent", make_result(), b""),
            ("bare", {}, WAV),
        ):
            path = tmp_path / f"{name}.html"
            path.write_text(render(result, wav), encoding="utf-8")
            page.visit(path)
            assert page.run("document.images.length") == 0
            assert page.troubles == [], name


@browser
@pytest.mark.parametrize(("width", "phone"), [(1440, False), (390, True), (320, True)])
def test_nothing_is_too_wide_or_too_small(tmp_path: Path, width: int, phone: bool) -> None:
    path = tmp_path / "call.html"
    path.write_text(render(make_result(), WAV), encoding="utf-8")
    with open_browser(tmp_path / "profile") as page:
        page.look(width, 900, phone=phone)
        page.visit(path)
        assert page.run("document.documentElement.scrollWidth") <= width
        smallest = """Math.min(...[...document.querySelectorAll("body *")]
          .filter((e) => e.getClientRects().length && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
          .map((e) => parseFloat(getComputedStyle(e).fontSize)))"""
        assert page.run(smallest) >= 12
