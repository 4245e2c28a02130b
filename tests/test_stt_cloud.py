"""Recognizers over the network: connections that are lost, what is sent again, hints, corrections, costs, settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe import Pipeline
from voiceframe.audio import PCMU_8K, Audio, AudioFormat
from voiceframe.call import Call
from voiceframe.clock import run_virtual
from voiceframe.errors import ConfigurationError, MissingExtra, ProviderError, RecognitionError
from voiceframe.frames import (
    ExpectFrame,
    Frame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    STTEagerTurnFrame,
    STTTurnEndedFrame,
    STTTurnResumedFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
    Word,
)
from voiceframe.prices import Amounts, Price, Prices, use_prices
from voiceframe.processors import SileroVAD, Turns
from voiceframe.processors.stt import (
    STT,
    CloudSTT,
    EagerEnd,
    Final,
    Interim,
    Resumed,
    STTResult,
    STTSettings,
    STTStream,
    TurnEnd,
    TurnStart,
)
from voiceframe.processors.stt.cloud import _Aliases
from voiceframe.provider import Vendor
from voiceframe.settings import Settings, setting
from voiceframe.testing import dial
from voiceframe.testing.run import Rig, rig

VENDOR = Vendor("acme", "ACME_API_KEY", "acme", "https://acme.test")


class AcmeSettings(Settings, prefix="TEST_ACME_STT"):
    """Of a recognizer for tests."""

    model: str = setting(default="acme-1", doc="the model")
    language: str = setting(default="en-US", doc="the language")
    threshold: float = setting(default=0.5, doc="can be changed while it runs", ge=0, le=1)


class Ear(STTStream):
    """Hears the numbers of the frames of audio. It is lost when `owner.plan` says so."""

    def __init__(self, owner: Acme) -> None:
        self.owner = owner
        self.given: asyncio.Queue[STTResult | Exception] = asyncio.Queue()
        self.told: list[str] = []
        self.numbers: list[int] = []
        self.sent = 0
        self.done = 0
        self.closed = False
        self.hints: tuple[str, ...] = owner.hints

    def _tick(self, what: str) -> None:
        self.told.append(what)
        self.owner.messages += 1
        if self.owner.messages in self.owner.breaks:
            raise ConnectionResetError("cut")

    async def begin(self, expect: ExpectFrame | None) -> None:
        self._tick("begin")
        self.numbers = []
        self.done = 0

    async def send(self, audio: bytes) -> None:
        self._tick("audio")
        self.sent += 20
        self.numbers.append(audio[0])
        if self.owner.part_every and len(self.numbers) - self.done >= self.owner.part_every:
            self._part(last=False)

    def _part(self, *, last: bool) -> None:
        text = " ".join(map(str, self.numbers[self.done :]))
        words = tuple(Word(str(n), 20 * at, 20 * at + 20) for at, n in enumerate(self.numbers) if at >= self.done)
        self.done = len(self.numbers)
        until = 20.0 * self.done if self.owner.placed else None
        self.given.put_nowait(Final(text, 1.0, words, last=last, until_ms=until))

    async def finalize(self) -> None:
        self._tick("finalize")
        if not self.owner.mute:
            self._part(last=True)

    async def keep_alive(self) -> None:
        self.told.append("keep-alive")

    async def configure(self, hints: tuple[str, ...], changes: Mapping[str, Any]) -> bool:
        if self.owner.live:
            self.hints = hints
        return self.owner.live

    async def aclose(self) -> None:
        self.closed = True

    async def results(self) -> AsyncGenerator[STTResult, None]:
        while True:
            result = await self.given.get()
            if isinstance(result, Exception):
                raise result
            yield result


class Acme(CloudSTT):
    vendor = VENDOR
    accepts = (PCMU_8K,)

    def __init__(self, stt: STTSettings | None = None, **more: Any) -> None:
        super().__init__(AcmeSettings(), stt or STTSettings(lead_ms=0), api_key="key", **more)
        self.breaks: set[int] = set()  # which of all messages break the connection
        self.messages = 0
        self.refusals: list[Exception] = []
        self.streams: list[Ear] = []
        self.part_every = 0
        self.placed = True
        self.mute = False
        self.live = True
        self.hang = False

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        if self.hang:
            await asyncio.Event().wait()
        await asyncio.sleep(0.05)
        if self.refusals:
            raise self.refusals.pop(0)
        self.streams.append(Ear(self))
        return self.streams[-1]


class AlwaysAcme(Acme):
    fed: ClassVar[Literal["speech", "always"]] = "always"
    hears_turns: ClassVar[bool] = True


class KeptAcme(Acme):
    keep_alive_ms: ClassVar[int] = 4_000


async def talk(call: Rig, *plan: int | Frame) -> None:
    """Numbers are milliseconds of audio, in frames of 20 ms whose samples say how many came before."""
    sent = getattr(call, "sent", 0)
    for step in plan:
        if isinstance(step, int):
            for _ in range(step // 20):
                await asyncio.sleep(0.02)
                call.push(InputAudioFrame(Audio(bytes([sent % 256]) * 160, PCMU_8K)))
                sent += 1
        else:
            call.push(step)
    call.sent = sent  # type: ignore[attr-defined]
    await asyncio.sleep(0)


def started() -> Frame:
    return VADUserStartedSpeakingFrame(1.0, -1)


def stopped() -> Frame:
    return VADUserStoppedSpeakingFrame(-1)


def texts(call: Rig) -> list[str]:
    return [frame.text for frame in call.result.down if isinstance(frame, TranscriptionFrame)]


def numbers(first: int, last: int) -> str:
    return " ".join(str(n) for n in range(first, last))


def lost(call: Rig) -> list[str]:
    return [str(event.data["code"]) for event in call.events("provider.lost")]


class Refused(Exception):
    def __init__(self, status: int, after: str = "") -> None:
        super().__init__("refused")
        self.status_code = status
        self.headers = {"Retry-After": after} if after else {}


# -- connections


async def test_what_was_not_answered_is_sent_again_on_another_connection() -> None:
    stt = Acme()
    async with rig(stt) as call:
        stt.breaks = {12}
        await talk(call, started(), 400, stopped(), 500)
        assert texts(call) == [numbers(0, 20)]
        assert lost(call) == ["provider.connection"]
        assert [event.data["attempts"] for event in call.events("provider.connected")] == [1, 2]
        assert not call.result.errors
        assert stt.streams[0].closed
        assert stt.streams[1].told[0] == "begin"


async def test_results_that_were_given_are_kept_and_what_they_cover_is_not_sent_again() -> None:
    stt = Acme()
    stt.part_every = 5
    async with rig(stt) as call:
        stt.breaks = {18}  # 16 pieces were sent: of 15 there are results
        await talk(call, started(), 600, stopped(), 500)
        assert texts(call) == [numbers(0, 30)]
        assert stt.streams[1].told.count("audio") == 15
        words = next(frame for frame in call.result.down if isinstance(frame, TranscriptionFrame)).words
        assert [word.start_ms - words[0].start_ms for word in words] == [20 * n for n in range(30)]


async def test_without_places_a_segment_is_taken_anew() -> None:
    stt = Acme()
    stt.part_every, stt.placed = 5, False
    async with rig(stt) as call:
        stt.breaks = {18}
        await talk(call, started(), 600, stopped(), 500)
        assert texts(call) == [numbers(0, 30)]
        assert stt.streams[1].told.count("audio") == 30


async def test_at_most_so_much_audio_is_sent_again() -> None:
    stt = Acme(STTSettings(lead_ms=0, replay_ms=200))
    async with rig(stt) as call:
        stt.breaks = {41}
        await talk(call, started(), 800, stopped(), 500)
        assert texts(call) == [numbers(30, 40)]


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.integers(1, 60), max_size=6),
    st.sampled_from([0, 3, 7]),
    st.booleans(),
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10)), min_size=1, max_size=3),
)
def test_wherever_connections_break_each_piece_is_heard_once_and_in_order(
    breaks: set[int], part_every: int, placed: bool, plan: list[tuple[int, int]]
) -> None:
    async def scenario() -> None:
        stt = Acme(STTSettings(lead_ms=0, result_ms=30_000))
        stt.part_every, stt.placed = part_every, placed
        async with rig(stt) as call:
            stt.breaks = set(breaks)
            expected = []
            at = 0
            for during, after in plan:
                await talk(call, started(), during * 20, stopped(), after * 20)
                expected.append(numbers(at, at + during))
                at += during + after
            await talk(call, 40)
            await asyncio.sleep(25)
            assert texts(call) == expected
            await call.ends()

    run_virtual(scenario())


async def test_a_vendor_that_is_silent_while_it_owes_a_result_is_connected_anew() -> None:
    stt = Acme(STTSettings(lead_ms=0, silent_ms=400))
    async with rig(stt) as call:
        stt.mute = True
        await talk(call, started(), 200, stopped(), 300)
        stt.mute = False
        await talk(call, 500)
        assert texts(call) == [numbers(0, 10)]
        assert lost(call) == ["provider.silent"]


async def test_what_a_vendor_refuses_for_now_is_tried_when_it_says() -> None:
    stt = Acme()
    stt.refusals = [Refused(429, "0.7"), Refused(503)]
    async with rig(stt) as call:
        await talk(call, started(), 200, stopped(), 2_000)
        assert texts(call) == [numbers(0, 10)]
        assert lost(call) == ["provider.rate-limit", "provider.server"]
        assert call.events("provider.lost")[0].data["retry_ms"] == 700


@pytest.mark.parametrize("status", [401, 404])
async def test_a_refusal_for_good_is_told_once_and_never_tried_again(status: int) -> None:
    stt = Acme()
    stt.refusals = [Refused(status)] * 3
    async with rig(stt) as call:
        await talk(call, started(), 200, stopped(), 100, started(), 200, stopped(), 5_000)
        assert texts(call) == ["", ""]
        assert [type(error) for error in call.result.errors] == [ProviderError]
        assert len(stt.refusals) == 2
        assert [event.data["retry_ms"] for event in call.events("provider.lost")] == [None]
        stt.refusals.clear()
        call.push(UpdateSettingsFrame(stt.name, {"model": "acme-2"}))  # that may have been it
        await talk(call, started(), 200, stopped(), 500)
        assert len(texts(call)) == 3
        assert texts(call)[2]


async def test_a_vendor_that_sends_nonsense_time_and_again_is_left_alone() -> None:
    stt = Acme(STTSettings(lead_ms=0, result_ms=10_000))
    stt.refusals = [ValueError("what is this")] * 9
    async with rig(stt) as call:
        await talk(call, started(), 200, stopped(), 3_000)
        assert lost(call) == ["provider.protocol"] * 3
        assert texts(call) == [""]


async def test_a_vendor_that_is_down_costs_each_segment_its_time_and_no_more() -> None:
    stt = Acme(STTSettings(lead_ms=0, result_ms=1_000))
    stt.refusals = [Refused(503)] * 3
    async with rig(stt) as call:
        await talk(call, started(), 200, stopped(), 300, started(), 200, stopped(), 60)
        await asyncio.sleep(3)
        await talk(call, started(), 200, stopped(), 300)
        assert len(texts(call)) == 3
        assert texts(call)[2]
        assert {getattr(error, "code", "") for error in call.result.errors} <= {"stt.late"}


async def test_what_is_being_said_survives_that_an_earlier_segment_was_given_up() -> None:
    stt = Acme(STTSettings(lead_ms=0, result_ms=500, silent_ms=10_000))
    async with rig(stt) as call:
        stt.mute = True
        await talk(call, started(), 100, stopped(), 100, started(), 600)
        stt.mute = False
        stt.streams[0].given.put_nowait(Final("of what was given up"))
        await talk(call, 100, stopped(), 300)
        assert texts(call) == ["", numbers(10, 45)]


async def test_a_connection_that_takes_too_long_is_tried_again() -> None:
    stt = Acme(STTSettings(lead_ms=0, connect_ms=300))
    stt.hang = True
    async with rig(stt) as call:
        await talk(call, started(), 200)
        await asyncio.sleep(0.4)
        stt.hang = False
        await talk(call, 100, stopped(), 1_000)
        assert texts(call) == [numbers(0, 15)]
        assert lost(call)[0] == "provider.connection"


async def test_while_nobody_speaks_the_connection_is_kept() -> None:
    stt = KeptAcme()
    async with rig(stt) as call:
        await talk(call, started(), 200, stopped(), 100)
        await asyncio.sleep(13)
        assert stt.streams[0].told.count("keep-alive") == 3
        assert len(stt.streams) == 1


async def test_a_connection_that_is_lost_while_nobody_speaks_is_there_again_for_the_next_words() -> None:
    stt = Acme()
    async with rig(stt) as call:
        await talk(call, started(), 200, stopped(), 100)
        stt.streams[0].given.put_nowait(ConnectionResetError("idle"))
        await asyncio.sleep(1)
        assert len(stt.streams) == 2
        await talk(call, started(), 200, stopped(), 100)
        assert texts(call) == [numbers(0, 10), numbers(15, 25)]


# -- the call


def bot_with(*processors: Any) -> Any:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), *processors, Turns(), call.transport.output()])

    return bot


async def test_the_connection_is_made_before_anybody_speaks() -> None:
    stt = Acme()
    async with dial(bot_with(SileroVAD(), stt), via="audio") as caller:
        await caller.waits(100)
        assert len(stt.streams) == 1


async def test_a_vendor_that_is_down_does_not_fail_the_call() -> None:
    stt = Acme()
    stt.refusals = [Refused(503)]
    async with dial(bot_with(SileroVAD(), stt), via="audio") as caller:
        await caller.waits(1_000)
        assert len(stt.streams) == 1


async def test_without_a_key_there_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    stt = Acme()
    stt._given_key = ""
    async with rig(stt) as call:
        await asyncio.sleep(0.1)
        assert call.call.engine.finished or call.call.engine.ending
    assert "provider.key" in str(call.result.events)


async def test_a_key_that_is_refused_while_the_phone_rings_is_the_end_of_the_call() -> None:
    stt = Acme()
    stt.refusals = [Refused(401)]
    async with dial(bot_with(SileroVAD(), stt), via="audio") as caller:
        await caller.hears_the_end()
    assert "provider.auth" in str(caller.record.events)
    assert not stt.streams


async def test_an_sdk_that_is_not_installed_is_named() -> None:
    stt = Acme()
    stt.refusals = [MissingExtra.of("extra.missing", what="Acme", package="acme", extra="acme")] * 2
    async with rig(stt) as call:
        await talk(call, started(), 100, stopped(), 100, started(), 100, stopped(), 100)
        assert texts(call) == ["", ""]
        assert [getattr(error, "code", "") for error in call.result.errors] == ["extra.missing"]


async def test_without_a_vad_there_is_no_call_unless_the_vendor_hears_turns() -> None:
    for stt, fails in ((Acme(), True), (AlwaysAcme(), False)):
        async with dial(bot_with(stt), via="audio") as caller:
            await caller.waits(200)
            told = "stt.no-vad" in str(caller.record.events)
            assert told == fails


# -- hints, corrections, settings


async def test_hints_are_the_bots_and_the_dialogs() -> None:
    stt = Acme(hints=["Voiceframe", "µ-law"])
    async with rig(stt) as call:
        await talk(call, started(), 100, stopped(), 100)
        call.up(ExpectFrame(phrases=("Thursday", "Voiceframe")))
        await talk(call, 100)
        assert stt.streams[0].hints == ("Voiceframe", "µ-law", "Thursday")
        assert len(stt.streams) == 1


async def test_hints_that_need_another_connection_get_one_between_two_segments() -> None:
    stt = Acme()
    stt.live = False
    async with rig(stt) as call:
        await talk(call, started(), 100)
        call.up(ExpectFrame(phrases=("Thursday",)))
        await talk(call, 100)
        assert len(stt.streams) == 1
        await talk(call, stopped(), 200)
        assert [ear.hints for ear in stt.streams] == [(), ("Thursday",)]
        assert texts(call) == [numbers(0, 10)]
        assert not lost(call)


async def test_hints_that_come_while_a_connection_is_made_are_not_lost() -> None:
    stt = Acme()
    stt.live = False
    async with rig(stt) as call:
        await talk(call, started(), 20)
        await asyncio.sleep(0.01)
        call.up(ExpectFrame(phrases=("Thursday",)))
        await talk(call, 100, stopped(), 300)
        assert stt.streams[-1].hints == ("Thursday",)
        assert texts(call) == [numbers(0, 6)]


async def test_a_vendor_that_takes_no_hints_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    stt = Acme()
    stt.takes_hints = False
    caplog.set_level(logging.WARNING, logger="voiceframe.processors.stt.cloud")
    async with rig(stt) as call:
        await talk(call, started(), 100, stopped())
        for phrase in ("one", "two"):
            call.up(ExpectFrame(phrases=(phrase,)))
            await talk(call, 100)
    assert [record.getMessage() for record in caplog.records if "hints" in record.getMessage()] == [
        "Acme takes no hints with the model acme-1: they are left out."
    ]


async def test_corrections_change_words_and_keep_what_was_there() -> None:
    stt = Acme(aliases={"0 1": "Voiceframe", "3": "three"})
    async with rig(stt) as call:
        await talk(call, started(), 100, stopped(), 100)
        frame = next(frame for frame in call.result.down if isinstance(frame, TranscriptionFrame))
        assert (frame.text, frame.heard) == ("Voiceframe 2 three 4", "0 1 2 3 4")
        (event,) = call.events("speech.corrected")
        assert event.personal == {"text": "Voiceframe 2 three 4", "heard": "0 1 2 3 4"}


async def test_what_no_alias_has_changed_is_no_correction() -> None:
    stt = Acme(aliases={"9": "nine"})
    async with rig(stt) as call:
        await talk(call, started(), 100, stopped(), 100)
        assert call.events("speech.corrected") == []


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Voice  Frame is here", "Voiceframe is here"),
        ("my voice frames", "my voice frames"),
        ("VOICE FRAME.", "Voiceframe."),
        ("C++ code", "cpp code"),
        ("", ""),
    ],
)
def test_corrections_are_of_whole_words_in_any_case(text: str, right: str) -> None:
    assert _Aliases({"voice frame": "Voiceframe", "c++": "cpp", " ": "nothing"}).correct(text) == right


async def test_settings_change_in_a_call() -> None:
    stt = Acme()
    async with rig(stt) as call:
        await talk(call, started(), 100, stopped(), 100)
        call.push(UpdateSettingsFrame(stt.name, {"threshold": 0.7, "result_ms": 900, "language": "de"}))
        await talk(call, 100)
        assert (stt.options.threshold, stt.settings.result_ms, stt.language) == (0.7, 900, "de")
        call.push(UpdateSettingsFrame(stt.name, {"threshold": 7}))
        call.push(UpdateSettingsFrame("somebody else", {"threshold": 0.1}))
        await talk(call, 100)
        assert stt.options.threshold == 0.7
        assert [type(error) for error in call.result.errors] == [ConfigurationError]


# -- what it costs


async def test_audio_and_time_are_told_for_each_segment() -> None:
    stt = Acme(STTSettings(lead_ms=0, usd_per_hour=0.36))
    async with rig(stt) as call:
        await talk(call, started(), 400, stopped(), 300, started(), 200, stopped(), 200)
        usage = [event.data for event in call.events("provider.usage")]
        assert [(each["audio_ms"], each["cost_usd"]) for each in usage] == [(400, 0.00004), (200, 0.00002)]
        assert {(each["vendor"], each["service"], each["model"]) for each in usage} == {("acme", "stt", "acme-1")}
        assert [event.data["ttfb_ms"] for event in call.events("provider.ttfb")] == [0, 0]


async def test_the_cost_is_by_the_prices_that_hold_and_is_not_guessed() -> None:
    stt = Acme(STTSettings(lead_ms=0))
    async with rig(stt) as call:
        await talk(call, started(), 400, stopped(), 300)
        use_prices(Prices("ours", {"acme/acme-1": Price(minute=0.006)}))
        try:
            await talk(call, started(), 200, stopped(), 200)
            use_prices(Prices("by tokens", {"acme/acme-1": Price(input=1.0, audio_input=2.0, output=4.0)}))
            stt.count(Amounts(input_tokens=10, audio_input_tokens=10))
            stt.count(Amounts(input_tokens=5, output_tokens=2))
            await talk(call, started(), 200, stopped(), 200)
        finally:
            use_prices(None)
        usage = [event.data for event in call.events("provider.usage")]
        assert [(each["cost_usd"], each["prices"]) for each in usage] == [
            (None, ""),
            (0.00002, "ours"),
            (pytest.approx((10 * 2 + 5 + 2 * 4) / 1e6), "by tokens"),
        ]
        assert (usage[2]["input_tokens"], usage[2]["output_tokens"], usage[2]["audio_tokens"]) == (15, 2, 10)


async def test_prices_that_cannot_be_read_are_told_before_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_PRICES_FILE", "/there/is/none.toml")
    use_prices(None)
    try:
        async with rig(Acme()) as call:
            await asyncio.sleep(0.05)
            assert "none.toml" in str(call.result.errors)
    finally:
        use_prices(None)


async def test_audio_without_words_is_told_now_and_then() -> None:
    stt = AlwaysAcme()
    async with rig(stt) as call:
        await talk(call, 31_000)
        assert [event.data["audio_ms"] for event in call.events("provider.usage")] == [30_000]


async def test_audio_that_was_sent_to_no_end_is_told_at_the_end() -> None:
    stt = AlwaysAcme()
    async with rig(stt) as call:
        await talk(call, 1_000)
        await call.ends()
        assert sum(event.data["audio_ms"] for event in call.events("provider.usage")) == 1_000


# -- turns of the vendor's


async def test_turns_of_the_vendors_become_frames() -> None:
    stt = AlwaysAcme()
    async with rig(stt) as call:
        await talk(call, 100, started(), 100)
        for result in (TurnStart(), EagerEnd("a b", 0.6), Resumed(), TurnEnd("a b c", 0.9)):
            stt.streams[0].given.put_nowait(result)
        await talk(call, 100)
        kinds = (STTEagerTurnFrame, STTTurnResumedFrame, STTTurnEndedFrame)
        found = [frame for frame in call.result.down if isinstance(frame, kinds)]
        assert [type(frame) for frame in found] == list(kinds)
        assert (found[2].text, found[2].confidence) == ("a b c", 0.9)  # type: ignore[union-attr]


async def test_without_a_vad_the_vendor_says_when_somebody_speaks() -> None:
    stt = AlwaysAcme()
    async with rig(stt) as call:
        await talk(call, 200)
        for result in (TurnStart(), Interim("hello"), Final("hello there", last=False), TurnEnd("hello there")):
            stt.streams[0].given.put_nowait(result)
            await talk(call, 20)
        found = [frame for frame in call.result.down if not isinstance(frame, InputAudioFrame)]
        assert [type(frame) for frame in found] == [
            VADUserStartedSpeakingFrame,
            InterimTranscriptionFrame,
            VADUserStoppedSpeakingFrame,
            TranscriptionFrame,
            STTTurnEndedFrame,
        ]
        assert texts(call) == ["hello there"]


# -- by name


def test_recognizers_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, cls in (("deepgram", "DeepgramSTT"), ("Cartesia-Turns", "CartesiaTurnsSTT"), ("openai", "OpenAISTT")):
        assert type(STT.by_name(name, api_key="key")).__name__ == cls
    monkeypatch.setenv("VOICEFRAME_STT_PROVIDER", "elevenlabs")
    assert type(STT.by_name(api_key="key")).__name__ == "ElevenLabsSTT"
    with pytest.raises(ProviderError, match="deepgram") as caught:
        STT.by_name("deepgrm")
    assert caught.value.code == "provider.unknown"


def test_errors_name_what_to_do() -> None:
    assert "SileroVAD" in RecognitionError.of("stt.no-vad", processor="Acme").fix
