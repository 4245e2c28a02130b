"""Errors of tests: expectations that did not come true, and what virtual time cannot do."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["TestKitError", "VirtualTimeError"]


class TestKitError(VoiceframeError, AssertionError):
    """An expectation of `voiceframe.testing` that did not come true. It is an `AssertionError` as well."""

    __test__ = False  # pytest must not collect a class whose name begins with Test

    codes = {
        "test.not-heard": Explanation(
            "The caller did not hear {expected} within {within_ms} ms. Heard: {heard}.",
            "Give it longer with `hears(..., within_ms=...)`, or look at `caller.record.events`.",
        ),
        "test.leak": Explanation(
            "The test left behind {what}.",
            "End its calls (`await call.end()`), and await what you start.",
        ),
        "test.exhausted": Explanation(
            "{name} was asked for reply {number}, but its script has {count}.",
            "Add a reply to `{name}([...])`, or pass `repeat=True`.",
        ),
        "test.ended": Explanation(
            "The call had ended ({reason}) when the caller wanted to {what}.",
            "Look at `caller.record.events` for the reason.",
        ),
        "test.via": Explanation(
            "dial() cannot call a bot via {via!r}.",
            'Use `dial(bot, via="text")`, `dial(bot, via="audio")` or `dial(bot, via="twilio")`.',
        ),
        "test.metadata": Explanation(
            "A caller by way of Twilio cannot bring metadata: they are what Twilio's webhook says.",
            "Leave out `metadata=`, or give the form's fields to `TwilioExchange.caller(fields=...)`.",
        ),
        "test.called": Explanation(
            "The call is under way: who calls whom must be said before anything else.",
            "Make `/called NUMBER` the first line of the script, or use `voiceframe chat --called NUMBER`.",
        ),
        "test.no-line": Explanation(
            "{caller} has no line of its own, and cannot be called in memory.",
            'Use `answer(bot, via="audio")`, or an `AudioCaller` or `Caller` with `answers(dialler, number)`.',
        ),
        "test.not-speaking": Explanation(
            "The caller was to say {what} over the bot, and the bot has said nothing for {waited_ms} ms.",
            "Use `caller.says(...)`, in a script the words alone, for what answers the bot.",
        ),
        "test.not-silent": Explanation(
            "The bot spoke until {ended_ms} ms, although the caller had begun to speak over it at {began_ms} ms; "
            "{within_ms} ms were allowed.",
            "Give it longer with `stops_within(...)`, or look at `caller.record.events` for the pause.",
        ),
        "test.refused": Explanation(
            "The call was not taken: {reason}.",
            "Look at what the bot's side logs, or at `caller.phone.requests` for what was asked and answered.",
        ),
        "test.twiml": Explanation(
            "Twilio would not understand the answer to its webhook: {reason}.",
            "Answer with the documents of `voiceframe.transports.twilio.twiml`; others this caller does not know.",
        ),
        "test.message": Explanation(
            "Twilio would not understand a message of the stream: {reason}.",
            "Write it with `voiceframe.serializers.twilio.outgoing(stream_id)`.",
        ),
        "test.tool-not-called": Explanation(
            "This was not called: {name}. Called: {calls}.",
            "Look at `caller.record.tools` for the tool calls of the turn.",
        ),
        "test.tool-called": Explanation(
            "{name} was called, and was not to be: {call} at {at_ms} ms.",
            "Look at `caller.record.tools` for what was before.",
        ),
        "test.not-handed-off": Explanation(
            "The caller was not handed off to {target} ({status}). Handoffs: {found}.",
            "Look at `caller.record.handoffs` for what became of them.",
        ),
        "test.not-blocked": Explanation(
            "Nothing was blocked by {rule} (stage: {stage}). What guardrails did: {found}.",
            "Try the text by itself with `voiceframe guard try`.",
        ),
        "test.no-sound": Explanation(
            "The call was not made over audio: there is {what}.",
            'Call the bot by `dial(bot, via="audio")` or `dial(bot, via="twilio")`.',
        ),
        "test.rule": Explanation(
            "{rule} cannot be asked: {reason}.",
            "Correct the arguments of `judge(record)` and its rules.",
        ),
        "test.judged": Explanation(
            "The call was judged, and has failed:\n{report}.",
            "Look at `caller.record.transcript`, or print `judge(...).report().markdown()`.",
        ),
        "test.rubric": Explanation(
            "The rubric cannot be judged by: {reason}.",
            'Write it as `Rubric([Criterion("confirms", "The agent repeats the day before it books")])`.',
        ),
        "test.transcript": Explanation(
            "The transcript cannot be judged: {reason}.",
            "Judge a part of it, or allow more with `LLMJudge(..., max_chars=...)`.",
        ),
        "test.labels": Explanation(
            "The labelled examples cannot be used: {reason}.",
            "Label each criterion of the rubric with `Labelled(lines, labels)`.",
        ),
        "test.statistics": Explanation(
            "{what} is not defined: {reason}.",
            "Run more often, or ask for less: `repeat(scenario, runs=...)`.",
        ),
        "test.repeat": Explanation(
            "The scenario cannot be repeated: {reason}.",
            "Give a function `async def scenario(seed: int)`, or its place as `file.py:name`.",
        ),
        "test.repeated": Explanation(
            "Too few of the runs have passed:\n{report}.",
            "Run one of the failing seeds by itself: `scenario(seed)`.",
        ),
        "test.database": Explanation(
            "The database {what} cannot be compared: {reason}.",
            "Correct the arguments of `Database(source, ...)`.",
        ),
    }


class VirtualTimeError(VoiceframeError):
    """Something that cannot be done on virtual time without losing determinism."""

    codes = {
        "virtual.thread": Explanation(
            "A thread other than the loop's called {what} on a virtual-time loop, whose order it would make random.",
            "Use `await self.offload(fn, ...)`, which runs inline on virtual time.",
        ),
        "virtual.deadlock": Explanation(
            "Nothing is left to wait for at {at_ms} ms of virtual time, but {waiting} still waits.",
            "Look for an event that is never set; sockets and threads need a real loop: `asyncio.run(...)`.",
        ),
        "virtual.real-io": Explanation(
            "{what} needs real input and output, which a virtual-time loop does not have.",
            "Run it on a real loop with `asyncio.run(...)`.",
        ),
    }
