"""`voiceframe demo`: a whole call on virtual time, what is shown of it, and what is said when it goes wrong."""

from __future__ import annotations

import io
import json
import time
import wave
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs voiceframe[telephony]")
pytest.importorskip("espeakng_loader", reason="needs voiceframe[local]")
pytest.importorskip("onnxruntime", reason="needs voiceframe[local]")

from voiceframe import Call, Pipeline
from voiceframe.cli import main
from voiceframe.clock import run_virtual
from voiceframe.demo import clinic
from voiceframe.demo.breaking import Part
from voiceframe.demo.command import demo, demo_load, demo_runs
from voiceframe.demo.result import digest, percentile
from voiceframe.demo.screen import Screen
from voiceframe.demo.script import demo_plan
from voiceframe.demo.telephoning import local_now, make_call
from voiceframe.errors import MissingExtra
from voiceframe.flow import End
from voiceframe.models import POCKETSPHINX, places

pytestmark = pytest.mark.skipif(
    not any(place.present for place in places(POCKETSPHINX)),
    reason="needs the recognizer's model: `voiceframe models fetch`",
)

CHECKS = ["booked", "confirmed", "corrected", "cough", "barge-in", "key", "record", "latency"]
KEYS = {
    *("seed", "transcript", "turns", "latency", "barge_in", "pauses", "tools", "starts", "keys", "appointment"),
    *("recording", "events", "page", "checks", "passed"),
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A fast call by the command line's function, and what it printed."""
    out = io.StringIO()
    folder = tmp_path_factory.mktemp("call")
    assert demo(fast=True, folder=str(folder), as_json=True, out=out) == 0
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def test_a_call_books_and_passes_every_check(call: dict[str, Any]) -> None:
    assert call.keys() == KEYS
    assert [check["id"] for check in call["checks"]] == [f"demo.{name}" for name in CHECKS]
    assert {check["verdict"] for check in call["checks"]} == {"pass"}
    assert all(check["evidence"] for check in call["checks"])
    assert call["passed"]
    assert call["appointment"].keys() == {"doctor", "day", "time", "patient"}
    assert [tool["name"] for tool in call["tools"]] == ["book"]
    assert call["tools"][0]["arguments"]["patient"] == call["appointment"]["patient"]
    assert [key["digit"] for key in call["keys"]] == ["1"]


def test_what_was_said_is_where_it_is_in_the_recording(call: dict[str, Any]) -> None:
    lines = call["transcript"]
    assert [line["at_ms"] for line in lines] == sorted(line["at_ms"] for line in lines)
    assert {line["who"] for line in lines} == {"caller", "bot"}
    for line in lines:
        assert line.keys() == {"who", "at_ms", "end_ms", "text", "words", "cut", "unsaid"}
        assert line["at_ms"] < line["end_ms"]
        if line["text"] != "(coughs)":
            assert " ".join(word["text"] for word in line["words"]) == line["text"]
        for word in line["words"]:
            assert line["at_ms"] - 20 <= word["start_ms"] <= word["end_ms"] <= line["end_ms"] + 20
    cut = [line for line in lines if line["cut"]]
    assert [line["unsaid"] for line in cut] == [call["barge_in"]["unsaid"]]
    assert cut[0]["end_ms"] == pytest.approx(call["barge_in"]["stopped_ms"], abs=20)


def test_the_cough_only_holds_the_bot(call: dict[str, Any]) -> None:
    cough = next(line for line in call["transcript"] if line["text"] == "(coughs)")
    held = next(line for line in call["transcript"] if line["who"] == "bot" and line["end_ms"] > cough["at_ms"])
    assert not held["cut"]
    pause = next(pause for pause in call["pauses"] if pause["reason"] == "false alarm")
    assert cough["at_ms"] < pause["from_ms"] < pause["to_ms"] < held["end_ms"]


def test_the_latency_of_each_turn_is_the_sum_of_its_parts_and_near_what_was_heard(call: dict[str, Any]) -> None:
    parts = ("vad_ms", "endpointing_ms", "stt_ms", "agent_ms", "tts_ms")
    assert len(call["turns"]) >= 7
    for turn in call["turns"]:
        assert turn["sum_ms"] == sum(turn[part] or 0 for part in parts)
        if turn["voice_to_voice_ms"] is not None:
            assert abs(turn["voice_to_voice_ms"] - turn["sum_ms"]) < 60
    assert call["turns"][-1]["voice_to_voice_ms"] is None  # it was a key
    assert call["latency"]["p50_ms"] <= call["latency"]["p95_ms"] < 1_000
    for start in call["starts"]:
        assert abs(start["record_ms"] - start["recording_ms"]) <= 20


def test_the_files_are_written(call: dict[str, Any]) -> None:
    with wave.open(call["recording"]) as recording:
        assert (recording.getnchannels(), recording.getframerate()) == (2, 8_000)
        lasted_ms = recording.getnframes() / 8
    assert call["transcript"][-1]["end_ms"] <= lasted_ms
    events = [json.loads(line) for line in Path(call["events"]).read_text("utf-8").splitlines()]
    assert events[-1]["kind"] == "call.ended"
    assert "<html" in Path(call["page"]).read_text("utf-8")


def test_the_same_seed_is_the_same_call(tmp_path: Path) -> None:
    def made(seed: int, name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        return digest(run_virtual(make_call(seed, folder, real=False)))

    first = made(3, "a")
    assert made(3, "b") == first
    assert made(4, "c") != first
    assert demo_plan(3, local_now(False)).key() != demo_plan(4, local_now(False)).key()


def test_many_calls_have_a_pass_rate_and_one_digest() -> None:
    def runs() -> Any:
        out = io.StringIO()
        assert demo_runs(2, seed=1, as_json=True, out=out) == 0
        return json.loads(out.getvalue())

    found = runs()
    assert (found["calls"], found["pass_rate"], found["failing"], found["passed"]) == (2, 1.0, [], True)
    assert found["voice_to_voice"]["p50_ms"] <= found["voice_to_voice"]["p95_ms"]
    assert runs() == found


FILES = {"appointments.db", "call.html", "call.json", "call.wav", "events.jsonl"}


def files(folder: Path) -> dict[str, set[str]]:
    """What is in the folder of each call."""
    return {call.name: {path.name for path in call.iterdir()} for call in folder.iterdir()}


@pytest.mark.slow
def test_the_files_of_many_calls_are_kept_where_they_are_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--runs", "1", "--seed", "3"]) == 0
    assert "files" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    for count in ("2", "1"):  # the second time over those of a call before
        assert main(["demo", "--runs", count, "--seed", "3", "--out", "kept"]) == 0
        assert f"The files of each call are in {Path('kept', 'seed-<N>')}." in capsys.readouterr().out
    assert files(tmp_path / "kept") == {"seed-3": FILES, "seed-4": FILES}
    document = json.loads((tmp_path / "kept" / "seed-4" / "call.json").read_text("utf-8"))
    assert (document["seed"], document["passed"]) == (4, True)


def test_where_the_files_of_calls_at_once_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from voiceframe.demo import load

    async def loaded(count: int, first: int, bot: object, folder: str | None) -> dict[str, Any]:
        nothing = {"p50_ms": None}
        return {
            "calls": count,
            "seeds": [first, first],
            "lasted_s": 1.0,
            "pass_rate": 1.0,
            "failing": [],
            "cpu": {},
            "folder": folder,
            "voice_to_voice": nothing,
            "stop": nothing,
            "lateness": nothing,
        }

    monkeypatch.setattr(load, "load", loaded)
    assert main(["demo", "--load", "1", "--out", str(tmp_path)]) == 0
    assert f"The files of each call are in {tmp_path / 'seed-<N>'}." in capsys.readouterr().out
    assert main(["demo", "--load", "1"]) == 0
    assert "files" not in capsys.readouterr().out


def forgetful(call: Call) -> Pipeline:
    """Says that it has booked, and has not."""
    talking = [state for state in clinic.STATES if state.name in ("welcome", "menu", "hours", "appointment")]
    last = next(state for state in clinic.STATES if isinstance(state, End))
    return clinic.pipeline(call, [*talking, End("book", last.prompt, outcome="booked")])


def test_a_bot_that_only_says_that_it_has_booked_fails(tmp_path: Path) -> None:
    out = io.StringIO()
    assert demo(fast=True, folder=str(tmp_path), bot=forgetful, out=out) == 1
    assert "fail  demo.booked" in out.getvalue()
    assert "This call has failed." in out.getvalue()
    out = io.StringIO()
    assert demo_runs(1, bot=forgetful, out=out) == 1
    assert "0.0% passed" in out.getvalue()


def test_one_thing_is_said_and_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--fast", "--say", "when are you open", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "We are open from Monday to Friday" in shown
    assert "when are you open" in shown.partition("understood")[2]


def test_one_thing_is_played_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from voiceframe.testing.voices import Voice, speech

    with wave.open(str(tmp_path / "said.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(speech("opening hours", Voice(), 16_000))
    command = ["demo", "--fast", "--wav", str(tmp_path / "said.wav"), "--out", str(tmp_path), "--json"]
    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert [turn["text"] for turn in document["turns"]] == ["opening hours"]


def test_a_file_that_is_no_sound_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--fast", "--wav", str(tmp_path / "no.wav"), "--out", str(tmp_path)]) == 2
    assert "no.wav" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "noticed", "mended"),
    [
        ("stt", "processor.failed", "turn.committed"),
        ("tts", "processor.failed", "reply.heard"),
        ("socket", "connection.lost", "connection.attached"),
    ],
)
def test_a_part_that_is_killed_is_noticed_and_the_appointment_is_booked_all_the_same(
    part: Part, noticed: str, mended: str, tmp_path: Path
) -> None:
    out = io.StringIO()
    assert demo(fast=True, part=part, folder=str(tmp_path), as_json=True, out=out) == 0
    found = json.loads(out.getvalue())
    assert found["break"]["noticed"]["event"] == noticed
    assert found["break"]["mended"]["event"] == mended
    assert found["break"]["at_ms"] > 0
    assert [check["id"] for check in found["checks"]] == ["demo.booked", "demo.confirmed", "demo.break"]


def test_without_its_calendar_the_bot_hands_over_and_nothing_was_booked(tmp_path: Path) -> None:
    out = io.StringIO()
    assert demo(fast=True, part="db", folder=str(tmp_path), as_json=True, out=out) == 1
    found = json.loads(out.getvalue())
    assert found["appointment"] is None
    assert found["break"]["mended"]["event"] == "handoff.requested"
    assert {check["id"]: check["verdict"] for check in found["checks"]}["demo.break"] == "pass"
    assert "cannot reach our calendar" in found["transcript"][-1]["text"]


def test_a_terminal_has_two_columns_and_what_was_cut_is_struck_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    screen = Screen(out, live=True)
    run_virtual(make_call(1, tmp_path, real=False, show=screen, observers=[screen.observer]))
    shown = out.getvalue()
    assert "\x1b[2;9m" in shown
    assert "✓ booked" in shown
    assert "█" in shown


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"voiceframe\[local,telephony\]"):
        demo(fast=True, out=io.StringIO())


def test_percentiles_of_nothing_are_none() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0


def test_a_signal_gives_cpu_time_to_the_stage_that_has_used_it() -> None:
    from voiceframe.demo.load import STAGES, CpuByStage
    from voiceframe.testing.voices import Voice, speech

    began = time.process_time()
    with CpuByStage() as cpu:
        number = 0
        while time.process_time() - began < 0.3:
            speech(f"number {number}", Voice())
            number += 1
    assert set(cpu.seconds) <= {*STAGES.values(), "engine, events, event loop"}
    assert sum(cpu.seconds.values()) == pytest.approx(time.process_time() - began, rel=0.35)
    assert cpu.seconds["TTS"] + cpu.seconds["the callers themselves"] > 0.5 * sum(cpu.seconds.values())


@pytest.mark.slow
def test_two_calls_at_once_over_sockets(tmp_path: Path) -> None:
    out = io.StringIO()
    assert demo_load(2, folder=str(tmp_path), as_json=True, out=out) == 0
    assert files(tmp_path) == {"seed-1": FILES, "seed-2": FILES}
    found = json.loads(out.getvalue())
    assert (found["calls"], found["pass_rate"]) == (2, 1.0)
    assert found["lateness"]["p50_ms"] < 20
    assert {"VAD", "STT", "TTS"} <= found["cpu"].keys()
