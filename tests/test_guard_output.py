"""The guardrail behind the agent: what it lets go on does not depend on the pieces in which a text comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe import Guardrail
from voiceframe.errors import GuardrailError
from voiceframe.events import LoggedEvent
from voiceframe.frames import ClipFrame, Frame, ReplyEndedFrame, ReplyStartedFrame, TextFrame
from voiceframe.guardrails import SUPPORT_SAFE, Pattern, PersonalData, Policy, Text, Words, rule
from voiceframe.processors import EspeakTTS
from voiceframe.processors.guardrails.held import Held
from voiceframe.testing import ScriptedLLM, dial, run
from voiceframe.testing.run import rig

PERSONAL = PersonalData("card", "iban", "email", "ssn", "ip", "cvv")
RULES = (
    PERSONAL,
    Words("open sesame", name="word", action="redact"),
    Pattern(r"\bkey-\d+\b", name="key", action="redact"),
)

SECRETS = (
    "4111 1111 1111 1111",
    "4111-1111. 1111, 1111",
    "four one one one, one one one one. One one one one one one one one",
    "double four double four double four double four double four double four double four four eight",
    "DE89 3704 0044 0532 0130 00",
    "bob.smith@example.co.uk",
    "john dot smith at example dot com",
    "open sesame",
    "Open, sesame",
    "key-42",
    "192.168.1.254",
    "123-45-6789",
    "４１１１\u200b１１１１\u200b１１１１\u200b１１１１",
)
WORDS = (
    "Hello.",
    "yes",
    "Dr. No",
    "at 9.",
    "open",
    "one",
    "two. Three",
    "key-",
    "Well…",
    "a\nb",
    "what?! And",
    "3.5",
    "DE",
    "bob",
    "123",
)
TEXTS = st.lists(st.one_of(st.sampled_from(SECRETS), st.sampled_from(WORDS)), min_size=1, max_size=12).map(" ".join)


def in_pieces(text: str, cuts: Iterable[int]) -> list[str]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(places)]


def passed(policy: Policy, pieces: Sequence[str]) -> str:
    held = Held(policy)
    portions = [portion for piece in pieces for portion in held.feed(piece)] + held.finish()
    return "".join(policy.decide("output", portion.text, portion.hits).text for portion in portions)


@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=30))
@settings(max_examples=250)
def test_a_secret_in_any_pieces_is_redacted_as_in_the_whole_text(text: str, cuts: list[int]) -> None:
    policy = Policy(RULES)
    whole = policy.quick("output", text).text
    assert passed(policy, in_pieces(text, cuts)) == whole
    for secret in SECRETS:
        assert secret not in whole


@given(TEXTS)
@settings(max_examples=60)
def test_letter_by_letter_too(text: str) -> None:
    policy = Policy(RULES)
    assert passed(policy, list(text)) == policy.quick("output", text).text


@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=10))
@settings(max_examples=60)
def test_nothing_is_lost_where_nothing_is_found(text: str, cuts: list[int]) -> None:
    assert passed(Policy([Words("xyzzy")]), in_pieces(text, cuts)) == text


def test_a_sentence_goes_on_as_soon_as_its_end_is_certain() -> None:
    held = Held(Policy(RULES))
    assert held.feed("Hello there.") == []
    assert [portion.text for portion in held.feed(" ")] == ["Hello there. "]
    assert held.feed("We open at 9") == []
    assert held.feed(". ") == []  # "9. 45" may be the beginning of a number
    assert [portion.text for portion in held.feed("The")] == []  # and "The" that of "three"
    assert [portion.text for portion in held.feed("n we")] == ["We open at 9. "]


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_each_sentence_is_a_portion_whatever_the_pieces(cuts: list[int]) -> None:
    text = "One is. Two are.  Three!\nFour? Five."
    held = Held(Policy(RULES))
    portions = [portion.text for piece in in_pieces(text, cuts) for portion in held.feed(piece)]
    portions += [portion.text for portion in held.finish()]
    assert [portion.strip() for portion in portions] == ["One is.", "Two are.", "Three!", "Four?", "Five."]


def test_what_never_ends_is_held_so_long_and_then_counts_as_found() -> None:
    policy = Policy([Pattern(r"start.*stop", name="open", action="redact")])
    held = Held(policy)
    text = "First. start " + "It goes on and on. " * 200
    portions = [portion for piece in in_pieces(text, range(0, 4_000, 7)) for portion in held.feed(piece)]
    assert portions[0].text == "First. "
    assert len(held.text) <= 1_200
    out = "".join(policy.decide("output", portion.text, portion.hits).text for portion in portions)
    assert out.startswith("First. [open]")


@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=8), st.sets(st.integers(0, 8)))
@settings(max_examples=150)
def test_with_pauses_no_secret_is_said_to_its_end_and_nothing_is_held_over_one(
    text: str, cuts: list[int], pauses: set[int]
) -> None:
    policy = Policy(RULES)
    held, out = Held(policy), ""
    for number, piece in enumerate(in_pieces(text, cuts)):
        portions = held.feed(piece) + (held.pause() if number in pauses else [])
        if number in pauses:
            assert held.text == ""
        out += "".join(policy.decide("output", portion.text, portion.hits).text for portion in portions)
    out += "".join(policy.decide("output", portion.text, portion.hits).text for portion in held.finish())
    for secret in SECRETS:
        assert secret not in out


def test_a_pause_lets_go_what_is_held() -> None:
    held = Held(Policy(RULES))
    assert held.feed("A table at 7. ") == []
    assert [portion.text for portion in held.pause()] == ["A table at 7. "]
    assert [portion.text for portion in [*held.feed("It is booked. "), *held.finish()]] == ["It is booked. "]
    assert [portion.text for portion in [*held.feed("4111 1111"), *held.pause()]] == ["4111 1111"]
    (rest,) = [*held.feed(" 1111 1111 it is"), *held.finish()]
    assert Policy(RULES).decide("output", rest.text, rest.hits).text == "[card] it is"


# -- in a call


def reply(*texts: str, number: int = 1) -> list[Frame]:
    return [ReplyStartedFrame(number), *(TextFrame(text, number) for text in texts), ReplyEndedFrame(number)]


def decided(events: Iterable[LoggedEvent]) -> list[tuple[str, str, str, str]]:
    return [
        (event.data["stage"], event.data["rule"], event.data["action"], event.data["done"])
        for event in events
        if event.kind == "guardrail.decided"
    ]


async def speak(guard: Guardrail, frames: Iterable[Frame]) -> tuple[list[Frame], list[LoggedEvent]]:
    async with rig(guard.output()) as running:
        running.call.replies.begin()
        running.call.replies.begin()
        running.push(*frames)
        await asyncio.sleep(1)
        return list(running.result.down), list(running.result.events)


def texts(frames: Iterable[Frame], number: int = 1) -> str:
    return "".join(frame.text for frame in frames if isinstance(frame, TextFrame) and frame.reply == number)


async def test_a_card_that_the_model_says_is_not_spoken() -> None:
    down, events = await speak(Guardrail(*RULES), reply("Your card is 41", "11 1111 11", "11 1111", ". Bye", "."))
    assert texts(down) == "Your card is [card]. Bye."
    assert isinstance(down[0], ReplyStartedFrame)
    assert isinstance(down[-1], ReplyEndedFrame)
    assert decided(events) == [("output", "personal-data", "redact", "redact")]
    (event,) = [event for event in events if event.kind == "guardrail.decided"]
    assert event.data["reply"] == 1
    assert event.data["labels"] == ["card"]
    assert "4111" not in "".join(event.to_json() for event in events)


async def test_excerpts_are_kept_only_if_asked_for_and_never_hold_what_was_found() -> None:
    frames = reply("Your card is 4111 1111 1111 1111.")
    for excerpts, kept in ((False, ""), (True, "Your card is [card].")):
        _, events = await speak(Guardrail(*RULES, excerpts=excerpts), frames)
        (event,) = [event for event in events if event.kind == "guardrail.decided"]
        assert event.personal == {"excerpt": kept}


async def test_a_blocked_sentence_is_replaced_by_the_rules_own_and_ends_the_reply() -> None:
    down, events = await speak(
        Guardrail(*SUPPORT_SAFE),
        [*reply("I see. You should ", "sue them", ". Then they pay. ", "Good luck."), *reply("Fine.", number=2)],
    )
    assert texts(down) == "I see. I can't give legal advice. Please ask a lawyer about that."
    assert texts(down, 2) == "Fine."
    assert decided(events) == [("output", "legal-advice", "block", "block")]


async def test_a_sentence_may_be_replaced_and_an_escalation_asks_for_a_person() -> None:
    guard = Guardrail(
        Words("acme", name="rival", action="replace", replacement="We have that too."),
        Words("bomb", name="danger", action="escalate", reason="a threat", target="security", say="One moment."),
    )
    down, events = await speak(guard, reply("Hello. Buy at Acme, or not. A bomb is there. More."))
    assert texts(down) == "Hello. We have that too. One moment."
    (event,) = [event for event in events if event.kind == "handoff.requested"]
    assert (event.data["target"], event.data["reason"]) == ("security", "a threat")


async def test_the_sentence_of_a_rule_is_not_judged_by_another() -> None:
    guard = Guardrail(
        Words("sue", name="law", say="I can't say that you should sue."), Words("can't", name="no", action="block")
    )
    down, events = await speak(guard, reply("I can't say that you should sue."))
    assert texts(down) == "I can't say that you should sue."
    assert decided(events) == []


async def test_a_function_is_asked_sentence_by_sentence() -> None:
    asked: list[str] = []

    @rule("listens", action="warn")
    def listens(text: str) -> bool:
        asked.append(text)
        return False

    await speak(Guardrail(listens, *RULES), reply("One ", "thing. And", " another? Ye", "s"))
    assert asked == ["One thing. ", "And another? ", "Yes"]


async def test_slow_rules_keep_the_order_and_are_late_alone() -> None:
    @rule("slow", budget_ms=100)
    async def slow(text: str) -> bool:
        await asyncio.sleep(3600 if "hang" in text else 0.02)
        return "bad" in text

    guard = Guardrail(slow, *RULES)
    down, _ = await speak(guard, [*reply("First. Second. ", "key-1 is it.", " Third."), *reply("Other.", number=2)])
    assert texts(down) == "First. Second. [key] is it. Third."
    assert [type(frame).__name__ for frame in down][-3:] == ["ReplyStartedFrame", "TextFrame", "ReplyEndedFrame"]
    down, events = await speak(guard, reply("First. This hangs. Third."))
    assert texts(down) == "First. I'm sorry, I can't help with that."
    assert [event.data["outcome"] for event in events if event.kind == "guardrail.decided"] == ["timeout"]


@pytest.mark.parametrize("slow", [False, True])
async def test_an_interruption_drops_what_is_held_and_the_next_reply_is_whole(slow: bool) -> None:
    @rule("waits", budget_ms=500)
    async def waits(text: str) -> bool:
        await asyncio.sleep(0.3)
        return False

    guard = Guardrail(*RULES, *([waits] if slow else [])).output()
    async with rig(guard) as running:
        for number in (1, 2):
            running.call.replies.begin()
            running.push(ReplyStartedFrame(number), TextFrame("Held is this", number))
            if number == 1:
                running.push(TextFrame(", said. And", number))
                await asyncio.sleep(0.1)
                running.call.interrupt()
                await asyncio.sleep(0)
                assert guard._held == {}
        running.push(TextFrame(" now.", 2), ReplyEndedFrame(2))
        await asyncio.sleep(1)
        assert texts(running.result.down, 2) == "Held is this now."
        assert texts(running.result.down, 1) == ("" if slow else "Held is this, said. ")
        assert running.result.errors == []


async def test_a_recording_keeps_its_place_and_a_reply_that_never_ends_is_said() -> None:
    async with rig(Guardrail(*RULES).output()) as running:
        running.call.replies.begin()
        running.push(
            ReplyStartedFrame(1), TextFrame("Listen: key-7", 1), ClipFrame("x.wav", "la", 1), TextFrame("So", 1)
        )
        await asyncio.sleep(0.1)
        await running.ends()
        kinds = [type(frame).__name__ for frame in running.result.down]
        assert kinds == ["ReplyStartedFrame", "TextFrame", "ClipFrame", "TextFrame"]
        assert texts(running.result.down) == "Listen: [key]So"


class ToneVoice(EspeakTTS):
    """A voice, as far as its place goes."""

    async def setup(self) -> None:
        pass


async def test_it_must_stand_where_the_bot_speaks() -> None:
    from voiceframe import Agent

    guard = Guardrail(*RULES)
    with pytest.raises(GuardrailError) as caught:
        await run(guard.output(), Agent("a", "", ScriptedLLM([])))
    assert caught.value.code == "guard.order"
    with pytest.raises(GuardrailError, match="behind the voice"):
        await run(ToneVoice(), guard.output())


async def test_in_a_call_the_caller_hears_no_secret() -> None:
    from voiceframe import Agent, Call, Pipeline

    def bot(call: Call) -> Pipeline:
        guard = Guardrail(*RULES)
        agent = Agent("a", "", ScriptedLLM(["It is 4111 1111 1111 1111, and we are done. Bye."], word_ms=30))
        return Pipeline([call.transport.input(), guard, agent, guard.output(), call.transport.output()])

    async with dial(bot, via="text") as caller:
        await caller.says("my card?")
        await caller.hears(r"Bye")
        assert "It is [card], and we are done. Bye." in caller.record.heard
        assert not re.search(r"\d", "".join(caller.record.heard))
        context = [event for event in caller.record.events if event.kind == "reply.heard"]
        assert "4111" not in "".join(event.to_json() for event in context)


def test_scanning_says_where_it_is_open_in_the_text_itself() -> None:
    scanned = Policy(RULES).scan("output", Text("naïve\u200b 4111", final=False))
    assert scanned.open == len("naïve\u200b ")
    assert scanned.opener is PERSONAL
