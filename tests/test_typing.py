"""What a wrong bot says to a type checker: handlers, settings and lazy names are typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).resolve().parent.parent

RIGHT = """
from collections.abc import Iterable

from voiceframe import Agent, Call, Observer, Parallel, Pipeline, Processor, handles, observes
from voiceframe.frames import Frame, TextFrame, TranscriptionFrame, UserTurnFrame


class Redact(Processor):
    @handles(TranscriptionFrame)
    def one(self, frame: TranscriptionFrame) -> TranscriptionFrame:
        return frame.replace(text="x")

    @handles(TextFrame, UserTurnFrame)
    async def two(self, frame: TextFrame | UserTurnFrame) -> Iterable[Frame] | None:
        self.spawn(self.work())
        return [frame]

    async def work(self) -> int:
        return await self.offload(len, "abc")


class Look(Observer):
    @observes(Frame)
    def see(self, frame: Frame) -> None: ...


def bot(call: Call) -> Pipeline:
    reveal_type(Agent("a"))
    return Pipeline([call.transport.input(), Parallel([Redact()]), call.transport.output()], observers=[Look()])
"""

WRONG = """
from voiceframe import EngineSettings, Pipeline, Processor, handles, observes
from voiceframe.frames import TextFrame, TranscriptionFrame


class A(Processor):
    @handles(TranscriptionFrame)
    def takes_another_frame(self, frame: TextFrame) -> None: ...  # E: arg-type

    @handles(TranscriptionFrame)
    def returns_text(self, frame: TranscriptionFrame) -> int:  # E: type-var
        return 1

    @observes(TranscriptionFrame)
    def observer_returns(self, frame: TranscriptionFrame) -> TranscriptionFrame:  # E: arg-type
        return frame


EngineSettings(mailbox_frame=1)  # E: call-arg
EngineSettings(mailbox_frames="many")  # E: arg-type
Pipeline([A])  # E: list-item
TextFrame("hello")  # E: call-arg
"""


def check(tmp_path: Path, text: str) -> str:
    file = tmp_path / "sample.py"
    file.write_text(text)
    out, err, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"), str(file)]
    )
    return out + err


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_right_bot_has_no_errors_and_its_names_their_types(tmp_path: Path) -> None:
    found = check(tmp_path, RIGHT)
    assert ": error:" not in found, found
    assert 'Revealed type is "voiceframe.processors.agents.agent.Agent"' in found


def test_each_wrong_line_is_an_error(tmp_path: Path) -> None:
    found = check(tmp_path, WRONG)
    expected = {
        (number, code)
        for number, line in enumerate(WRONG.splitlines(), 1)
        for code in re.findall(r"# E: ([\w-]+)", line)
    }
    reported = {(int(number), code) for number, code in re.findall(r"sample\.py:(\d+): error: .*\[([\w-]+)\]", found)}
    # A decorated method may be reported at its decorator, one line above.
    missing = {(n, code) for n, code in expected if not {(n, code), (n - 1, code)} & reported}
    assert not missing, found


def test_a_wrong_keyword_or_type_of_a_setting_is_an_error(tmp_path: Path) -> None:
    found = check(
        tmp_path,
        """
from voiceframe.settings import Settings, setting

class Mine(Settings, prefix="TYPED"):
    delay_ms: int = setting(default=1, doc="x")

Mine(delay_ms=2)
Mine(delay=2)
Mine(delay_ms="2")
Mine().delay_ms = 3
""",
    )
    assert re.findall(r"sample\.py:(\d+): error", found) == ["8", "9", "10"], found
