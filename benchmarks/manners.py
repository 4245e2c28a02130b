"""What the manners cost for each frame, and how well music and machines are told: `python -m benchmarks.manners`.

The sounds are made up (`tests/music.py`), with seeds on which nothing was chosen.
"""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypedDict

from tests.music import MUSIC, OTHER, by_telephone, sounds
from tests.test_manners_music import held_at
from tests.test_manners_voicemail import MACHINES, PEOPLE, answers, verdict
from voiceframe.audio import PCMU_8K, AudioStream
from voiceframe.clock import run_virtual
from voiceframe.frames import InputAudioFrame
from voiceframe.g711 import ENCODERS
from voiceframe.processors import EnergyVAD, Manners, Turns, TurnSettings
from voiceframe.processors.manners.beep import BeepDetector
from voiceframe.processors.manners.ears import Ears
from voiceframe.testing.voices import VOICES
from voiceframe.tones import music


class Wanted(TypedDict, total=False):
    voicemail: bool
    hold: bool
    noise: bool


Kinds = dict[str, Callable[[int], bytes]]
COUNT = 20
FIRST = 100


def cost(name: str, wanted: Wanted, pcm: bytes, *, beeps: bool = False) -> None:
    """Microseconds for each frame of 20 ms of mu-law, decoding included, in the ears alone.

    Of five runs each frame counts as in the fastest: what else the machine does is no cost of the manners.
    """
    data = ENCODERS["mulaw"](pcm)
    runs = [list(_run(wanted, data, beeps)) for _ in range(5)]
    took = sorted(min(times) for times in zip(*runs, strict=True))
    print(f"  {name:<28} {sum(took) / len(took):7.1f} {took[len(took) // 2]:7.1f} {took[len(took) * 99 // 100]:7.1f}")


def _run(wanted: Wanted, data: bytes, beeps: bool) -> Iterator[float]:
    around = Manners(**wanted).around(EnergyVAD(), Turns(TurnSettings(idle_ms=0)))
    (ears,) = (proc for proc in around if isinstance(proc, Ears))
    if beeps:
        ears.beeps = BeepDetector(380, 2_100, 140, 4_000, -42.0)
    ears.on_hold = lambda what: None
    ears.on_noise = lambda noisy: None
    stream = AudioStream(PCMU_8K)
    for start in range(0, len(data) - 159, 160):
        frame = InputAudioFrame(stream.add(data[start : start + 160]), at_ms=start // 8)
        began = time.perf_counter()
        ears.on_audio(frame)
        yield (time.perf_counter() - began) * 1e6


def table(title: str, kinds: Kinds, found: Iterable[tuple[str, int | None]]) -> None:
    rows: dict[str, list[int | None]] = defaultdict(list)
    for name, at in found:
        rows[name].append(at)
    print(title)
    for name in kinds:
        times = sorted(at for at in rows[name] if at is not None)
        middle = f"{times[len(times) // 2]:6}" if times else "     -"
        print(f"  {name:<32} {len(times):3} of {len(rows[name])} {middle}")


async def verdicts(pieces: list[bytes]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for pcm in pieces:
        found[await verdict(pcm)] += 1
    return dict(found)


def main() -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}")
    pcm = by_telephone(music(20_000, "band", seed=1))
    print("cost of a frame of 20 ms, in us            mean     p50     p99")
    cost("hold", {"hold": True}, pcm)
    cost("noise", {"noise": True}, pcm)
    cost("voicemail, while it looks", {"voicemail": True}, pcm, beeps=True)
    cost("all", {"voicemail": True, "hold": True, "noise": True}, pcm, beeps=True)
    table("held (music), and after how many ms in the middle", MUSIC, _held(MUSIC))
    table("held (what is no music)", OTHER, _held(OTHER))
    print("who has answered, by sound alone")
    print("  people  ", run_virtual(verdicts(answers(PEOPLE, VOICES, beep=False))))
    print("  machines", run_virtual(verdicts(answers(MACHINES, VOICES, beep=True))))


def _held(kinds: Kinds) -> list[tuple[str, int | None]]:
    return [(name, held_at(pcm)) for name, pcm in sounds(kinds, COUNT, FIRST)]


if __name__ == "__main__":
    main()
