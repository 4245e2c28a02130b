"""Whole calls: seeded callers phone the clinic by sound, on virtual time. `benchmarks/clinic_calls.py` has the many."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

pytest.importorskip("pocketsphinx", reason="needs voiceframe[local]")
pytest.importorskip("espeakng_loader", reason="needs voiceframe[local]")

from clinic_callers import make_plan  # type: ignore[import-not-found]  # noqa: E402  # it lies beside the example

from benchmarks.clinic_calls import call_clinic  # noqa: E402


def test_a_caller_books_by_sound_and_the_same_seed_is_the_same_call_to_the_bit() -> None:
    first = call_clinic(10_000)
    assert first.wrong == ""
    assert call_clinic(10_000).digest == first.digest
    assert call_clinic(10_001).digest != first.digest


def test_the_record_has_the_start_of_each_reply_where_the_recording_has_it() -> None:
    call = call_clinic(10_002)
    assert call.wrong == ""
    assert call.starts
    assert max(map(abs, call.starts)) < 20


def test_other_seeds_are_other_callers() -> None:
    now = datetime(2026, 1, 1, 9)  # noqa: DTZ001  # the clinic's own time
    plans = {make_plan(seed, now).key() for seed in range(0, 100_000, 500)}
    assert len(plans) == 200
