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

if TYPE_CHECKING:
    from .batch import Floats

__all__ = ["SileroVAD"]

#: So many windows under the gate are still shown to the model. Its memory then holds silence, and is kept as it is
#: until there is sound again. With none it would hold speech, and take the next click for more of it; begun anew each
#: time, it would hear words 25 ms later (both measured).
_HANGOVER: Final = 6


class SileroVAD(VAD):
    """Voice activity by the Silero model, run by onnxruntime: one model and one batch for all calls of the process.

    Windows of 32 ms are judged on a tick of 10 ms. A window under `gate_dbfs` is no speech and costs nothing, but for
    six of them after sound.

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

    async def setup(self) -> None:
        model = _loaded.get(self._path)
        if model is None:
            model = await self.offload(load, self._path)
        self._batcher = batcher(model, asyncio.get_running_loop())

    def begin(self, rate: int) -> None:
        assert self._batcher is not None  # setup() comes before the first frame
        if self._stream is not None:
            self._batcher.finish(self._stream)
            self._batcher.leave(self._stream)
        self._stream = self._batcher.join(rate, self.judge, self.fail)
        self._quiet = _HANGOVER

    def hear(self, window: Window) -> None:
        assert self._batcher is not None
        assert self._stream is not None
        if window.rms >= self._gate_rms:
            self._quiet = 0
            wish = JUDGE
        else:
            self._quiet += 1
            wish = FOLLOW if self._quiet <= _HANGOVER else SKIP
        self._batcher.add(self._stream, window, wish)

    def finish(self) -> None:
        if self._batcher is not None and self._stream is not None:
            self._batcher.finish(self._stream)

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._batcher is not None and self._stream is not None:
            self._batcher.leave(self._stream)
            self._stream = None


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
        found, after = self._session.run(None, {"input": windows, "state": states, "sr": self._rates[rate]})
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
