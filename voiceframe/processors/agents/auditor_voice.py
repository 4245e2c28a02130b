"""Who talks in a call, and how another program lets them know something: as data, and never in the caller's name."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...processor import Processor
from .agent import Agent
from .messages import note_text

if TYPE_CHECKING:
    from ..realtime.base import Realtime

__all__ = ["Voice", "voices_in"]


class Voice(abc.ABC):
    """An agent of a call, as a program sees it that stands beside the call."""

    processor: Processor

    @property
    def name(self) -> str:
        return self.processor.name

    @property
    def busy(self) -> bool:
        """Whether it says something, or is about to."""
        return False

    @property
    def hears_itself(self) -> bool:
        """Whether it takes the caller's turns by itself, before anybody else knows of them."""
        return False

    @abc.abstractmethod
    def tell(self, text: str, *, source: str, speak: bool = False) -> None:
        """Let it know something. speak: it says something about it now; nobody else may be speaking."""


class AgentVoice(Voice):
    """An `Agent`, or a squad of them."""

    def __init__(self, agent: Agent) -> None:
        self.processor = self._agent = agent

    def tell(self, text: str, *, source: str, speak: bool = False) -> None:
        self._agent.advise(text, source=source, speak=speak)


class RealtimeVoice(Voice):
    """A model that hears and speaks itself. It is told by the result of a tool that nobody has called: in a
    conversation with such a model that is the one place for what is neither the caller's nor an instruction."""

    def __init__(self, realtime: Realtime) -> None:
        self.processor = self._realtime = realtime
        self._told = 0

    @property
    def busy(self) -> bool:
        return self._realtime.busy

    @property
    def hears_itself(self) -> bool:
        return not self._realtime.own_turns

    def tell(self, text: str, *, source: str, speak: bool = False) -> None:
        from ..realtime.state import Wish

        realtime = self._realtime
        self._told += 1
        id = f"note-{self._told}"
        realtime.record.called(id, "note", {"from": source})
        messages = realtime.record.returned(id, note_text(source, text), failed=False)
        realtime.link.tell(lambda stream: stream.restore(messages))
        if speak:
            realtime.mouth.want(Wish(realtime.mouth.tag()))


def voices_in(processors: Iterable[Processor]) -> list[Voice]:
    """All that talk by a model in a pipeline, in its order."""
    from ..realtime.base import Realtime

    found: list[Voice] = []
    for processor in processors:
        if isinstance(processor, Agent):
            found.append(AgentVoice(processor))
        elif isinstance(processor, Realtime):
            found.append(RealtimeVoice(processor))
    return found
