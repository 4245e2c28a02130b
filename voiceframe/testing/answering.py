"""Somebody whom a bot calls: the telephone rings, they pick up, and then they talk as whoever dials a bot."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, overload

from ..app import App, Bot
from ..bots import load_bot
from ..call import CallSettings
from ..engine import EngineSettings
from ..subject import About
from .caller import BaseCaller, Caller, caller_of

if TYPE_CHECKING:
    from ..audio import AudioFormat
    from ..transports.loopback import LineConditions
    from .audio_caller import AudioCaller, Voice

__all__ = ["answer"]


@overload
def answer(
    bot: Bot | str,
    number: str = "+15550100",
    *,
    via: Literal["text"] = "text",
    subject: About | None = None,
    context: Mapping[str, Any] | None = None,
    seed: int = 0,
    words_per_minute: int = 180,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> AbstractAsyncContextManager[Caller]: ...
@overload
def answer(
    bot: Bot | str,
    number: str = "+15550100",
    *,
    via: Literal["audio"],
    subject: About | None = None,
    context: Mapping[str, Any] | None = None,
    seed: int = 0,
    voice: Voice | None = None,
    noise_dbfs: float | None = None,
    line: LineConditions | None = None,
    format: AudioFormat | None = None,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> AbstractAsyncContextManager[AudioCaller]: ...
def answer(
    bot: Bot | str,
    number: str = "+15550100",
    *,
    via: Literal["text", "audio"] = "text",
    subject: About | None = None,
    context: Mapping[str, Any] | None = None,
    seed: int = 0,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
    **line: Any,
) -> AbstractAsyncContextManager[Any]:
    """Be called by a bot, and pick up: `async with answer(bot, "+447700900101") as callee`.

    The call is placed as `Dialler.place()` does it, over a line in memory: it is `outbound`, it has rung for a second,
    and `subject` and `context` are what it is about. All else is as with `dial()`; who picks up says nothing by itself.

    Raises `DialError`, when the call cannot be placed.
    """
    callee = caller_of(via, seed=seed, **line)
    return _answered(callee, bot, number, subject, context, seed, settings, engine_settings)


@contextlib.asynccontextmanager
async def _answered(
    callee: BaseCaller,
    bot: Bot | str,
    number: str,
    subject: About | None,
    context: Mapping[str, Any] | None,
    seed: int,
    settings: CallSettings | None,
    engine_settings: EngineSettings | None,
) -> AsyncIterator[BaseCaller]:
    from ..dialling import LoopbackDialler

    dialler = LoopbackDialler()
    callee.answers(dialler, number)
    function = load_bot(bot) if isinstance(bot, str) else bot
    app = App(
        function,
        dialler,
        store=None,
        sinks=[callee.record],
        call_settings=settings,
        engine_settings=engine_settings or EngineSettings(development=True),
    )
    await dialler.open(app)
    dialled = await dialler.place(number, function, subject=subject, context=context, id=f"call_{seed:08}", seed=seed)
    await dialled.answered()
    await callee.is_called()
    try:
        yield callee
    finally:
        await callee.leaves()
