"""`voiceframe soak`: what must hold in any call, and that a bot which breaks it is found out."""

from __future__ import annotations

import asyncio
import json

import pytest

from voiceframe.call import Call
from voiceframe.cli import main
from voiceframe.events import TurnAnswered
from voiceframe.frames import UserTurnFrame
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Processor, handles
from voiceframe.soak import measure, restless_bot


def test_the_restless_bot_keeps_every_promise() -> None:
    report = measure(restless_bot, calls=60, seed=0)
    assert report.exit_code == 0, report.markdown()
    assert {check.id for check in report.checks} == {"soak.outcomes", "soak.ends", "soak.tasks", "soak.growth"}


def test_the_same_seed_makes_the_same_calls() -> None:
    evidence = [measure(restless_bot, calls=5, seed=42).checks[0].evidence[1:] for _ in range(2)]
    assert evidence[0] == evidence[1]


def test_a_turn_with_two_outcomes_fails() -> None:
    class Twice(Processor):
        @handles(UserTurnFrame)
        def on_turn(self, frame: UserTurnFrame) -> None:
            self.call.say("Yes.")
            self.emit(TurnAnswered(turn=frame.turn, reply=99, latency_ms=0))

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Twice(), call.transport.output()])

    report = measure(bot, calls=5, seed=0)
    assert report.exit_code == 1
    assert "outcomes" in report.markdown()


def test_a_task_that_is_left_behind_fails() -> None:
    left = []

    class Careless(Processor):
        @handles(UserTurnFrame)
        def on_turn(self, frame: UserTurnFrame) -> None:
            left.append(asyncio.ensure_future(asyncio.sleep(10**6)))

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Careless(), call.transport.output()])

    report = measure(bot, calls=3, seed=0)
    assert next(check for check in report.checks if check.id == "soak.tasks").verdict == "fail"


def test_the_command_prints_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", "--calls", "3", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Soak: 3 calls"


@pytest.mark.slow
def test_ten_thousand_turns() -> None:
    report = measure(restless_bot, calls=4_000, seed=1_000_000)
    assert report.exit_code == 0, report.markdown()


def test_a_call_that_ends_twice_in_the_log_fails() -> None:
    from voiceframe.events import CallEnded

    class EndsEarly(Processor):
        @handles(UserTurnFrame)
        def on_turn(self, frame: UserTurnFrame) -> None:
            self.emit(CallEnded(reason="made up", duration_ms=0))
            self.call.say("Yes.")

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), EndsEarly(), call.transport.output()])

    report = measure(bot, calls=5, seed=0)
    assert next(check for check in report.checks if check.id == "soak.ends").verdict == "fail"
