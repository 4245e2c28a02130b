"""Many runs of a scenario: rates, intervals, pass^k, flaky seeds, and that a run is one by itself."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.checks import Check, Report
from voiceframe.errors import TestKitError
from voiceframe.testing import (
    CallTranscript,
    Repeated,
    cohens_kappa,
    dial,
    judge,
    pass_at,
    pass_hat,
    repeat,
    repeat_now,
    scenario,
    wilson,
)

ECHO = str(Path(__file__).resolve().parent.parent / "examples/echo.py")


async def even(seed: int) -> None:
    await asyncio.sleep(1_000)
    assert seed % 2 == 0, f"{seed} is odd"


# -- statistics


def test_the_interval_of_wilson() -> None:
    # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    known = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (passed, runs), (low, high) in known.items():
        assert wilson(passed, runs) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(TestKitError, match=r"test\.statistics"):
        wilson(3, 2)


@given(st.integers(1, 60), st.data())
def test_an_interval_holds_the_rate_and_is_symmetric(runs: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, runs))
    low, high = wilson(passed, runs)
    assert 0 <= low <= passed / runs <= high <= 1
    assert wilson(runs - passed, runs) == pytest.approx((1 - high, 1 - low))


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_hat_and_pass_at_are_what_drawing_k_runs_gives(outcomes: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(outcomes)))
    draws = list(itertools.combinations(outcomes, k))
    runs, passed = len(outcomes), sum(outcomes)
    assert pass_hat(passed, runs, k) == pytest.approx(sum(map(all, draws)) / len(draws))
    assert pass_at(passed, runs, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_hat_is_not_biased() -> None:
    rng, rate, runs, k = random.Random(0), 0.8, 10, 4
    estimates = [pass_hat(sum(rng.random() < rate for _ in range(runs)), runs, k) for _ in range(20_000)]
    assert sum(estimates) / len(estimates) == pytest.approx(rate**k, abs=0.01)


@pytest.mark.parametrize(("passed", "runs", "k"), [(1, 3, 0), (1, 3, 4), (4, 3, 1), (-1, 3, 1)])
def test_more_runs_than_there_are_cannot_be_drawn(passed: int, runs: int, k: int) -> None:
    for estimate in (pass_hat, pass_at):
        with pytest.raises(TestKitError, match=r"test\.statistics"):
            estimate(passed, runs, k)


def test_cohens_kappa() -> None:
    # By hand: they agree on 0.7, by chance on 0.5. 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no.
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)
    assert cohens_kappa([("a", "a"), ("b", "b"), ("c", "c")]) == 1
    assert cohens_kappa([(1, 2), (2, 1)]) == -1
    assert cohens_kappa([]) is None
    assert cohens_kappa([(1, 1)] * 5) is None


# -- runs


async def test_each_seed_is_run_and_the_failing_ones_are_named() -> None:
    found = await repeat(even, runs=10, seed=3)
    assert [run.seed for run in found.runs] == list(range(3, 13))
    assert found.failing_seeds == found.flaky == {"even": [3, 5, 7, 9, 11]}
    assert (found.pass_rate, found.passed) == (0.5, 5)
    assert found.interval == wilson(5, 10)
    assert found.pass_hat(2) == pytest.approx(math.comb(5, 2) / math.comb(10, 2))
    assert found.pass_at(2) == pytest.approx(1 - math.comb(5, 2) / math.comb(10, 2))
    report = found.report(at_least=0.6)
    assert {check.id: check.verdict for check in report.checks} == {"repeat.even": "fail", "repeat.pass-k": "pass"}
    text = found.markdown(at_least=0.6)
    assert "5 of 10 runs have passed: 50.0%" in text
    assert "even (flaky)" in text
    assert "9 is odd" in text
    assert "await even(3)" in text
    assert found.report(at_least=0.5).checks[0].verdict == "warn"
    assert found.report(at_least=0.5, sure=True).checks[0].verdict == "fail"
    assert [run.passed for run in found["even"].again] == [False] * 3
    with pytest.raises(TestKitError, match=r"test\.statistics"):
        found.report(at_least=0)


async def test_runs_that_all_pass_are_sure_only_if_they_are_many() -> None:
    async def passes(seed: int) -> None: ...

    few = await repeat(passes, runs=5)
    assert few.report().exit_code == 0
    report = few.report(at_least=0.9, sure=True)
    assert report.exit_code == 1
    assert "`repeat(" in str(report.checks[0].fix)
    assert (await repeat(passes, runs=40)).report(at_least=0.9, sure=True).exit_code == 0


async def test_what_a_scenario_returns_is_weighed() -> None:
    async def returns(seed: int) -> Any:
        good, bad = Check("good", "pass", ["yes"]), Check("bad", "fail", ["no, not that"])
        warning = Check("hm", "warn")
        return [
            None,
            good,
            warning,
            bad,
            Report([good, warning]),
            Report([good, bad]),
            Report([]),
            Report([warning], strict=True),
            judge(CallTranscript()).ended(),
            [good, [Report([bad])]],
            7,
        ][seed]

    runs = (await repeat(returns, runs=11)).runs
    assert [run.failed for run in runs] == [
        "",
        "",
        "",
        "bad",
        "",
        "bad",
        "Report",
        "Report",
        "call.ended",
        "bad",
        "test.repeat",
    ]
    assert runs[3].message == "no, not that"


async def test_how_a_run_can_fail() -> None:
    left: list[asyncio.Task[None]] = []

    async def fails(seed: int) -> None:
        if seed == 0:
            raise TestKitError.of("test.via", via="smoke")
        if seed == 1:
            assert [] == [1]
        if seed == 2:
            raise LookupError("nobody")
        if seed == 3:
            await asyncio.sleep(7_200)
        if seed == 4:
            left.append(asyncio.ensure_future(asyncio.sleep(10, None)))
        if seed == 5:
            await asyncio.Event().wait()

    runs = (await repeat(fails, runs=7, timeout_ms=3_600_000)).runs
    assert [run.failed for run in runs[:5]] == [
        "test.via",
        "AssertionError",
        "LookupError",
        "TimeoutError",
        "test.leak",
    ]
    assert runs[5].failed
    assert runs[6].passed
    assert [run.broken for run in runs[:5]] == [False, False, True, False, False]
    assert "nobody" in runs[2].message
    assert "test_testing_repeat.py" in runs[2].message


async def test_a_run_is_the_same_alone_and_among_others() -> None:
    lines: dict[int, list[str]] = {}

    async def call(seed: int) -> None:
        times = asyncio.get_running_loop().time()
        assert times == 0
        async with dial(ECHO, seed=seed) as caller:
            await caller.says("good morning")
            await caller.interrupts("wait", after_ms=700)
            await caller.listens()
        lines.setdefault(seed, []).append(caller.record.lines(wall=True))

    await asyncio.sleep(17.3)
    assert (await repeat(call, runs=3)).pass_rate == 1
    assert (await repeat(call, runs=1, seed=2)).pass_rate == 1
    assert lines[2][0] == lines[2][1]
    assert lines[0][0] != lines[1][0]


async def test_a_seed_that_does_not_decide_alone_is_told() -> None:
    count = itertools.count()

    async def moody(seed: int) -> None:
        assert next(count) != 1

    found = await repeat(moody, runs=3)
    assert found["moody"].unstable_seeds == (1,)
    assert "not the seed alone" in found.markdown(at_least=0.5)
    assert (await repeat(moody, runs=3, again=False))["moody"].again == ()


async def test_scenarios_are_weighed_alike() -> None:
    async def never(seed: int) -> None:
        raise AssertionError

    async def always(seed: int) -> None: ...

    found = await repeat({"Books it": always, "fails": never, "even": even}, runs=4)
    assert found.pass_hat(1) == found.pass_rate == 0.5
    assert found.pass_hat(2) == pytest.approx((1 + 0 + 1 / 6) / 3)
    assert found.flaky == {"even": [1, 3]}
    assert found.failing_seeds == {"fails": [0, 1, 2, 3], "even": [1, 3]}
    assert [check.verdict for check in found.report(at_least=0.5).checks] == ["pass", "fail", "warn", "pass"]
    assert found.report().checks[0].id == "repeat.books-it"


def test_runs_also_where_no_loop_is_and_on_a_real_one() -> None:
    async def real(seed: int) -> None:
        assert not getattr(asyncio.get_running_loop(), "virtual", False)
        assert type(asyncio.get_running_loop()).__module__.startswith("asyncio")
        await asyncio.sleep(0.001)

    found = repeat_now(real, runs=3, real_time=True)
    assert found.pass_rate == 1


@pytest.mark.real_time
async def test_a_real_loop_goes_on_meanwhile() -> None:
    threads = []

    async def run(seed: int) -> None:
        threads.append(threading.current_thread())
        await asyncio.sleep(3_599)

    found, _ = await asyncio.gather(repeat(run, runs=2), asyncio.sleep(0.01))
    assert found.pass_rate == 1
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("broken", [{}, "nowhere.py:run", len, lambda seed: None, 7])
async def test_what_cannot_be_repeated_is_refused(broken: Any) -> None:
    with pytest.raises(Exception, match=r"test\.repeat|bot\.not-found"):
        await repeat(broken, runs=1)


async def test_bounds_and_signatures_are_checked() -> None:
    async def seedless() -> None: ...

    bounds: list[dict[str, Any]] = [{"runs": 0}, {"processes": 0}]
    for options in bounds:
        with pytest.raises(TestKitError, match=r"test\.repeat"):
            await repeat(even, **options)
    with pytest.raises(TestKitError, match="does not take a seed"):
        await repeat(seedless, runs=1)  # type: ignore[arg-type]
    for function in (seedless, lambda seed: None):
        with pytest.raises(TestKitError, match=r"test\.repeat"):
            scenario()(function)  # type: ignore[arg-type]


def test_processes_give_the_same_as_one(tmp_path: Path) -> None:
    file = tmp_path / "scenarios.py"
    file.write_text(
        "async def odd(seed: int) -> None:\n    assert seed % 2, f'{seed} is even'\n"
        "async def dies(seed: int) -> None:\n    import os\n    os._exit(1)\n"
    )
    found = repeat_now(f"{file}:odd", runs=4, processes=2)
    assert found == repeat_now(f"{file}:odd", runs=4)
    assert found.failing_seeds == {"odd": [0, 2]}

    async def local(seed: int) -> None: ...

    with pytest.raises(TestKitError, match="another process cannot have it"):
        repeat_now(local, runs=2, processes=2)
    with pytest.raises(TestKitError, match="was killed"):
        repeat_now(f"{file}:dies", runs=2, processes=2)


def test_a_scenario_is_a_test_of_pytest(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["voiceframe.testing.plugin"]')
    pytester.makepyfile(
        """
        from voiceframe.testing import scenario

        @scenario(runs=4, at_least=0.5)
        async def test_even(seed: int, tmp_path) -> None:
            assert tmp_path.is_dir()
            assert seed % 2 == 0

        @scenario(runs=4)
        async def test_odd(seed: int) -> None:
            "It must be odd."
            assert seed % 2, "even"
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--import-mode=importlib")
    result.assert_outcomes(passed=1, failed=1)
    assert "test.repeated" in result.stdout.str()
    assert "2 of 4 runs" in result.stdout.str()


def test_a_result_can_be_asked_for_by_name() -> None:
    found = repeat_now(even, runs=2)
    assert isinstance(found, Repeated)
    with pytest.raises(KeyError):
        _ = found["odd"]
