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
            "{name} was not called with {arguments}. Called: {calls}.",
            "Look at `caller.record.events` for the tool calls of the turn.",
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
