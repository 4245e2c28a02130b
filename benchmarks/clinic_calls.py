"""Seeded callers phone the clinic: audio in, audio out, recognizer, voice and calendar and all, on virtual time.

    uv run python -m benchmarks.clinic_calls                    # 200 callers
    uv run python -m benchmarks.clinic_calls --seeds 5000:5200  # these
    uv run python -m benchmarks.clinic_calls --seeds 17:18 --show --keep /tmp/calls   # one, with its transcript and WAV

A call is good if it ends booked as asked, or handed over as it should be. The seeds of the others are printed, and
each is the same call again when it is given back: `--replay` makes every call twice and compares all events and both
sides' audio, bit for bit.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from voiceframe.app import App
from voiceframe.clock import VIRTUAL_EPOCH_MS, run_virtual
from voiceframe.errors import VoiceframeError
from voiceframe.testing import AudioCaller, dial
from voiceframe.testing.voices import TelephoneVoice
from voiceframe.transports.loopback import LineConditions

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from clinic_callers import Actor, OnTheLine, Plan, make_plan, verdict  # noqa: E402  # from the examples' own folder

NOW = datetime.fromtimestamp(VIRTUAL_EPOCH_MS / 1000, UTC).replace(tzinfo=None)


@dataclass
class Made:
    """What a call came to."""

    seed: int
    wrong: str  # "" if it was good
    wants: str
    reason: str
    lasted_ms: int
    took_s: float
    digest: str  # of all events and both sides' audio
    transcript: list[str]
    starts: list[tuple[int, float]]  # of each reply: in the record, and in the recording by level
    stops: list[float]  # after a barge-in: from the caller's first sound to the bot's last, in ms
    sends: list[tuple[str, str]]  # what the caller said, and what was recognized


def call_clinic(seed: int, keep: Path | None = None) -> Made:
    """One call, on a calendar of its own."""
    began = time.process_time()
    made = run_virtual(_call(seed, keep))
    made.took_s = time.process_time() - began
    return made
