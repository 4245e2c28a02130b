"""The context: whatever has happened in a call, a request is one that every vendor takes, and within its budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.app import Bot
from voiceframe.call import Call
from voiceframe.frames import UserTurnFrame
from voiceframe.llm import LLMRequest, Message, ToolCall, ToolSpec
from voiceframe.pipeline import Pipeline
from voiceframe.processors.agents import Agent, AgentSettings
from voiceframe.processors.agents.context import Called, Conversation, Turn, tokens_of
from voiceframe.providers.conversation import conversation as conversation_of
from voiceframe.testing import ScriptedLLM, dial


def wrong(messages: Sequence[Message]) -> str:
    """What some vendor would refuse about these messages, "" if nothing: the rules of all of them together.

    OpenAI: the results of calls stand behind them, before anybody speaks. Anthropic: besides that no empty text, and a
    request does not end with the assistant. Gemini: besides that a call follows the user or a result, so nobody speaks
    twice in a row. Ids are unique.
    """
    ids: set[str] = set()
    previous: Message | None = None
    waiting: list[str] = []
    for at, message in enumerate(messages):
        if (message.role == "system") != (at == 0 and message.role == "system"):
            return f"{at}: the instructions are not first"
        if message.role == "tool":
            if message.call_id not in waiting:
                return f"{at}: a result of {message.call_id}, which was not called just before"
            waiting.remove(message.call_id)
            if not message.text.strip():
                return f"{at}: an empty result"
            previous = message
            continue
        if waiting:
            return f"{at}: {waiting} have no result"
        if not message.text.strip() and not message.tool_calls:
            return f"{at}: an empty message"
        if message.tool_calls and message.role != "assistant":
            return f"{at}: {message.role} calls a tool"
        if previous is not None and previous.role == message.role:
            return f"{at}: {message.role} twice in a row"
        for call in message.tool_calls:
            if call.id in ids:
                return f"{at}: the id {call.id} twice"
            ids.add(call.id)
            waiting.append(call.id)
        previous = message
    if waiting:
        return f"{waiting} have no result"
    talk = [message for message in messages if message.role != "system"]
    if not talk:
        return "nobody has said anything"
    if talk[-1].role == "assistant":
        return "the assistant has the last word"
    return ""


TEXTS = st.text(max_size=30) | st.sampled_from(["", " ", "\n", "x" * 400])
#: What may happen, in any order: see `play`.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["turn", "say", "call", "result", "heard", "close", "other", "meanwhile", "summarize"]),
        st.integers(0, 3),
        TEXTS,
    ),
    max_size=60,
)


def play(steps: Sequence[tuple[str, int, str]]) -> Conversation:
    closed: set[int] = set()
    conversation = Conversation(lambda reply: reply not in closed, result_chars=300)
    running: list[Called] = []
    reply = turns = calls = 0
    for what, number, text in steps:
        if what == "turn":
            turns += 1
            closed.add(reply)
            reply += 1
            conversation.turn(turns, text)
            conversation.answer(reply)
        elif what == "other":
            reply += 1
            conversation.answer(reply)
            conversation.heard(reply, text)
            closed.add(reply)
        elif what in ("say", "meanwhile"):
            conversation.answer(reply).say(text, meanwhile=what == "meanwhile")
        elif what == "call":
            made = [Called(f"c{calls + n}", "tool", {"text": text}) for n in range(number + 1)]
            calls += number + 1
            running += made
            conversation.answer(reply).call(made)
        elif what == "result" and running:
            conversation.result(running.pop(number % len(running)), text, failed=bool(number % 2))
        elif what == "heard":
            conversation.heard(max(0, reply - number), text)
        elif what == "close":
            closed.add(reply)
        elif what == "summarize":
            until, said = conversation.old(2 + number)
            if said:
                conversation.summarize(until, "In short.")
    return conversation


@given(STEPS, st.sampled_from(["", "Be kind."]), st.integers(0, 3_000), TEXTS)
@settings(max_examples=400, deadline=None)
def test_any_history_makes_a_request_that_every_vendor_takes(
    steps: list[tuple[str, int, str]], system: str, budget: int, extra: str
) -> None:
    conversation = play(steps)
    if not conversation.entries:
        return
    messages = conversation.request(system, budget=budget, extra=extra)
    if any(message.role != "system" for message in messages):
        assert not wrong(messages), messages
        conversation_of(messages)  # the vendors' own reading of it raises where it is none
    if system:
        assert messages[0] == Message("system", system)
    # All that is known of the last two turns is there, whatever it costs.
    said = " ".join(message.text for message in messages if message.role == "user")
    turns = [entry.text.strip() for entry in conversation.entries if isinstance(entry, Turn)]
    turns = [*turns, extra.strip()][-2:] if extra.strip() else turns[-2:]
    assert all(text in said for text in turns)


@given(STEPS, st.integers(600, 3_000))
@settings(max_examples=200, deadline=None)
def test_a_request_keeps_its_budget_or_has_nothing_left_to_leave_out(
    steps: list[tuple[str, int, str]], budget: int
) -> None:
    conversation = play(steps)
    spec = ToolSpec("tool", "Does it.", {"type": "object"})
    messages = conversation.request("Be kind.", [spec], budget=budget)
    users = [message for message in messages if message.role == "user"]
    within = sum(map(tokens_of, messages)) <= budget
    assert within or len(users) <= 3 or not any(m.role == "tool" and len(m.text) > 200 for m in messages)


def test_the_oldest_turns_go_first_and_calls_keep_their_results() -> None:
    conversation = Conversation(lambda reply: False)
    for number in range(1, 21):
        conversation.turn(number, f"question {number} " + "x" * 200)
        answer = conversation.answer(number)
        called = Called(f"c{number}", "look", {})
        answer.call([called])
        conversation.result(called, f"result {number}")
        answer.say(f"answer {number}")
        conversation.heard(number, f"answer {number}")
    messages = conversation.request("Be kind.", budget=500)
    assert not wrong([*messages, Message("user", "end")])
    assert any("question 20" in m.text for m in messages)
    assert any("question 19" in m.text for m in messages)
    assert not any("question 1 " in m.text for m in messages)
    assert sum(map(tokens_of, messages)) <= 500
    assert len(conversation.messages()) == 80  # nothing of what was heard is lost


def test_results_that_are_too_long_are_cut() -> None:
    conversation = Conversation(lambda reply: False, result_chars=1_000)
    conversation.turn(1, "question")
    called = Called("c", "look", {})
    conversation.answer(1).call([called])
    conversation.result(called, "y" * 5_000)
    messages = conversation.request("", budget=100_000)
    assert messages[-1].text.startswith("y" * 1_000 + " (cut")
    assert len(conversation.request("", budget=100)[-1].text) < 300


def test_what_was_said_over_a_slow_model_stands_before_the_question() -> None:
    conversation = Conversation(lambda reply: reply == 2)
    conversation.turn(1, "What is free?")
    conversation.answer(1)
    conversation.heard(3, "Sorry, could you say that again?")
    assert [m.role for m in conversation.request("", budget=1_000)] == ["assistant", "user"]


def test_what_the_model_has_said_is_split_where_the_tools_were_called() -> None:
    conversation = Conversation(lambda reply: False)
    conversation.turn(1, "Book it")
    answer = conversation.answer(1)
    answer.say("Let me see. ")
    called = Called("c", "look", {})
    answer.call([called])
    conversation.result(called, "yes")
    answer.say("It is booked for you.")
    conversation.heard(1, "Let me see. It is")
    assert conversation.messages() == (
        Message("user", "Book it"),
        Message("assistant", "Let me see.", (ToolCall("c", "look", {}),)),
        Message("tool", "yes", call_id="c"),
        Message("assistant", "It is"),
    )


# -- in a call


def bot_with(agent: Agent) -> Bot:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    return bot


@pytest.mark.parametrize("works", [True, False])
async def test_old_turns_are_summarized_while_the_caller_listens(works: bool) -> None:
    summaries: list[LLMRequest] = []

    def answer(request: LLMRequest) -> Any:
        if "You keep the notes" in request.messages[0].text:
            summaries.append(request)
            return "The caller is Ann." if works else RuntimeError("out of reach")
        return "An answer of some length, so that there is something to summarize. " * 3

    llm = ScriptedLLM([answer], repeat=True)
    options = AgentSettings(context_tokens=700, summarize_at=0.5, keep_turns=2)
    agent = Agent("clinic", "Be kind.", llm, settings=options)
    async with dial(bot_with(agent), words_per_minute=2_000) as caller:
        for number in range(10):
            await caller.says(f"Question {number}, of which there is something to say as well. " * 3)
            await caller.listens()
    assert summaries
    assert "Caller: Question 0" in summaries[0].messages[-1].text
    asked = [r for r in llm.requests if r not in summaries]
    for request in asked:
        assert not wrong(request.messages)
        assert sum(map(tokens_of, request.messages)) <= 700
    last = asked[-1].messages
    assert last[0] == Message("system", "Be kind.")
    assert ("The caller is Ann." in last[1].text) is works
    if works:
        assert "Summary so far: The caller is Ann." in summaries[1].messages[-1].text
    assert caller.record.outcomes == dict.fromkeys(range(1, 11), "answered")
    assert bool(caller.record.of("processor.failed")) is not works


async def test_summaries_can_be_switched_off() -> None:
    llm = ScriptedLLM(["An answer of some length. " * 20], repeat=True)
    options = AgentSettings(context_tokens=700, summarize=False)
    async with dial(bot_with(Agent("clinic", llm=llm, settings=options)), words_per_minute=2_000) as caller:
        for number in range(8):
            await caller.says(f"Question {number}")
            await caller.listens()
    assert len(llm.requests) == 8


async def test_keys_and_speech_without_words_are_said_to_the_model() -> None:
    llm = ScriptedLLM(["One.", "Two."])
    async with dial(bot_with(Agent("clinic", llm=llm))) as caller:
        caller.call.transport.input().push(UserTurnFrame(1, ""))
        await caller.hears("one")
        caller.call.transport.input().push(UserTurnFrame(2, "12", "dtmf"))
        await caller.hears("two")
    assert llm.requests[0].messages[-1].text == "(not understood)"
    assert llm.requests[1].messages[-1].text == "(Keys pressed: 12)"
