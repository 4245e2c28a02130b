"""What every model that hears and speaks itself must do, as tests: inherit them, and say how yours is made.

    @pytest.mark.real_time
    class TestOpenAIRealtime(RealtimeConformance):
        def fake(self, *answers: Answer) -> FakeOpenAIRealtime:
            return FakeOpenAIRealtime(answers)

        def realtime(self, url: str, **more: Any) -> Realtime:
            return OpenAIRealtime("Be kind.", place=Place(url + "/v1"), api_key="key", **more)

The model talks to a local server by its SDK, over real sockets; the sound comes as fast as it is taken.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from ..audio import PCMU_8K, Audio, AudioFormat, AudioStream
from ..frames import (
    BotStartedSpeakingFrame,
    ErrorFrame,
    HeardFrame,
    InputAudioFrame,
    InterruptionRequestFrame,
    OutputAudioFrame,
    PlayedAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    SayFrame,
    TextFrame,
    ToolCallFrame,
    TranscriptionFrame,
    UserTurnFrame,
)
from ..llm import ToolCall
from ..processors.realtime import Realtime, RealtimeSettings
from ..tools import ToolContext, tool
from .providers.openai_realtime import FakeOpenAIRealtime, speech
from .providers.scripts import Answer
from .providers.server import Fault
from .run import Rig, rig

__all__ = ["Conversation", "RealtimeConformance", "conversation"]

_SETTINGS: Final = RealtimeSettings(warm_ms=2_000, connect_ms=2_000, response_ms=4_000)
_HASTY: Final = RealtimeSettings(warm_ms=2_000, connect_ms=300, response_ms=300)
_PIECE_MS: Final = 100


class Conversation:
    """A call with a `Realtime`, in which the caller speaks as fast as can be."""

    def __init__(self, rig: Rig, format: AudioFormat) -> None:
        self.rig = rig
        self._format = format
        self._stream = AudioStream(format)
        self._at_ms = 0

    async def says(self, *words: int, silence_ms: int = 500) -> None:
        """The caller says these words, and is silent for a while."""
        size = self._format.bytes_per_second * _PIECE_MS // 1000
        data = speech(words, self._format, silence_ms=silence_ms)
        for start in range(0, len(data), size):
            self._at_ms += _PIECE_MS
            audio = self._stream.add(data[start : start + size])
            self.rig.push(InputAudioFrame(audio, at_ms=self._at_ms))
            await asyncio.sleep(0.001)

    async def replied(self, count: int = 1, *, within_s: float = 3) -> None:
        """So many replies have ended."""
        async with asyncio.timeout(within_s):
            while sum(isinstance(frame, ReplyEndedFrame) for frame in self.down) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def understood(self, count: int = 1, *, within_s: float = 3) -> None:
        """So many transcripts have come."""
        async with asyncio.timeout(within_s):
            while len(self.transcripts) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    @property
    def down(self) -> list[Any]:
        """What came out at the sink."""
        return list(self.rig.result.down)

    @property
    def transcripts(self) -> list[str]:
        """What was understood of the caller."""
        return [frame.text for frame in self.down if isinstance(frame, TranscriptionFrame)]

    @property
    def turns(self) -> list[int]:
        """The turns, in the order in which they were committed."""
        return [frame.turn for frame in self.down if isinstance(frame, UserTurnFrame)]

    @property
    def replies(self) -> list[tuple[int | None, str]]:
        """What was said to which turn."""
        begun = {frame.reply: frame.turn for frame in self.down if isinstance(frame, ReplyStartedFrame)}
        texts: dict[int, str] = {}
        for frame in self.down:
            if isinstance(frame, TextFrame):
                texts[frame.reply] = texts.get(frame.reply, "") + frame.text
        return [(begun[reply], text) for reply, text in texts.items()]

    @property
    def words(self) -> str:
        """The words of all sound that came out, joined."""
        return "".join(w.text for frame in self.down if isinstance(frame, OutputAudioFrame) for w in frame.words)

    def sound_ms(self) -> float:
        """How much sound came out."""
        return sum(frame.audio.duration_ms for frame in self.down if isinstance(frame, OutputAudioFrame))


@contextlib.asynccontextmanager
async def conversation(realtime: Realtime, format: AudioFormat = PCMU_8K) -> AsyncIterator[Conversation]:
    """A call with this one, between two ends that keep what comes out."""
    async with rig(realtime) as running:
        async with asyncio.timeout(5):
            while not running.events("provider.connected", "provider.lost"):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        yield Conversation(running, format)
    await asyncio.sleep(0.01)


class RealtimeConformance(abc.ABC):
    """The tests. All of them are asynchronous, and want a real event loop."""

    @abc.abstractmethod
    def fake(self, *answers: Answer) -> FakeOpenAIRealtime:
        """The vendor's local server, with this script."""

    @abc.abstractmethod
    def realtime(self, url: str, **more: Any) -> Realtime:
        """The model, at the server with this URL, with the key `"key"`."""

    async def test_a_turn_is_understood_and_answered(self) -> None:
        async with self.fake("You said one two.") as fake:
            realtime = self.realtime(fake.url, settings=_SETTINGS)
            async with conversation(realtime) as talk:
                await talk.says(1, 2)
                await talk.replied()
                await talk.understood()
                assert talk.transcripts == ["one two"]
                assert talk.turns == [1]
                assert talk.replies == [(1, "You said one two.")]
                assert talk.words == "You said one two."
                assert talk.sound_ms() == 60 * len("You said one two.")
                await talk.says(3)
                await talk.replied(2)
                await talk.understood(2)
                assert talk.transcripts == ["one two", "three"]
                kinds = [event.kind for event in talk.rig.result.events]
                for kind in ("provider.ttfb", "provider.usage", "speech.started", "speech.ended", "turn.committed"):
                    assert kinds.count(kind) == 2, kind
                usage = talk.rig.events("provider.usage")[0].data
                assert usage["requests"] == 1
                assert usage["cost_usd"] > 0

    async def test_sound_of_the_line_goes_through_as_it_is(self) -> None:
        async with self.fake("Yes.") as fake:
            realtime = self.realtime(fake.url, settings=_SETTINGS)
            async with conversation(realtime) as talk:
                await talk.says(4, 5, 6)
                await talk.replied()
                assert realtime.format == PCMU_8K
                audio = next(frame.audio for frame in talk.down if isinstance(frame, OutputAudioFrame))
                assert audio.format == PCMU_8K
                assert audio._made is None  # never converted

    async def test_cut_at_every_message_it_is_the_same_conversation(self) -> None:
        async def hold(fake: FakeOpenAIRealtime) -> Conversation:
            async with conversation(self.realtime(fake.url, settings=_SETTINGS)) as talk:
                await talk.says(1, 2, 3)
                await talk.replied()
                await talk.understood()
                return talk

        async with self.fake("I heard three.") as fake:
            whole = await hold(fake)
            assert whole.transcripts == ["one two three"]
            cut = 0
            while True:
                fake.answered = 0
                fake.sessions.clear()
                fake.faults.append(Fault(cut_after=cut))
                talk = await hold(fake)
                if len(fake.sessions) == 1 and cut:
                    break
                assert not [frame for frame in talk.down if isinstance(frame, ErrorFrame)]
                said = (talk.transcripts[-1:], talk.turns, talk.replies, talk.words)
                assert said == (whole.transcripts, whole.turns, whole.replies, whole.words), cut
                lost = talk.rig.events("provider.lost")
                assert [event.data["code"] for event in lost] == ["provider.connection"], cut
                assert len(talk.rig.events("turn.committed")) == 1
                fake.faults.clear()
                cut += 1
            assert cut > 20

    async def test_cut_again_while_it_makes_up_for_a_cut_it_is_the_same_conversation(self) -> None:
        async with self.fake("I heard three.") as fake:
            for first in (6, 12, 15, 19):
                for second in (1, 7, 13):
                    fake.answered = 0
                    fake.faults += (Fault(cut_after=first), Fault(cut_after=second))
                    realtime = self.realtime(fake.url, settings=_SETTINGS)
                    async with conversation(realtime) as talk:
                        await talk.says(1, 2, 3)
                        await talk.replied()
                        await talk.understood()
                        said = (talk.transcripts[-1:], talk.turns, talk.replies, talk.words)
                        expected = (["one two three"], [1], [(1, "I heard three.")], "I heard three.")
                        assert said == expected, (first, second)
                    fake.faults.clear()

    async def test_a_server_that_hangs_is_left(self) -> None:
        async with self.fake("Here I am.") as fake:
            realtime = self.realtime(fake.url, settings=_HASTY)
            fake.faults.append(Fault(hang_after=13))
            async with conversation(realtime) as talk:
                await talk.says(1)
                talk.rig.push(SayFrame("Are you there?"))
                await talk.replied(2)
                assert "provider.silent" in [event.data["code"] for event in talk.rig.events("provider.lost")]
                assert "Are you there?" in [text for _, text in talk.replies]

    async def test_a_server_that_is_down_does_not_fail_the_call(self) -> None:
        async with self.fake("Here I am.") as fake:
            fake.faults += [Fault(status=503)] * 2
            async with conversation(self.realtime(fake.url, settings=_SETTINGS)) as talk:
                await talk.says(1)
                await talk.replied()
                assert talk.replies == [(1, "Here I am.")]
                lost = [event.data for event in talk.rig.events("provider.lost")]
                assert [(event["code"], event["status"]) for event in lost] == [("provider.server", 503)] * 2

    async def test_a_key_that_is_refused_fails_the_call_at_once(self) -> None:
        async with self.fake() as fake:
            fake.key = "another"
            async with rig(self.realtime(fake.url, settings=_SETTINGS)) as running:
                async with asyncio.timeout(3):
                    assert await running.call.wait_ended() == "error"
                lost = [event.data for event in running.events("provider.lost")]
                assert [(event["code"], event["retry_ms"]) for event in lost] == [("provider.auth", None)]
            assert len(fake.asked) == 1
            await asyncio.sleep(0.01)

    async def test_nonsense_is_told_and_the_conversation_goes_on(self) -> None:
        async with self.fake("Here I am.") as fake:
            fake.faults.append(Fault(garble_after=4))
            async with conversation(self.realtime(fake.url, settings=_SETTINGS)) as talk:
                await talk.says(1)
                await talk.replied()
                assert talk.replies == [(1, "Here I am.")]
                assert "provider.protocol" in [event.data["code"] for event in talk.rig.events("provider.lost")]

    async def test_tools_are_called_and_their_results_are_spoken_of(self) -> None:
        called: list[str] = []

        @tool()
        async def find_slots(ctx: ToolContext, day: str) -> str:
            """Free appointments."""
            called.append(day)
            return "ten o'clock"

        @tool()
        async def fail(ctx: ToolContext) -> str:
            """Fails."""
            raise RuntimeError("no")

        calls: Answer = [
            ToolCall("c1", "find_slots", {"day": "Thursday"}),
            ToolCall("c2", "fail", {}),
            ToolCall("c3", "nothing", {}),
            ToolCall("c4", "find_slots", {}, error="{broken"),
        ]
        async with self.fake(calls, "At ten.") as fake:
            realtime = self.realtime(fake.url, settings=_SETTINGS, tools=[find_slots, fail])
            async with conversation(realtime) as talk:
                await talk.says(1)
                await talk.replied()
                assert talk.replies == [(1, "At ten.")]
                assert called == ["Thursday"]
                results = {
                    item["call_id"]: item["output"]
                    for item in fake.sessions[0].items
                    if item["type"] == "function_call_output"
                }
                assert results["c1"] == "ten o'clock"
                assert "no" in results["c2"]
                assert "find_slots" in results["c3"]
                assert "JSON" in results["c4"]
                wanted = [frame.name for frame in talk.down if isinstance(frame, ToolCallFrame)]
                assert sorted(wanted) == ["fail", "find_slots", "find_slots", "nothing"]

    async def test_what_the_program_says_is_spoken_and_messages_are_known(self) -> None:
        async with self.fake("Fine.") as fake:
            realtime = self.realtime(fake.url, settings=_SETTINGS, greeting="City clinic, hello!")
            async with conversation(realtime) as talk:
                await talk.replied()
                assert talk.replies == [(None, "City clinic, hello!")]
                realtime.send("They are an old patient.")
                realtime.send("How are you?", "user", respond=True)
                await talk.replied(2)
                assert talk.replies[-1][1] == "Fine."
                texts = [(item.get("role"), item.get("text")) for item in fake.sessions[0].items]
                assert texts[1:3] == [("system", "They are an old patient."), ("user", "How are you?")]

    async def test_of_what_was_cut_only_what_was_heard_is_remembered(self) -> None:
        async with self.fake("This is a rather long answer.", "Yes?") as fake:
            realtime = self.realtime(fake.url, settings=_SETTINGS)
            async with conversation(realtime) as talk:
                await talk.says(1)
                await talk.replied()
                # The output has played 500 ms of it when the caller speaks.
                piece = Audio(bytes(4_000), PCMU_8K)
                talk.rig.up(BotStartedSpeakingFrame(1), PlayedAudioFrame(piece, 1, 0), HeardFrame(1, "This is"))
                await talk.says(2)
                talk.rig.up(HeardFrame(1, " a", complete=False, final=True))
                await talk.replied(2)
                await asyncio.sleep(0.02)
                assert [end_ms for _, end_ms in fake.sessions[0].truncated] == [500]
                assert [(m.role, m.text) for m in realtime.record.messages()][:3] == [
                    ("user", "one"),
                    ("assistant", "This is a"),
                    ("user", "two"),
                ]
                assert talk.rig.events("interruption")

    async def test_an_interruption_that_is_asked_for_cancels(self) -> None:
        async with self.fake("This is a rather long answer.") as fake:
            fake.faults.append(Fault(delay_ms=3))
            async with conversation(self.realtime(fake.url, settings=_SETTINGS)) as talk:
                await talk.says(1)
                async with asyncio.timeout(2):
                    while not talk.words:  # noqa: ASYNC110
                        await asyncio.sleep(0.002)
                talk.rig.push(InterruptionRequestFrame("enough"))
                await asyncio.sleep(0.2)
                assert len(talk.words) < len("This is a rather long answer.")
                assert any(message.find('"response.cancel"') > 0 for message in _texts(fake))

    async def test_a_connection_that_is_old_is_replaced_when_nobody_speaks(self) -> None:
        settings = RealtimeSettings(warm_ms=2_000, session_ms=1_000)
        async with self.fake("One.", "Two.") as fake:
            realtime = self.realtime(fake.url, settings=settings)
            async with conversation(realtime) as talk:
                await talk.says(1)
                await talk.replied()
                talk.rig.up(HeardFrame(1, "One.", complete=True, final=True))
                async with asyncio.timeout(3):
                    while len(fake.sessions) < 2:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await talk.says(2)
                await talk.replied(2)
                assert talk.replies == [(1, "One."), (2, "Two.")]
                texts = [(item.get("role"), item.get("text")) for item in fake.sessions[1].items]
                assert texts[:3] == [("user", "one"), ("assistant", "One."), ("user", "two")]
                assert not talk.rig.events("provider.lost")


def _texts(fake: FakeOpenAIRealtime) -> Sequence[str]:
    return [message for socket in fake.sockets for message in socket.received if isinstance(message, str)]
