"""Values of a record as the page shows them: what is missing or of another kind than expected is left out."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["as_number", "as_text", "clock_text", "entries", "entry", "esc", "ms_text", "share"]

#: What is never right in a text: it would end up as an error of the parser or as bytes that are no UTF-8.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def entries(result: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = result.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def entry(result: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = result.get(key)
    return value if isinstance(value, Mapping) else {}


def as_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # More than three years is no time in a call, and a script that is to draw it would not come to its end.
    return float(value) if abs(value) < 1e11 else None  # false for NaN


def as_text(value: object) -> str:
    """What is not a text is shown as JSON."""
    if value is None:
        return ""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # a key that is no text, or a circle
        text = str(value)
    return _UNPRINTABLE.sub("\ufffd", text)


def esc(value: object) -> str:
    return html.escape(as_text(value))


def ms_text(value: object, *, sign: bool = False) -> str:
    number = as_number(value)
    if number is None:
        return "–"
    return f"{round(number):{'+' if sign else ''},} ms".replace("-", "−")


def clock_text(ms: float) -> str:
    tenths = max(0, round(ms / 100))
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def share(value: float, top: float) -> str:
    """How much of the top a value is, as CSS says it."""
    percent = 100 * value / top if math.isfinite(top) and top else 0.0
    return f"{min(100.0, max(0.0, percent)):.3f}%"
