"""When the bot was to be heard, found in the recording of the caller's end: transcripts have no say in it.

    starts, stretches = find_starts(caller, mouth)
    stops = find_stops(caller, barged, stretches)

The samples that the voice has made are found there again, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..frames import OutputAudioFrame, TextFrame, Word
from ..processor import Observer, observes
from ..testing import AudioCaller
from ..transports.fades import FADE_MS
from ..transports.loopback import TICK_MS

Samples = NDArray[np.int16]

#: A sample over this can be heard: the level that `AudioCaller.bot_spoke` goes by.
FLOOR = 32768 * 10 ** (-50 / 20)
#: By how much the record may be wrong about the start of a reply.
AGREE_MS = 20
#: How much of a reply is looked for in the recording, in ms. The shorter one is for those that were soon cut.
LOOKS_MS = (40, 10)


@dataclass
class Starts:
    """The replies of a call that the record says to have sounded, by what the recording has of them.

    off_ms: for each that was found, from the record's start of it to its first sample that can be heard.
    cut: over, by the record, before a sample of it that can be heard was due. soundless: without any such sample.
    lost: those that should be there and are not. stray_ms: what is to be heard of the bot and belongs to no reply.
    """

    off_ms: list[float] = field(default_factory=list)
    cut: int = 0
    soundless: int = 0
    lost: list[int] = field(default_factory=list)
    stray_ms: float = 0.0

    @property
    def count(self) -> int:
        return len(self.off_ms) + self.cut + self.soundless + len(self.lost)

    @property
    def agree(self) -> bool:
        """Whether the record is right about every reply, and knows of all that was to be heard."""
        return not self.lost and not self.stray_ms and all(abs(off_ms) <= AGREE_MS for off_ms in self.off_ms)


@dataclass
class Stops:
    """The caller's barge-ins. after_ms: for each that silenced the bot, how long the bot was still to be heard.

    late: the bot had come to its own end, or was silent already. missed: it spoke on.
    """

    after_ms: list[float] = field(default_factory=list)
    late: int = 0
    missed: int = 0


class Mouth(Observer):
    """Keeps the samples that the voice has made for each reply, its words, and the text that it was given."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pieces: dict[int, list[bytes]] = {}
        self._words: dict[int, list[Word]] = {}
        self._texts: dict[int, str] = {}

    @observes(TextFrame)
    def on_text(self, frame: TextFrame) -> None:
        self._texts[frame.reply] = self._texts.get(frame.reply, "") + frame.text

    @observes(OutputAudioFrame)
    def on_audio(self, frame: OutputAudioFrame) -> None:
        pieces = self._pieces.setdefault(frame.reply, [])
        if frame.words:
            before_ms = sum(map(len, pieces)) * 500 // self._rate
            self._words.setdefault(frame.reply, []).extend(
                Word(word.text, before_ms + word.start_ms, before_ms + word.end_ms) for word in frame.words
            )
        pieces.append(frame.audio.pcm(self._rate))

    def sound(self, reply: int) -> Samples:
        return np.frombuffer(b"".join(self._pieces.get(reply, ())), "<i2")

    def words(self, reply: int) -> list[Word]:
        """The words of that sound, placed in ms from its beginning."""
        return self._words.get(reply, [])

    def text(self, reply: int) -> str:
        """All that was to be said."""
        return self._texts.get(reply, "")


@dataclass(frozen=True)
class Stretch:
    """Where samples of a reply are in the recording: from `first`, which can be heard, to behind `last`.

    whole: with them the sound has come to its own end. at: which sample of the sound `first` is. reply: whose it is.
    """

    first: int
    last: int
    whole: bool
    at: int = field(default=0, compare=False)
    reply: int = field(default=0, compare=False)


def trace(sound: Samples, heard: Samples, begin: int, end: int, rate: int) -> list[Stretch]:
    """Where `sound` is to be heard between two samples of the recording, each sample the same; [] if it is not.

    There are several stretches if it was held and went on.
    """
    found: list[Stretch] = []
    fade = rate * FADE_MS // 1000
    heard = heard[:end]
    data = heard.tobytes()
    audible = _audible(sound)
    at = 0
    while len(audible := audible[audible >= at]):
        first = int(audible[0])
        place = -1
        for look_ms in LOOKS_MS:
            place = _find(data, sound[first : first + rate * look_ms // 1000], begin)
            # It goes on out of silence. If there is something in between, these are the same words of another reply.
            if place >= 0 and found and len(_audible(heard[begin : max(begin, place - (first - at) - fade)])):
                place = -1
            if place >= 0:
                break
        if place < 0:
            break
        size = min(len(sound) - first, len(heard) - place)
        other = np.flatnonzero(sound[first : first + size] != heard[place : place + size])
        same = int(other[0]) if len(other) else size
        found.append(Stretch(place, place + same, first + same > int(audible[-1]), first))
        # A hold fades out over the samples with which it then goes on, faded in.
        at, begin = first + same + fade, place + same + fade
    return found


def _find(data: bytes, wanted: Samples, begin: int) -> int:
    """The first place of these samples from sample `begin` on, or -1."""
    look = wanted.tobytes()
    at = data.find(look, 2 * begin)
    while at >= 0 and at % 2:
        at = data.find(look, at + 1)
    return at // 2 if at >= 0 else -1


def _audible(samples: Samples) -> NDArray[np.intp]:
    """Which of them can be heard."""
    return np.flatnonzero(np.abs(samples.astype(np.int32)) > FLOOR)


def recording_began_ms(caller: AudioCaller) -> int:
    """When the first sample of the recording was, in the call's time; below 0 if the line is older than the call."""
    began_ms = caller.transport.began_ms
    return 0 if began_ms == -1 else began_ms  # -1 is "not yet"


def find_starts(caller: AudioCaller, mouth: Mouth) -> tuple[Starts, list[Stretch]]:
    """The replies of a call, looked for in its recording one behind the other, and all of their stretches.

    The record says which there were, in which order, and until when each may be sought. Not where it begins.
    """
    heard: Samples = np.frombuffer(caller.received, "<i2")
    rate = caller.format.rate
    # In the call's time, as it was sent: the recording is of the other end of the line.
    began_ms = recording_began_ms(caller)
    sent_ms = began_ms - caller.transport.conditions.network_ms
    over_ms = {event.data["reply"]: event.at_ms for event in caller.record.of("reply.heard")}
    result = Starts()
    stretches: list[Stretch] = []
    held = False  # whether the last of them is one of several of its reply
    begin = 0
    for event in caller.record.of("reply.speaking"):
        reply = event.data["reply"]
        sound, end = mouth.sound(reply), len(heard)
        if reply in over_ms:  # the piece that was being sent then is the last
            tick_ms = (over_ms[reply] - began_ms) // TICK_MS * TICK_MS + TICK_MS + began_ms
            end = min(end, (tick_ms - sent_ms) * rate // 1000)
        found = trace(sound, heard, begin, end, rate)
        if not found and held:
            # The one before was held and cut, and this one begins with the words with which that would have gone on.
            found = trace(sound, heard, stretches[-2].last, end, rate)
            if found:
                stretches.pop()
        audible = _audible(sound)
        if found:
            result.off_ms.append(found[0].first * 1000 / rate + sent_ms - event.at_ms)
            begin = found[-1].last
            stretches += [replace(stretch, reply=reply) for stretch in found]
            held = len(found) > 1
        elif not len(audible):
            result.soundless += 1
        elif (event.at_ms - sent_ms + TICK_MS + LOOKS_MS[-1]) * rate // 1000 + int(audible[0]) > end:
            result.cut += 1
        else:
            result.lost.append(reply)
    fade = rate * FADE_MS // 1000
    claimed = np.zeros(len(heard), np.bool_)
    for stretch in stretches:
        claimed[max(0, stretch.first - fade) : stretch.last + fade] = True
    result.stray_ms = float(np.count_nonzero(~claimed[_audible(heard)])) * 1000 / rate
    return result, stretches


def find_stops(caller: AudioCaller, barged: list[float], stretches: list[Stretch]) -> Stops:
    """For each barge-in, how long the bot was still to be heard, without the way over the network and back."""
    heard: Samples = np.frombuffer(caller.received, "<i2")
    rate = caller.format.rate
    result = Stops()
    for began_ms in barged:
        began = round((began_ms - recording_began_ms(caller)) * rate / 1000)
        stretch = next((stretch for stretch in stretches if stretch.first <= began < stretch.last), None)
        if stretch is None:
            result.late += 1
            continue
        # The fade belongs to it: those are the last samples of the bot's.
        rest = heard[began : stretch.last + rate * FADE_MS // 1000]
        loud = _audible(rest)
        after_ms = (int(loud[-1]) + 1) * 1000 / rate - 2 * caller.transport.conditions.network_ms if len(loud) else 0.0
        if not stretch.whole and after_ms > 0:
            result.after_ms.append(after_ms)
        elif stretch.whole and after_ms > 1_000:
            result.missed += 1
        else:
            result.late += 1
    return result
