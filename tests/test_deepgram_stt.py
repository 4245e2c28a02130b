"""Deepgram Nova and Flux, by the SDK, on a local server."""

from __future__ import annotations

import json
import logging

import pytest

from tests.stt_line import QUICK, Line
from voiceframe.frames import (
    EagerTurnFrame,
    ExpectFrame,
    InterimTranscriptionFrame,
    STTEagerTurnFrame,
    STTTurnEndedFrame,
    STTTurnResumedFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processors import Turns, TurnSettings
from voiceframe.processors.stt import (
    DeepgramFluxSettings,
    DeepgramFluxSTT,
    DeepgramSTT,
    DeepgramSTTSettings,
)
from voiceframe.processors.stt.deepgram import _failure
from voiceframe.provider import Place
from voiceframe.testing.providers.deepgram_stt import FakeDeepgramSTT
from voiceframe.testing.providers.hearing import sound
from voiceframe.testing.providers.server import FakeSocket
from voiceframe.testing.run import rig


@pytest.mark.real_time
async def test_nova_is_asked_for_what_the_settings_say() -> None:
    settings = DeepgramSTTSettings(model="nova-3", language="de", smart_format=True, endpointing_ms=0, redact=("pci",))
    async with FakeDeepgramSTT() as fake:
        stt = DeepgramSTT(settings, QUICK, place=Place(fake.url), api_key="key", hints=["Voiceframe"])
        async with rig(stt) as call:
            line = Line(call)
            await line.speaks(sound("one two three four"))
            await line.until(lambda: bool(line.texts))
            assert [frame.text for frame in line.of(InterimTranscriptionFrame)][:2] == ["one", "one two"]
            (frame,) = line.of(TranscriptionFrame)
            assert [(word.text, word.end_ms - word.start_ms) for word in frame.words] == [
                (word, 120) for word in ("one", "two", "three", "four")
            ]
            assert frame.confidence == 0.98
        query = fake.asked[0].query
    wanted = {
        "model": "nova-3",
        "language": "de",
        "encoding": "mulaw",
        "sample_rate": "8000",
        "smart_format": "true",
        "punctuate": "true",
        "interim_results": "true",
        "endpointing": "false",
        "redact": "pci",
        "keyterm": "Voiceframe",
    }
    assert {name: query.get(name) for name in wanted} == wanted
    assert "numerals" not in query


@pytest.mark.real_time
async def test_nova_takes_other_hints_while_it_runs() -> None:
    async with FakeDeepgramSTT() as fake, rig(DeepgramSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        await line.speaks(sound("hello"))
        await line.until(lambda: bool(line.texts))
        call.up(ExpectFrame(phrases=("Thursday",)))
        told = fake.sockets[0].received
        await line.until(lambda: any(isinstance(message, str) and "Configure" in message for message in told))
        asked = next(json.loads(message) for message in told if isinstance(message, str) and "Configure" in message)
        assert asked["keyterms"] == ["Thursday"]
        assert len(fake.sockets) == 1


@pytest.mark.real_time
async def test_hints_that_change_quickly_are_told_one_after_the_other() -> None:
    async with FakeDeepgramSTT() as fake, rig(DeepgramSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        fake.configure_ms = 40
        line = Line(call)
        await line.speaks(sound("hello"))
        await line.until(lambda: bool(line.texts))
        for phrase in ("Monday", "Tuesday", "Wednesday"):
            call.up(ExpectFrame(phrases=(phrase,)))
        await line.until(lambda: fake.keyterms == ["Wednesday"])
        told = [json.loads(each)["keyterms"] for each in fake.sockets[0].received if "Configure" in str(each)]
        assert told == [["Monday"], ["Wednesday"]]
        assert not call.events("provider.lost")


@pytest.mark.real_time
async def test_hints_that_are_refused_cost_nothing_but_themselves(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(FakeDeepgramSTT):
        async def _configure(self, socket: FakeSocket, model: str, keyterms: list[str] | None) -> None:
            await socket.send({"type": "ConfigureFailure", "code": "CONFIGURE_INTERNAL_ERROR", "request_id": "1"})

    caplog.set_level(logging.WARNING, logger="voiceframe.processors.stt.deepgram")
    async with Refusing() as fake, rig(DeepgramSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        await line.speaks(sound("hello"))
        await line.until(lambda: bool(line.texts))
        call.up(ExpectFrame(phrases=("Monday",)))
        await line.until(lambda: "CONFIGURE_INTERNAL_ERROR" in caplog.text)
        await line.speaks(sound("there"))
        await line.until(lambda: len(line.texts) == 2)
        assert (line.texts, call.result.errors, call.events("provider.lost")) == (["hello", "there"], [], [])


def test_more_hints_than_deepgram_takes_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="voiceframe.processors.stt.deepgram")
    many = [f"appointment {number}" for number in range(200)]
    kept = DeepgramSTT(api_key="key").keyterms(many)
    assert 50 < len(kept) < 100
    assert kept == many[: len(kept)]
    assert "others are left out" in caplog.text


@pytest.mark.real_time
async def test_hints_are_left_out_when_the_model_is_changed_to_one_that_takes_none() -> None:
    async with FakeDeepgramSTT() as fake:
        stt = DeepgramSTT(stt=QUICK, place=Place(fake.url), api_key="key", hints=["Voiceframe"])
        async with rig(stt) as call:
            line = Line(call)
            await line.speaks(sound("hello"))
            await line.until(lambda: bool(line.texts))
            call.push(UpdateSettingsFrame("DeepgramSTT", {"model": "nova-2"}))
            await line.until(lambda: len(fake.asked) == 2)
            assert ["keyterm" in asked.query for asked in fake.asked] == [True, False]


@pytest.mark.real_time
async def test_a_threshold_that_is_taken_away_needs_another_connection() -> None:
    async with FakeDeepgramSTT() as fake:
        settings = DeepgramFluxSettings(eager_eot_threshold=0.4)
        async with rig(DeepgramFluxSTT(settings, QUICK, place=Place(fake.url), api_key="key")) as call:
            line = Line(call)
            await line.audio(sound("hello", after_ms=600))
            await line.until(lambda: bool(line.of(STTTurnEndedFrame)), silence=True)
            call.push(UpdateSettingsFrame("DeepgramFluxSTT", {"eager_eot_threshold": None}))
            await line.until(lambda: len(fake.asked) == 2, silence=True)
            assert ["eager_eot_threshold" in asked.query for asked in fake.asked] == [True, False]


@pytest.mark.real_time
async def test_nova_need_not_answer_where_nothing_is_left() -> None:
    async with FakeDeepgramSTT() as fake, rig(DeepgramSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        await line.speaks(sound("", after_ms=300))
        await line.until(lambda: bool(line.texts))
        await line.speaks(sound("hello"))
        await line.until(lambda: len(line.texts) == 2)
        assert line.texts == ["", "hello"]
        assert not call.events("provider.lost")


@pytest.mark.real_time
async def test_nova_says_which_of_many_languages_it_has_heard() -> None:
    settings = DeepgramSTTSettings(language="multi")
    async with (
        FakeDeepgramSTT() as fake,
        rig(DeepgramSTT(settings, stt=QUICK, place=Place(fake.url), api_key="key")) as call,
    ):
        line = Line(call)
        fake.languages = ["es", "en"]
        await line.speaks(sound("hello"))
        await line.until(lambda: len(line.texts) == 1)
        fake.languages = []
        await line.speaks(sound("yes"))
        await line.until(lambda: len(line.texts) == 2)
        assert [frame.language for frame in line.of(TranscriptionFrame)] == ["es", "multi"]


@pytest.mark.real_time
async def test_nova_that_has_gone_deaf_does_not_take_a_short_answer_for_noise() -> None:
    async with FakeDeepgramSTT() as fake, rig(DeepgramSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        await line.speaks(sound("hello"))
        await line.until(lambda: len(line.texts) == 1)
        fake.mute = True
        await line.speaks(sound("yes", after_ms=100))
        await line.until(lambda: bool(call.events("provider.lost")))
        fake.mute = False
        await line.until(lambda: len(line.texts) == 2)
        assert line.texts == ["hello", "yes"]
        assert call.events("provider.lost")[0].data["code"] == "provider.silent"


@pytest.mark.real_time
async def test_flux_says_when_a_turn_probably_ends_goes_on_and_ends() -> None:
    settings = DeepgramFluxSettings(eager_eot_threshold=0.4)
    async with FakeDeepgramSTT() as fake:
        stt = DeepgramFluxSTT(settings, QUICK, place=Place(fake.url), api_key="key")
        async with rig(stt) as call:
            line = Line(call)
            await line.audio(sound("on thursday", before_ms=100, after_ms=260))
            await line.audio(sound("at ten", after_ms=600))
            await line.until(lambda: bool(line.of(STTTurnEndedFrame)), silence=True)
            kinds = (STTEagerTurnFrame, STTTurnResumedFrame, STTTurnEndedFrame)
            assert [getattr(frame, "text", "") for frame in line.of(*kinds)] == [
                "on thursday",
                "",
                "on thursday at ten",
                "on thursday at ten",
            ]
            # Without a VAD it says itself when somebody speaks.
            assert len(line.of(VADUserStartedSpeakingFrame)) == len(line.of(VADUserStoppedSpeakingFrame)) == 1
            assert line.texts == ["on thursday at ten"]
        query = fake.asked[0].query
        assert (query["eot_threshold"], query["eager_eot_threshold"], query["eot_timeout_ms"]) == ("0.7", "0.4", "5000")


@pytest.mark.real_time
async def test_flux_takes_other_thresholds_and_hints_while_it_runs() -> None:
    async with FakeDeepgramSTT() as fake, rig(DeepgramFluxSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        await line.audio(sound("hello", after_ms=600))
        await line.until(lambda: bool(line.of(STTTurnEndedFrame)), silence=True)
        call.push(UpdateSettingsFrame("DeepgramFluxSTT", {"eot_threshold": 0.9}))
        told = fake.sockets[0].received
        await line.until(lambda: any(isinstance(message, str) for message in told))
        asked = next(json.loads(message) for message in told if isinstance(message, str))
        assert asked == {"type": "Configure", "keyterms": [], "thresholds": {"eot_threshold": 0.9}}
        call.push(UpdateSettingsFrame("DeepgramFluxSTT", {"model": "flux-general-multi"}))
        await line.until(lambda: len(fake.sockets) == 2, silence=True)
        assert fake.asked[1].query["model"] == "flux-general-multi"


@pytest.mark.parametrize(
    ("code", "error", "retryable"),
    [("INTERNAL_SERVER_ERROR", "provider.server", True), ("UNPARSABLE_CLIENT_MESSAGE", "provider.request", False)],
)
def test_errors_of_deepgrams_have_a_type(code: str, error: str, retryable: bool) -> None:
    found = _failure(code, "it went wrong", "DeepgramFluxSTT")
    assert (found.code, found.retryable) == (error, retryable)


@pytest.mark.real_time
async def test_flux_and_turn_taking_need_nothing_else() -> None:
    async with FakeDeepgramSTT() as fake:
        stt = DeepgramFluxSTT(
            DeepgramFluxSettings(eager_eot_threshold=0.4), QUICK, place=Place(fake.url), api_key="key"
        )
        async with rig(stt, Turns(TurnSettings(endpointing="provider"))) as call:
            line = Line(call)
            await line.audio(sound("on thursday", before_ms=100, after_ms=700))
            await line.until(lambda: bool(line.of(UserTurnFrame)), silence=True)
            await line.audio(sound("at ten", after_ms=700))
            await line.until(lambda: len(line.of(UserTurnFrame)) == 2, silence=True)
            assert [frame.text for frame in line.of(UserTurnFrame)] == ["on thursday", "at ten"]
            assert [frame.text for frame in line.of(EagerTurnFrame)] == ["on thursday", "at ten"]
            assert not call.result.errors
