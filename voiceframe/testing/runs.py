"""What many runs of scenarios came to: rates with their intervals, pass^k, and the seeds that fail."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..checks import Check, Fact, Report, Verdict
from ..errors import TestKitError
from .statistics import pass_at, pass_hat, wilson

__all__ = ["Repeated", "Run", "ScenarioRuns"]

#: Failing runs that a report lists, for each scenario.
_MOST_RUNS = 20


@dataclass(frozen=True)
class Run:
    """One run. `failed` is the id of the check or the code or name of the error, empty if it has passed; broken: by an
    error that is no failed expectation."""

    scenario: str
    seed: int
    failed: str = ""
    message: str = ""
    broken: bool = False

    @property
    def passed(self) -> bool:
        return not self.failed


@dataclass(frozen=True)
class ScenarioRuns:
    """The runs of one scenario. again: runs of failed seeds a second time."""

    name: str
    runs: tuple[Run, ...]
    again: tuple[Run, ...] = ()

    @property
    def passed(self) -> int:
        """How many have passed."""
        return sum(run.passed for run in self.runs)

    @property
    def pass_rate(self) -> float:
        return self.passed / len(self.runs)

    @property
    def interval(self) -> tuple[float, float]:
        """Between which rates the true one lies, for 95 % (Wilson)."""
        return wilson(self.passed, len(self.runs))

    @property
    def flaky(self) -> bool:
        """Whether some have passed and some have not."""
        return 0 < self.passed < len(self.runs)

    @property
    def failing(self) -> tuple[Run, ...]:
        """The runs that have not passed."""
        return tuple(run for run in self.runs if not run.passed)

    @property
    def unstable_seeds(self) -> tuple[int, ...]:
        """Seeds that failed and passed the second time: something else than the seed decides."""
        return tuple(run.seed for run in self.again if run.passed)

    def pass_hat(self, k: int) -> float:
        """pass^k: how probable it is that k runs all pass; see `statistics.pass_hat`."""
        return pass_hat(self.passed, len(self.runs), k)

    def pass_at(self, k: int) -> float:
        """pass@k: how probable it is that of k runs at least one passes; see `statistics.pass_at`."""
        return pass_at(self.passed, len(self.runs), k)


@dataclass(frozen=True)
class Repeated:
    """What `repeat()` has found, scenario by scenario."""

    scenarios: tuple[ScenarioRuns, ...]
    _by_name: dict[str, ScenarioRuns] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({one.name: one for one in self.scenarios})

    def __getitem__(self, name: str) -> ScenarioRuns:
        return self._by_name[name]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs."""
        return tuple(run for one in self.scenarios for run in one.runs)

    @property
    def passed(self) -> int:
        """How many runs have passed."""
        return sum(one.passed for one in self.scenarios)

    @property
    def pass_rate(self) -> float:
        """How large a part of all runs has passed."""
        return self.passed / len(self.runs)

    @property
    def interval(self) -> tuple[float, float]:
        """Between which rates the true one lies, for 95 % (Wilson), all runs taken together."""
        return wilson(self.passed, len(self.runs))

    @property
    def flaky(self) -> dict[str, list[int]]:
        """Scenarios of which some runs have passed and some have not, with the seeds that fail."""
        return {one.name: [run.seed for run in one.failing] for one in self.scenarios if one.flaky}

    @property
    def failing_seeds(self) -> dict[str, list[int]]:
        """The seeds that fail, by scenario; also where all do."""
        return {one.name: [run.seed for run in one.failing] for one in self.scenarios if one.failing}

    def pass_hat(self, k: int) -> float:
        """pass^k: the mean over the scenarios of how probable it is that k runs all pass."""
        return sum(one.pass_hat(k) for one in self.scenarios) / len(self.scenarios)

    def pass_at(self, k: int) -> float:
        """pass@k: the mean over the scenarios of how probable it is that of k runs at least one passes."""
        return sum(one.pass_at(k) for one in self.scenarios) / len(self.scenarios)

    def report(self, *, at_least: float = 1.0, sure: bool = False) -> Report:
        """A check for each scenario (`repeat.<name>`): so large a part of its runs has passed. A scenario that is flaky
        but passes often enough is a warning. A check of all (`repeat.pass-k`) has pass^k.

        sure: the lower end of the interval must be `at_least` that high; what few runs have shown does not do then.
        Raises `TestKitError` (`test.statistics`) for a rate that is none.
        """
        if not 0 < at_least <= 1:
            raise TestKitError.of(
                "test.statistics", what=f"A rate of {at_least}", reason="it is not over 0 and up to 1"
            )
        checks = [self._check(one, f"repeat.{_slug(one.name)}", at_least, sure) for one in self.scenarios]
        return Report([*checks, self._pass_k()], title="Repeated runs")

    def markdown(self, *, at_least: float = 1.0) -> str:
        """The report as Markdown."""
        return self.report(at_least=at_least).markdown()

    def _check(self, one: ScenarioRuns, id: str, at_least: float, sure: bool) -> Check:
        low, high = one.interval
        reached = low if sure else one.pass_rate
        verdict: Verdict = "fail" if reached < at_least else "warn" if one.failing else "pass"
        facts: list[Fact] = [
            f"{one.passed} of {len(one.runs)} runs have passed: {one.pass_rate:.1%} (95 %: {low:.1%} to {high:.1%}); "
            f"{'the lower end' if sure else 'the rate'} is to be {at_least:.1%}."
        ]
        again = {run.seed: run for run in one.again}
        for run in one.failing[:_MOST_RUNS]:
            second = again.get(run.seed)
            facts.append(
                {
                    "seed": run.seed,
                    "failed": run.failed,
                    "why": run.message[:500],
                    "fails again": None if second is None else not second.passed,
                }
            )
        if len(one.failing) > _MOST_RUNS:
            facts.append(f"And {len(one.failing) - _MOST_RUNS} more.")
        if one.unstable_seeds:
            facts.append("A seed that failed has passed the second time: it is not the seed alone that decides.")
        fix = None
        if one.failing:
            fix = f"Run a failing seed by itself: `await {one.name}({one.failing[0].seed})`."
        elif verdict != "pass":
            fix = "Run more often: `repeat(scenario, runs=...)`."
        title = f"{one.name}{' (flaky)' if one.flaky else ''}"
        return Check(id, verdict, facts, title=title, section="runs", fix=None if verdict == "pass" else fix)

    def _pass_k(self) -> Check:
        most = min(len(one.runs) for one in self.scenarios)
        facts: list[Fact] = [
            {"k": k, "pass^k": round(self.pass_hat(k), 4), "pass@k": round(self.pass_at(k), 4)}
            for k in sorted({*range(1, min(most, 10) + 1), most})
        ]
        return Check("repeat.pass-k", "pass", facts, title="All of k runs pass, and one of k", section="pass^k")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "scenario"
