"""The test kit: processors and whole bots on virtual time, without network, keys or waiting.

    result = await run(Redact(), frames=[TranscriptionFrame("my number is 4111 1111")])
    assert result.texts == ["my number is [card]"]

    async with dial(bot, via="text") as caller:
        await caller.says("I need an appointment")
        await caller.hears(r"which day", within_ms=2000)

With `via="audio"` the caller speaks and listens over a line in memory, and records both sides.

In pytest, `pytest_plugins = ["voiceframe.testing.plugin"]` in a `conftest.py` runs every `async def` test on virtual
time and fails a test that leaves tasks or calls behind. See `docs/testing.md`.
"""

from ..clock import VirtualTimeLoop, run_virtual
from .audio_caller import AudioCaller
from .caller import Caller, dial
from .leaks import no_leaks
from .record import CallTranscript
from .run import Result, Up, run
from .scripted import ScriptedLLM, ScriptedSTT, ToneTTS, call_tool

__all__ = [
    "AudioCaller",
    "CallTranscript",
    "Caller",
    "Result",
    "ScriptedLLM",
    "ScriptedSTT",
    "ToneTTS",
    "Up",
    "VirtualTimeLoop",
    "call_tool",
    "dial",
    "no_leaks",
    "run",
    "run_virtual",
]
