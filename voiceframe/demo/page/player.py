"""The timeline on which the call can be seen and heard, and the bar that plays it."""

from __future__ import annotations

import base64
import math

from .call import Line, Mark, Sound
from .values import clock_text

__all__ = ["dock", "player"]


def player(sound: Sound, lines: list[Line], marks: list[Mark]) -> str:
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


def dock(sound: Sound) -> str:
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
        f'<span class="time"><b id="now">0:00.0</b> <span>/ {clock_text(sound.ms)}</span></span>'
        f'<input type="range" id="seek" min="0" max="{math.ceil(sound.ms)}" step="10" value="0" '
        'autocomplete="off" aria-label="Position">'
        f'<label class="speed"><span class="sr">Speed</span><select id="speed" autocomplete="off">'
        f"{speeds}</select></label>"
        f'<p class="trouble" id="trouble" role="alert" hidden></p><audio id="sound" controls preload="auto" '
        f'src="data:audio/wav;base64,{base64.b64encode(sound.wav).decode()}"></audio></div>'
    )
