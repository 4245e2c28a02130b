"""Questions that tools put to the caller, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from ...frames import ExpectFrame, UserTurnFrame
from ...tools.asking import Question
from .runs import Caller, Run

__all__ = ["Questions"]


@dataclass(slots=True, eq=False)
class Asked:
    """A question that the caller is to answer."""

    run: Run
    question: Question[Any]
    answer: asyncio.Future[None]
    #: Whether it was said.
    said: bool = False


class Questions:
    """Those of one call. zone: where "tomorrow" begins, now."""

    def __init__(self, agent: Caller, zone: Callable[[], tzinfo]) -> None:
        self._agent = agent
        self._zone = zone
        self.asked: list[Asked] = []
        #: Called when a question is to be said.
        self.on_question: Callable[[], None] = lambda: None

    @property
    def current(self) -> Question[Any] | None:
        """What the caller's turns go to now."""
        return self.asked[0].question if self.asked else None

    @property
    def waits(self) -> bool:
        """Whether a question was said and the caller is to answer it."""
        return bool(self.asked) and self.asked[0].said and not self.asked[0].question.done

    async def ask(self, run: Run, question: Question[Any]) -> Any:
        """Put a question behind those that are asked already, and wait for the answer."""
        if run.alone:  # the caller talks of something else by now
            raise run.cancelled()
        asked = Asked(run, question, asyncio.get_running_loop().create_future())
        self.asked.append(asked)
        run.asking = True
        try:
            if self.asked[0] is asked:
                self._begin(asked)
            await asked.answer
        finally:
            run.asking = False
            first = asked in self.asked and self.asked[0] is asked
            if asked in self.asked:
                self.asked.remove(asked)
            if first and self.asked:
                self._begin(self.asked[0])
            elif first and not self._agent.call.engine.finished:
                self._agent.push(ExpectFrame(), upstream=True)
        if question.failure:
            raise question.error(run.tool.name)
        return question.value

    def drop(self) -> None:
        """Nobody waits for the answers any more: the caller talks of something else."""
        dropped, self.asked = self.asked, []
        for asked in dropped:
            if not asked.answer.done():
                asked.answer.set_exception(asked.run.cancelled())
        if dropped:
            self._agent.push(ExpectFrame(), upstream=True)

    def _begin(self, asked: Asked) -> None:
        asked.question.begin(self._agent.call, self._zone())
        self._after(asked)

    def _after(self, asked: Asked) -> None:
        for event in asked.question.events:
            self._agent.emit(event)
        asked.question.events.clear()
        if asked.question.done:
            if not asked.answer.done():
                asked.answer.set_result(None)
        else:
            asked.said = False
            self._agent.push(asked.question.expectation, upstream=True)
            self.on_question()

    def say(self) -> str:
        """The words of the question that is to be said now, if there are any."""
        if not self.asked:
            return ""
        self.asked[0].said = True
        return self.asked[0].question.take()

    def hear(self, turn: UserTurnFrame) -> None:
        """The caller answers the question, if they have heard it."""
        if self.waits:
            self.asked[0].question.hear(turn)
            self._after(self.asked[0])

    def silence(self) -> None:
        if self.waits:
            self.asked[0].question.silence()
            self._after(self.asked[0])
