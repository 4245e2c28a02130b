"""The table: what was measured, beside whom, against which target."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ._measure import Spread, ratio

__all__ = ["Row", "as_json", "as_markdown", "as_text", "at_least", "below", "machine"]

_HEADS = ("what", "Voiceframe", "Pipecat", "ratio", "target", "verdict")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured. `met` is None where there is no target."""

    what: str
    unit: str
    ours: Spread
    theirs: Spread | None = None
    target: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> Spread | None:
        return ratio(self.theirs, self.ours) if self.theirs is not None else None

    @property
    def verdict(self) -> str:
        if self.met is None:
            return "not measured" if self.target else ""
        return "met" if self.met else "MISSED"


def at_least(what: str, unit: str, ours: Spread, theirs: Spread | None, times: float) -> Row:
    """A row whose target is to be `times` cheaper than the peer."""
    met = ratio(theirs, ours).median >= times if theirs is not None else None
    return Row(what, unit, ours, theirs, f"at least {times:g}x", met)


def below(what: str, unit: str, ours: Spread, bound: float, theirs: Spread | None = None) -> Row:
    """A row whose target is a median under `bound`."""
    return Row(what, unit, ours, theirs, f"under {bound:g} {unit}", ours.median < bound)


def machine() -> dict[str, str]:
    """Where the numbers come from."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": ", ".join(f"{load:.2f}" for load in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "voiceframe": _version("voiceframe"),
        "pipecat-ai": _version("pipecat-ai"),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def as_json(rows: Sequence[Row], about: dict[str, str]) -> dict[str, Any]:
    return {
        "machine": about,
        "rows": [
            {
                "what": row.what,
                "unit": row.unit,
                "voiceframe": row.ours.values,
                "pipecat": row.theirs.values if row.theirs is not None else None,
                "ratio": row.ratio.median if row.ratio is not None else None,
                "target": row.target,
                "verdict": row.verdict,
            }
            for row in rows
        ],
    }


def as_markdown(rows: Sequence[Row], about: dict[str, str]) -> str:
    lines = [f"- {name}: {value}" for name, value in about.items()]
    lines += ["", f"| {' | '.join(_HEADS)} |", f"|{' --- |' * len(_HEADS)}"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines)


def as_text(rows: Sequence[Row], about: dict[str, str]) -> str:
    table = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(_HEADS))]
    lines = [f"{name:12}{value}" for name, value in about.items()]
    padded = [[cell.ljust(width) for cell, width in zip(cells, widths, strict=True)] for cells in table]
    lines += ["", *("  ".join(cells).rstrip() for cells in padded)]
    lines += ["", "Medians, in brackets the lowest and the highest turn."]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    times = f"{_range(row.ratio)}x" if row.ratio is not None else ""
    theirs = f"{_range(row.theirs)} {row.unit}" if row.theirs is not None else ""
    return row.what, f"{_range(row.ours)} {row.unit}", theirs, times, row.target, row.verdict


def _range(spread: Spread) -> str:
    if len(spread.values) == 1:
        return _short(spread.median)
    return f"{_short(spread.median)} ({_short(spread.low)}-{_short(spread.high)})"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
