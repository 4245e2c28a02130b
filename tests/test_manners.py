"""Manners stand around what hears the caller, are refused where they cannot work, and cost nothing when off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from voiceframe import Call, Pipeline, Processor, observes
from voiceframe.audio import PCM_8K, Audio
from voiceframe.errors import ConfigurationError, MannersError
from voiceframe.frames import InputAudioFrame, TranscriptionFrame
from voiceframe.processors import (
    EnergyVAD,
    Language,
    Manners,
    NoiseSettings,
    PocketSphinxSTT,
    Turns,
    TurnSettings,
    VoicemailSettings,
)
from voiceframe.testing import ToneTTS, dial
from voiceframe.testing.run import rig


def test_what_is_off_puts_nothing_into_the_pipeline() -> None:
    hearing: list[Processor] = [EnergyVAD(), Turns()]
    assert Manners().around(*hearing) == hearing
    assert Manners(hold=False, noise=None).around(*hearing) == hearing
    names = [proc.name for proc in Manners(idle=True).around(*hearing)]
    assert names == ["EnergyVAD", "Turns", "Gate"]


def test_all_of_them_stand_around_what_hears_the_caller() -> None:
    names = [
        proc.name for proc in Manners(voicemail=True, idle=True, hold=True, noise=True).around(EnergyVAD(), Turns())
    ]
    assert names == ["Ears", "EnergyVAD", "Turns", "Gate"]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Manners(voicemail=True).around(Turns()), "manners.no-vad"),
        (lambda: Manners(noise=True).around(PocketSphinxSTT(), Turns()), "manners.no-vad"),
        (lambda: Manners(voicemail=True).around(EnergyVAD()), "manners.no-turns"),
        (lambda: Manners(hold=True).around(EnergyVAD()), "manners.no-turns"),
        (lambda: Manners(hold=True).around(), "manners.no-turns"),
    ],
)
def test_manners_that_cannot_work_are_refused(make: Callable[[], object], code: str) -> None:
    with pytest.raises(MannersError) as raised:
        make()
    assert raised.value.code == code
    assert "around(" in raised.value.fix


def test_manners_belong_to_one_call() -> None:
    manners = Manners(hold=True)
    manners.around(EnergyVAD(), Turns())
    with pytest.raises(MannersError) as raised:
        manners.around(EnergyVAD(), Turns())
    assert raised.value.code == "manners.used-twice"


def test_a_program_cannot_switch_before_the_call_or_without_languages() -> None:
    for manners in (Manners(), Manners(languages=[Language("en"), Language("es", voice="es")])):
        with pytest.raises(MannersError) as raised:
            manners.switch("es")
        assert raised.value.code == "manners.unknown-language"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_VOICEMAIL_POLICY", "message")
    monkeypatch.setenv("VOICEFRAME_VOICEMAIL_MESSAGE", "Please call back.")
    monkeypatch.setenv("VOICEFRAME_HOLD_MUSIC_MS", "5000")
    manners = Manners(voicemail=True, hold=True)
    assert isinstance(manners.voicemail, VoicemailSettings)
    assert manners.voicemail.message == "Please call back."
    assert manners.hold is not None
    assert manners.hold.music_ms == 5_000
    monkeypatch.setenv("VOICEFRAME_HOLD_MUSIC_MS", "soon")
    with pytest.raises(ConfigurationError):
        Manners(hold=True)
    with pytest.raises(ConfigurationError):
        NoiseSettings(snr_db=-3)


async def test_a_quiet_call_with_all_manners_is_like_one_without() -> None:
    def events(manners: Manners) -> Callable[[Call], Pipeline]:
        def bot(call: Call) -> Pipeline:
            hearing = manners.around(EnergyVAD(), Turns(TurnSettings(idle_ms=0)))
            return Pipeline([call.transport.input(), *hearing, ToneTTS(), call.transport.output()])

        return bot

    found = []
    for manners in (Manners(), Manners(voicemail=True, hold=True, noise=True)):
        async with dial(events(manners), via="audio") as caller:
            caller.call.say("Hello, how are you?")
            await caller.waits(20_000)
        found.append([(event.at_ms, event.kind) for event in caller.record.events])
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [2, 318, 320, 1_000, 32_000])
async def test_pieces_of_any_length_are_passed_on_whole(size: int) -> None:
    heard = []

    class Ear(Processor):
        @observes(InputAudioFrame)
        def on_audio(self, frame: InputAudioFrame) -> None:
            heard.append(frame.audio.data)

    around = Manners(hold=True, noise=True).around(EnergyVAD(), Ear(), Turns(TurnSettings(idle_ms=0)))
    data = bytes(range(250)) * (2 * size // 250 + 2)
    async with rig(*around) as call:
        for number in range(20):
            call.push(InputAudioFrame(Audio(data[number : number + 2 * (size // 2)], PCM_8K)))
            await asyncio.sleep(0.02)
        call.push(TranscriptionFrame("hello there"))
        await call.ends()
    assert heard == [data[number : number + 2 * (size // 2)] for number in range(20)]
