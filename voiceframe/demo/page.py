"""The page of a call: one HTML file in which it can be heard, read and measured, on a disk or in a mail.

    Path("call.html").write_text(render(result, wav), encoding="utf-8")

It needs no network and no server. Its policy (Content-Security-Policy) allows its own script and style, by their
hashes, and the sound in it, and nothing else. The recording is the bulk of it: 43 kB a second, 3.9 MB for a call of
90 s, of which the rest is 90 kB.

Whatever comes from the call is escaped, and what is missing or of another kind than expected is left out: a page of a
call that went wrong is when one is needed most. The same input makes the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import math
import re
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any, Final

__all__ = ["render"]

_NAMES: Final = {"caller": "Caller", "bot": "Bot"}
#: The parts of the latency, in the order of time.
_PARTS: Final = (
    ("vad_ms", "VAD"),
    ("endpointing_ms", "Endpointing"),
    ("stt_ms", "STT"),
    ("agent_ms", "Agent"),
    ("tts_ms", "TTS"),
)
_VERDICTS: Final = {"pass": ("✓", "Passed"), "warn": ("!", "Warning"), "fail": ("✗", "Failed")}
#: Pauses that ended otherwise than by going on.
_NOT_RESUMED: Final = frozenset({"barge-in", "interruption"})
#: What is never right in a text: it would end up as an error of the parser or as bytes that are no UTF-8.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
#: The record and the recording may differ by so much: the plot of the differences ends there, or at what is more.
_AGREE_MS: Final = 20.0


def render(result: Mapping[str, Any], wav: bytes) -> str:
    """The whole page. `wav`: stereo s16le, left the caller, right the bot; without sound in it there is no player."""
    sound = _Sound.read(wav)
    lines = [_Line.read(item, _barge_in(result)) for item in _items(result, "transcript")]
    marks = _marks(result, sound)
    folder = resources.files(__package__ or "voiceframe.demo")
    style, script, page = (
        folder.joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html")
    )
    data = _data(result, sound, lines, marks)
    return Template(page).substitute(
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; media-src data:; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e"),
        title=_e(_headline(result)[1]),
        about=_about(result, sound),
        hero=_hero(result, lines),
        tiles=_tiles(result),
        hint='<p>Choose a wave or a word to go there.<span class="keys"> Space plays.</span></p>' if sound.wav else "",
        player=_player(sound, lines, marks),
        latency=_latency(result),
        checks=_checks(result),
        starts=_starts(result),
        tools=_tools(result, sound),
        transcript=_transcript(lines, sound),
        files=_files(result),
        dock=_dock(sound),
    )


# -- reading what may be missing


def _items(result: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = result.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def _item(result: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = result.get(key)
    return value if isinstance(value, Mapping) else {}


def _barge_in(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return _item(result, "barge_in")


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # More than three years is no time in a call, and a script that is to draw it would not come to its end.
    return float(value) if abs(value) < 1e11 else None  # false for NaN


def _text(value: object) -> str:
    """What is not a text is shown as JSON."""
    if value is None:
        return ""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # a key that is no text, or a circle
        text = str(value)
    return _UNPRINTABLE.sub("\ufffd", text)


def _e(value: object) -> str:
    return html.escape(_text(value))


def _ms(value: object, *, sign: bool = False) -> str:
    number = _number(value)
    if number is None:
        return "–"
    return f"{round(number):{'+' if sign else ''},} ms".replace("-", "−")


def _clock(ms: float) -> str:
    tenths = max(0, round(ms / 100))
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@dataclass(frozen=True)
class _Sound:
    """The recording, with a header of 44 bytes: the script counts on that. wav: b"" if there is none."""

    wav: bytes = b""
    rate: int = 8_000
    channels: int = 0
    ms: float = 0.0

    @classmethod
    def read(cls, wav: bytes) -> _Sound:
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
class _Line:
    """What one side said in one go. words: (text, start, end); stop: where it was cut, None if it was not."""

    who: str
    at: float
    end: float
    words: tuple[tuple[str, float, float], ...]
    unsaid: str
    stop: float | None

    @classmethod
    def read(cls, item: Mapping[str, Any], barge: Mapping[str, Any]) -> _Line:
        at = _number(item.get("at_ms")) or 0.0
        end = max(at, _number(item.get("end_ms")) or at)
        stop = _number(barge.get("stopped_ms"))
        if not item.get("cut"):
            stop = None
        # Another line that was cut is not the one that the barge-in is about; half a second is more than any rounding.
        elif stop is None or not at <= stop <= end + 500:
            stop = end
        words = []
        for word in _items(item, "words"):
            start, over = _number(word.get("start_ms")), _number(word.get("end_ms"))
            if start is not None and (text := _text(word.get("text")).strip()):
                words.append((text, start, max(start, start if over is None else over)))
        unsaid, text = _text(item.get("unsaid")).strip(), _text(item.get("text")).strip()
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
        who = _text(item.get("who"))
        return cls(who if who in _NAMES else "bot", at, end, tuple(words), unsaid, stop)


@dataclass(frozen=True)
class _Mark:
    """Something that happened at a moment, with what is to be said about it."""

    kind: str  # key, tool, pause, resume, barge or stop
    at: float
    label: str
    details: tuple[tuple[str, str], ...]


def _marks(result: Mapping[str, Any], sound: _Sound) -> list[_Mark]:
    """In the order of time."""
    marks: list[_Mark] = []
    for item in _items(result, "keys"):
        if (at := _number(item.get("at_ms"))) is not None:
            digit = _text(item.get("digit"))
            marks.append(_Mark("key", at, f"Key {digit}", (("Pressed", digit),)))
    for item in _items(result, "tools"):
        if (at := _number(item.get("at_ms"))) is not None:
            details = [("Tool", _text(item.get("name"))), ("Arguments", _text(item.get("arguments")))]
            details += [("Result", _text(item.get("result"))), ("Took", _ms(item.get("ms")))]
            marks.append(_Mark("tool", at, _text(item.get("name")) or "Tool", tuple(details)))
    for item in _items(result, "pauses"):
        begin, end = _number(item.get("from_ms")), _number(item.get("to_ms"))
        if begin is None:
            continue
        reason = _text(item.get("reason"))
        lasted = () if end is None else (("Held for", _ms(end - begin)),)
        marks.append(_Mark("pause", begin, "Pause", (("Reason", reason or "–"), *lasted)))
        if end is not None and reason not in _NOT_RESUMED:
            marks.append(_Mark("resume", end, "Resume", (("Went on after", _ms(end - begin)),)))
    barge = _barge_in(result)
    began, stopped = _number(barge.get("began_ms")), _number(barge.get("stopped_ms"))
    if began is not None:
        marks.append(_Mark("barge", began, "Barge-in", (("Caller began at", _clock(began)),)))
    if stopped is not None:
        details = [("At sample", sound.sample(stopped)), ("After the caller began", _ms(barge.get("stop_ms")))]
        took = _number(barge.get("stop_ms"))
        # The recording has the way over the line in it, both ways; what the bot took has not.
        if began is not None and took is not None and abs(stopped - began - took) >= 1:
            details.append(("In the recording", _ms(stopped - began)))
        details.append(("Never said", _text(barge.get("unsaid")) or "–"))
        marks.append(_Mark("stop", stopped, "Bot stopped", tuple(details)))
    return sorted(marks, key=lambda mark: mark.at)


def _data(result: Mapping[str, Any], sound: _Sound, lines: list[_Line], marks: list[_Mark]) -> dict[str, Any]:
    """What the script draws. It takes the texts of the words from here and puts them in as text, never as HTML."""
    barge = _barge_in(result)
    pauses = [(_number(item.get("from_ms")), _number(item.get("to_ms"))) for item in _items(result, "pauses")]
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
        "barge": [_number(barge.get("began_ms")), _number(barge.get("stopped_ms"))],
        "pauses": [(begin, begin if end is None else end) for begin, end in pauses if begin is not None],
        "marks": [{"kind": mark.kind, "at": mark.at, "label": mark.label, "details": mark.details} for mark in marks],
    }


# -- the parts of the page


def _headline(result: Mapping[str, Any]) -> tuple[str, str, str]:
    """The state (pass, fail, none), the headline, and a sentence."""
    checks = _items(result, "checks")
    failed = [_text(check.get("id")) for check in checks if check.get("verdict") == "fail"]
    good = sum(check.get("verdict") == "pass" for check in checks)
    counted = f"{good} of {len(checks)} checks passed." if checks else "Nothing was checked."
    if warned := sum(check.get("verdict") == "warn" for check in checks):
        counted += f" {warned} warning{'s' if warned > 1 else ''}."
    if checks and good == len(checks):
        counted = f"All {good} checks passed." if good > 1 else "The check passed."
    if not isinstance(result.get("passed"), bool):
        return "none", "No verdict", counted
    if result["passed"]:
        return "pass", "Appointment booked" if _item(result, "appointment") else "Call passed", counted
    return "fail", "Call failed", counted + (f" Failed: {', '.join(failed)}." if failed else "")


def _about(result: Mapping[str, Any], sound: _Sound) -> str:
    facts = []
    if result.get("seed") is not None:
        facts.append(f'<li>Seed <b class="txt">{_e(result["seed"])}</b></li>')
    if sound.ms:
        facts.append(f"<li>Length <b>{_clock(sound.ms)}</b></li>")
    return f'<ul class="about">{"".join(facts)}</ul>' if facts else ""


def _hero(result: Mapping[str, Any], lines: list[_Line]) -> str:
    state, head, sentence = _headline(result)
    sign = {"pass": "✓", "fail": "✗", "none": "?"}[state]
    return (
        f'<section class="hero {state}" aria-labelledby="verdict"><div class="verdict">'
        f'<span class="seal" aria-hidden="true">{sign}</span><div><p class="over">The verdict</p>'
        f'<h1 id="verdict">{_e(head)}</h1><p class="lead txt">{_e(sentence)}</p></div></div>'
        f"{_appointment(result)}</section>"
    )


def _appointment(result: Mapping[str, Any]) -> str:
    fields = _item(result, "appointment")
    if not fields:
        return '<div class="ticket none"><h2>Appointment</h2><p>None was made in this call.</p></div>'
    known = ("day", "date", "at", "time", "doctor", "patient")
    names = sorted(fields, key=lambda name: known.index(name) if name in known else len(known))
    rows = "".join(
        f"<div><dt>{_e(_text(name).replace('_', ' ').capitalize())}</dt>"
        f'<dd class="txt">{_e(fields[name]) or "–"}</dd></div>'
        for name in names
    )
    return f'<div class="ticket"><h2>Appointment</h2><dl>{rows}</dl></div>'


def _tiles(result: Mapping[str, Any]) -> str:
    latency, barge, checks = _item(result, "latency"), _barge_in(result), _items(result, "checks")
    good = sum(check.get("verdict") == "pass" for check in checks)
    silent = "from the caller’s first sound to the bot’s last" if barge else "the caller did not barge in"
    tiles = [
        ("Voice to voice, median", _ms(latency.get("p50_ms")), "from the caller’s last sound to the bot’s first"),
        ("Voice to voice, 95 %", _ms(latency.get("p95_ms")), "19 of 20 answers came at least as fast"),
        ("Silent after a barge-in", _ms(barge.get("stop_ms")), silent),
        ("Checks passed", f"{good} of {len(checks)}" if checks else "–", "each with its evidence, below"),
    ]
    return "".join(
        f'<div class="tile"><dt>{name}</dt><dd><b>{value}</b><span>{note}</span></dd></div>'
        for name, value, note in tiles
    )


def _player(sound: _Sound, lines: list[_Line], marks: list[_Mark]) -> str:
    if not sound.wav and not lines and not marks:
        return '<p class="empty">Neither a recording nor a transcript.</p>'
    note = "" if sound.wav else '<p class="empty">There is no recording: what follows is from the record.</p>'
    legend = "".join(
        f'<li><i class="dot {kind}"></i>{name}</li>'
        for kind, name in (
            ("key", "Key"),
            ("tool", "Tool call"),
            ("pause", "Pause"),
            ("resume", "Resume"),
            ("barge", "Barge-in"),
            ("stop", "Bot stopped"),
        )
        if any(mark.kind == kind for mark in marks)
    )
    return (
        f'{note}<div class="overview" id="overview" aria-hidden="true"><canvas></canvas><div class="played"></div>'
        '<div class="window"></div></div><div class="frame"><div class="view" id="view" tabindex="0" role="group" '
        'aria-label="Timeline of the call: arrow keys move by two seconds, space plays, plus and minus zoom">'
        '<div class="inner" id="inner"><canvas aria-hidden="true"></canvas><div class="words" aria-hidden="true"></div>'
        '<div class="marks" id="marks"></div><div class="cursor" id="cursor"></div></div></div>'
        '<span class="lane caller" aria-hidden="true">Caller</span><span class="lane bot" aria-hidden="true">Bot</span>'
        f'</div><ul class="legend">{legend}</ul>'
        '<div class="detail" id="detail" aria-live="polite"><p>Choose a mark to see what it is about.</p></div>'
    )


def _latency(result: Mapping[str, Any]) -> str:
    turns = _items(result, "turns")
    if not turns:
        return '<p class="empty">No turn was answered, so there is nothing to measure.</p>'
    rows = [_Turn.read(turn) for turn in turns]
    longest = max((max(row.total or 0.0, row.heard or 0.0) for row in rows), default=0.0) or 1.0
    step = next(step for step in _steps() if longest / step <= 6)
    top = step * math.ceil(longest / step)
    ticks = [step * n for n in range(round(top / step) + 1)]
    lines = "".join(f'<line x1="{_share(tick, top)}" x2="{_share(tick, top)}" y2="100%"/>' for tick in ticks)
    axis = "".join(
        f'<text x="{_share(tick, top)}" y="13" class="{"first" if not tick else "last" if tick == top else ""}">'
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


def _share(value: float, top: float) -> str:
    share = 100 * value / top if math.isfinite(top) and top else 0.0
    return f"{min(100.0, max(0.0, share)):.3f}%"


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
        parts = tuple(_number(turn.get(key)) for key, _ in _PARTS)
        total = _number(turn.get("sum_ms"))
        if total is None and any(part is not None for part in parts):
            total = sum(part or 0.0 for part in parts)
        heard = _number(turn.get("voice_to_voice_ms"))
        return cls(_text(turn.get("turn")), _text(turn.get("text")), parts, total, heard)

    def html(self, top: float, lines: str) -> str:
        bars, at = [], 0.0
        for n, part in enumerate(self.parts):
            size = max(0.0, part or 0.0)
            if size:
                x, width = _share(at, top), _share(size, top)
                bars.append(f'<rect class="part{n}" x="{x}" y="4" width="{width}" height="16"/>')
            at += size
        if self.heard is not None:
            bars.append(f'<rect class="heard" y="24" width="{_share(self.heard, top)}" height="6" rx="3"/>')
        parts = "".join(
            f'<li><i class="dot part{n}"></i>{name} <b>{_ms(part)}</b></li>'
            for n, ((_, name), part) in enumerate(zip(_PARTS, self.parts, strict=True))
            if part is not None
        )
        off = "by the record" if self.heard is None else "by the recording"
        if self.heard is None and self.total is None:
            off = "not measured"
        elif self.heard is not None and self.total is not None:
            off = f"sum {_ms(self.total)}, {_ms(self.heard - self.total, sign=True)}"
        return (
            f'<li class="turn"><p class="said"><span>Turn <span class="txt">{_e(self.name) or "–"}</span></span>'
            f' <q class="txt">{_e(self.text) or "…"}</q></p>'
            f'<svg height="34" aria-hidden="true"><g class="grid">{lines}</g>{"".join(bars)}</svg>'
            f'<p class="total"><b>{_ms(self.total if self.heard is None else self.heard)}</b>'
            f"<small>{off}</small></p>"
            f'<ul class="parts">{parts}</ul></li>'
        )


def _checks(result: Mapping[str, Any]) -> str:
    rows = []
    for check in _items(result, "checks"):
        verdict = check.get("verdict")
        kind = verdict if isinstance(verdict, str) and verdict in _VERDICTS else "warn"
        sign, word = _VERDICTS[kind]
        word = word if kind == verdict else _text(verdict) or "No verdict"
        found = check.get("evidence")
        facts = found if isinstance(found, list | tuple) else [found]
        evidence = "".join(f"<p>{_e(_fact(fact))}</p>" for fact in facts if fact is not None)
        rows.append(
            f'<li class="{kind}"><span class="sign" aria-hidden="true">{sign}</span><div class="txt">'
            f'<h3>{_e(check.get("id"))} <span class="word">{_e(word)}</span></h3>{evidence}</div></li>'
        )
    return f'<ul class="checks">{"".join(rows)}</ul>' if rows else '<p class="empty">Nothing was checked.</p>'


def _fact(fact: object) -> str:
    if isinstance(fact, Mapping):
        return ", ".join(f"{_text(key)}: {_text(value)}" for key, value in fact.items())
    return _text(fact)


def _starts(result: Mapping[str, Any]) -> str:
    starts = []
    for item in _items(result, "starts"):
        record, recording = _number(item.get("record_ms")), _number(item.get("recording_ms"))
        off = None if record is None or recording is None else recording - record
        starts.append((_text(item.get("reply")), record, recording, off))
    if not starts:
        return '<p class="empty">No reply to compare.</p>'
    top = max(_AGREE_MS, *(abs(off) for *_, off in starts if off is not None), 0.0)
    rows = []
    for reply, record, recording, off in starts:
        plot = "" if off is None else f'<circle cx="{_share(off + top, 2 * top)}" cy="10" r="4.5"/>'
        rows.append(
            f'<tr><th scope="row">{_e(reply) or "–"}</th><td>{_seconds(record)}</td><td>{_seconds(recording)}</td>'
            f'<td class="off"><svg height="20" width="90" aria-hidden="true"><line x1="5%" x2="95%" y1="10" y2="10"/>'
            f'<line x1="50%" x2="50%" y1="4" y2="16"/><svg x="6" width="78">{plot}</svg></svg>'
            f"<span>{_off(off)}</span></td></tr>"
        )
    return (
        '<table><thead><tr><th scope="col">Reply</th><th scope="col">Record</th><th scope="col">Recording</th>'
        f'<th scope="col">Difference</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
        f'<p class="note">When each reply began, by the log and by its first sample that can be heard. '
        f'<span class="plots">The plots end at ±{top:.0f} ms.</span></p>'
    )


def _seconds(ms: float | None) -> str:
    return "–" if ms is None else f"{ms / 1000:.3f} s".replace("-", "−")


def _off(ms: float | None) -> str:
    return "–" if ms is None else f"{ms:+.1f} ms".replace("-", "−")


def _tools(result: Mapping[str, Any], sound: _Sound) -> str:
    rows = []
    for item in _items(result, "tools"):
        at = _number(item.get("at_ms"))
        rows.append(
            f'<li><div class="call">{_moment(at, sound)}<h3 class="txt">{_e(item.get("name")) or "Tool"}</h3>'
            f"<span>{_ms(item.get('ms'))}</span></div>"
            f"<dl><div><dt>Arguments</dt><dd>{_e(item.get('arguments')) or '–'}</dd></div>"
            f"<div><dt>Result</dt><dd>{_e(item.get('result')) or '–'}</dd></div></dl></li>"
        )
    return f'<ul class="tools">{"".join(rows)}</ul>' if rows else '<p class="empty">No tool was called.</p>'


def _moment(ms: float | None, sound: _Sound) -> str:
    """A moment of the call, and a way to go there."""
    if ms is None:
        return '<span class="moment">–</span>'
    if not sound.wav:
        return f'<span class="moment">{_clock(ms)}</span>'
    at = _clock(ms)
    return f'<button type="button" class="moment" data-ms="{round(ms)}" aria-label="Go to {at}">{at}</button>'


def _transcript(lines: list[_Line], sound: _Sound) -> str:
    if not lines:
        return '<p class="empty">Nothing was said.</p>'
    rows, count = [], 0
    for n, line in enumerate(lines):
        said = []
        for text, _, _ in line.words:
            said.append(f'<span class="w" data-w="{count}">{_e(text)}</span>')
            count += 1
        if line.unsaid:
            said.append(f'<del><span class="sr">Never said: </span>{_e(line.unsaid)}</del>')
        cut = '<span class="cut">cut off</span>' if line.stop is not None else ""
        rows.append(
            f'<li class="line {line.who}" data-line="{n}"><div class="who"><b>{_NAMES[line.who]}</b>'
            f'{_moment(line.at, sound)}{cut}</div><p class="txt">{" ".join(said) or "…"}</p></li>'
        )
    return (
        '<div class="columns" aria-hidden="true"><span>Caller</span><span>Bot</span></div>'
        f'<ol class="lines">{"".join(rows)}</ol>'
    )


def _files(result: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<div><dt>{name}</dt><dd class="txt">{_e(str(result[key]))}</dd></div>'
        for key, name in (("recording", "Recording"), ("events", "Events"))
        if result.get(key)
    )
    return f"<dl>{rows}</dl>" if rows else ""


def _dock(sound: _Sound) -> str:
    if not sound.wav:
        return ""
    speeds = "".join(
        f'<option value="{speed}"{" selected" if speed == "1" else ""}>{speed}×</option>'
        for speed in ("0.5", "0.75", "1", "1.5", "2")
    )
    return (
        '<div class="dock" role="group" aria-label="Player"><button type="button" class="play" id="play" '
        'aria-label="Play"><svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">'
        '<path class="on" d="M8 5.2v13.6a.8.8 0 0 0 1.2.7l10.6-6.8a.8.8 0 0 0 0-1.4L9.2 4.5a.8.8 0 0 0-1.2.7z"/>'
        '<path class="off" d="M7 4.5h3.4v15H7zM13.6 4.5H17v15h-3.4z"/></svg></button>'
        f'<span class="time"><b id="now">0:00.0</b> <span>/ {_clock(sound.ms)}</span></span>'
        f'<input type="range" id="seek" min="0" max="{math.ceil(sound.ms)}" step="10" value="0" '
        'autocomplete="off" aria-label="Position">'
        f'<label class="speed"><span class="sr">Speed</span><select id="speed" autocomplete="off">'
        f"{speeds}</select></label>"
        f'<p class="trouble" id="trouble" role="alert" hidden></p><audio id="sound" controls preload="auto" '
        f'src="data:audio/wav;base64,{base64.b64encode(sound.wav).decode()}"></audio></div>'
    )
