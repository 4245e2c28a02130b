"""Whatever happens when: everything is looked at once, one look at a time, and no correction is lost in silence."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.call import Call
from voiceframe.llm import LLM, LLMRequest, Part, Stop, TextDelta, ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.processors import Auditor, AuditorSettings
from voiceframe.processors.agents import Agent
from voiceframe.processors.agents.auditor_transcript import Transcript
from voiceframe.testing import ScriptedLLM, dial, run_virtual

# -- the transcript

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("said"), st.text(max_size=5)),
        st.tuples(st.just("heard"), st.booleans(), st.text(min_size=1, max_size=5)),
        st.tuples(st.just("late"), st.integers(1, 5), st.text(min_size=1, max_size=5)),
        st.just(("look",)),
    ),
    max_size=60,
)


@given(STEPS)
def test_each_word_is_given_once_and_in_order(steps: list[tuple[object, ...]]) -> None:
    transcript, turn = Transcript(), 0
    said: dict[int, str] = {}
    heard: dict[int, str] = {}
    turns: dict[int, list[str]] = {}
    words = ""
    for step in [*steps, ("look",)]:
        if step[0] == "said":
            turn += 1
            said[turn] = str(step[1]).strip()
            transcript.said(turn, str(step[1]), "speech", private=False)
            transcript.said(turn, "a copy", "speech", private=False)
        elif step[0] == "heard":
            number = len(heard) + bool(step[1] or not heard)  # one that goes on, or the next
            heard[number] = heard.get(number, "") + str(step[2])
            transcript.heard(number, str(step[2]), private=False, cut=False)
        elif step[0] == "late":
            if int(str(step[1])) == turn:
                said[turn] = str(step[2]).strip()
                transcript.transcribed(turn, str(step[2]))
        else:
            unseen = transcript.unseen
            text, count = transcript.take()
            assert (count, transcript.unseen) == (unseen, 0)
            for line in text.split("\n") if text else []:
                entry = json.loads(line)
                if "turn" in entry:
                    turns.setdefault(entry["turn"], []).append(entry["caller"])
                else:
                    words += entry["agent"]
    assert {number: given[-1] for number, given in turns.items()} == {
        number: text or "(not understood)" for number, text in said.items()
    }
    assert list(turns) == sorted(turns)
    spoken = "".join(text for _, text in sorted(heard.items()))
    assert "".join(words.split()) == "".join(spoken.split())


# -- the whole


class Moody(LLM):
    """A model that is slow, fails, corrects, or does nothing, as it comes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.running = 0
        self.given: list[str] = []
        self.made = 0

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        self.running += 1
        assert self.running == 1, "two looks at once"
        try:
            last = [message.text for message in request.messages if message.role == "user"]
            self.given = [line for text in last for line in text.splitlines() if line.startswith("{")]
            await asyncio.sleep(self.rng.choice([0.0, 0.05, 0.5, 3.0, 9.0]))
            mood = self.rng.random()
            if mood < 0.15:
                raise ConnectionError("gone")
            if mood < 0.6:
                self.made += 1
                yield ToolCall(f"v{self.made}", "correction", {"message": f"Correction {self.made}."})
            else:
                yield TextDelta("OK")
            yield Stop("end")
        finally:
            self.running -= 1


async def schedule(seed: int) -> None:
    rng = random.Random(seed)
    model = Moody(rng)
    deliver = rng.choice(["turn", "now"])
    every_ms = rng.choice([None, None, 3_000, 7_000])
    auditor = Auditor(
        Agent("checker", "Check.", model),
        deliver=deliver,  # type: ignore[arg-type]
        every_ms=every_ms,
        settings=AuditorSettings(look_ms=5_000),
    )
    agent = Agent("clinic", llm=ScriptedLLM(["Yes.", "One two three four five six."], repeat=True, delay_ms=200))

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), agent, call.transport.output()], observers=[auditor])

    async with dial(bot, seed=seed) as caller:
        for _ in range(rng.randrange(1, 7)):
            act = rng.random()
            if act < 0.4:
                await caller.says("hello")
            elif act < 0.7:
                caller.interrupts_now("wait")
            await caller.waits(rng.choice([0, 10, 400, 2_000, 6_000]))
    record = caller.record
    assert set(record.outcomes) == {event.turn for event in record.of("turn.committed")}  # no turn is lost
    assert not record.of("processor.failed", "processor.abandoned")
    corrected = record.of("auditor.corrected")
    replaced = [event for event in corrected if event.data["replaces"]]
    delivered = record.of("auditor.delivered")
    (closed,) = record.of("auditor.closed")
    assert len(corrected) == len(replaced) + len(delivered) + len(closed.data["undelivered"])
    waiting = 0
    for event in record.of("auditor.corrected", "auditor.delivered"):
        waiting += -1 if event.kind == "auditor.delivered" else 0 if event.data["replaces"] else 1
        assert waiting in (0, 1)
    looked, failed = len(record.of("auditor.looked")), len(record.of("auditor.failed"))
    assert closed.data["looks"] - looked - failed in (0, 1)  # the last one may have been cut off by the end
    turns = [json.loads(line)["turn"] for line in model.given if '"turn"' in line]
    looked_at = max((event.data["turn"] for event in record.of("auditor.looked", "auditor.failed")), default=0)
    assert turns == list(range(1, len(turns) + 1))  # each once, also where looks have failed
    assert len(turns) >= looked_at


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_random_schedules(seed: int) -> None:
    run_virtual(schedule(seed))


@pytest.mark.slow
def test_ten_thousand_random_schedules() -> None:
    for seed in range(10_000):
        run_virtual(schedule(seed))
