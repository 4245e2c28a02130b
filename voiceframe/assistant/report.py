"""The report of assistants: what their calls came to, and how the variants of their experiments compare."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from ..checks import Check, Fact, Report, Verdict
from ..errors import AssistantError, StoreError
from ..events import LoggedEvent
from ..store import Store, check_url, open_store
from .comparison import compare
from .metric import metrics_of, shown
from .runs import Run, read_runs, runs_of
from .statistics import Sample

__all__ = ["assistant_report"]

#: Callers that each variant must have before a difference is spoken of.
LEAST: Final = 30


def assistant_report(
    source: Store | str | Iterable[LoggedEvent],
    *,
    assistant: str = "",
    tenant: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    limit: int = 10_000,
    confidence: float = 0.95,
    least: int = LEAST,
) -> Report:
    """What the calls of assistants came to: a `Report`, as JSON, Markdown or HTML.

    source: a store, its address, or events. Blocks. assistant: one of them; by default all.
    tenant, since_ms, until_ms, limit: which calls of a store, as of `Store.calls()`; the newest come first.
    confidence: of the intervals. Where one control is compared with several variants, those of the differences are
        wider, so that all of them hold together so often (Bonferroni).
    least: how many callers each variant must have before the report speaks of a difference.

    A check passes if what it shows rests on enough calls, and warns if it does not, if work after calls was lost, or if
    memory failed: whether a variant is better is for the reader. Raises `AssistantError` (`report.assistant`) if there
    is no call of this assistant, and `StoreError`.
    """
    if isinstance(source, str):
        path = check_url(source)
        if path != ":memory:" and not Path(path).exists():
            raise StoreError.of("store.open", url=source, error="there is no such file")
        store = open_store(source)
        try:
            runs = read_runs(store, tenant=tenant, since_ms=since_ms, until_ms=until_ms, limit=limit)
        finally:
            store.close()
    elif isinstance(source, Iterable):
        runs = runs_of(source)
    else:
        runs = read_runs(source, tenant=tenant, since_ms=since_ms, until_ms=until_ms, limit=limit)
    names = sorted({run.assistant for run in runs})
    if assistant and assistant not in names:
        nearest = difflib.get_close_matches(assistant, names, n=1, cutoff=0.0)
        where = source if isinstance(source, str) else "these calls"
        raise AssistantError.of(
            "report.assistant", name=assistant, where=where, nearest=nearest[0] if nearest else "no assistant"
        )
    checks: list[Check] = []
    for name in names:
        if not assistant or name == assistant:
            own = [run for run in runs if run.assistant == name]
            checks += _overview(name, own, confidence)
            for experiment in sorted({experiment for run in own for experiment in run.variants}):
                checks += compare(name, experiment, own, confidence=confidence, least=least)
    missing = [] if checks else ["assistant.runs"]
    return Report(checks, title=f"Assistant {assistant}" if assistant else "Assistants", missing=missing)


def _overview(name: str, runs: list[Run], confidence: float) -> Iterator[Check]:
    """What all runs of an assistant come to."""
    ended = [run for run in runs if run.ended]

    def check(what: str, evidence: list[Fact], verdict: Verdict = "pass", fix: str | None = None) -> Check:
        return Check(f"{name}.{what}", verdict, evidence, fix=fix, section=name)

    turns, unanswered = sum(run.turns for run in ended), sum(run.unanswered for run in ended)
    agents = ", ".join(sorted({run.agent for run in runs if run.agent})) or "none"
    facts: list[Fact] = [
        f"{len(runs)} calls, of which {len(ended)} have ended. Agents: {agents}.",
        f"{turns} turns, of which {unanswered} were not answered.",
    ]
    if not ended:
        yield check("runs", [*facts, "No call has ended yet."], "warn")
        return
    yield check("runs", facts)
    rows: list[Fact] = []
    for metric in metrics_of(ended):
        values = [(run.call, value) for run in ended if (value := metric.value(run)) is not None]
        sample = Sample.of(values, rate=metric.rate)
        interval = sample.interval(confidence)
        rows.append({"metric": metric.name, "unit": metric.unit, "calls": sample.count, **shown(interval)})
    yield check("metrics", rows)
    reasons = sorted({run.reason for run in ended})
    yield check("ends", [{"reason": reason, "calls": sum(run.reason == reason for run in ended)} for reason in reasons])
    tools = sorted({tool for run in ended for tool in run.tools})
    if tools:
        table: list[Fact] = []
        for tool in tools:
            made = sum(run.tools.get(tool, 0) for run in ended)
            lost = sum(run.tools_failed.get(tool, 0) for run in ended)
            table.append({"tool": tool, "called": made, "failed": lost, "calls": sum(tool in r.tools for r in ended)})
        yield check("tools", table)
    yield from _memory(check, ended)
    yield from _hooks(check, ended)


def _memory(check: Any, runs: list[Run]) -> Iterator[Check]:
    used = [run for run in runs if run.memory != "off"]
    if not used:
        return
    failures = sum(run.memory_failures for run in used)
    row = {
        "calls": len(used),
        "opened": sum(run.memory == "open" for run in used),
        "reads": sum(run.memory_reads for run in used),
        "writes": sum(run.memory_writes for run in used),
        "forgotten": sum(run.memory_erased for run in used),
        "failures": failures,
    }
    fix = "Look after the store that `Memory(...)` was given: the events `memory.failed` say what was wrong."
    yield check("memory", [row], "warn" if failures else "pass", fix if failures else None)


def _hooks(check: Any, runs: list[Run]) -> Iterator[Check]:
    names = sorted({name for run in runs for name in run.hooks_due})
    if not names:
        return
    rows = [
        {
            "hook": name,
            "due": sum(name in run.hooks_due for run in runs),
            "done": sum(name in run.hooks_done for run in runs),
            "failed": sum(name in run.hooks_failed for run in runs),
            "not ended": sum(name in run.hooks_lost for run in runs),
        }
        for name in names
    ]
    bad = any(row["failed"] or row["not ended"] for row in rows)
    fix = "The events `after.failed` say why; what has not ended runs still, or its process was killed: repeat it."
    yield check("after", rows, "warn" if bad else "pass", fix if bad else None)
