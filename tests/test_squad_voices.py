"""The voices of a squad: whoever speaks has their own, and nothing is said in that of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from voiceframe.audio import AudioFormat
from voiceframe.frames import ReplyEndedFrame, ReplyStartedFrame, UpdateSettingsFrame, UserTurnFrame
from voiceframe.llm import TextDelta
from voiceframe.processors.agents import Agent, Squad
from voiceframe.processors.tts import TTS, EspeakSettings
from voiceframe.processors.tts.stream import Chunk, Done
from voiceframe.testing import ScriptedLLM, call_tool
from voiceframe.testing.run import Rig, rig


class Voice(TTS):
    """A voice that remembers what it has said, and how."""

    def __init__(self) -> None:
        super().__init__(EspeakSettings(voice="plain"))
        self.voice = "plain"
        self.said: list[tuple[str, str]] = []

    async def open(self, format: AudioFormat, voice: str, language: str) -> Any:
        await asyncio.sleep(0.05)
        return Line(self, format, voice)


class Line:
    def __init__(self, owner: Voice, format: AudioFormat, voice: str) -> None:
        self._owner, self._format, self._voice = owner, format, voice
        self._items: asyncio.Queue[Any] = asyncio.Queue()

    async def send(self, reply: int, text: str) -> None:
        if text.strip():
            self._owner.said.append((self._voice, text.strip()))
        self._items.put_nowait(Chunk(reply, bytes(self._format.bytes_per_second // 10), ()))

    async def flush(self, reply: int) -> None:
        self._items.put_nowait(Done(reply))

    async def cancel(self, reply: int) -> None: ...

    async def aclose(self) -> None:
        self._items.put_nowait(None)

    async def chunks(self) -> AsyncGenerator[Any, None]:
        while (item := await self._items.get()) is not None:
            yield item


def to(target: str, words: str = "") -> Sequence[Any]:
    parts = call_tool("hand_off", f"to-{target}", target=target, reason="", summary="")
    return [TextDelta(words), *parts] if words else parts


def squad(ann: Sequence[Any], bob: Sequence[Any], **options: Any) -> Squad:
    return Squad(
        [
            Agent("ann", "", ScriptedLLM(ann), voice="anna", **options),
            Agent("bob", "", ScriptedLLM(bob), voice="robert"),
            Agent("tom", "", ScriptedLLM(["Tom here."])),
        ],
        start="ann",
    )


async def ask(running: Rig, text: str) -> None:
    running.push(UserTurnFrame(running.call.turns.new(), text))
    await asyncio.sleep(2)


async def test_each_speaks_with_their_own_voice_and_who_has_none_with_the_tts_own() -> None:
    voice = Voice()
    async with rig(squad([to("bob")], ["Bob here.", to("tom")], greeting="Ann here."), voice) as running:
        await asyncio.sleep(1)
        await ask(running, "Bob, please")
        await ask(running, "Tom, please")
    assert voice.said == [("anna", "Ann here."), ("robert", "Bob here."), ("plain", "Tom here.")]
    started = [frame.turn for frame in running.result.down if isinstance(frame, ReplyStartedFrame)]
    assert started == [None, 1, 2]  # nothing was said before, so the reply goes on in the other voice


async def test_words_before_a_handoff_are_a_reply_of_their_own() -> None:
    voice = Voice()
    async with rig(squad([to("bob", "I am getting Bob.")], ["Bob here."]), voice) as running:
        await asyncio.sleep(1)
        await ask(running, "Bob, please")
        starts = [f for f in running.result.down if isinstance(f, ReplyStartedFrame)]
        ends = [f.reply for f in running.result.down if isinstance(f, ReplyEndedFrame)]
    assert voice.said == [("anna", "I am getting Bob."), ("robert", "Bob here.")]
    assert [(f.reply, f.turn) for f in starts] == [(1, 1), (2, 1)]
    assert ends == [1, 2]


async def test_an_interruption_between_two_voices_leaves_the_second_out() -> None:
    voice = Voice()
    team = squad([to("bob", "I am getting Bob.")], ["First.", "Second."])
    team.agents["bob"].llm = slow = ScriptedLLM(["First.", "Second."], delay_ms=500)
    async with rig(team, voice) as running:
        await asyncio.sleep(1)
        running.push(UserTurnFrame(running.call.turns.new(), "Bob, please"))
        await asyncio.sleep(0.3)
        assert team.current.name == "bob"
        running.call.interrupt("caller")
        await ask(running, "Bob?")
    assert len(slow.requests) == 2  # the first was cancelled
    assert voice.said == [("anna", "I am getting Bob."), ("robert", "Second.")]


async def test_a_voice_that_somebody_else_sets_is_that_of_all_who_have_none() -> None:
    voice = Voice()
    async with rig(squad([to("bob")], [to("tom"), "Bob again."]), voice) as running:
        running.push(UpdateSettingsFrame(voice.name, {"voice": "maria"}))
        await asyncio.sleep(1)
        await ask(running, "Tom, please")
        assert voice.said == [("maria", "Tom here.")]


async def test_the_voice_of_a_specialist_may_change_in_the_call() -> None:
    voice = Voice()
    async with rig(squad(["One.", "Two.", to("bob")], ["Bob here."]), voice) as running:
        await asyncio.sleep(1)
        await ask(running, "Say one")
        running.push(UpdateSettingsFrame("ann", {"voice": "anne"}))
        running.push(UpdateSettingsFrame("bob", {"voice": "bert"}))
        await ask(running, "Say two")
        await ask(running, "Bob, please")
    assert voice.said == [("anna", "One."), ("anne", "Two."), ("bert", "Bob here.")]
