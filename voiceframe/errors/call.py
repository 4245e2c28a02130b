"""Errors of a call and of its line."""

from __future__ import annotations

from typing import Self

from .base import Explanation, VoiceframeError

__all__ = ["CallEnded", "Reject", "Unsupported"]


class CallEnded(VoiceframeError):
    """The call is over, or is ending, and cannot take what was asked of it."""

    codes = {
        "call.ended": Explanation(
            "Call {call} has ended ({reason}), so {what} is not possible.",
            "Check `call.ended` first, or await `call.wait_ended()`.",
        ),
        "call.not-started": Explanation(
            "Call {call} has not been started, so {what} is not possible.",
            "Start it with `await call.start(pipeline)`, or run it through `App(bot, ...)`.",
        ),
        "call.started-twice": Explanation(
            "Call {call} has been started already.",
            "Create a `Call(...)` for each conversation.",
        ),
    }


class Reject(VoiceframeError):
    """Raised by a bot, or by admission, to refuse a call before it is answered: `raise Reject("busy")`.

    `reason` is `"busy"`, `"declined"` or a sentence that the caller may hear.
    """

    codes = {
        "call.rejected": Explanation(
            "The call is refused: {reason}.",
            "Raise `Limits(max_calls=...)` if the machine can take more.",
        ),
    }

    def __init__(self, reason: str = "busy", message: str | None = None, fix: str | None = None) -> None:
        explanation = self.codes["call.rejected"]
        super().__init__("call.rejected", message or explanation.message.format(reason=reason), fix or explanation.fix)
        self.reason = reason

    @classmethod
    def of(cls, code: str, **facts: object) -> Self:
        cls.codes[code]
        return cls(str(facts["reason"]))


class Unsupported(VoiceframeError):
    """What was asked for is not possible on this line, carrier or provider."""

    codes = {
        "line.unsupported": Explanation(
            "{carrier} cannot {what}.",
            "Ask `call.line.can({ability!r})` first.",
        ),
    }
