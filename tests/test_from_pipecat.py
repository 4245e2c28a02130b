"""The page for those who come from Pipecat: what it says has the names it says, and both sides print what it says.

Pipecat's side needs Pipecat: `uv run --group bench pytest tests/test_from_pipecat.py`, as `benchmarks.smoke` does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/from-pipecat.md").read_text(encoding="utf-8")

HEADING_OR_FENCE = re.compile(
    r"^### (?P<title>[^\n]*)$|^```(?P<kind>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")

_pipecat = importlib.util.find_spec("pipecat")
needs_pipecat = pytest.mark.skipif(
    _pipecat is None,
    reason="Pipecat is not installed: `uv run --group bench pytest tests/test_from_pipecat.py` brings it",
)


class Program(NamedTuple):
    """A program of the page, and what stands below it as what it prints."""

    title: str
    side: str
    code: str
    prints: str


def programs() -> list[Program]:
    """The text that follows is what both sides print, unless each has one of its own."""
    found: list[Program] = []
    waiting: list[tuple[str, str]] = []
    title = ""
    for match in HEADING_OR_FENCE.finditer(PAGE):
        if match["title"] is not None:
            title, waiting = match["title"], []
        elif match["kind"] == "text":
            found += [Program(title, side, code, match["code"]) for side, code in waiting]
            waiting = []
        elif match["kind"] in ("python", "python pipecat"):
            waiting.append((match["kind"].removeprefix("python") or "voiceframe", match["code"]))
    return found


PROGRAMS = programs()


def of(side: str) -> pytest.MarkDecorator:
    those = [program for program in PROGRAMS if program.side.strip() == side]
    return pytest.mark.parametrize("program", those, ids=[program.title for program in those])


def test_every_program_has_both_sides() -> None:
    titles = [program.title for program in PROGRAMS]
    assert len(titles) >= 8
    assert titles == [title for title in dict.fromkeys(titles) for _ in range(2)]
    assert PAGE.count("```python pipecat") == len(titles) // 2


@of("voiceframe")
def test_our_side_prints_what_the_page_says(program: Program) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program.code, program.title, "exec"), {"__name__": "docs"})
    assert printed.getvalue() == program.prints


@needs_pipecat
@of("pipecat")
def test_the_side_of_pipecat_prints_what_the_page_says(program: Program) -> None:
    # In a process of its own: on Python 3.11 its import replaces `asyncio.wait_for`.
    done = subprocess.run(
        [sys.executable, "-c", program.code], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert done.stdout == program.prints, done.stderr


def rows() -> list[tuple[str, str]]:
    table = PAGE[PAGE.index("## What stands where") : PAGE.index("## Programs side by side")]
    cells = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return [(ours.strip("| "), theirs) for ours, theirs, *_ in cells]


def names(cell: str) -> set[str]:
    """What looks like a name of code in a cell of the table."""
    return {name for code in re.findall(r"`([^`]+)`", cell) for name in NAME.findall(code)}


def source(package: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))


def missing(wanted: set[str], text: str) -> set[str]:
    return wanted - set(NAME.findall(text))


def test_the_table_has_names_of_ours_that_exist() -> None:
    wanted = set[str]().union(*(names(ours) for _, ours in rows()))
    assert len(wanted) > 40
    assert missing(wanted - {"voiceframe"}, source(ROOT / "voiceframe")) == set()


@needs_pipecat
def test_the_table_has_names_of_pipecat_that_exist() -> None:
    assert _pipecat is not None
    assert _pipecat.origin is not None
    wanted = set[str]().union(*(names(theirs) for theirs, _ in rows()))
    assert len(wanted) > 40
    # What it was called in versions before 1.14 is said only for those who look for it.
    assert missing(wanted, source(Path(_pipecat.origin).parent)) == {"StartInterruptionFrame"}
