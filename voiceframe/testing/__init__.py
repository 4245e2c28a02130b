"""The test kit: processors and whole bots on virtual time, without network, keys or waiting.

    result = await run(Redact(), frames=[TranscriptionFrame("my number is 4111 1111")])
    assert result.texts == ["my number is [card]"]

    async with dial(bot, via="text") as caller:
        await caller.says("I need an appointment")
        await caller.hears(r"which day", within_ms=2000)

`judge(caller.record)` asks by rules what became of it, `LLMJudge` by a model; `Database` sees what has changed, and
`repeat()` runs it all many times.

With `via="audio"` the caller speaks and listens over a line in memory, and records both sides. With `via="twilio"` the
bot is called as Twilio would call it: `TwilioExchange` has all that such a call can do.

In pytest, `pytest_plugins = ["voiceframe.testing.plugin"]` in a `conftest.py` runs every `async def` test on virtual
time and fails a test that leaves tasks or calls behind. See `docs/testing.md`.
"""

from ..clock import VirtualTimeLoop, run_virtual
from .agreement import Agreement, CriterionAgreement, Labelled, agreement
from .answering import answer
from .audio_caller import AudioCaller
from .caller import Caller, dial
from .changes import Change, DatabaseDiff, Expected, deleted, inserted, updated
from .database import Database, Snapshot
from .deeds import HandedOff, Line, Ruling, ToolUse
from .judges import Judge, judge
from .leaks import no_leaks
from .llm_judge import JudgeCache, LLMJudge, Opinion, RubricVerdict
from .memory_asgi import MemoryNetwork
from .network import SocketNetwork
from .phone import Phone
from .record import CallTranscript
from .repeat import repeat, repeat_now, scenario
from .rubric import Criterion, Finding, Quotation, Rubric
from .run import Result, Up, run
from .runs import Repeated, Run, ScenarioRuns
from .scripted import ScriptedLLM, ScriptedSTT, ToneTTS, call_tool
from .sequence import Step, called, handed_off, heard, said
from .statistics import cohens_kappa, pass_at, pass_hat, wilson
from .twilio_caller import TwilioCaller, TwilioExchange
from .twilio_phone import Forgery, TwilioPhone
from .twilio_stream import TwilioConditions

__all__ = [
    "Agreement",
    "AudioCaller",
    "CallTranscript",
    "Caller",
    "Change",
    "Criterion",
    "CriterionAgreement",
    "Database",
    "DatabaseDiff",
    "Expected",
    "Finding",
    "Forgery",
    "HandedOff",
    "Judge",
    "JudgeCache",
    "LLMJudge",
    "Labelled",
    "Line",
    "MemoryNetwork",
    "Opinion",
    "Phone",
    "Quotation",
    "Repeated",
    "Result",
    "Rubric",
    "RubricVerdict",
    "Ruling",
    "Run",
    "ScenarioRuns",
    "ScriptedLLM",
    "ScriptedSTT",
    "Snapshot",
    "SocketNetwork",
    "Step",
    "ToneTTS",
    "ToolUse",
    "TwilioCaller",
    "TwilioConditions",
    "TwilioExchange",
    "TwilioPhone",
    "Up",
    "VirtualTimeLoop",
    "agreement",
    "answer",
    "call_tool",
    "called",
    "cohens_kappa",
    "deleted",
    "dial",
    "handed_off",
    "heard",
    "inserted",
    "judge",
    "no_leaks",
    "pass_at",
    "pass_hat",
    "repeat",
    "repeat_now",
    "run",
    "run_virtual",
    "said",
    "scenario",
    "updated",
    "wilson",
]
