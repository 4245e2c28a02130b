"""What callers say while nothing is asked: a grammar of its own, given back when a question is over."""

from __future__ import annotations

import pytest

from voiceframe import jsgf
from voiceframe.errors import ConfigurationError, GrammarError
from voiceframe.frames import ExpectFrame
from voiceframe.processors import Expects
from voiceframe.testing import Up, run


def of(frames: list[object]) -> list[ExpectFrame]:
    return [frame for frame in frames if isinstance(frame, ExpectFrame)]


async def test_it_says_what_to_expect_from_the_start_and_after_each_question() -> None:
    asked = ExpectFrame("#JSGF V1.0; grammar a; public <a> = yes | no;", ("yes", "no"), 1)
    free = ExpectFrame("", ("words",), 2)  # for a recognizer of free speech
    expects = Expects("[about] a bill", "invoice <digits>", "<colour>", rules={"colour": "red | blue"}, hints=("bill",))
    result = await run(expects, frames=[Up(asked), Up(ExpectFrame(digits=4)), Up(free)])
    first, during, after, hinted = of([*result.up])
    assert (during, hinted) == (asked, free)
    assert (first.jsgf, first.phrases, first.digits) == (after.jsgf, ("bill",), 0)
    assert after.digits == 4
    grammar = jsgf.parse(first.jsgf)
    assert all(grammar.accepts(words) for words in ("a bill", "about a bill", "invoice four oh seven", "red"))
    assert not any(grammar.accepts(words) for words in ("bill", "invoice", "green"))


def test_what_says_nothing_is_refused_where_it_is_made() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Expects(" ")
    assert caught.value.code == "expects.nothing"
    with pytest.raises(GrammarError):
        Expects("(a bill")
    with pytest.raises(GrammarError):
        Expects("<colour>")
