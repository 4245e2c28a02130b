"""Windows of all calls of a process, judged together: one run of the model costs little more for many than for one."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ...clock import ticker
from .base import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float32]
    Model: TypeAlias = Callable[[int, Floats, Floats], tuple[Floats, Floats]]

__all__ = ["Batcher", "Stream", "batcher"]

#: How many windows are judged in one run. Twice as many are hardly cheaper, and would hold the loop twice as long.
MOST: Final = 32
_PERIOD_MS: Final = 10
#: The state of a stream: two vectors of 128.
_WIDTH: Final = 128


class Stream:
    """The windows of one call, in order, and the place of its state."""

    __slots__ = ("fail", "judge", "left", "queued", "rate", "slot", "waiting")

    def __init__(
        self, rate: int, slot: int, judge: Callable[[Window, float], None], fail: Callable[[Exception], None]
    ) -> None:
        self.rate = rate
        self.slot = slot
        self.judge = judge
        self.fail = fail
        #: Windows, and what is wanted of each: to skip it, to run it for its effect on the state, to run and judge it.
        self.waiting: deque[tuple[Window, int]] = deque()
        self.queued = False
        self.left = False


#: What is wanted of a window. One that is skipped or run for the state is judged as no speech.
SKIP: Final = 0
FOLLOW: Final = 1
JUDGE: Final = 2


class Batcher:
    """Runs the model for all streams of an event loop, on a tick of 10 ms that is armed while windows wait.

    A run takes at most 32 windows, one of each stream and all of one rate; between two runs the loop is let go. The
    result for a window does not depend on what it shares a run with. What fails for one stream is told to that one.

    model: called with the rate, windows [n, samples] (32-bit floats from -1 to 1) and states [2, n, 128], it returns
        the probabilities [n, 1] and the new states.
    """

    def __init__(self, model: Model) -> None:
        import numpy as np

        self._np: Any = np
        self._frombuffer: Any = np.frombuffer
        self._scale = np.float32(1 / 32768)
        self._model = model
        self._state: Floats = np.zeros((2, 16, _WIDTH), np.float32)
        self._free = list(range(15, -1, -1))
        self._due: list[Stream] = []
        self._work: dict[int, deque[Stream]] = {8_000: deque(), 16_000: deque()}
        self._disarm: Callable[[], None] | None = None
        self._busy: asyncio.Handle | None = None

    def join(self, rate: int, judge: Callable[[Window, float], None], fail: Callable[[Exception], None]) -> Stream:
        """A new stream with a fresh state. `judge` is called with each window and its probability, in order."""
        if not self._free:
            self._grow()
        slot = self._free.pop()
        self._state[:, slot] = 0
        return Stream(rate, slot, judge, fail)

    def _grow(self) -> None:
        size = self._state.shape[1]
        self._state = self._np.concatenate((self._state, self._np.zeros_like(self._state)), axis=1)
        self._free += range(2 * size - 1, size - 1, -1)

    def leave(self, stream: Stream) -> None:
        """The stream is over: what waits of it is forgotten, its place is free."""
        if not stream.left:
            stream.left = True
            stream.waiting.clear()
            self._free.append(stream.slot)

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return int(self._state.shape[1]) - len(self._free)

    def add(self, stream: Stream, window: Window, wish: int) -> None:
        """Judge this window: at the next tick, or at once if there is nothing to do and nothing waits before it."""
        if wish == SKIP and not stream.waiting:
            stream.judge(window, 0.0)
            return
        stream.waiting.append((window, wish))
        if not stream.queued:
            stream.queued = True
            self._due.append(stream)
            if self._disarm is None:
                self._disarm = ticker(_PERIOD_MS).add(self._tick)

    def finish(self, stream: Stream) -> None:
        """Judge all that waits of this stream, now."""
        while stream.waiting:
            self.run([stream])

    def _tick(self) -> None:
        if self._disarm is not None:
            self._disarm()
            self._disarm = None
        due, self._due = self._due, []
        for stream in due:
            self._work[stream.rate].append(stream)
        if self._busy is None:
            self._round()

    def _round(self) -> None:
        """One run of the model; if there is more to do, the next one follows when others have had the loop."""
        self._busy = None
        work = max(self._work.values(), key=len)
        batch = [work.popleft() for _ in range(min(MOST, len(work)))]
        self.run(batch)
        for stream in batch:
            if stream.waiting:
                work.append(stream)
            else:
                stream.queued = False
        if any(self._work.values()):
            self._busy = asyncio.get_running_loop().call_soon(self._round)

    def run(self, batch: list[Stream]) -> None:
        """Judge the next window of each stream, and those behind it that need no run. All streams have one rate."""
        streams = [stream for stream in batch if stream.waiting]
        if not streams:
            return
        windows, wishes = zip(*[stream.waiting.popleft() for stream in streams], strict=True)
        found: list[float] = []
        try:
            found = self._evaluate(streams, windows)
        except Exception as error:
            if len(streams) == 1:
                self._state[:, streams[0].slot] = 0
                streams[0].fail(error)
                found = [0.0]
        if not found:
            self._run_each(streams, windows, wishes)
            return
        for stream, window, wish, probability in zip(streams, windows, wishes, found, strict=True):
            self._tell(stream, window, probability if wish == JUDGE else 0.0)
            while stream.waiting and stream.waiting[0][1] == SKIP:
                self._tell(stream, stream.waiting.popleft()[0], 0.0)

    def _run_each(self, streams: list[Stream], windows: tuple[Window, ...], wishes: tuple[int, ...]) -> None:
        """One of them makes a run fail. States have not changed."""
        for stream, window, wish in zip(streams, windows, wishes, strict=True):
            if not stream.left:
                stream.waiting.appendleft((window, wish))
                self.run([stream])

    def _evaluate(self, streams: list[Stream], windows: tuple[Window, ...]) -> list[float]:
        slots = [stream.slot for stream in streams]
        pcm = windows[0].pcm if len(windows) == 1 else b"".join([window.pcm for window in windows])
        samples = self._frombuffer(pcm, "<i2").reshape(len(windows), -1)
        state = self._state
        found, after = self._model(streams[0].rate, samples * self._scale, state.take(slots, axis=1))
        if len(slots) == 1:
            state[:, slots[0] : slots[0] + 1] = after  # a slice is cheaper than a list of one
        else:
            state[:, slots] = after
        probabilities: list[float] = found[:, 0].tolist()
        return probabilities

    def _tell(self, stream: Stream, window: Window, probability: float) -> None:
        if stream.left:
            return
        try:
            stream.judge(window, probability)
        except Exception as error:
            stream.fail(error)


_batchers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher] = weakref.WeakKeyDictionary()


def batcher(model: Model, loop: asyncio.AbstractEventLoop) -> Batcher:
    """The batcher of an event loop: all calls on it share it."""
    found = _batchers.get(loop)
    if found is None:
        found = _batchers[loop] = Batcher(model)
    return found
