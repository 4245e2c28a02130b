"""What the page reads of the call: its sound, its lines, and the marks on its timeline."""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .values import as_number, as_text, clock_text, entries, entry, ms_text

__all__ = ["NAMES", "Line", "Mark", "Sound", "barge_in", "data_of", "marks_of"]

NAMES: Final = {"caller": "Caller", "bot": "Bot"}
#: Pauses that ended otherwise than by going on.
_NOT_RESUMED: Final = frozenset({"barge-in", "interruption"})


def barge_in(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry(result, "barge_in")


@dataclass(frozen=True)
class Sound:
    """The recording, with a header of 44 bytes: the script counts on that. wav: b"" if there is none."""

    wav: bytes = b""
    rate: int = 8_000
    channels: int = 0
    ms: float = 0.0

    @classmethod
    def read(cls, wav: bytes) -> Sound:
        try:
            with wave.open(io.BytesIO(wav)) as file:
                rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
                frames = file.readframes(file.getnframes())
        except (wave.Error, EOFError):
            return cls()
        frames = frames[: len(frames) - len(frames) % (2 * channels)]
        if width != 2 or not frames:
            return cls()
        again = io.BytesIO()
        with wave.open(again, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(frames)
        return cls(again.getvalue(), rate, channels, len(frames) / (2 * channels) * 1000 / rate)

    def sample(self, ms: float) -> str:
        return f"{round(ms * self.rate / 1000):,}"


@dataclass(frozen=True)
class Line:
    """What one side said in one go. words: (text, start, end); stop: where it was cut, None if it was not."""

    who: str
    at: float
    end: float
    words: tuple[tuple[str, float, float], ...]
    unsaid: str
    stop: float | None

    @classmethod
    def read(cls, item: Mapping[str, Any], barge: Mapping[str, Any]) -> Line:
        at = as_number(item.get("at_ms")) or 0.0
        end = max(at, as_number(item.get("end_ms")) or at)
        stop = as_number(barge.get("stopped_ms"))
        if not item.get("cut"):
            stop = None
        # Another line that was cut is not the one that the barge-in is about; half a second is more than any rounding.
        elif stop is None or not at <= stop <= end + 500:
            stop = end
        words = []
        for word in entries(item, "words"):
            start, over = as_number(word.get("start_ms")), as_number(word.get("end_ms"))
            if start is not None and (text := as_text(word.get("text")).strip()):
                words.append((text, start, max(start, start if over is None else over)))
        unsaid, text = as_text(item.get("unsaid")).strip(), as_text(item.get("text")).strip()
        left = unsaid.split()
        # The texts that were not said may be among the words (by count or by time), or in the text, or in neither.
        if left and [word[0] for word in words[-len(left) :]] == left:
            words = words[: -len(left)]
        elif stop is not None and not unsaid:
            late = [word for word in words if word[1] >= stop]
            words = [word for word in words if word[1] < stop]
            unsaid = " ".join(word[0] for word in late)
        if unsaid and text.endswith(unsaid):
            text = text.removesuffix(unsaid).strip()
        if not words and text:
            words = [(text, at, end)]
        elif len(said := text.split()) == len(words):  # with the capitals and the commas
            words = [(token, *word[1:]) for token, word in zip(said, words, strict=True)]
        who = as_text(item.get("who"))
        return cls(who if who in NAMES else "bot", at, end, tuple(words), unsaid, stop)


@dataclass(frozen=True)
class Mark:
    """Something that happened at a moment, with what is to be said about it."""

    kind: str  # key, tool, pause, resume, barge or stop
    at: float
    label: str
    details: tuple[tuple[str, str], ...]


def marks_of(result: Mapping[str, Any], sound: Sound) -> list[Mark]:
    """In the order of time."""
    marks: list[Mark] = []
    for item in entries(result, "keys"):
        if (at := as_number(item.get("at_ms"))) is not None:
            digit = as_text(item.get("digit"))
            marks.append(Mark("key", at, f"Key {digit}", (("Pressed", digit),)))
    for item in entries(result, "tools"):
        if (at := as_number(item.get("at_ms"))) is not None:
            details = [("Tool", as_text(item.get("name"))), ("Arguments", as_text(item.get("arguments")))]
            details += [("Result", as_text(item.get("result"))), ("Took", ms_text(item.get("ms")))]
            marks.append(Mark("tool", at, as_text(item.get("name")) or "Tool", tuple(details)))
    for item in entries(result, "pauses"):
        begin, end = as_number(item.get("from_ms")), as_number(item.get("to_ms"))
        if begin is None:
            continue
        reason = as_text(item.get("reason"))
        lasted = () if end is None else (("Held for", ms_text(end - begin)),)
        marks.append(Mark("pause", begin, "Pause", (("Reason", reason or "–"), *lasted)))
        if end is not None and reason not in _NOT_RESUMED:
            marks.append(Mark("resume", end, "Resume", (("Went on after", ms_text(end - begin)),)))
    barge = barge_in(result)
    began, stopped = as_number(barge.get("began_ms")), as_number(barge.get("stopped_ms"))
    if began is not None:
        marks.append(Mark("barge", began, "Barge-in", (("Caller began at", clock_text(began)),)))
    if stopped is not None:
        details = [("At sample", sound.sample(stopped)), ("After the caller began", ms_text(barge.get("stop_ms")))]
        took = as_number(barge.get("stop_ms"))
        # The recording has the way over the line in it, both ways; what the bot took has not.
        if began is not None and took is not None and abs(stopped - began - took) >= 1:
            details.append(("In the recording", ms_text(stopped - began)))
        details.append(("Never said", as_text(barge.get("unsaid")) or "–"))
        marks.append(Mark("stop", stopped, "Bot stopped", tuple(details)))
    return sorted(marks, key=lambda mark: mark.at)


def data_of(result: Mapping[str, Any], sound: Sound, lines: list[Line], marks: list[Mark]) -> dict[str, Any]:
    """What the script draws. It takes the texts of the words from here and puts them in as text, never as HTML."""
    barge = barge_in(result)
    pauses = [(as_number(item.get("from_ms")), as_number(item.get("to_ms"))) for item in entries(result, "pauses")]
    ends = [sound.ms, *(line.end for line in lines), *(mark.at for mark in marks)]
    return {
        "ms": max(ends) or 1_000.0,
        "rate": sound.rate,
        "channels": sound.channels,
        "lines": [
            {"who": line.who, "at": line.at, "end": line.end, "words": line.words, "unsaid": line.unsaid}
            | ({} if line.stop is None else {"stop": line.stop})
            for line in lines
        ],
        "barge": [as_number(barge.get("began_ms")), as_number(barge.get("stopped_ms"))],
        "pauses": [(begin, begin if end is None else end) for begin, end in pauses if begin is not None],
        "marks": [{"kind": mark.kind, "at": mark.at, "label": mark.label, "details": mark.details} for mark in marks],
    }
