"""Asking the model: a request with its time to the first part, and its cost; and one made on speculation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final, TypeAlias
from weakref import WeakSet

from ...errors import ProviderError
from ...events import ProviderLost, ProviderTTFB, ProviderUsage
from ...llm import LLM, Message, Part, Stop, TextDelta, ToolCall, Usage
from ...prices import cost, prices
from ...processor import Processor

__all__ = ["Answer", "Speculation", "asked"]

Answer: TypeAlias = AsyncGenerator[TextDelta | ToolCall | Stop, None]


async def asked(owner: Processor, llm: LLM | None, parts: AsyncGenerator[Part, None], model: str = "") -> Answer:
    """The parts of an answer; what it took and what it cost goes into the log. Raises what the model raises.

    model: in place of the one that `llm` was made for.
    """
    vendor, model = (llm.vendor or llm.name, model or llm.model) if llm is not None else ("", model)
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = True
    cut = True
    usage: Usage | None = None
    try:
        async with contextlib.aclosing(parts):
            async for part in parts:
                if isinstance(part, Usage):
                    usage = part
                    continue
                if first and isinstance(part, TextDelta | ToolCall):
                    first = False
                    owner.emit(
                        ProviderTTFB(
                            vendor=vendor,
                            service="llm",
                            processor=owner.name,
                            model=model,
                            ttfb_ms=round((loop.time() - began) * 1000),
                        )
                    )
                yield part
        cut = False
    except ProviderError as error:
        cut = False
        if not owner.call.ended:
            owner.emit(
                ProviderLost(
                    vendor=vendor,
                    service="llm",
                    processor=owner.name,
                    code=error.code,
                    status=error.status,
                    message=str(error),
                )
            )
        raise
    finally:
        if not owner.call.ended:
            _used(owner, vendor, model, usage)
        if cut and llm is not None and not owner.call.engine.ending:
            _spare(owner, llm)


#: Models for which a connection is being made in place of one that was cut. No task of it: that would know its call for
#: as long as the model is known to the call.
_warming: Final[WeakSet[LLM]] = WeakSet()


def _spare(owner: Processor, llm: LLM) -> None:
    """With a request that is cancelled goes its connection: the next turn is to find another one."""
    if llm not in _warming:
        _warming.add(llm)
        task = owner.spawn(llm.warm(), name=f"{owner.name} warms its model", lasting=True)
        task.add_done_callback(lambda _: _warming.discard(llm))


def _used(owner: Processor, vendor: str, model: str, usage: Usage | None) -> None:
    """What a request has cost goes into the log; one that was cancelled has told nobody."""
    found = usage or Usage(0, 0)
    price = cost(vendor, model, found) if usage is not None else None
    owner.emit(
        ProviderUsage(
            vendor=vendor,
            service="llm",
            processor=owner.name,
            model=model,
            requests=1,
            input_tokens=found.input_tokens,
            cached_tokens=found.cached_tokens,
            cache_write_tokens=found.cache_write_tokens,
            output_tokens=found.output_tokens,
            cost_usd=price,
            prices=prices().version if price is not None else "",
        )
    )


class Speculation:
    """An answer to a turn that has probably ended: asked for already, spoken only if the turn is committed."""

    def __init__(self, owner: Processor, messages: tuple[Message, ...], parts: Answer) -> None:
        self._owner = owner
        self._messages = messages
        self._made: list[TextDelta | ToolCall | Stop] = []
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self._over = False
        self._task: asyncio.Task[None] = owner.spawn(
            self._collect(parts), name=f"{owner.name} speculates", lasting=True
        )

    async def _collect(self, parts: Answer) -> None:
        try:
            async with contextlib.aclosing(parts):
                async for part in parts:
                    self._made.append(part)
                    self._news.set()
        except Exception as error:
            self._error = error  # told to whoever adopts it; nobody else has asked
        finally:
            self._over = True
            self._news.set()

    def answers(self, messages: tuple[Message, ...], owner: Processor) -> bool:
        """Whether `owner` has asked the same. Instructions may have a new time of day in them: that changes nothing."""
        return self._error is None and self._owner is owner and _talk(messages) == _talk(self._messages)

    async def parts(self) -> Answer:
        """The answer, from its beginning. Closing it drops the request."""
        at = 0
        try:
            while True:
                while at < len(self._made):
                    at += 1
                    yield self._made[at - 1]
                if self._over:
                    break
                self._news.clear()
                await self._news.wait()
            if self._error is not None:
                raise self._error
        finally:
            self.drop()

    def drop(self) -> None:
        """The turn has gone on, or something else is to be asked."""
        self._task.cancel()


def _talk(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return messages[1:] if messages and messages[0].role == "system" else messages
