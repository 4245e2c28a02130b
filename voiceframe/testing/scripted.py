"""Parts of a bot that follow a script: a model, a recognizer and a voice. Deterministic, and honest about time."""

from __future__ import annotations

import array
import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence

from ..audio import PCM_16K, Audio, AudioFormat
from ..errors import TestKitError
from ..frames import (
    Frame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    OutputAudioFrame,
    TextFrame,
    TranscriptionFrame,
    Word,
)
from ..llm import LLM, LLMRequest, Part, Stop, TextDelta, Usage
from ..processor import Processor, handles
from ..rehearsed import call_tool
from ..words import spans

__all__ = ["ScriptedLLM", "ScriptedSTT", "ToneTTS", "call_tool"]

#: One answer: a text, parts in order, an error to raise, or a function of the request that returns one of these.
Answer = str | Sequence[Part] | Exception | Callable[[LLMRequest], "str | Sequence[Part] | Exception"]


class ScriptedLLM(LLM):
    """A model that gives the answers of its script, one for each request.

    delay_ms: until the first part comes. word_ms: between the words of a text. repeat: begin anew at the end of the
    script. `requests` holds what it was asked. Raises `TestKitError` (`test.exhausted`) when the script is at its end.
    """

    def __init__(self, answers: Iterable[Answer], *, delay_ms: int = 0, word_ms: int = 0, repeat: bool = False) -> None:
        self.name = "scripted"
        self._answers = list(answers)
        self._delay_s = delay_ms / 1000
        self._word_s = word_ms / 1000
        self._repeat = repeat
        self.requests: list[LLMRequest] = []
        #: How many streams were closed before their end: requests that an interruption has cancelled.
        self.cancelled = 0

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        number = len(self.requests)
        self.requests.append(request)
        if number >= len(self._answers) and not (self._repeat and self._answers):
            raise TestKitError.of(
                "test.exhausted", name="ScriptedLLM", number=number + 1, count=f"{len(self._answers)} answers"
            )
        answer = self._answers[number % len(self._answers)]
        if callable(answer):
            answer = answer(request)
        finished = False
        try:
            await asyncio.sleep(self._delay_s)
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, str):
                words = answer.split(" ")
                for index, word in enumerate(words):
                    if index and self._word_s:
                        await asyncio.sleep(self._word_s)
                    yield TextDelta(word if index == 0 else f" {word}")
                yield Usage(sum(len(m.text.split()) for m in request.messages), len(words))
                yield Stop("end")
            else:
                for part in answer:
                    yield part
            finished = True
        finally:
            if not finished and not isinstance(answer, Exception):
                self.cancelled += 1


class ScriptedSTT(Processor):
    """A recognizer that hears what its script says, when the audio has come so far.

    `ScriptedSTT({1200: "hello", 3400: "on Thursday"})`: after 1,200 ms of audio the final text "hello". With
    `interims`, its words come one by one over the 100 ms each before. Audio goes on untouched.
    """

    def __init__(self, script: Mapping[int, str], *, interims: bool = True, delay_ms: int = 0) -> None:
        self._due: list[tuple[int, Frame]] = []
        for at_ms, text in sorted(script.items()):
            words = text.split()
            if interims:
                for count in range(1, len(words)):
                    early = at_ms - 100 * (len(words) - count)
                    self._due.append((early, InterimTranscriptionFrame(" ".join(words[:count]), at_ms=max(0, early))))
            self._due.append((at_ms + delay_ms, TranscriptionFrame(text, at_ms=at_ms)))
        self._due.sort(key=lambda due: due[0])
        self._heard_ms = 0.0

    @handles(InputAudioFrame, concurrent=True)
    def on_audio(self, frame: InputAudioFrame) -> list[Frame]:
        self._heard_ms += frame.audio.duration_ms
        frames: list[Frame] = [frame]
        while self._due and self._due[0][0] <= self._heard_ms:
            frames.append(self._due.pop(0)[1])
        return frames


class ToneTTS(Processor):
    """A voice that hums: each text becomes a tone as long as its speech would be, with the times of its words.

    As with any voice the words, joined, are the text: each has the white space in front of it.

    delay_ms: until the first audio of each text. char_ms: speech time per character (60 ms is unhurried English).
    frequency in Hz, level in dBFS; audio comes in pieces of 100 ms.
    """

    def __init__(
        self,
        *,
        delay_ms: int = 0,
        char_ms: int = 60,
        frequency: float = 440.0,
        level_dbfs: float = -20.0,
        format: AudioFormat = PCM_16K,
    ) -> None:
        self._delay_ms = delay_ms
        self._char_ms = char_ms
        self._frequency = frequency
        self._amplitude = 32767 * 10 ** (level_dbfs / 20) * math.sqrt(2)
        self._format = format
        self.produces = (format,)

    @handles(TextFrame)
    async def on_text(self, frame: TextFrame) -> None:
        if self._delay_ms:
            await asyncio.sleep(self._delay_ms / 1000)
        words = self._words(frame.text)
        total_ms = len(frame.text) * self._char_ms
        for start in range(0, total_ms, 100):
            length = min(100, total_ms - start)
            inside = tuple(
                Word(w.text, w.start_ms - start, w.end_ms - start) for w in words if start <= w.start_ms < start + 100
            )
            audio = Audio(self._tone(start, length), self._format)
            self.push(OutputAudioFrame(audio, frame.reply, inside, at_ms=frame.at_ms))
            await self.drain()

    def _words(self, text: str) -> list[Word]:
        words: list[Word] = []
        for start, end in spans(text):
            word = text[start:end]
            first = end - len(word.lstrip()) if word.strip() else start
            words.append(Word(word, first * self._char_ms, end * self._char_ms))
        return words

    def _tone(self, start_ms: int, length_ms: int) -> bytes:
        rate = self._format.rate
        step = 2 * math.pi * self._frequency / rate
        first = start_ms * rate // 1000
        samples = array.array(
            "h", (round(self._amplitude * math.sin(step * (first + n))) for n in range(length_ms * rate // 1000))
        )
        return samples.tobytes()
