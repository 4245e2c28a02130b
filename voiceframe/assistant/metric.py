"""What is measured of each run: goals, outcomes, and what every call has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from .runs import Run
from .statistics import Interval

__all__ = ["Metric", "metrics_of", "rounded", "shown"]


class Metric(NamedTuple):
    """A number of each run, or whether something is so of it (`rate`); None where it was not measured."""

    name: str
    rate: bool
    unit: str
    value: Callable[[Run], float | None]


def metrics_of(runs: Iterable[Run]) -> list[Metric]:
    """What can be measured of these runs. The program's goals come first."""
    return list(_metrics(list(runs)))


def _metrics(runs: list[Run]) -> Iterator[Metric]:
    for goal in sorted({name for run in runs for name in run.goals}):
        values = [run.goals[goal] for run in runs if run.goals.get(goal) is not None]
        rate = all(isinstance(value, bool) for value in values)
        yield Metric(f"goal.{goal}", rate, "of calls" if rate else "", partial(_goal, goal))
    if any(run.outcome for run in runs):
        for outcome in sorted({run.outcome or "" for run in runs}):
            name = f"outcome.{outcome}" if outcome else "no outcome"
            yield Metric(name, True, "of calls", partial(_outcome, outcome))
    yield Metric("duration", False, "s", lambda run: run.duration_ms / 1000)
    yield Metric("turns", False, "", lambda run: float(run.turns))
    yield Metric("escalated", True, "of calls", lambda run: float(run.escalations > 0))
    yield Metric("transferred", True, "of calls", lambda run: float(run.transfers > 0))
    yield Metric("blocked", True, "of calls", lambda run: float(run.blocks > 0))
    yield Metric(
        "unanswered", True, "of calls with turns", lambda run: float(run.unanswered > 0) if run.turns else None
    )
    for tool in sorted({name for run in runs for name in run.tools}):
        yield Metric(f"tool.{tool}.called", True, "of calls", partial(_called, tool))
        yield Metric(f"tool.{tool}.failed", True, "of calls with it", partial(_failed, tool))


def _goal(name: str, run: Run) -> float | None:
    value = run.goals.get(name)
    return None if value is None else float(value)


def _outcome(name: str, run: Run) -> float:
    return float((run.outcome or "") == name)


def _called(tool: str, run: Run) -> float:
    return float(tool in run.tools)


def _failed(tool: str, run: Run) -> float | None:
    return float(run.tools_failed.get(tool, 0) > 0) if tool in run.tools else None


def rounded(value: float) -> float | None:
    """A number for a table; None for what is none, or has no bound."""
    return round(value, 4) if math.isfinite(value) else None


def shown(interval: Interval) -> dict[str, Any]:
    """An interval as columns of a table."""
    return {"value": rounded(interval.value), "low": rounded(interval.low), "high": rounded(interval.high)}
