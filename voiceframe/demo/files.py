"""The files of a call: recording, events, the object and its page, beside its calendar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .page import render
from .result import Result

__all__ = ["call_folder", "fresh", "where", "write"]


def call_folder(folder: Path, seed: int) -> Path:
    """Where the files of one of many calls go."""
    return folder / f"seed-{seed}"


def where(folder: str) -> str:
    """The same for a person, of all calls."""
    return f"The files of each call are in {Path(folder) / 'seed-<N>'}."


def fresh(place: Path) -> Path:
    """The folder, without the calendar of a call before this one."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "appointments.db").unlink(missing_ok=True)
    return place


def write(result: Result, place: Path, *, wall: bool) -> dict[str, Any]:
    """Write recording, events, the object and its page. Returns the object."""
    recording, events, page = place / "call.wav", place / "events.jsonl", place / "call.html"
    result.made.caller.save(recording)
    events.write_text(result.record.lines(wall=wall) + "\n", encoding="utf-8")
    document = result.document(recording, events, page)
    (place / "call.json").write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    page.write_text(render(document, recording.read_bytes()), encoding="utf-8")
    return document
