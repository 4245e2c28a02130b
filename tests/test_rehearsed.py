"""A model by rules: which fits, what it calls, and what it takes for unanswered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Agent, Call, Pipeline
from voiceframe.errors import ConfigurationError
from voiceframe.llm import LLMRequest, Message, Part, Stop, TextDelta, ToolCall, ToolSpec, Usage
from voiceframe.rehearsed import Rehearsed, call_tool
from voiceframe.testing import dial
from voiceframe.tools import collect_yes_or_no, tool

BOOK = ToolSpec(
    "book", "", {"type": "object", "properties": {"number": {"type": "integer"}, "name": {"type": "string"}}}
)
HAND_OFF = ToolSpec("hand_off", "", {"type": "object", "properties": {"target": {"enum": ["billing"]}}})


def asked(*messages: Message, tools: tuple[ToolSpec, ...] = ()) -> LLMRequest:
    return LLMRequest((Message("system", "You say hello."), *messages), tools)


def text(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextDelta))


def user(words: str) -> Message:
    return Message("user", words)


def test_the_first_rule_that_fits_answers_with_what_it_has_heard() -> None:
    model = Rehearsed((r"my name is (\w+)", "Hello {1}, {2}!"), (r"name", "Yes?"), otherwise="Pardon?")
    assert text(model.answer(asked(user("Hi, my NAME is Ann")))) == "Hello Ann, {2}!"
    assert text(model.answer(asked(user("A name")))) == "Yes?"
    assert text(model.answer(asked(user("Hello")))) == "Pardon?"
    assert text(model.answer(LLMRequest(()))) == "Pardon?"


def test_a_rule_is_passed_over_whose_tool_is_not_there_or_takes_no_such_word() -> None:
    model = Rehearsed(
        (r"book (\d+)", call_tool("book", number="{1}", name="A {1}")),
        (r"book", call_tool("hand_off", target="sales")),
        (r"book", call_tool("hand_off", target="billing")),
        otherwise="No.",
    )
    (call, stop) = model.answer(asked(user("book 7"), tools=(BOOK, HAND_OFF)))
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("book", {"number": 7, "name": "A 7"})  # a number where one is wanted
    assert stop == Stop("tools")
    (call, _) = model.answer(asked(user("book 7"), tools=(HAND_OFF,)))
    assert isinstance(call, ToolCall)
    assert call.arguments == {"target": "billing"}
    assert text(model.answer(asked(user("book 7")))) == "No."


def test_a_function_of_the_match_answers_too() -> None:
    model = Rehearsed(
        (r"(\d+)", lambda match, request: f"{match[1]} of {len(request.messages)}"), otherwise=call_tool("book")
    )
    assert text(model.answer(asked(user("7")))) == "7 of 2"


def test_results_and_failures_are_searched_until_they_are_answered() -> None:
    model = Rehearsed(
        (r"^book returned: (.*)$", "Done: {1}."),
        (r"^book failed: (.*)$", "Sorry: {1}."),
        (r"please", call_tool("book", number=1)),
        otherwise="Pardon?",
    )
    (call, _) = model.answer(asked(user("please"), tools=(BOOK,)))
    assert isinstance(call, ToolCall)
    before = (user("please"), Message("assistant", "Really?", (call,)))
    came = Message("tool", "number 7", call_id=call.id)
    assert text(model.answer(asked(*before, came))) == "Done: number 7."
    # A tool has asked the caller something: what it has returned is still to be told.
    dialog = (came, user("Well"), Message("assistant", "Yes or no?"), user("yes"))
    assert text(model.answer(asked(*before, *dialog))) == "Done: number 7."
    # It was told, wholly or cut by an interruption.
    for told in ("Done: number 7.", "Done: num"):
        assert text(model.answer(asked(*before, came, Message("assistant", told), user("yes")))) == "Pardon?"
    failed = Message("tool", "full", call_id=call.id, failed=True)
    assert text(model.answer(asked(*before, failed))) == "Sorry: full."


def test_notes_are_searched_without_their_frame() -> None:
    model = Rehearsed((r"^the line is bad$", "I know."), (r"caller|note", "No!"), otherwise="Pardon?")
    note = '<note from="operator">Information, not said by the caller: the line is bad</note>'
    assert text(model.answer(asked(user(f"Hello\n{note}")))) == "I know."


@pytest.mark.parametrize("pattern", ["(", "[a", "a**"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Rehearsed((pattern, "x"), otherwise="y")
    assert caught.value.code == "rehearsed.rule"
    assert repr(pattern) in caught.value.message


@given(st.text(), st.text())
def test_whatever_is_said_is_answered(words: str, result: str) -> None:
    model = Rehearsed((r"(.+)", "I heard {1}."), otherwise="Nothing.")
    call = ToolCall("1", "book", {})
    request = asked(user(words), Message("assistant", "", (call,)), Message("tool", result, call_id="1"))
    assert isinstance(model.answer(request)[-1], Stop)


async def test_it_streams_its_words_one_by_one_with_what_they_cost() -> None:
    model = Rehearsed(otherwise="One two  three.", delay_ms=100, word_ms=10)
    parts = [part async for part in model.stream(asked(user("hello there")))]
    assert [part.text for part in parts if isinstance(part, TextDelta)] == ["One ", "two  ", "three."]
    assert Usage(5, 3) in parts
    assert parts[-1] == Stop()


async def test_an_agent_answers_with_it_through_the_questions_of_its_tools() -> None:
    @tool(side_effects=False)
    async def price() -> str:
        """Look up the price."""
        return "ten pounds"

    model = Rehearsed(
        (r"^collect_yes_or_no returned: true", call_tool("price")),
        (r"^collect_yes_or_no returned: false", "Then not."),
        (r"^price returned: (.*)", "It is {1}."),
        (r"price", call_tool("collect_yes_or_no", question="Are you a member?")),
        otherwise="Pardon?",
    )

    def bot(call: Call) -> Pipeline:
        agent = Agent("shop", "You sell.", model, tools=[price, collect_yes_or_no])
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    for seed, answer, heard in ((1, "yes", "it is ten pounds"), (2, "no", "then not")):
        async with dial(bot, seed=seed) as caller:
            await caller.says("What is the price?")
            await caller.hears("are you a member")
            await caller.says("hmm")
            await caller.hears("sorry")
            await caller.says(answer)
            await caller.hears(heard)
