"""What callers say while nothing particular is asked, for a recognizer that needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .. import jsgf
from ..errors import ConfigurationError
from ..frames import ExpectFrame, StartFrame
from ..processor import Processor, handles, observes

__all__ = ["Expects"]

#: Rules that every phrase may use.
_RULES: Final[Mapping[str, str]] = {
    "digit": "zero | oh | one | two | three | four | five | six | seven | eight | nine",
    "digits": "<digit>+",
}


class Expects(Processor):
    """Tells the recognizer in front of it what callers say, as long as nobody behind it asks something particular.

        [..., PocketSphinxSTT(), Turns(), Expects("[about] (a bill | an invoice)", "invoice <digits>"), agent, ...]

    A `Flow`, and a tool that asks, say what they expect; an agent that talks freely does not, and a recognizer with a
    grammar hears nothing then. A recognizer of free speech takes the phrases as hints, or not at all.

    phrases: in the words of JSGF: `[not needed]`, `(one | another)`, `<rule>`. One of them is what is said.
    rules: more rules, by name. `<digit>` and `<digits>` are there.
    hints: words that matter, for a recognizer that takes no grammar.

    Raises `GrammarError` for what is no JSGF, `ConfigurationError` (`expects.nothing`) without a phrase.
    """

    def __init__(self, *phrases: str, rules: Mapping[str, str] | None = None, hints: tuple[str, ...] = ()) -> None:
        given = [phrase for phrase in phrases if phrase.strip()]
        if not given:
            raise ConfigurationError.of("expects.nothing")
        public = " | ".join(f"({phrase})" for phrase in given)
        used = {**_RULES, **(rules or {})}
        body = " ".join(f"<{name}> = {rule};" for name, rule in used.items())
        grammar = f"#JSGF V1.0; grammar expects; public <expected> = {public}; {body}"
        jsgf.parse(grammar).words()  # what is wrong with it is known now
        self._frame = ExpectFrame(grammar, hints)

    @observes(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self.push(self._frame, upstream=True)

    @handles(ExpectFrame, upstream=True)
    def on_expect(self, frame: ExpectFrame) -> ExpectFrame:
        """From whoever asks, on its way to the recognizer; an empty one says that they ask nothing any more."""
        if frame.jsgf or frame.phrases:
            return frame
        return self._frame.replace(digits=frame.digits)
