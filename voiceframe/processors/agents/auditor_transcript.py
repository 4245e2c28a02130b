"""What was said since somebody last looked: the caller's turns, and of the bot's words those that were heard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Transcript"]

_PRIVATE: Final = "(kept private)"
#: Entries that wait to be looked at. A call in which nobody could look for so long has lost its oldest.
_MOST: Final = 500


@dataclass(slots=True, eq=False)
class _Entry:
    """A turn of the caller, or a reply of the bot."""

    turn: int = 0
    reply: int = 0
    text: str = ""
    source: str = "speech"
    seen: int = 0  # so much of the text was looked at
    known: bool = False  # whether anything of it was
    late: bool = False  # its words came after it was looked at
    cut: bool = False  # the caller has interrupted it

    @property
    def new(self) -> bool:
        return not self.known or len(self.text) > self.seen or self.late


class Transcript:
    """A call as it was heard, in order, and how much of it was looked at."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._replies: dict[int, _Entry] = {}
        #: The caller's last turn.
        self.turn = 0
        #: Entries that were given up because nobody looked.
        self.lost = 0

    # -- what is said

    def said(self, turn: int, text: str, source: str, *, private: bool) -> None:
        """The caller has committed a turn."""
        if turn <= self.turn:  # a changed copy that a processor has passed on
            return
        self.turn = turn
        self._add(_Entry(turn=turn, text=_PRIVATE if private else text.strip(), source=source))

    def transcribed(self, turn: int, text: str) -> None:
        """The words of a turn that was committed without them."""
        for entry in self._entries:
            if entry.turn == turn and text.strip() != entry.text:
                entry.text, entry.late = text.strip(), entry.known

    def heard(self, reply: int, text: str, *, private: bool, cut: bool) -> None:
        """The caller has heard more of a reply."""
        if not text and reply not in self._replies:
            return
        entry = self._replies.get(reply)
        if entry is None:
            entry = self._replies[reply] = self._add(_Entry(reply=reply))
        entry.text += _PRIVATE if private and text.strip() else text
        entry.cut = entry.cut or cut

    def _add(self, entry: _Entry) -> _Entry:
        self._entries.append(entry)
        if len(self._entries) > _MOST:
            gone = self._entries.pop(0)
            self._replies.pop(gone.reply, None)
            self.lost += gone.new
        return entry

    # -- looking

    @property
    def unseen(self) -> int:
        """How many entries have something new."""
        return self.lost + sum(entry.new for entry in self._entries)

    @property
    def turns_unseen(self) -> int:
        """How many turns of the caller have something new."""
        return sum(entry.new for entry in self._entries if entry.turn)

    def take(self) -> tuple[str, int]:
        """What is new, one JSON object a line, and how many entries that is. It counts as looked at from now on."""
        lines: list[str] = []
        for entry in [entry for entry in self._entries if entry.new]:
            told: dict[str, Any]
            if entry.turn:
                told = {"turn": entry.turn, "caller": entry.text or "(not understood)"}
                if entry.source == "dtmf":
                    told["by"] = "keys"
                if entry.late:
                    told["known_late"] = True
            else:
                told = {"agent": entry.text[entry.seen :].strip()}
                if entry.cut:
                    told["interrupted"] = True
            entry.seen, entry.known, entry.late = len(entry.text), True, False
            lines.append(json.dumps(told, ensure_ascii=False))
        # What is over is not needed any more; a reply that is still heard may grow.
        done = [entry for entry in self._entries if entry.known]
        for entry in done[:-20]:
            self._entries.remove(entry)
            self._replies.pop(entry.reply, None)
        return "\n".join(lines), len(lines)
