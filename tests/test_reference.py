"""The committed pages that are made from the code are those that the code makes now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_committed_pages_are_up_to_date(tmp_path: Path) -> None:
    # In a process of its own: here other tests have defined settings and errors.
    subprocess.run([sys.executable, "-m", "voiceframe.reference", str(tmp_path)], check=True, timeout=60)
    made = {page.name: page.read_text("utf-8") for page in tmp_path.iterdir()}
    assert made.keys() == {"configuration.md", "errors.md", "events.md", "events.schema.json"}
    stale = [name for name, text in made.items() if text != _committed(name)]
    assert not stale, f"run `python -m voiceframe.reference` and commit {', '.join(stale)}"


def _committed(name: str) -> str:
    path = DOCS / name
    return path.read_text("utf-8") if path.exists() else ""
