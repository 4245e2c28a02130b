"""In-band keys in a pipeline: a frame for each press, and the audio as it was."""

from __future__ import annotations

import pytest

from voiceframe.audio import PCM_8K, PCMU_8K, Audio, AudioFormat, AudioStream
from voiceframe.frames import InputAudioFrame, InputDTMFFrame
from voiceframe.processors.dtmf import InbandDTMF
from voiceframe.testing import run
from voiceframe.tones import dtmf, mix, noise, silence


def frames(pcm: bytes, format: AudioFormat) -> list[InputAudioFrame]:
    """20 ms each, as a line brings them."""
    data = Audio(pcm, AudioFormat("pcm_s16le", format.rate)).to(format)
    step = format.bytes_per_second // 50
    stream = AudioStream(format)
    return [
        InputAudioFrame(stream.add(data[start : start + step]), at_ms=20 * number)
        for number, start in enumerate(range(0, len(data), step))
    ]


@pytest.mark.parametrize("format", [PCMU_8K, PCM_8K, AudioFormat("alaw", 8_000), AudioFormat("pcm_s16be", 16_000)])
async def test_each_press_is_one_frame_and_the_audio_goes_on(format: AudioFormat) -> None:
    pcm = silence(100, format.rate) + dtmf("19*#", 80, 80, rate=format.rate)
    sent = frames(mix(pcm, noise(740, -40, format.rate)), format)
    result = await run(InbandDTMF(), frames=sent)
    keys = [frame for frame in result.down if isinstance(frame, InputDTMFFrame)]
    assert [key.digit for key in keys] == ["1", "9", "*", "#"]
    for number, key in enumerate(keys):  # the time is that of the audio in which it was found
        assert 0 <= key.at_ms + 20 - (100 + 160 * number) <= 60
    assert [frame for frame in result.down if isinstance(frame, InputAudioFrame)] == sent
    assert not result.errors


async def test_a_line_that_changes_its_rate_is_heard_on() -> None:
    sent = frames(dtmf("12", 100, 100), PCM_8K) + frames(dtmf("34", 100, 100, rate=16_000), AudioFormat())
    result = await run(InbandDTMF(), frames=sent)
    assert [frame.digit for frame in result.down if isinstance(frame, InputDTMFFrame)] == ["1", "2", "3", "4"]


async def test_speech_frames_of_silence_press_nothing() -> None:
    result = await run(InbandDTMF(), frames=frames(silence(400), PCMU_8K))
    assert not [frame for frame in result.down if isinstance(frame, InputDTMFFrame)]
