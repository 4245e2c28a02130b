"""The report counts what the events say, gives intervals that hold, and says when there is too little to tell."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.assistant import assistant_report, runs_of
from voiceframe.assistant.statistics import Interval, Sample, chi_square_p, difference, student_t
from voiceframe.checks import Check, Report
from voiceframe.cli import main
from voiceframe.errors import AssistantError, StoreError
from voiceframe.events import (
    AfterDone,
    AfterDue,
    AfterFailed,
    AssistantOutcome,
    AssistantStarted,
    CallEnded,
    CallStarted,
    Event,
    EventLog,
    ExperimentAssigned,
    GuardrailDecided,
    HandoffDecided,
    HandoffRequested,
    LoggedEvent,
    MemoryErased,
    MemoryFailed,
    MemoryOpened,
    MemoryRead,
    MemoryWritten,
    ToolCalled,
    ToolReturned,
    TurnCommitted,
    TurnUnanswered,
)
from voiceframe.sinks import MemorySink
from voiceframe.store import open_store

# -- the numbers


def rate(yes: int, count: int) -> Sample:
    return Sample.of(((number, float(number < yes)) for number in range(count)), rate=True)


def test_a_rate_has_wilsons_interval() -> None:
    # Newcombe (1998), Statistics in Medicine 17:857-872, table I, method 3.
    for yes, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = rate(yes, count).interval()
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_a_difference_of_rates_has_newcombes_interval() -> None:
    # Newcombe (1998), Statistics in Medicine 17:873-890, table II, method 10.
    for first, second, low, high in (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ):
        found = difference(rate(*first), rate(*second))
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_students_t_and_chi_square_are_those_of_the_tables() -> None:
    for freedom, value in ((1, 12.7062), (2, 4.30265), (5, 2.57058), (10, 2.22814), (29, 2.04523), (1e6, 1.95997)):
        assert student_t(0.95, freedom) == pytest.approx(value, rel=1e-5)
    assert student_t(0.99, 10) == pytest.approx(3.16927, rel=1e-5)
    assert chi_square_p([60, 40], [50, 50]) == pytest.approx(0.0455003, rel=1e-5)
    assert chi_square_p([10, 20, 30], [20, 20, 20]) == pytest.approx(math.exp(-5), rel=1e-9)  # chi² of 10, 2 degrees
    assert chi_square_p([5, 5], [5, 5]) == 1


def test_a_mean_has_students_interval_and_a_difference_welchs() -> None:
    # Welch's example with unequal variances (Wikipedia, "Welch's t-test", example 3): t = -2.22, 24.5 degrees.
    first = [19.8, 20.4, 19.6, 17.8, 18.5, 18.9, 18.3, 18.9, 19.5, 22.0]
    second = [
        28.2,
        26.6,
        20.1,
        23.3,
        25.2,
        22.1,
        17.7,
        27.6,
        20.6,
        13.7,
        23.2,
        17.5,
        20.6,
        18.0,
        23.9,
        21.6,
        24.3,
        20.4,
        23.9,
        13.3,
    ]
    a, b = (Sample.of(enumerate(values), rate=False) for values in (first, second))
    found = difference(a, b)
    standard_error = math.sqrt(a.variance + b.variance)
    assert found.value / standard_error == pytest.approx(-2.22, abs=0.02)
    assert (found.high - found.value) / standard_error == pytest.approx(student_t(0.95, 24.5), abs=2e-3)
    one = a.interval()
    assert (one.high - one.low) / 2 == pytest.approx(student_t(0.95, 9) * math.sqrt(a.variance))


def test_calls_of_one_caller_say_less_than_calls_of_many() -> None:
    many = Sample.of(((number, float(number % 2)) for number in range(200)), rate=True)
    few = Sample.of(((number % 20, float(number % 2)) for number in range(200)), rate=True)  # each always the same
    assert many.effective == pytest.approx(200)
    assert few.effective == pytest.approx(19, abs=1.1)
    assert few.interval().high - few.interval().low > 2.9 * (many.interval().high - many.interval().low)
    same = Sample.of(((number % 20, 1.0) for number in range(200)), rate=True)
    assert same.effective == 20
    assert same.interval().low == pytest.approx(1 - 0.1611, abs=1e-4)
    spread = Sample.of(((number % 20, float(number % 20)) for number in range(200)), rate=False)
    assert spread.interval().high - spread.mean == pytest.approx(student_t(0.95, 19) * math.sqrt(spread.variance))


@pytest.mark.parametrize(("clustered", "rates"), [(False, True), (True, True), (False, False), (True, False)])
def test_the_intervals_of_differences_hold_as_often_as_they_say(clustered: bool, rates: bool) -> None:
    rng = random.Random(7)

    def sample(mean: float) -> Sample:
        values: list[tuple[int, float]] = []
        for unit in range(60):
            own = mean + (rng.uniform(-0.25, 0.25) if clustered else 0)
            count = rng.choice((1, 2, 6)) if clustered else 1
            values += [(unit, float(rng.random() < own) if rates else own + rng.gauss(0, 0.3)) for _ in range(count)]
        return Sample.of(values, rate=rates)

    held = 0
    for _ in range(300):
        found = difference(sample(0.6), sample(0.45))
        held += found.low <= 0.15 <= found.high
    assert 0.92 <= held / 300 <= 0.98


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40),
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40),
)
def test_an_interval_is_around_its_estimate_whatever_the_values(
    first: list[tuple[int, bool]], second: list[tuple[int, bool]]
) -> None:
    samples = [Sample.of(((u, float(v)) for u, v in values), rate=True) for values in (first, second)]
    for sample in samples:
        found = sample.interval()
        assert not sample.count or 0 <= found.low <= found.value <= found.high <= 1
    gap = difference(samples[0], samples[1])
    if first and second:
        assert -1 <= gap.low <= gap.value + 1e-12
        assert gap.value - 1e-12 <= gap.high <= 1
    numbers = [Sample.of(((u, float(v)) for u, v in values), rate=False) for values in (first, second)]
    gap = difference(numbers[0], numbers[1])
    assert not (first and second) or gap.low <= gap.value <= gap.high


def test_an_interval_is_clear_if_0_is_outside() -> None:
    assert [Interval(v, low, high).clear for v, low, high in ((1, 0.5, 2), (0, -1, 1), (-1, -2, -0.1))] == [
        True,
        False,
        True,
    ]


# -- the runs


class _Clock:
    def __init__(self, start: int) -> None:
        self.start, self.at = start, 0

    def at_ms(self) -> int:
        self.at += 1
        return self.at

    def wall_ms(self) -> int:
        return self.start + self.at


def run_events(
    number: int,
    *events: Event,
    variant: str = "",
    caller: str = "",
    reason: Any = "sticky",
    outcome: str | None = None,
    goals: dict[str, bool | float | None] | None = None,
    duration_ms: int = 60_000,
    assistant: str = "clinic",
    after: tuple[Event, ...] = (),
    ends: bool = True,
) -> list[LoggedEvent]:
    sink = MemorySink()
    call = f"call_{number:05}"
    log = EventLog(call, clock=_Clock(number * 100_000), rng=random.Random(call), sinks=[sink])
    log.write(CallStarted(direction="inbound", from_="+1", to="+2", pipeline=()))
    if variant:
        log.write(
            ExperimentAssigned(
                assistant=assistant,
                experiment="greeting",
                variant=variant,
                reason=reason,
                control="control",
                shares={"control": 0.5, "warm": 0.5},
                unit=caller or f"caller{number}",
            )
        )
    log.write(AssistantStarted(assistant=assistant, agent="clinic", variants={"greeting": variant} if variant else {}))
    for event in events:
        log.write(event)
    if ends:
        log.write(CallEnded(reason="hangup", duration_ms=duration_ms))
        log.write(AssistantOutcome(assistant=assistant, outcome=outcome, goals=goals or {}), writer="after")
    for event in after:
        log.write(event, writer="after")
    return sink.events


def test_a_run_is_the_sum_of_its_events() -> None:
    decided: dict[str, Any] = {"stage": "output", "rule": "words", "action": "block", "turn": 1, "reply": 2}
    handoff: dict[str, Any] = {"squad": "desk", "source": "a", "asked": "b"}
    events = run_events(
        1,
        MemoryOpened(namespace="default", entries=1, took_ms=2),
        MemoryRead(namespace="default", found=1),
        MemoryWritten(namespace="default", bytes=3, ttl_ms=None, replaced=False),
        MemoryErased(namespace="default", count=2),
        MemoryFailed(namespace="default", operation="write", code="memory.failed"),
        TurnCommitted(turn=1, source="speech", confidence=1, text="x"),
        TurnCommitted(turn=2, source="speech", confidence=1, text="y"),
        TurnUnanswered(turn=2, reason="deadline"),
        ToolCalled(call_id="1", name="book", arguments={}),
        ToolCalled(call_id="2", name="book", arguments={}),
        ToolReturned(call_id="2", failed=True),
        ToolReturned(call_id="1", failed=False),
        GuardrailDecided(**decided, done="block"),
        GuardrailDecided(**decided | {"reply": 3}, done="escalate"),
        GuardrailDecided(**decided | {"reply": 4}, done="warn"),
        HandoffDecided(**handoff, status="blocked"),
        HandoffDecided(**handoff, status="escalated"),
        HandoffDecided(**handoff, status="allowed"),
        HandoffRequested(target="desk", reason="asked"),
        variant="warm",
        outcome="booked",
        goals={"a": True, "b": 2.5, "c": None},
        after=(
            AfterDue(assistant="clinic", hooks=("crm", "mail", "bill")),
            AfterFailed(assistant="clinic", hook="crm", attempt=1, error="E", retry_ms=5),
            AfterDone(assistant="clinic", hook="crm", attempts=2, took_ms=9),
            AfterFailed(assistant="clinic", hook="mail", attempt=1, error="E", retry_ms=None),
            AfterDone(assistant="other", hook="bill", attempts=1, took_ms=9),
        ),
    )
    random.Random(1).shuffle(events)
    (run,) = runs_of(events)
    assert (run.assistant, run.agent, run.variants, run.ended) == ("clinic", "clinic", {"greeting": "warm"}, True)
    assert (run.outcome, run.goals, run.duration_ms) == ("booked", {"a": True, "b": 2.5, "c": None}, 60_000)
    assert (run.turns, run.unanswered, run.tools, run.tools_failed) == (2, 1, {"book": 2}, {"book": 1})
    assert (run.blocks, run.escalations, run.transfers) == (2, 2, 1)
    assert (run.memory, run.memory_reads, run.memory_writes, run.memory_erased, run.memory_failures) == (
        "open",
        2,
        1,
        2,
        1,
    )
    assert (run.hooks_done, run.hooks_failed, run.hooks_lost, run.hook_retries) == ({"crm"}, {"mail"}, ("bill",), 1)
    assert runs_of(events, assistant="other") == []


def test_the_rules_of_one_decision_count_once() -> None:
    sink = MemorySink()
    log = EventLog("call", clock=_Clock(0), rng=random.Random(0), sinks=[sink])
    log.write(AssistantStarted(assistant="clinic", agent="", variants={}))
    for rule in ("words", "cards"):
        log.write(GuardrailDecided(stage="output", rule=rule, action="block", done="block", reply=1), at_ms=500)
    assert runs_of(sink.events)[0].blocks == 1


# -- the report


def check(report: Report, id: str) -> Check:
    return next(check for check in report.checks if check.id == id)


def rows(found: Check) -> list[dict[str, Any]]:
    return [dict(fact) for fact in found.evidence if not isinstance(fact, str)]


def said(found: Check) -> str:
    return " ".join(fact for fact in found.evidence if isinstance(fact, str))


def trial(count: int, control: float, warm: float, *, seed: int = 1, callers: int = 0) -> list[LoggedEvent]:
    """Calls of two variants, which have booked so often."""
    rng = random.Random(seed)
    events: list[LoggedEvent] = []
    for number in range(count):
        variant = "warm" if number % 2 else "control"
        booked = rng.random() < (warm if number % 2 else control)
        events += run_events(
            number,
            ToolCalled(call_id="1", name="book", arguments={}),
            ToolReturned(call_id="1", failed=not booked),
            variant=variant,
            caller=f"{variant}{number % callers}" if callers else "",
            outcome="booked" if booked else "lost",
            goals={"booked": booked, "score": 5 + booked + rng.random()},
            duration_ms=60_000 + rng.randrange(30_000),
        )
    return events


def test_a_difference_is_shown_with_its_interval() -> None:
    report = assistant_report(trial(600, 0.3, 0.6))
    booked = check(report, "clinic.greeting.goal.booked")
    control, warm = rows(booked)
    assert (control["variant"], control["calls"], control["callers"]) == ("control", 300, 300)
    assert control["low"] < control["value"] < control["high"]
    assert warm["difference value"] == pytest.approx(warm["value"] - control["value"], abs=2e-4)
    assert 0.1 < warm["difference low"] < 0.3 < warm["difference high"] < 0.45
    assert (booked.verdict, "percentage points more than control (0.95 confidence)" in said(booked)) == ("pass", True)
    for name, text in (
        ("goal.score", "more than control"),
        ("outcome.booked", "more than control"),
        ("outcome.lost", "less than control"),
        ("tool.book.failed", "less than control"),
        ("duration", "No difference of warm to control is shown"),
    ):
        assert text in said(check(report, f"clinic.greeting.{name}")), name
    assert check(report, "clinic.greeting.split").verdict == "pass"
    (overall,) = [row for row in rows(check(report, "clinic.metrics")) if row["metric"] == "goal.booked"]
    assert overall["calls"] == 600
    assert overall["low"] < overall["value"] < overall["high"]


def test_too_little_data_is_said_to_be_too_little() -> None:
    few = check(assistant_report(trial(40, 0.1, 0.9)), "clinic.greeting.goal.booked")
    assert few.verdict == "warn"
    assert "Too little data: control has 20 of at least 30 callers." in said(few)
    assert "more than" not in said(few)
    same_few = check(assistant_report(trial(400, 0.3, 0.6, callers=20)), "clinic.greeting.goal.booked")
    assert "Too little data" in said(same_few)  # four hundred calls, of ten callers each
    rare = check(assistant_report(trial(200, 0.0, 0.02)), "clinic.greeting.goal.booked")
    assert "5 of each are needed" in said(rare)
    assert check(assistant_report(trial(40, 0.1, 0.9), least=10), "clinic.greeting.goal.booked").verdict == "pass"


def test_several_variants_are_held_to_more() -> None:
    events = trial(300, 0.3, 0.6)
    third = [e for n in range(300, 450) for e in run_events(n, variant="third", goals={"booked": n % 3 == 0})]
    two, three = (check(assistant_report(found), "clinic.greeting.goal.booked") for found in (events, events + third))
    assert rows(three)[1]["difference low"] < rows(two)[1]["difference low"]
    assert "0.975 confidence" in said(three)


def test_what_was_chosen_is_no_evidence_and_a_split_that_is_off_fails() -> None:
    events = trial(100, 0.5, 0.5)
    for number in range(1_000, 1_200):
        events += run_events(number, variant="warm", reason="chosen", goals={"booked": True})
    report = assistant_report(events)
    assert rows(check(report, "clinic.greeting.goal.booked"))[1]["calls"] == 50
    assert check(report, "clinic.greeting.split").verdict == "pass"
    assert "200 calls had a variant that was chosen" in said(check(report, "clinic.greeting.split"))
    for number in range(2_000, 2_100):
        events += run_events(number, variant="warm", goals={"booked": True})
    report = assistant_report(events)
    assert (check(report, "clinic.greeting.split").verdict, report.exit_code) == ("fail", 1)


def test_calls_that_still_run_and_an_empty_log_are_no_evidence() -> None:
    assert assistant_report([]).missing[0].id == "assistant.runs"
    running = assistant_report(run_events(1, ends=False))
    assert [(found.id, found.verdict) for found in running.checks] == [("clinic.runs", "warn")]
    both = assistant_report([*run_events(1, ends=False, variant="warm"), *run_events(2)])
    assert "2 calls, of which 1 have ended" in said(check(both, "clinic.runs"))


def test_lost_work_and_a_memory_that_fails_are_warnings() -> None:
    due = AfterDue(assistant="clinic", hooks=("crm",))
    report = assistant_report(
        run_events(1, MemoryFailed(namespace="default", operation="open", code="memory.failed"), after=(due,))
    )
    assert rows(check(report, "clinic.after")) == [{"hook": "crm", "due": 1, "done": 0, "failed": 0, "not ended": 1}]
    assert check(report, "clinic.after").verdict == "warn"


def test_the_report_is_json_markdown_and_html_and_knows_its_assistants() -> None:
    events = [*trial(100, 0.3, 0.6), *run_events(900, assistant="shop")]
    report = assistant_report(events, assistant="clinic")
    found = json.loads(report.json())
    assert {item["section"] for item in found["checks"]} == {"clinic", "clinic: experiment greeting"}
    assert "| variant | calls | callers |" in report.markdown()
    assert "experiment greeting" in report.html()
    with pytest.raises(AssistantError) as raised:
        assistant_report(events, assistant="clinik")
    assert raised.value.code == "report.assistant"
    assert "`clinic`" in raised.value.fix


def test_the_command_reads_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'voiceframe.db'}"
    with pytest.raises(StoreError):
        assistant_report(url)
    assert not (tmp_path / "voiceframe.db").exists()
    store = open_store(url)
    store.append(trial(120, 0.2, 0.8))
    assert assistant_report(store).json() == assistant_report(trial(120, 0.2, 0.8)).json()
    assert "10 calls, of which 10" in said(check(assistant_report(store, limit=10), "clinic.runs"))
    store.erase("call_00001")  # who called is gone, and the call still counts
    assert rows(check(assistant_report(store), "clinic.greeting.goal.booked"))[1]["callers"] == 60
    store.close()
    assert main(["assistant", "report", "--store", url, "clinic"]) == 0
    assert "clinic.greeting.goal.booked" in capsys.readouterr().out
    assert main(["assistant", "report", "--store", url, "--format", "json", "--days", "1"]) == 1  # none of today
    assert json.loads(capsys.readouterr().out)["missing"]
    assert main(["assistant", "report", "--store", url, "shop"]) == 2
    assert "report.assistant" in capsys.readouterr().err
