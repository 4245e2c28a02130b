"""What is being said in a call: the conversation, the reply in hand, and the work that makes its words.

An agent has one of it; the specialists of a squad, who take turns, share one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from ...errors import CallEnded
from ...frames import ReplyEndedFrame, ReplyStartedFrame, TextFrame
from .asking import Speculation
from .context import Answer, Conversation

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["InHand", "Saying", "Work"]


class InHand:
    """A reply that is being made."""

    __slots__ = ("answer", "number", "said", "told", "turn")

    def __init__(self, number: int, turn: int | None, answer: Answer) -> None:
        self.number = number
        self.turn = turn
        self.answer = answer
        self.said = False  # whether something was said in it
        self.told = False  # whether that was more than a filler


class Work:
    """What makes the text of a reply; it outlives a turn when a tool asks the caller."""

    __slots__ = ("rounds", "said", "stopped", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.said = False  # whether it has made words of its own
        self.stopped = False
        self.rounds = 0  # of tools, in which the caller stayed with whoever has called them


class Saying:
    """The conversation of a call, and what the bot says in it now. agent: the one that stands in the pipeline."""

    def __init__(self, agent: Agent, *, result_chars: int) -> None:
        #: The one that stands in the pipeline.
        self.agent = agent
        self.conversation = Conversation(self._is_live, result_chars=result_chars)
        self.reply: InHand | None = None
        self.work: Work | None = None
        #: Set when the work is done, and when a question has come.
        self.news = asyncio.Event()
        self.speculation: Speculation | None = None
        #: Rounds of tools for all agents together in one turn; None where each has its own bound only.
        self.most_rounds: int | None = None
        #: Called before a reply begins.
        self.before_open: Callable[[], None] = lambda: None

    def _is_live(self, number: int) -> bool:
        reply = self.agent.call.replies.get(number)
        return reply is not None and not reply.swept

    # -- the reply in hand

    def open(self, turn: int | None, *, interruptible: bool) -> bool:
        """Begin a reply. False if it would come too late."""
        number = self.agent.begin_reply(turn, interruptible=interruptible)
        if not number:
            return False
        self.close()  # it may have been begun by a tool, while nobody waited for an answer
        self.before_open()
        self.reply = InHand(number, turn, self.conversation.answer(number))
        self.agent.push(ReplyStartedFrame(number, turn, interruptible))
        return True

    def close(self) -> None:
        """Nothing is added to the reply. Also when the model has failed: its turn is not left waiting."""
        reply, self.reply = self.reply, None
        if reply is not None:
            self.agent.push(ReplyEndedFrame(reply.number))

    @property
    def spoken(self) -> bool:
        """Whether the reply that is being made has words yet."""
        return self.reply is not None and self.reply.said

    def entry(self, what: str) -> Answer:
        """The entry of the conversation for what is done now. Raises `CallEnded`."""
        agent = self.agent
        if self.reply is None and not self.open(None, interruptible=agent._speaker.interruptible):
            raise CallEnded.of("call.ended", call=agent.call.id, reason=agent.call.reason, what=what)
        assert self.reply is not None
        return self.reply.answer

    def utter(self, text: str, *, meanwhile: bool = False, filler: bool = False) -> None:
        """Say something in the reply in hand, or in one of its own: see `Agent.utter`."""
        if not text:
            return
        alone = self.reply is None and self.work is None  # nobody would end the reply later
        if self.reply is None and not self.open(None, interruptible=self.agent._speaker.interruptible):
            return
        reply = self.reply
        assert reply is not None
        before = reply.answer.said
        if meanwhile or (reply.answer.fresh and before):
            # Sentences of different origin must not run together, and the voice must not wait for what comes behind.
            text = text if not before or before[-1].isspace() or text[0].isspace() else f" {text}"
            text = text if not meanwhile or text[-1].isspace() else f"{text} "
        if not text.isspace():
            reply.said = True
            reply.told = reply.told or not filler
        reply.answer.say(text, meanwhile=meanwhile)
        self.agent.push(TextFrame(text, reply.number))
        if alone:
            self.close()

    # -- the work behind it

    def begin(self, pieces: Callable[[], AsyncIterator[str]]) -> None:
        """Make a reply of these pieces."""
        work = self.work = Work()
        work.task = self.agent.spawn(self._make(work, pieces), name=f"{self.agent.name} replies", lasting=True)

    async def _make(self, work: Work, pieces: Callable[[], AsyncIterator[str]]) -> None:
        """Make the reply, to its end."""
        agent = self.agent
        try:
            async with contextlib.aclosing(pieces()) as texts:  # type: ignore[type-var]
                async for text in texts:
                    if work.stopped:
                        return
                    if text:
                        work.said = work.said or not text.isspace()
                        self.utter(text)
                        await agent.drain()  # a model may write faster than anybody speaks
            if not work.stopped and self.reply is not None and not self.reply.told:
                self._apologize(work)
        except Exception as error:
            if not work.stopped:
                agent.fail(error)
                self._apologize(work)
        finally:
            self.drop_speculation()
            if self.work is work:
                self.work = None
                self.news.set()
                if self.reply is not None and self.reply.turn is None:
                    self.close()  # one that was opened for this work alone
            if not agent.call.engine.finished:
                agent._speaker._tidy()

    def _apologize(self, work: Work) -> None:
        """The model has failed, or said nothing. What is said already may be a filler, after which nobody speaks."""
        if work.said or (self.reply is not None and self.reply.turn is None):  # nobody waits for a remark
            return
        agent = self.agent
        heard = self.reply is not None and self.reply.said
        self.utter(agent._speaker.settings.apology or (agent.call.settings.reprompt if heard else ""))

    def stop(self) -> None:
        """The words that are being made are not wanted any more."""
        work, self.work = self.work, None
        if work is not None and work.task is not None:
            work.stopped = True
            work.task.cancel()
            self.news.set()
            for run in list(self.agent._tools.open):  # now, and not when it notices: one might ask the caller meanwhile
                self.agent._tools.let_go(run)

    def was_said(self) -> None:
        """Somebody else has said what there is to say."""
        if self.work is not None:
            self.work.said = True

    @property
    def rounds_left(self) -> int:
        """How many rounds of tools there may be in this turn, whoever calls them."""
        used = self.work.rounds if self.work is not None else 0
        return 1 if self.most_rounds is None else self.most_rounds - used

    def round_over(self) -> None:
        """Tools were called, and whoever has called them goes on."""
        if self.work is not None:
            self.work.rounds += 1

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until this work is done, or it is `enough`."""
        work = self.work
        while work is not None and self.work is work and not enough():
            self.news.clear()
            await self.news.wait()

    def drop_speculation(self) -> None:
        speculation, self.speculation = self.speculation, None
        if speculation is not None:
            speculation.drop()
