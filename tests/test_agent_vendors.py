"""The agent on the models of vendors, by their SDKs on local servers which refuse what the services refuse."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic
import pytest

from voiceframe.frames import HeardFrame, TextFrame, UserTurnFrame
from voiceframe.llm import LLM, Part, Stop, TextDelta, ToolCall
from voiceframe.processors.agents import Agent, Generated
from voiceframe.provider import Place
from voiceframe.providers import Anthropic, Gemini, LLMSettings, OpenAI
from voiceframe.testing.providers.anthropic import FakeAnthropic
from voiceframe.testing.providers.gemini import FakeGemini
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.testing.providers.scripts import FakeLLM, Thought
from voiceframe.testing.run import Rig, rig
from voiceframe.tools import AnyTool, collect_date, hang_up, tool

SETTINGS = LLMSettings(first_ms=3_000, silence_ms=3_000)


@dataclass(frozen=True)
class Vendor:
    fake: Callable[[list[Any]], FakeLLM]
    model: Callable[[str], LLM]


VENDORS = {
    "openai": Vendor(
        FakeOpenAI,
        lambda url: OpenAI("gpt-4.1-mini", place=Place(url + "/v1"), api_key="key", settings=SETTINGS),
    ),
    "responses": Vendor(
        FakeOpenAI,
        lambda url: OpenAI("gpt-4.1-mini", api="responses", place=Place(url + "/v1"), api_key="key", settings=SETTINGS),
    ),
    "compatible": Vendor(
        lambda answers: FakeOpenAI(answers, plain=True),
        lambda url: OpenAI("llama3.2", place=Place(url + "/v1"), settings=SETTINGS),
    ),
    "anthropic": Vendor(
        FakeAnthropic, lambda url: Anthropic("claude-haiku-4-5", place=Place(url), api_key="key", settings=SETTINGS)
    ),
    "gemini": Vendor(
        FakeGemini, lambda url: Gemini("gemini-3-flash", place=Place(url), api_key="key", settings=SETTINGS)
    ),
}


class Seat(pydantic.BaseModel):
    row: Annotated[int, pydantic.Field(ge=1)] = 1
    note: str | None = None


def tools_of(booked: list[Any], begun: asyncio.Event, may_end: asyncio.Event) -> list[AnyTool]:
    @tool()
    async def book(day: str, seats: list[Seat] | None = None) -> dict[str, str]:
        """Book something."""
        if day == "Friday":
            begun.set()
            await may_end.wait()
        booked.append((day, seats))
        return {"booked": day}

    @tool(side_effects=False)
    async def look(day: str) -> str:
        """Look something up."""
        return "free"

    return [book, look, collect_date, hang_up]


async def comes(running: Rig, before: int, answer: str) -> None:
    async with asyncio.timeout(3):
        while answer not in "".join(f.text for f in running.result.down[before:] if isinstance(f, TextFrame)):
            assert not running.result.errors, running.result.errors
            await asyncio.sleep(0.005)


async def says(running: Rig, turn: int, text: str, answer: str) -> None:
    """The caller says something, and hears all of the answer."""
    before = len(running.result.down)
    running.push(UserTurnFrame(turn, text))
    await comes(running, before, answer)
    reply = max(f.reply for f in running.result.down if isinstance(f, TextFrame))
    said = "".join(f.text for f in running.result.down if isinstance(f, TextFrame) and f.reply == reply)
    running.up(HeardFrame(reply, said, complete=True, final=True))


@pytest.mark.slow
@pytest.mark.real_time
@pytest.mark.parametrize("name", VENDORS)
async def test_a_conversation_with_tools_and_an_interruption_is_taken_by_every_vendor(name: str) -> None:
    vendor = VENDORS[name]
    both: list[Part | Thought] = [
        TextDelta("One moment."),
        ToolCall("a", "book", {"day": "Monday", "seats": [{"row": 2}]}),
        ToolCall("b", "look", {"day": "Monday"}),
        Stop("tools"),
    ]
    alone: list[Part | Thought] = [ToolCall("a", "book", {"day": "Friday"}), Stop("tools")]
    if name in ("anthropic", "gemini"):
        both.insert(0, Thought())
    answers = ["Hello from the model!", both, "It is booked.", alone, "What else?", "You are booked for Friday."]
    booked: list[Any] = []
    begun, may_end = asyncio.Event(), asyncio.Event()
    async with vendor.fake(answers) as fake:
        model = vendor.model(fake.url)
        agent = Agent(
            "desk", "Be kind.", model, tools=tools_of(booked, begun, may_end), greeting=Generated("Greet them.")
        )
        async with rig(agent) as running:
            await comes(running, 0, "Hello from the model!")
            running.up(HeardFrame(1, "Hello from the model!", complete=True, final=True))
            await says(running, 1, "Monday", "It is booked.")
            running.push(UserTurnFrame(2, "And Friday"))
            async with asyncio.timeout(3):
                await begun.wait()
            running.call.interrupt("caller")
            await says(running, 3, "Wait", "What else?")
            may_end.set()
            await asyncio.sleep(0.05)
            await says(running, 4, "Is it done?", "You are booked for Friday.")
            assert running.result.errors == []
            async with asyncio.timeout(3):
                while len(running.events("provider.usage")) < len(answers):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        await model.aclose()
    # Generators inside of the SDKs are closed when they are collected, by tasks of the loop.
    gc.collect()
    await asyncio.sleep(0.01)
    assert running.result.texts[0] == "Hello from the model!"
    assert [day for day, _ in booked] == ["Monday", "Friday"]
    assert booked[0][1] == [Seat(row=2)]
    assert len(fake.bodies) == len(answers)
    assert [message.role for message in agent.context] == [
        "assistant",
        *("user", "assistant", "tool", "tool", "assistant"),
        *("user", "assistant", "tool", "user", "assistant"),
        *("user", "assistant"),
    ]
