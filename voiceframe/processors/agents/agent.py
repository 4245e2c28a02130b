"""The agent: answers the turns of the caller.

turn committed ──▶ begin a reply ──▶ stream its text ──▶ end the reply
     │                  interruption: cancelled; what was heard of it is what the context holds
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from ...call import Call
from ...errors import ConfigurationError
from ...frames import (
    Frame,
    HeardFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    SayFrame,
    StartFrame,
    TextFrame,
    UserTurnFrame,
)
from ...llm import LLM, LLMRequest, Message, TextDelta
from ...processor import Processor, handles

__all__ = ["Agent"]


class Agent(Processor):
    """Answers with a language model, or with what a subclass says.

        Agent("clinic", "You book appointments.", llm, greeting="City clinic, hello!")

        class Parrot(Agent):
            async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
                yield f"You said: {turn.text}"

    name: how events and other agents call it.
    instructions: the system message of the model.
    greeting: said when the call begins: a text, or a function of the call that returns one.
    """

    def __init__(
        self,
        name: str = "",
        instructions: str = "",
        llm: LLM | None = None,
        *,
        greeting: str | Callable[[Call], str] | None = None,
        interruptible: bool = True,
    ) -> None:
        self._name = name
        self.instructions = instructions
        self.llm = llm
        self.greeting = greeting
        self.interruptible = interruptible
        self._context: list[Message] = []
        self._heard_of: tuple[int, int] | None = None  # the reply that the last message belongs to, and its index

    @property
    def context(self) -> tuple[Message, ...]:
        """The conversation as it was heard: the caller's turns, and of the bot's replies what reached the caller."""
        return tuple(self._context)

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        """The answer to a turn, piece by piece. Override it for an agent of your own.

        It is cancelled when the caller interrupts. `self.context` ends with the turn.
        """
        if self.llm is None:
            raise ConfigurationError.of("agent.no-reply", agent=self.name)
        messages = self.context
        if self.instructions:
            messages = (Message("system", self.instructions), *messages)
        async with contextlib.aclosing(self.llm.stream(LLMRequest(messages))) as parts:
            async for part in parts:
                if isinstance(part, TextDelta):
                    yield part.text

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> Frame | None:
        if self.greeting is None:
            return None
        return SayFrame(self.greeting(self.call) if callable(self.greeting) else self.greeting)

    @handles(UserTurnFrame, on_interrupt="cancel")
    async def on_turn(self, frame: UserTurnFrame) -> None:
        # An interruption may have come with this turn: what was heard of the reply that it cut belongs before the turn.
        for cut in [reply for reply in self.call.replies.open.values() if reply.swept]:
            await cut
        number = self.begin_reply(frame.turn, interruptible=self.interruptible)
        self._context.append(Message("user", frame.text))
        if not number:
            return
        self.push(ReplyStartedFrame(number, frame.turn, self.interruptible))
        try:
            async with contextlib.aclosing(self.reply(frame)) as pieces:  # type: ignore[type-var]
                async for text in pieces:
                    if text:
                        self.push(TextFrame(text, number))
                        await self.drain()  # a model may write faster than anybody speaks
        except Exception as error:
            self.fail(error)
        finally:
            # Also when the model has failed: what was said so far is a reply, and its turn is not left waiting.
            self.push(ReplyEndedFrame(number))

    @handles(HeardFrame, upstream=True, concurrent=True)
    def on_heard(self, frame: HeardFrame) -> Frame:
        if frame.text:
            if self._heard_of is not None and self._heard_of[0] == frame.reply:
                index = self._heard_of[1]
                old = self._context[index]
                self._context[index] = Message("assistant", old.text + frame.text)
            else:
                self._heard_of = (frame.reply, len(self._context))
                self._context.append(Message("assistant", frame.text))
        return frame
