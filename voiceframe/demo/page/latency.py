"""Where the time of each answer went, as bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .values import as_number, as_text, entries, esc, ms_text, share

__all__ = ["latency"]

#: The parts of the latency, in the order of time.
_PARTS: Final = (
    ("vad_ms", "VAD"),
    ("endpointing_ms", "Endpointing"),
    ("stt_ms", "STT"),
    ("agent_ms", "Agent"),
    ("tts_ms", "TTS"),
)


def latency(result: Mapping[str, Any]) -> str:
    turns = entries(result, "turns")
    if not turns:
        return '<p class="empty">No turn was answered, so there is nothing to measure.</p>'
    rows = [_Turn.read(turn) for turn in turns]
    longest = max((max(row.total or 0.0, row.heard or 0.0) for row in rows), default=0.0) or 1.0
    step = next(step for step in _steps() if longest / step <= 6)
    top = step * math.ceil(longest / step)
    ticks = [step * n for n in range(round(top / step) + 1)]
    lines = "".join(f'<line x1="{share(tick, top)}" x2="{share(tick, top)}" y2="100%"/>' for tick in ticks)
    axis = "".join(
        f'<text x="{share(tick, top)}" y="13" class="{"first" if not tick else "last" if tick == top else ""}">'
        f"{tick:,.0f}{'' if tick else ' ms'}</text>"
        for tick in ticks
    )
    legend = "".join(f'<li><i class="dot part{n}"></i>{name}</li>' for n, (_, name) in enumerate(_PARTS))
    body = "".join(row.html(top, lines) for row in rows)
    return (
        f'<ul class="legend">{legend}<li><i class="dot heard"></i>Voice to voice, in the recording</li></ul>'
        '<div class="turns"><div class="turn axis" aria-hidden="true"><span></span>'
        f'<svg height="18">{axis}</svg><span></span></div><ol>{body}</ol></div>'
    )


def _steps() -> Sequence[float]:
    return [digit * 10.0**power for power in range(10) for digit in (1, 2, 5)] + [math.inf]


@dataclass(frozen=True)
class _Turn:
    """Where the time of one answer went."""

    name: str
    text: str
    parts: tuple[float | None, ...]
    total: float | None  # the sum, as it was reported, else of the parts; None if nothing was measured
    heard: float | None

    @classmethod
    def read(cls, turn: Mapping[str, Any]) -> _Turn:
        parts = tuple(as_number(turn.get(key)) for key, _ in _PARTS)
        total = as_number(turn.get("sum_ms"))
        if total is None and any(part is not None for part in parts):
            total = sum(part or 0.0 for part in parts)
        heard = as_number(turn.get("voice_to_voice_ms"))
        return cls(as_text(turn.get("turn")), as_text(turn.get("text")), parts, total, heard)

    def html(self, top: float, lines: str) -> str:
        bars, at = [], 0.0
        for n, part in enumerate(self.parts):
            size = max(0.0, part or 0.0)
            if size:
                x, width = share(at, top), share(size, top)
                bars.append(f'<rect class="part{n}" x="{x}" y="4" width="{width}" height="16"/>')
            at += size
        if self.heard is not None:
            bars.append(f'<rect class="heard" y="24" width="{share(self.heard, top)}" height="6" rx="3"/>')
        parts = "".join(
            f'<li><i class="dot part{n}"></i>{name} <b>{ms_text(part)}</b></li>'
            for n, ((_, name), part) in enumerate(zip(_PARTS, self.parts, strict=True))
            if part is not None
        )
        off = "by the record" if self.heard is None else "by the recording"
        if self.heard is None and self.total is None:
            off = "not measured"
        elif self.heard is not None and self.total is not None:
            off = f"sum {ms_text(self.total)}, {ms_text(self.heard - self.total, sign=True)}"
        return (
            f'<li class="turn"><p class="said"><span>Turn <span class="txt">{esc(self.name) or "–"}</span></span>'
            f' <q class="txt">{esc(self.text) or "…"}</q></p>'
            f'<svg height="34" aria-hidden="true"><g class="grid">{lines}</g>{"".join(bars)}</svg>'
            f'<p class="total"><b>{ms_text(self.total if self.heard is None else self.heard)}</b>'
            f"<small>{off}</small></p>"
            f'<ul class="parts">{parts}</ul></li>'
        )
