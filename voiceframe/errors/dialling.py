"""Errors of calls that are placed."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["DialError"]


class DialError(VoiceframeError):
    """A call that cannot be placed, or is not."""

    codes = {
        "dial.number": Explanation(
            "{number!r} is not a telephone number in E.164 form.",
            'Give it with its country code and nothing but digits: `number="+493012345678"`.',
        ),
        "dial.not-allowed": Explanation(
            "{number} may not be called: numbers that begin with {allowed} may.",
            "Ask for another number, or widen `voice_call(..., allowed=[...])`.",
        ),
        "dial.too-many": Explanation(
            "This call has placed {count} calls, which is all that it may.",
            "Tell the caller, or raise `voice_call(..., most=...)`.",
        ),
        "dial.no-target": Explanation(
            "{where} is not told who is to talk in the calls that it places.",
            "Name an agent or a router: `voice_call(dialler, agents=dict(reminder=reminder_bot))`.",
        ),
        "dial.no-choice": Explanation(
            "The call to {number} has neither an agent nor a router, so nobody would talk in it; it was not placed.",
            "Call again with `agent` or `router`; there are {known}.",
        ),
        "dial.two-targets": Explanation(
            "The call to {number} has the agent {agent!r} and the router {router!r}; it was not placed.",
            "Call again with one of `agent` and `router`.",
        ),
        "dial.unknown-target": Explanation(
            "There is no {kind} {name!r}; there are {known}.",
            "Did you mean `{nearest}`?",
        ),
        "dial.target": Explanation(
            "The {kind} {name!r} is {what}, and not a bot.",
            "Give a function of the call that returns its pipeline, or where to find one: "
            '`voice_call(dialler, {kind}s=dict({name}="bots.py:{name}"))`.',
        ),
        "dial.subject": Explanation(
            "{what} is not what a call can be about.",
            'Give its type and its id, both texts that are not empty: `subject=("appointment", "4711")`.',
        ),
        "dial.context": Explanation(
            "The context of the call cannot be passed on: {error}.",
            "Give an object of texts, numbers, lists and objects of at most {limit} characters as JSON: "
            '`context=dict(name="Ann")`.',
        ),
        "dial.closed": Explanation(
            "{dialler} places no calls: {why}.",
            "Give it to the app that is to run them, and use it while that is open: `App(bot, dialler)`.",
        ),
        "dial.opened-twice": Explanation(
            "{dialler} belongs to another app already.",
            "Make a dialler for each: `App(bot, LoopbackDialler())`.",
        ),
        "dial.carrier": Explanation(
            "{dialler} cannot reach {number}: {error}.",
            "See whether its carrier is set up: `voiceframe doctor bot.py`.",
        ),
        "dial.refused": Explanation(
            "The call to {number} was refused here: {reason}.",
            "Try again later, or raise `Limits(max_calls=...)` if the machine can take more.",
        ),
        "dial.start": Explanation(
            "The bot {target!r} was not ready to be called with within {waited_ms} ms; nobody was called.",
            "See what it waits for, or raise `DiallerSettings(start_ms=...)`.",
        ),
        "dial.bot": Explanation(
            "The bot {target!r} could not begin the call: {error}; nobody was called.",
            "Mend the bot: `voiceframe check bot.py` looks at it without a call.",
        ),
        "dial.phone": Explanation(
            "The telephone {number} of the loopback line cannot be used: {error}.",
            "Give a function that makes a transport for each call: "
            "`dialler.register(number, lambda: LoopbackTransport())`.",
        ),
    }
