"""Notes that an agent is to say something about of its own accord, as soon as it may.

told ──▶ waiting until nobody speaks ──▶ a reply of its own
            └── a turn of the caller comes first: its answer has the note
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from .entries import Note

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Remarks"]

#: How often it is looked whether somebody speaks, and how long the caller must have been silent.
_LOOK_S: Final = 0.05
_PAUSE_S: Final = 1.0


class Remarks:
    """Those of one call. agent: the one that stands in the pipeline."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._waiting: list[Note] = []
        self._task: asyncio.Task[None] | None = None
        self._stopped_s = 0.0  # when the caller has stopped speaking, and the last turn that there was then
        self._turn = 0

    def fell_silent(self) -> None:
        """The caller has stopped speaking; what they have said may become a turn."""
        self._stopped_s, self._turn = asyncio.get_running_loop().time(), self._agent.call.turns.last

    def add(self, note: Note) -> None:
        """Have something said about this note."""
        self._waiting.append(note)
        if self._task is None or self._task.done():
            agent = self._agent
            self._task = agent.spawn(self._wait(), name=f"{agent.name} waits to speak", lasting=True)

    async def _wait(self) -> None:
        while True:
            self._waiting = [note for note in self._waiting if not note.seen]
            if not self._waiting:
                return
            if not self._busy():
                notes, self._waiting = self._waiting, []
                await self._agent._remark_on("\n".join(note.text for note in notes))
            await asyncio.sleep(_LOOK_S)

    def _busy(self) -> bool:
        """Whether somebody speaks, is about to, or must not."""
        agent = self._agent
        call = agent.call
        silent_s = asyncio.get_running_loop().time() - self._stopped_s
        return (
            agent._saying.work is not None
            or agent._saying.reply is not None
            or agent._tools.questions.current is not None
            or bool(call.replies.open)
            or call.turns.user_speaking
            or call.turns.pending is not None
            or (call.turns.last == self._turn and silent_s < _PAUSE_S and self._stopped_s > 0)
            or call.turns.silence is not None
            or call.engine.ending
            or not call.engine.begun
        )
