"""The parts of the page that are text: verdict, figures, checks, replies, tools, transcript, files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .call import NAMES, Line, Sound, barge_in
from .values import as_number, as_text, clock_text, entries, entry, esc, ms_text, share

__all__ = ["about", "check_list", "file_list", "headline", "hero", "start_table", "tiles", "tool_list", "transcript"]

_VERDICTS: Final = {"pass": ("✓", "Passed"), "warn": ("!", "Warning"), "fail": ("✗", "Failed")}
#: The record and the recording may differ by so much: the plot of the differences ends there, or at what is more.
_AGREE_MS: Final = 20.0


def headline(result: Mapping[str, Any]) -> tuple[str, str, str]:
    """The state (pass, fail, none), the headline, and a sentence."""
    checks = entries(result, "checks")
    failed = [as_text(check.get("id")) for check in checks if check.get("verdict") == "fail"]
    good = sum(check.get("verdict") == "pass" for check in checks)
    counted = f"{good} of {len(checks)} checks passed." if checks else "Nothing was checked."
    if warned := sum(check.get("verdict") == "warn" for check in checks):
        counted += f" {warned} warning{'s' if warned > 1 else ''}."
    if checks and good == len(checks):
        counted = f"All {good} checks passed." if good > 1 else "The check passed."
    if not isinstance(result.get("passed"), bool):
        return "none", "No verdict", counted
    if result["passed"]:
        return "pass", "Appointment booked" if entry(result, "appointment") else "Call passed", counted
    return "fail", "Call failed", counted + (f" Failed: {', '.join(failed)}." if failed else "")


def about(result: Mapping[str, Any], sound: Sound) -> str:
    facts = []
    if result.get("seed") is not None:
        facts.append(f'<li>Seed <b class="txt">{esc(result["seed"])}</b></li>')
    if sound.ms:
        facts.append(f"<li>Length <b>{clock_text(sound.ms)}</b></li>")
    model = entry(result, "model")
    if model:
        facts.append(f'<li>Model <b class="txt">{esc(model.get("name"))}</b></li>')
        facts.append(f"<li>Its first word <b>{ms_text(entry(model, 'first_word').get('p50_ms'))}</b></li>")
        facts.append(f"<li>Requests <b>{esc(model.get('requests'))}</b></li>")
    return f'<ul class="about">{"".join(facts)}</ul>' if facts else ""


def hero(result: Mapping[str, Any], lines: list[Line]) -> str:
    state, head, sentence = headline(result)
    sign = {"pass": "✓", "fail": "✗", "none": "?"}[state]
    return (
        f'<section class="hero {state}" aria-labelledby="verdict"><div class="verdict">'
        f'<span class="seal" aria-hidden="true">{sign}</span><div><p class="over">The verdict</p>'
        f'<h1 id="verdict">{esc(head)}</h1><p class="lead txt">{esc(sentence)}</p></div></div>'
        f"{_appointment(result)}</section>"
    )


def _appointment(result: Mapping[str, Any]) -> str:
    fields = entry(result, "appointment")
    if not fields:
        return '<div class="ticket none"><h2>Appointment</h2><p>None was made in this call.</p></div>'
    known = ("day", "date", "at", "time", "doctor", "patient")
    names = sorted(fields, key=lambda name: known.index(name) if name in known else len(known))
    rows = "".join(
        f"<div><dt>{esc(as_text(name).replace('_', ' ').capitalize())}</dt>"
        f'<dd class="txt">{esc(fields[name]) or "–"}</dd></div>'
        for name in names
    )
    return f'<div class="ticket"><h2>Appointment</h2><dl>{rows}</dl></div>'


def tiles(result: Mapping[str, Any]) -> str:
    latency, barge, checks = entry(result, "latency"), barge_in(result), entries(result, "checks")
    good = sum(check.get("verdict") == "pass" for check in checks)
    silent = "from the caller’s first sound to the bot’s last" if barge else "the caller did not barge in"
    tiles = [
        ("Voice to voice, median", ms_text(latency.get("p50_ms")), "from the caller’s last sound to the bot’s first"),
        ("Voice to voice, 95 %", ms_text(latency.get("p95_ms")), "19 of 20 answers came at least as fast"),
        ("Silent after a barge-in", ms_text(barge.get("stop_ms")), silent),
        ("Checks passed", f"{good} of {len(checks)}" if checks else "–", "each with its evidence, below"),
    ]
    return "".join(
        f'<div class="tile"><dt>{name}</dt><dd><b>{value}</b><span>{note}</span></dd></div>'
        for name, value, note in tiles
    )


def check_list(result: Mapping[str, Any]) -> str:
    rows = []
    for check in entries(result, "checks"):
        verdict = check.get("verdict")
        kind = verdict if isinstance(verdict, str) and verdict in _VERDICTS else "warn"
        sign, word = _VERDICTS[kind]
        word = word if kind == verdict else as_text(verdict) or "No verdict"
        found = check.get("evidence")
        facts = found if isinstance(found, list | tuple) else [found]
        evidence = "".join(f"<p>{esc(_fact(fact))}</p>" for fact in facts if fact is not None)
        rows.append(
            f'<li class="{kind}"><span class="sign" aria-hidden="true">{sign}</span><div class="txt">'
            f'<h3>{esc(check.get("id"))} <span class="word">{esc(word)}</span></h3>{evidence}</div></li>'
        )
    return f'<ul class="checks">{"".join(rows)}</ul>' if rows else '<p class="empty">Nothing was checked.</p>'


def _fact(fact: object) -> str:
    if isinstance(fact, Mapping):
        return ", ".join(f"{as_text(key)}: {as_text(value)}" for key, value in fact.items())
    return as_text(fact)


def start_table(result: Mapping[str, Any]) -> str:
    starts = []
    for item in entries(result, "starts"):
        record, recording = as_number(item.get("record_ms")), as_number(item.get("recording_ms"))
        off = None if record is None or recording is None else recording - record
        starts.append((as_text(item.get("reply")), record, recording, off))
    if not starts:
        return '<p class="empty">No reply to compare.</p>'
    top = max(_AGREE_MS, *(abs(off) for *_, off in starts if off is not None), 0.0)
    rows = []
    for reply, record, recording, off in starts:
        plot = "" if off is None else f'<circle cx="{share(off + top, 2 * top)}" cy="10" r="4.5"/>'
        rows.append(
            f'<tr><th scope="row">{esc(reply) or "–"}</th><td>{_seconds(record)}</td><td>{_seconds(recording)}</td>'
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


def tool_list(result: Mapping[str, Any], sound: Sound) -> str:
    rows = []
    for item in entries(result, "tools"):
        at = as_number(item.get("at_ms"))
        rows.append(
            f'<li><div class="call">{moment(at, sound)}<h3 class="txt">{esc(item.get("name")) or "Tool"}</h3>'
            f"<span>{ms_text(item.get('ms'))}</span></div>"
            f"<dl><div><dt>Arguments</dt><dd>{esc(item.get('arguments')) or '–'}</dd></div>"
            f"<div><dt>Result</dt><dd>{esc(item.get('result')) or '–'}</dd></div></dl></li>"
        )
    return f'<ul class="tools">{"".join(rows)}</ul>' if rows else '<p class="empty">No tool was called.</p>'


def moment(ms: float | None, sound: Sound) -> str:
    """A moment of the call, and a way to go there."""
    if ms is None:
        return '<span class="moment">–</span>'
    if not sound.wav:
        return f'<span class="moment">{clock_text(ms)}</span>'
    at = clock_text(ms)
    return f'<button type="button" class="moment" data-ms="{round(ms)}" aria-label="Go to {at}">{at}</button>'


def transcript(lines: list[Line], sound: Sound) -> str:
    if not lines:
        return '<p class="empty">Nothing was said.</p>'
    rows, count = [], 0
    for n, line in enumerate(lines):
        said = []
        for text, _, _ in line.words:
            said.append(f'<span class="w" data-w="{count}">{esc(text)}</span>')
            count += 1
        if line.unsaid:
            said.append(f'<del><span class="sr">Never said: </span>{esc(line.unsaid)}</del>')
        cut = '<span class="cut">cut off</span>' if line.stop is not None else ""
        rows.append(
            f'<li class="line {line.who}" data-line="{n}"><div class="who"><b>{NAMES[line.who]}</b>'
            f'{moment(line.at, sound)}{cut}</div><p class="txt">{" ".join(said) or "…"}</p></li>'
        )
    return (
        '<div class="columns" aria-hidden="true"><span>Caller</span><span>Bot</span></div>'
        f'<ol class="lines">{"".join(rows)}</ol>'
    )


def file_list(result: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<div><dt>{name}</dt><dd class="txt">{esc(str(result[key]))}</dd></div>'
        for key, name in (("recording", "Recording"), ("events", "Events"))
        if result.get(key)
    )
    return f"<dl>{rows}</dl>" if rows else ""
