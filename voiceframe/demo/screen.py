"""The demo on a terminal: the call while it is made, in two columns, and what it came to. Without a terminal, lines."""

from __future__ import annotations

import array
import asyncio
import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

from ..audio import PCMU_8K, Audio
from ..checks import Check
from ..events import LoggedEvent
from ..frames import HeardFrame
from ..processor import Observer, observes
from ..testing import TwilioCaller
from .script import Spoken
from .sounding import Mouth
from .telephoning import Show

__all__ = ["Screen", "checks", "latencies"]

_DRAW_S: Final = 0.1
_BARS: Final = " ▁▂▃▄▅▆▇█"
_QUIET_DBFS: Final = -50.0
#: What has to happen, in the order in which it does, with the event that tells of it.
STEPS: Final = ("barge-in", "name", "doctor", "day", "time", "cough", "correction", "key", "booked")
#: The same of a model, which notes no slots down.
MODEL_STEPS: Final = ("barge-in", "cough", "key", "booked")
_SLOTS: Final = {"patient": "name", "doctor": "doctor", "day": "day", "at": "time"}
_KINDS: Final = {"interruption": "barge-in", "resume": "cough", "dtmf.received": "key"}


class Screen(Show):
    """Shows a call while it is made. A terminal has it in two columns, with levels and how far it has come."""

    def __init__(self, out: TextIO, *, live: bool, steps: Sequence[str] = STEPS) -> None:
        self._out = out
        self._live = live
        width = min(110, shutil.get_terminal_size((100, 24)).columns) if live else 100
        self._half = max(20, (width - 10) // 2)
        self._caller: TwilioCaller | None = None
        self._peaks = {"caller": 0, "bot": 0}
        self._texts: dict[int, str] = {}
        self._over: set[int] = set()
        self._mouth: Mouth | None = None
        self._done: set[str] = set()
        self._called: dict[str, str] = {}
        self._steps = steps
        self._drawn = 0
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        #: Belongs into the pipeline: tells what is heard of the bot.
        self.observer = _Hearing(self)

    # -- what is told

    def began(self, caller: TwilioCaller, mouth: Mouth) -> None:
        self._caller, self._mouth = caller, mouth
        self._unsubscribe = caller.call.log.subscribe(self._on_event)
        if not self._live:
            return
        head = f"{'caller'.ljust(self._half)}bot"
        self._out.write(f"\n        \x1b[1m{head}\x1b[0m\n")
        far = caller.phone.far
        source, on_audio = far.source, far.on_audio

        def spoken() -> bytes:
            data = source()
            self._peaks["caller"] = max(self._peaks["caller"], _peak(data))
            return data

        def heard(data: bytes) -> None:
            self._peaks["bot"] = max(self._peaks["bot"], _peak(data))
            if on_audio is not None:
                on_audio(data)

        far.source, far.on_audio = spoken, heard
        self._task = asyncio.get_running_loop().create_task(self._keep_drawing())

    def caller_does(self, spoken: Spoken) -> None:
        text = {"presses": f"[presses {spoken.text}]", "interrupts": f"[over the bot] {spoken.text}"}
        self._line("caller", text.get(spoken.kind, spoken.text), spoken.at_ms)

    def ended(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._live:
            self._draw()
            self._drawn = 0

    def heard(self, frame: HeardFrame) -> None:
        """Some more of a reply was heard."""
        text = self._texts[frame.reply] = self._texts.get(frame.reply, "") + frame.text
        if not frame.final or frame.reply in self._over:
            return
        self._over.add(frame.reply)
        unsaid = ""
        whole = self._mouth.text(frame.reply) if self._mouth is not None else ""
        if not frame.complete and whole.startswith(text):
            unsaid = whole[len(text) :].strip()
        self._line("bot", " ".join(text.split()), frame.at_ms, unsaid)

    def _on_event(self, event: LoggedEvent) -> None:
        step = _KINDS.get(event.kind, "")
        if event.kind == "flow.filled":
            step = "correction" if event.data["corrected"] else _SLOTS.get(event.data["slot"], "")
        elif event.kind == "tool.called":
            self._called[event.data["call_id"]] = event.data["name"]
        elif event.kind == "tool.returned" and not event.data["failed"]:
            step = "booked" if self._called.get(event.data["call_id"]) == "book" else ""
        if step:
            self._done.add(step)

    # -- what is shown

    def _line(self, who: str, text: str, at_ms: int, unsaid: str = "") -> None:
        at = f"{max(0, at_ms) / 1000:6.1f}"
        if not self._live:
            cut = f" [not said: {unsaid}]" if unsaid else ""
            print(f"{at} s  {who:6}  {text}{cut}", file=self._out, flush=True)
            return
        self._erase()
        self._out.write("\n".join(self._column(who, text, at, unsaid)) + "\n")
        self._draw()

    def _column(self, who: str, text: str, at: str = "      ", unsaid: str = "") -> list[str]:
        whole = f"{text} {unsaid}".strip() if unsaid else text
        lines, said = [], len(text)
        for number, line in enumerate(textwrap.wrap(whole, self._half - 2) or [""]):
            indent = " " * (self._half if who == "bot" else 0)
            colour = "\x1b[36m" if who == "caller" else "\x1b[32m"
            here = line[: max(0, said)]
            rest = line[len(here) :]
            said -= len(line) + 1
            struck = f"\x1b[2;9m{rest}\x1b[0m" if rest else ""
            lines.append(f"\x1b[2m{at if not number else '      '}\x1b[0m  {indent}{colour}{here}\x1b[0m{struck}")
        return lines

    async def _keep_drawing(self) -> None:
        while True:
            await asyncio.sleep(_DRAW_S)
            self._draw()

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        """What moves, below what has been said: the reply that is being heard, levels, and how far it has come."""
        self._erase()
        lines: list[str] = []
        for reply, text in self._texts.items():
            if reply not in self._over and text.strip():
                lines += self._column("bot", " ".join(text.split()) + " …")
        now_ms = self._caller.call.clock.at_ms() if self._caller is not None else 0
        caller, bot = (self._meter(who) for who in ("caller", "bot"))
        lines.append(f"{now_ms / 1000:6.1f}  \x1b[36mcaller {caller}\x1b[0m  \x1b[32mbot {bot}\x1b[0m")
        if self._steps:
            lines.append("        " + self._progress())
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()
        self._drawn = len(lines)

    def _progress(self) -> str:
        """What has happened, and what is still to come. A line must not be broken by a narrow terminal."""
        if 8 + sum(len(step) + 4 for step in self._steps) > 10 + 2 * self._half:
            return f"\x1b[32m✓ {len(self._done.intersection(self._steps))}\x1b[0m of {len(self._steps)}"
        return "  ".join(
            f"\x1b[32m✓ {step}\x1b[0m" if step in self._done else f"\x1b[2m· {step}\x1b[0m" for step in self._steps
        )

    def _meter(self, who: str) -> str:
        """The level since it was last drawn, as ten blocks."""
        import math

        peak, self._peaks[who] = self._peaks[who], 0
        dbfs = 20 * math.log10(peak / 32768) if peak else -96.0
        eighths = round(max(0.0, (dbfs - _QUIET_DBFS) / -_QUIET_DBFS) * 80)
        return "".join(_BARS[max(0, min(8, eighths - 8 * block))] for block in range(10))


class _Hearing(Observer):
    """Tells the screen what the caller has heard."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    @observes(HeardFrame, upstream=True)
    def on_heard(self, frame: HeardFrame) -> None:
        self._screen.heard(frame)


def _peak(data: bytes) -> int:
    values = array.array("h", Audio(data, PCMU_8K).pcm(8_000))
    return max(max(values), -min(values)) if values else 0


_COLUMNS: Final = (
    ("vad_ms", "VAD"),
    ("endpointing_ms", "endpointing"),
    ("stt_ms", "STT"),
    ("agent_ms", "agent"),
    ("tts_ms", "TTS"),
    ("sum_ms", "sum"),
    ("voice_to_voice_ms", "voice to voice"),
)


def latencies(turns: Sequence[dict[str, Any]]) -> str:
    """The table of a call's turns: where the time went, what was measured, and what is between the two."""
    head = ["turn", *(title for _, title in _COLUMNS), "difference", "understood"]
    rows = [head]
    for turn in turns:
        cells = [turn[name] for name, _ in _COLUMNS]
        total, measured = turn["sum_ms"], turn["voice_to_voice_ms"]
        cells.append(measured - total if measured is not None and total is not None else None)
        rows.append([str(turn["turn"]), *("-" if cell is None else f"{cell:.0f}" for cell in cells), turn["text"]])
    widths = [max(len(row[index]) for row in rows) for index in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def checks(found: Sequence[Check], *, colours: bool) -> str:
    """One line for each."""
    signs = {"pass": ("✓", 32), "warn": ("!", 33), "fail": ("✗", 31)}
    lines = []
    for check in found:
        sign, colour = signs[check.verdict]
        mark = f"\x1b[{colour}m{sign}\x1b[0m" if colours else check.verdict
        lines.append(f"{mark}  {check.id:15} {'; '.join(map(str, check.evidence))}")
    return "\n".join(lines)
