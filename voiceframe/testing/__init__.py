"""The test kit: processors and whole bots on virtual time, without network, keys or waiting.

    result = await run(Redact(), frames=[TranscriptionFrame("my number is 4111 1111")])
    assert result.texts == ["my number is [card]"]

    async with dial(bot, via="text") as caller:
        await caller.says("I need an appointment")
        await caller.hears(r"which day", within_ms=2000)

With `via="audio"` the caller speaks and listens over a line in memory, and records both sides. With `via="twilio"` the
bot is called as Twilio would call it: `TwilioExchange` has all that such a call can do.

In pytest, `pytest_plugins = ["voiceframe.testing.plugin"]` in a `conftest.py` runs every `async def` test on virtual
time and fails a test that leaves tasks or calls behind. See `docs/testing.md`.
"""

from ..clock import VirtualTimeLoop, run_virtual
from .audio_caller import AudioCaller
from .caller import Caller, dial
from .leaks import no_leaks
from .memory_asgi import MemoryNetwork
from .network import SocketNetwork
from .phone import Phone
from .record import CallTranscript
from .run import Result, Up, run
from .scripted import ScriptedLLM, ScriptedSTT, ToneTTS, call_tool
from .twilio_caller import TwilioCaller, TwilioExchange
from .twilio_phone import Forgery, TwilioPhone
from .twilio_stream import TwilioConditions

__all__ = [
    "AudioCaller",
    "CallTranscript",
    "Caller",
    "Forgery",
    "MemoryNetwork",
    "Phone",
    "Result",
    "ScriptedLLM",
    "ScriptedSTT",
    "SocketNetwork",
    "ToneTTS",
    "TwilioCaller",
    "TwilioConditions",
    "TwilioExchange",
    "TwilioPhone",
    "Up",
    "VirtualTimeLoop",
    "call_tool",
    "dial",
    "no_leaks",
    "run",
    "run_virtual",
]
