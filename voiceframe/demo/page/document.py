"""The whole page, put together from its parts."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from .call import Line, Sound, barge_in, data_of, marks_of
from .latency import latency
from .parts import about, check_list, file_list, headline, hero, start_table, tiles, tool_list, transcript
from .player import dock, player
from .values import entries, esc

__all__ = ["render"]


def render(result: Mapping[str, Any], wav: bytes) -> str:
    """The whole page. `wav`: stereo s16le, left the caller, right the bot; without sound in it there is no player."""
    sound = Sound.read(wav)
    lines = [Line.read(item, barge_in(result)) for item in entries(result, "transcript")]
    marks = marks_of(result, sound)
    folder = resources.files(__package__ or "voiceframe.demo.page")
    style, script, page = (
        folder.joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html")
    )
    data = data_of(result, sound, lines, marks)
    return Template(page).substitute(
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; media-src data:; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e"),
        title=esc(headline(result)[1]),
        about=about(result, sound),
        hero=hero(result, lines),
        tiles=tiles(result),
        hint='<p>Choose a wave or a word to go there.<span class="keys"> Space plays.</span></p>' if sound.wav else "",
        player=player(sound, lines, marks),
        latency=latency(result),
        checks=check_list(result),
        starts=start_table(result),
        tools=tool_list(result, sound),
        transcript=transcript(lines, sound),
        files=file_list(result),
        dock=dock(sound),
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
