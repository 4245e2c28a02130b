"""Voiceframe beside Pipecat, in one run.

    uv run --group bench python -m benchmarks.compare [--quick] [--markdown] [--json FILE]

Prints the machine, what was measured, the targets and whether they are met. It only reports: a missed target is no
failure here (`benchmarks.smoke` is the one that fails). Without Pipecat the ratios are left out, and it says so.
A full run takes about three minutes, a quick one about one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from . import _fairness, _frames, _interruption, _setup
from ._measure import FULL, QUICK, Effort
from ._peer import ABSENT, AVAILABLE
from ._report import Row, as_json, as_markdown, as_text, machine


async def measure(effort: Effort) -> list[Row]:
    rows: list[Row] = []
    for topic in (_frames, _interruption, _setup, _fairness):
        print(f"measuring: {topic.__name__.rpartition('_')[2]} ...", file=sys.stderr)
        rows += await topic.measure(effort)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Voiceframe beside Pipecat")
    parser.add_argument("--quick", action="store_true", help="fewer turns: a first look")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every value that was measured to FILE")
    arguments = parser.parse_args()
    about = machine()
    if not AVAILABLE:
        print(ABSENT, file=sys.stderr)
    rows = asyncio.run(measure(QUICK if arguments.quick else FULL))
    print(as_markdown(rows, about) if arguments.markdown else as_text(rows, about))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(rows, about), indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
