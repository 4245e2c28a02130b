"""What every recognizer over the network must survive, as one call: for ours, and for those of others.

    def make(place: Place, key: str, settings: STTSettings) -> CloudSTT:
        return AcmeSTT(place=place, api_key=key, stt=settings)

    @pytest.mark.real_time
    async def test_conforms() -> None:
        (await check_stt(make, FakeAcme)).assert_passed()

A conversation of two stretches of speech is held undisturbed, and then again and again: cut, closed, half-open and
garbled at each boundary between two messages, and refused at first. The words must be those of the undisturbed one,
none missing and none twice; each stretch has one transcription; what was wrong is told by typed errors, each with a
fix; and neither a socket nor a task is left.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..audio import PCMU_8K, Audio
from ..errors import ProviderError
from ..frames import (
    InputAudioFrame,
    STTTurnEndedFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ..processors.stt.base import STTSettings
from ..processors.stt.cloud import CloudSTT
from ..provider import Place
from .leaks import leftovers
from .providers.hearing import FakeRecognizer, sound
from .providers.server import Fault
from .run import rig
from .slowness import slowness

__all__ = ["Conformance", "Conversation", "Made", "check_stt", "converse", "listen"]

Made = Callable[[Place, str, STTSettings], CloudSTT]

_TEXTS = ("one two three four", "five six")
_PIECE_MS = 40
#: How often is looked, every 10 ms, whether what was to be given back is.
_LONG = 500
_SILENCE = b"\xff"


@dataclass
class Conversation:
    """What was heard in one conversation, and what went wrong."""

    case: str
    texts: list[str] = field(default_factory=list)  # of the stretches of speech
    turns: list[str] = field(default_factory=list)  # of the vendor's turns, if it has such
    lost: list[str] = field(default_factory=list)  # codes of `provider.lost`
    errors: list[Exception] = field(default_factory=list)
    passed: list[int] = field(default_factory=list)  # messages on each connection
    left: list[str] = field(default_factory=list)  # tasks and sockets that are left

    @property
    def said(self) -> list[str]:
        """All words, in order."""
        return " ".join(self.texts).split()


@dataclass
class Conformance:
    """What came of it: `failures` has one sentence for each case that is not as it should be."""

    conversations: list[Conversation] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def assert_passed(self) -> None:
        """Raises `AssertionError` with all failures."""
        if self.failures:
            raise AssertionError(
                f"{len(self.failures)} of {len(self.conversations)} cases:\n" + "\n".join(self.failures)
            )


async def converse(
    make: Made,
    fake: Callable[[], FakeRecognizer],
    *,
    faults: Iterable[Fault] = (),
    case: str = "undisturbed",
    settings: STTSettings | None = None,
    key: str | None = None,
) -> Conversation:
    """One conversation, with these faults on the first connections."""
    found = Conversation(case)
    faults = list(faults)
    async with fake() as server:
        server.faults.extend(faults)
        settings = settings or _settings()
        stt = make(Place(server.url), server.key if key is None else key, settings)
        async with rig(stt) as call:
            line = _Line(call.push)
            for text in _TEXTS:
                await line.speaks(sound(text))
                await line.says_nothing(120)
            until_s = asyncio.get_running_loop().time() + settings.result_ms / 1000 + 1
            while asyncio.get_running_loop().time() < until_s:
                found.texts = [frame.text for frame in call.result.down if isinstance(frame, TranscriptionFrame)]
                found.turns = [frame.text for frame in call.result.down if isinstance(frame, STTTurnEndedFrame)]
                turns_over = len(" ".join(found.turns).split()) >= len(" ".join(_TEXTS).split())
                if len(found.texts) == len(_TEXTS) and (turns_over or not stt.hears_turns):
                    break
                if stt.fed == "always":
                    await line.says_nothing(_PIECE_MS)
                await asyncio.sleep(_PIECE_MS / 2_000)
            await call.ends()
            found.lost = [str(event.data["code"]) for event in call.events("provider.lost")]
            found.errors = list(call.result.errors)
        found.passed = [socket.passed for socket in server.sockets]
        hung = sum(fault.hang_after is not None for fault in faults)  # they do not notice that they are closed
        for _ in range(_LONG):
            if server.connections <= hung:
                break
            await asyncio.sleep(0.01)
        else:
            found.left.append(f"{server.connections} connections")
    return found


def _settings() -> STTSettings:
    """Bounds that are short, but not for this machine."""
    by = slowness()
    return STTSettings(
        silent_ms=round(600 * by),
        ping_ms=round(500 * by),
        result_ms=round(4_000 * by),
        connect_ms=round(5_000 * by),
        warm_ms=round(2_000 * by),
        replay_ms=30_000,  # the line goes on, and faster than real time, until a half-open connection is noticed
        lead_ms=0,
    )


class _Line:
    """A caller on a telephone line, whose time goes faster than ours."""

    def __init__(self, push: Callable[..., None], *, piece_s: float = 0.001) -> None:
        self._push = push
        self._piece_s = piece_s
        self._at_ms = 0

    async def speaks(self, audio: bytes) -> None:
        self._push(VADUserStartedSpeakingFrame(began_ms=self._at_ms, at_ms=self._at_ms))
        await self._audio(audio)
        self._push(VADUserStoppedSpeakingFrame(ended_ms=self._at_ms, at_ms=self._at_ms))

    async def says_nothing(self, for_ms: int) -> None:
        await self._audio(_SILENCE * (8 * for_ms))

    async def _audio(self, audio: bytes) -> None:
        step = 8 * _PIECE_MS
        for at in range(0, len(audio), step):
            piece = Audio(audio[at : at + step], PCMU_8K)
            self._at_ms += round(piece.duration_ms)
            self._push(InputAudioFrame(piece, at_ms=self._at_ms))
            await asyncio.sleep(self._piece_s)


async def listen(stt: CloudSTT, text: str, *, seed: int = 0) -> str:
    """What a recognizer understands when a synthetic voice says this on a telephone line, at the speed of speech.

    For the real service: with the key of the environment, and espeak-ng.
    """
    from .voices import pick, speech, telephone

    rng = random.Random(seed)
    async with rig(stt) as call:
        line = _Line(call.push, piece_s=_PIECE_MS / 1000)
        await line.says_nothing(400)
        await line.speaks(telephone(speech(text, pick(rng))))
        for _ in range(200):
            found = [frame.text for frame in call.result.down if isinstance(frame, TranscriptionFrame)]
            if found:
                break
            await line.says_nothing(_PIECE_MS)
        await call.ends()
        if call.result.errors:
            raise call.result.errors[0]
        return " ".join(frame.text for frame in call.result.down if isinstance(frame, TranscriptionFrame))


async def check_stt(make: Made, fake: Callable[[], FakeRecognizer], *, every: int = 1, at_once: int = 8) -> Conformance:
    """Hold the conversation in all ways.

    make: makes the recognizer for a place, a key and settings. fake: makes the local server.
    every: try only each so many-th boundary. at_once: conversations that are held at the same time.
    """
    found = Conformance()
    before = frozenset(asyncio.all_tasks())
    right = await converse(make, fake)
    found.conversations.append(right)
    _judge(found, right, right)
    if found.failures:
        return found
    most = max(right.passed)
    cases: list[tuple[str, list[Fault]]] = []
    for n in range(0, most + 1, every):
        cases += [
            (f"cut after {n}", [Fault(cut_after=n)]),
            (f"closed after {n}", [Fault(close_after=n)]),
            (f"half-open after {n}", [Fault(hang_after=n)]),
            (f"garbled after {n}", [Fault(garble_after=n)]),
        ]
    cases += [
        ("refused with 429", [Fault(status=429, retry_after_ms=60)]),
        ("refused with 503", [Fault(status=503)]),
        ("refused thrice", [Fault(status=503)] * 3),
        ("cut twice", [Fault(cut_after=most // 2), Fault(cut_after=most // 4)]),
    ]
    limit = asyncio.Semaphore(at_once)
    settings = _settings()

    async def hold(case: str, faults: list[Fault]) -> Conversation:
        async with limit:
            return await converse(make, fake, faults=faults, case=case, settings=settings)

    held = await asyncio.gather(*(hold(case, faults) for case, faults in cases))
    for conversation in held:
        found.conversations.append(conversation)
        _judge(found, conversation, right)
    wrong = await converse(make, fake, case="wrong key", key="wrong", settings=_settings())
    found.conversations.append(wrong)
    if wrong.lost != ["provider.auth"] or [_code(error) for error in wrong.errors] != ["provider.auth"]:
        found.failures.append(f"wrong key: it must be told once, and not tried again: {wrong.lost}, {wrong.errors}")
    loop = asyncio.get_running_loop()
    for _ in range(_LONG):
        if not leftovers(loop, before):
            break
        await asyncio.sleep(0.01)
    found.failures += [f"left: {task}" for task in leftovers(loop, before)]
    return found


def _judge(found: Conformance, held: Conversation, right: Conversation) -> None:
    words = " ".join(_TEXTS).split()
    wrong: list[str] = []
    if held.said != words:
        wrong.append(f"heard {held.texts}")
    if len(held.texts) != len(_TEXTS):
        wrong.append(f"{len(held.texts)} transcriptions for {len(_TEXTS)} stretches of speech")
    if right.turns and " ".join(held.turns).split() != words:
        wrong.append(f"turns {held.turns}")
    if unknown := [code for code in held.lost if code not in ProviderError.codes]:
        wrong.append(f"lost by {unknown}, which is in no catalogue")
    if bad := [error for error in held.errors if not (isinstance(error, ProviderError) and error.fix)]:
        wrong.append(f"errors without a type: {bad}")
    if held.left:
        wrong.append(f"left: {held.left}")
    if wrong:
        found.failures.append(f"{held.case}: {'; '.join(wrong)} (lost: {held.lost})")


def _code(error: Exception) -> str:
    return getattr(error, "code", type(error).__name__)
