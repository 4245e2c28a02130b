"""The root of the errors, and the catalogue that its leaves make up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple, Self

__all__ = ["Explanation", "VoiceframeError", "catalogue"]


class Explanation(NamedTuple):
    """What a code means and what to do: two `str.format` templates over the facts given to `of()`."""

    message: str
    fix: str


class VoiceframeError(Exception):
    """The root of everything that Voiceframe raises.

    `code` is stable and machine-readable (`area.what`), `message` says what happened to whom, `fix` says what to do.
    """

    codes: ClassVar[Mapping[str, Explanation]] = {}

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(code, message, fix)
        self.code = code
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix} [{self.code}]"

    @classmethod
    def of(cls, code: str, **facts: object) -> Self:
        """The error with this code of this class's catalogue, its templates filled with `facts`.

        Raises `KeyError` for a code that the class does not own: that is a mistake in the program, not in its input.
        """
        explanation = cls.codes[code]
        return cls(code, explanation.message.format(**facts), explanation.fix.format(**facts))


def catalogue() -> Iterator[tuple[type[VoiceframeError], str, Explanation]]:
    """Every error class with each of its codes, in the order of the tree: what the error page is made from."""
    pending: list[type[VoiceframeError]] = [VoiceframeError]
    while pending:
        cls = pending.pop(0)
        for code, explanation in cls.__dict__.get("codes", {}).items():
            yield cls, code, explanation
        pending.extend(cls.__subclasses__())
