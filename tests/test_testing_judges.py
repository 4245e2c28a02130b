"""Judging a call by rules: each rule passes, fails, and is not green without evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_testing_record import booked, made
from voiceframe import Agent, Call, Pipeline
from voiceframe.audio import AudioFormat
from voiceframe.checks import Check, Missing, Report
from voiceframe.errors import TestKitError
from voiceframe.events import (
    CallEnded,
    Event,
    GuardrailDecided,
    HandoffDecided,
    ProcessorFailed,
    ReplyHeard,
    ReplySpeaking,
    ToolCalled,
    TurnAnswered,
    TurnCommitted,
    TurnUnanswered,
)
from voiceframe.frames import UserTurnFrame
from voiceframe.testing import (
    CallTranscript,
    Judge,
    ScriptedLLM,
    Step,
    ToneTTS,
    called,
    dial,
    handed_off,
    heard,
    judge,
    said,
)
from voiceframe.testing.hearing import Silence, answers, silences, yields
from voiceframe.tones import tone

Rule = Callable[[Judge], Judge]


def outcome(record: CallTranscript, rule: Rule) -> str:
    (check,) = rule(judge(record)).checks
    assert check.verdict == "pass" or check.fix is None or "`" in check.fix
    return check.verdict


PASS: list[Rule] = [
    lambda call: call.heard("CITY clinic"),
    lambda call: call.heard("hello|booked", times=2),
    lambda call: call.heard("nonsense", times=0),
    lambda call: call.said("when can"),
    lambda call: call.not_heard("guarantee"),
    lambda call: call.order("clinic", said("when"), "thursday", said("yes"), called("book", doctor="Dr Lee"), "booked"),
    lambda call: call.order(called("book"), called("book")),
    lambda call: call.turns(at_most=3),
    lambda call: call.called("book", day="2026-12-03"),
    lambda call: call.not_called("cancel"),
    lambda call: call.not_called("book", day="2027-01-01"),
    lambda call: call.tools("book", "book"),
    lambda call: call.no_handoff(),
    lambda call: call.not_blocked(),
    lambda call: call.no_unanswered_turn(),
    lambda call: call.answers_within(900),
    lambda call: call.answers_within(500, share=0.3),
    lambda call: call.answers_within(900, by="voice"),
    lambda call: call.ended("hangup"),
    lambda call: call.ended(reason="hangup"),
    lambda call: call.no_errors(),
    lambda call: call.satisfies("odd", lambda record: len(record.turns) % 2 == 1),
]

FAIL: list[Rule] = [
    lambda call: call.heard("guarantee"),
    lambda call: call.heard("booked", times=2),
    lambda call: call.said("on thursday"),  # the bot has
    lambda call: call.not_heard("thursday at"),
    lambda call: call.order("booked", "thursday"),
    lambda call: call.order(called("book"), called("book"), called("book")),
    lambda call: call.order(called("book"), said("yes"), said("yes")),
    lambda call: call.turns(at_most=2),
    lambda call: call.turns(at_least=4),
    lambda call: call.called("book", day="2027-01-01"),
    lambda call: call.not_called("book"),
    lambda call: call.tools("book"),
    lambda call: call.tools(),
    lambda call: call.no_failed_tool(),
    lambda call: call.handed_off_to("billing"),
    lambda call: call.blocked(),
    lambda call: call.answers_within(500),
    lambda call: call.answers_within(300, by="voice"),
    lambda call: call.ended("completed"),
    lambda call: call.ended(reason="completed"),
    lambda call: call.satisfies("even", lambda record: len(record.turns) % 2 == 0),
]


async def test_rules_that_hold_and_rules_that_do_not() -> None:
    record = await booked()
    assert [outcome(record, rule) for rule in PASS] == ["pass"] * len(PASS)
    assert [outcome(record, rule) for rule in FAIL] == ["fail"] * len(FAIL)


async def test_without_evidence_nothing_is_green() -> None:
    empty = CallTranscript()
    for rule in PASS:
        verdict = outcome(empty, rule)
        (check,) = rule(judge(empty)).checks
        assert verdict != "pass" or check.id in ("call.heard", "call.satisfies"), check.id  # times=0: that is so
    silent = await made()
    assert outcome(silent, lambda call: call.not_heard("guarantee")) == "warn"
    assert outcome(silent, lambda call: call.no_unanswered_turn()) == "warn"
    assert outcome(silent, lambda call: call.no_failed_tool()) == "warn"
    assert outcome(silent, lambda call: call.answers_within(1_000)) == "fail"


async def test_what_is_not_kept_may_have_been_said() -> None:
    record = await made(ReplySpeaking(reply=1), ReplyHeard(reply=1, complete=True, text="guaranteed!"), private=True)
    assert outcome(record, lambda call: call.not_heard("guarantee")) == "warn"
    assert outcome(record, lambda call: call.heard("guarantee")) == "fail"


async def test_turns_without_an_answer_are_late_and_are_found() -> None:
    turn = TurnCommitted(turn=1, source="speech", confidence=1.0, text="hello?")
    record = await made(turn, TurnUnanswered(turn=1, reason="deadline"))
    assert outcome(record, lambda call: call.no_unanswered_turn()) == "fail"
    assert outcome(record, lambda call: call.answers_within(10_000)) == "fail"
    assert outcome(await made(turn), lambda call: call.no_unanswered_turn()) == "fail"  # none at all yet
    answered = TurnAnswered(turn=2, reply=1, latency_ms=10)
    record = await made(turn, TurnUnanswered(turn=1, reason="deadline"), answered)
    assert outcome(record, lambda call: call.answers_within(10_000)) == "fail"
    assert outcome(record, lambda call: call.answers_within(10_000, share=0.5)) == "pass"


async def test_handoffs_blocks_and_errors() -> None:
    decided: dict[str, Any] = {"squad": "s", "source": "triage"}
    record = await made(
        HandoffDecided(**decided, asked="vault", status="blocked", why="policy"),
        GuardrailDecided(stage="output", rule="advice", action="warn", done="warn"),
        ProcessorFailed(processor="Keys", handler="on_key", error="ValueError", fatal=False),
    )
    assert outcome(record, lambda call: call.no_handoff()) == "pass"
    assert outcome(record, lambda call: call.not_blocked()) == "pass"
    assert outcome(record, lambda call: call.no_errors()) == "fail"
    assert outcome(record, lambda call: call.handed_off_to("vault", status="blocked")) == "pass"
    record = await made(
        HandoffDecided(**decided, asked="billing", target="billing", status="allowed"),
        GuardrailDecided(stage="output", rule="advice", action="block", done="block"),
    )
    assert outcome(record, lambda call: call.no_handoff()) == "fail"
    assert outcome(record, lambda call: call.not_blocked()) == "fail"
    assert outcome(record, lambda call: call.blocked("advice", stage="output")) == "pass"
    assert outcome(record, lambda call: call.blocked("advice", stage="transcript")) == "fail"
    assert outcome(record, lambda call: call.order(handed_off("billing"))) == "pass"


async def test_a_verdict_is_a_report_and_an_assertion() -> None:
    record = await booked()
    found = judge(record, name="booking").heard("clinic").heard("booked").not_heard("guarantee")
    assert [check.id for check in found.report().checks] == ["booking.heard", "booking.heard.2", "booking.not-heard"]
    assert found.passed
    assert found.holds() is found
    found.add(Check("database", "pass", ["same"]), Missing("audio"), Report([Check("other", "fail", ["bad"])]))
    assert found.report().exit_code == 1
    assert [item.id for item in found.report().missing] == ["audio"]
    with pytest.raises(AssertionError, match=r"(?s)bad.*1 fail") as caught:
        found.holds()
    assert isinstance(caught.value, TestKitError)
    assert not judge(record).passed  # nothing was asked


async def test_rules_that_cannot_be_asked_are_refused() -> None:
    record = await booked()
    rules: list[Callable[[], Judge]] = [
        lambda: judge(record).heard("("),
        lambda: judge(record).order(),
        lambda: judge(record).answers_within(100, share=0),
    ]
    for rule in rules:
        with pytest.raises(TestKitError, match=r"test\.rule"):
            rule()
    rules = [
        lambda: judge(record).no_dead_air(100),
        lambda: judge(record).yields_within(100),
        lambda: judge(record).answers_within(100, by="sound"),
    ]
    for sound in rules:
        with pytest.raises(TestKitError, match=r"test\.no-sound"):
            sound()


# -- order


async def test_a_reply_takes_its_time_and_a_tool_may_run_meanwhile() -> None:
    record = await made(
        ReplySpeaking(reply=1),
        ToolCalled(call_id="1", name="book", arguments={}),
        ReplyHeard(reply=1, complete=True, text="One moment. It is booked."),
        CallEnded(reason="hangup", duration_ms=1),
    )

    def ok(*steps: Step | str) -> bool:
        return outcome(record, lambda call: call.order(*steps)) == "pass"

    assert ok("one moment", called("book"), "booked")
    assert ok(called("book"), "one moment", "booked")
    assert not ok("booked", "one moment")
    assert not ok("booked", "booked")
    assert not ok("one moment", called("book"), called("book"))
    assert ok("moment", "it is", "booked")
    assert not ok("one moment", "moment")


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
async def test_an_order_is_a_subsequence(events: list[str], steps: list[str]) -> None:
    kinds: dict[str, Callable[[int], Event]] = {
        "a": lambda n: TurnCommitted(turn=n, source="speech", confidence=1.0, text="aye"),
        "b": lambda n: ToolCalled(call_id=str(n), name="book", arguments={}),
        "c": lambda n: ReplyHeard(reply=n, complete=True, text="certainly"),
    }
    wanted = {"a": said("aye"), "b": called("book"), "c": heard("certainly")}
    record = await made(*(kinds[kind](number) for number, kind in enumerate(events, 1)))
    left = iter(events)
    truth = all(step in left for step in steps)
    assert outcome(record, lambda call: call.order(*(wanted[step] for step in steps))) == ("pass" if truth else "fail")


# -- sound


class Sound:
    """A call over audio that is made up."""

    format = AudioFormat("pcm_s16le", 8_000)

    def __init__(
        self, length_ms: int, caller: list[tuple[float, float]], bot: list[tuple[float, float]], began_ms: float = 0
    ) -> None:
        self.began_ms = began_ms
        self.recording = bytes(4 * 8 * length_ms)
        self.spoke, self.bot_spoke = caller, bot


def test_silences_answers_and_yielding_by_sound() -> None:
    sound = Sound(
        10_000,
        caller=[(2_000, 3_000), (3_300, 4_000), (6_500, 7_000), (9_000, 9_200)],
        bot=[(500, 1_500), (5_200, 6_600), (7_100, 8_000)],
        began_ms=100,
    )
    assert silences(sound) == [
        Silence(100, 500, "nobody"),
        Silence(1_500, 2_000, "bot"),
        Silence(3_000, 3_300, "caller"),
        Silence(4_000, 5_200, "caller"),
        Silence(7_000, 7_100, "caller"),
        Silence(8_000, 9_000, "bot"),
        Silence(9_200, 10_100, "caller"),
    ]
    assert answers(sound) == [(4_000, 1_200), (7_000, 100)]
    assert yields(sound) == [(6_500, 100)]
    record = CallTranscript()
    record.sound = sound
    assert outcome(record, lambda call: call.no_dead_air(1_200)) == "pass"
    assert outcome(record, lambda call: call.no_dead_air(1_199)) == "fail"
    assert outcome(record, lambda call: call.answers_within(1_200, by="sound")) == "pass"
    assert outcome(record, lambda call: call.answers_within(1_000, by="sound")) == "fail"
    assert outcome(record, lambda call: call.answers_within(1_000, share=0.5, by="sound")) == "pass"
    assert outcome(record, lambda call: call.yields_within(100)) == "pass"
    assert outcome(record, lambda call: call.yields_within(99)) == "fail"
    record.sound = Sound(5_000, [], [(100, 4_900)])
    assert outcome(record, lambda call: call.yields_within(99)) == "warn"
    assert outcome(record, lambda call: call.answers_within(99, by="sound")) == "fail"
    record.sound = Sound(9_000, [], [(100, 1_000), (8_000, 9_000)])
    assert outcome(record, lambda call: call.no_dead_air(2_000)) == "pass"
    assert outcome(record, lambda call: call.no_dead_air(2_000, after="anybody")) == "fail"


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=6),
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=6),
)
def test_silence_is_exactly_where_nobody_speaks(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    caller, bot = ([(float(a), float(a + b)) for a, b in some] for some in (one, other))
    found = silences(Sound(70, caller, bot))
    for ms in range(70):
        speaks = any(a <= ms < b for a, b in (*caller, *bot))
        assert speaks != any(silence.began_ms <= ms < silence.ended_ms for silence in found)


async def test_dead_air_of_a_bot_is_heard_at_the_callers_end() -> None:
    def bot(call: Call) -> Pipeline:
        model = ScriptedLLM(["Well.", "Well."], delay_ms=3_000)
        agent = Agent("a", "x", model, greeting="Hello.")
        return Pipeline([call.transport.input(), agent, ToneTTS(), call.transport.output()])

    async with dial(bot, via="audio", voice=lambda text: tone(700, 300)) as caller:
        await caller.listens()
        caller.call.transport.input().push(UserTurnFrame(caller.call.turns.new(), "hm", "speech"))
        await caller.waits(4_000)
    (early,) = judge(caller.record).no_dead_air(2_000, after="anybody").checks
    assert early.verdict == "fail"
    assert outcome(caller.record, lambda call: call.no_dead_air(4_500, after="anybody")) == "pass"
