"""Silero VAD: a small recurrent network that tells speech from noise (github.com/snakers4/silero-vad, MIT)."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...errors import MissingExtra
from ...extras import optional
from ...models import SILERO, find
from .base import VAD, VADSettings, Window
from .batch import FOLLOW, JUDGE, SKIP, Batcher, Stream, batcher
from .noise import NoiseFloor

if TYPE_CHECKING:
    from .batch import Floats

__all__ = ["SileroVAD"]

#: So many windows under the gate are still shown to the model. Its memory then holds silence, and is kept as it is
#: until there is sound again. With none it would hold speech, and take the next click for more of it; begun anew each
#: time, it would hear words 25 ms later (both measured).
_HANGOVER: Final = 6
#: So many windows of noise are judged after something louder that was no speech; after speech as many as above. More
#: of them cost more, and make words no surer (measured).
_AFTER: Final = 2
#: So many windows of noise wait for what comes after them, and are judged before it if that is more than noise: a word
#: may begin with a sound that is no louder, and the model expects what came just before. With one, words are told
#: a window later now and then; with four as with two (measured).
_BEFORE: Final = 2
#: So much of the line must be known before anything is taken for its noise, in blocks of 300 ms.
_KNOWN: Final = 4
#: Nothing louder is ever taken for the noise of the line: it is as loud as somebody who speaks softly.
_LOUDEST: Final = 32768.0 * 10 ** (-35 / 20)


class SileroVAD(VAD):
    """Voice activity by the Silero model, run by onnxruntime: one model and one batch for all calls of the process.

    Windows of 32 ms are judged on a tick of 10 ms. A window that cannot be speech is none and costs nothing:

    - one under `gate_dbfs`, but for six of them after sound;
    - between stretches of speech, one that is less than `noise_gate_db` above the noise of the line, which is learned
      from its quietest moments (`NoiseFloor`); never one over -35 dBFS. Two windows before and after a louder one are
      judged with it, so that a word keeps its soft beginning, and six after speech. While it lasts all are judged.

    What becomes of a window depends on those before it alone, not on when they were judged.

    Raises `MissingExtra` if onnxruntime is not installed, or if the model is on no place of this machine: it comes with
    the extra `vad`, or by `voiceframe models fetch` where that has no package for the platform.
    """

    window_ms = 32
    context_ms = 4

    def __init__(self, settings: VADSettings | None = None) -> None:
        super().__init__(settings)
        if importlib.util.find_spec("onnxruntime") is None:
            raise MissingExtra.of("extra.missing", what="SileroVAD", package="onnxruntime", extra="vad")
        self._path = find(SILERO)
        self._batcher: Batcher | None = None
        self._stream: Stream | None = None
        self._quiet = _HANGOVER
        self._after = _AFTER
        self._noise = NoiseFloor(self.window_ms)
        self._margin = _over(self.settings.noise_gate_db)
        # Lists, as an empty deque takes as much memory as ten of these, and there are hardly ever more than two.
        self._held: list[Window] = []  # of noise, which wait for what comes after them
        self._undecided: list[Window] = []  # which wait for the verdicts on those before them
        self._deciding = False

    async def setup(self) -> None:
        model = _loaded.get(self._path)
        if model is None:
            model = await self.offload(load, self._path)
        self._batcher = batcher(model, asyncio.get_running_loop())

    def begin(self, rate: int) -> None:
        assert self._batcher is not None  # setup() comes before the first frame
        if self._stream is not None:
            self.finish()
            self._batcher.leave(self._stream)
        self._stream = self._batcher.join(rate, self._judged, self.fail)
        self._quiet = _HANGOVER

    def hear(self, window: Window) -> None:
        self._undecided.append(window)
        self._decide_all()

    def _judged(self, window: Window, probability: float) -> None:
        self.judge(window, probability)
        if self._undecided and not self._deciding:
            self._decide_all()

    def _decide_all(self) -> None:
        """Decide on each window when all before it are judged: they may have been speech."""
        stream, undecided = self._stream, self._undecided
        assert stream is not None
        self._deciding = True
        try:
            while undecided and not stream.waiting:
                self._decide(undecided.pop(0))
        finally:
            self._deciding = False

    def _decide(self, window: Window) -> None:
        rms = window.rms
        speaking = self._activity.speaking
        self._noise.add(rms, speech=speaking)
        if rms < self._gate_rms:
            self._quiet += 1
            self._release(SKIP)
            self._add(window, FOLLOW if self._quiet <= _HANGOVER else SKIP)
        elif not speaking and self._margin and rms < self._noise_gate():
            self._quiet += 1
            if self._quiet <= self._after:
                self._add(window, JUDGE)
                return
            self._held.append(window)
            if len(self._held) > _BEFORE:
                self._add(self._held.pop(0), SKIP)
        else:
            if speaking:
                self._after = _HANGOVER
            elif self._quiet > self._after:
                self._after = _AFTER
            self._quiet = 0
            self._release(JUDGE)
            self._add(window, JUDGE)

    def _noise_gate(self) -> float:
        """The level up to which a window is noise."""
        noise = self._noise
        return min(noise.rms * self._margin, _LOUDEST) if noise.blocks >= _KNOWN else 0.0

    def _release(self, wish: int) -> None:
        held = self._held
        while held:
            self._add(held.pop(0), wish)

    def _add(self, window: Window, wish: int) -> None:
        assert self._batcher is not None
        assert self._stream is not None
        self._batcher.add(self._stream, window, wish)

    def configure(self) -> None:
        self._margin = _over(self.settings.noise_gate_db)

    def finish(self) -> None:
        if self._batcher is not None and self._stream is not None:
            self._batcher.finish(self._stream)
            self._release(SKIP)

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._batcher is not None and self._stream is not None:
            self._batcher.leave(self._stream)
            self._stream = None


def _over(db: float) -> float:
    """The factor that a level is raised by; 0 for none."""
    return 10 ** (db / 20) if db else 0.0


#: Named, or the session would look them up in each run.
_OUTPUTS: Final = ["output", "stateN"]


class _Model:
    """The network, for windows of many calls at once."""

    def __init__(self, path: Path) -> None:
        runtime: Any = optional("onnxruntime", extra="vad", what="SileroVAD")
        import numpy as np

        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._rates = {rate: np.array(rate, np.int64) for rate in (8_000, 16_000)}

    def __call__(self, rate: int, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        found, after = self._session.run(_OUTPUTS, {"input": windows, "state": states, "sr": self._rates[rate]})
        return found, after


_loaded: dict[Path, _Model] = {}
_loading = threading.Lock()


def load(path: Path) -> _Model:
    """The model at `path`, once in this process. It takes a tenth of a second."""
    with _loading:
        model = _loaded.get(path)
        if model is None:
            model = _loaded[path] = _Model(path)
        return model
