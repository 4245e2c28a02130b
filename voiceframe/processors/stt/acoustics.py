"""The acoustic model of PocketSphinx, and what it is on a telephone line.

The model that comes with the package (`en-us`, BSD licence) is made for 16 kHz and looks at 25 bands from 130 to
6,800 Hz. A telephone line ends at 3,400 Hz. To upsample it and leave the upper bands empty spoils all cepstral
coefficients, as each of them depends on each band (58 % of sentences right, `benchmarks/stt.py`). So the model itself
is brought down to 8 kHz, by arithmetic, without training: each of its normal distributions of 13 cepstra is one of 25
log energies, of which the first 18 (130 to 3,446 Hz) are kept and make 13 cepstra again. With C the cosine transform
and L the lifter, for n bands: mean' = M mean, variance' = M^2 variance + v L^2, M = L C_18 (C_25^-1 L^-1)[:18].

v stands for the detail in 18 bands that 13 of 25 coefficients had smoothed away; without it the model is far too sure
of the high coefficients. 0.5 was the best of 0, 0.05, 0.2, 0.5, 1 and 2 (72 % of the same sentences right).
"""

from __future__ import annotations

import atexit
import math
import shutil
import struct
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any, Final

from ...extras import optional

__all__ = ["PHONES", "configuration", "model_path", "package"]

#: The phones of the model: ARPAbet without stress.
PHONES: Final = frozenset(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()  # noqa: SIM905
)
_BANDS, _KEPT, _CEPSTRA = 25, 18, 13
_LOW_HZ, _HIGH_HZ = 130.0, 6_800.0
_LIFTER = 22
_DETAIL = 0.5

_lock = threading.Lock()


def package() -> Any:
    """The module `pocketsphinx`. Raises `MissingExtra`."""
    return optional("pocketsphinx", extra="local", what="PocketSphinxSTT")


def model_path() -> Path:
    """Where the model and the dictionary are."""
    return Path(package().get_model_path()) / "en-us"


def configuration(rate: int) -> dict[str, Any]:
    """What a decoder for audio of 8,000 or 16,000 Hz is configured with."""
    folder = model_path() / "en-us"
    found: dict[str, Any] = {"hmm": str(folder), "lm": None, "loglevel": "FATAL"}
    if rate == 8_000:
        with _lock:
            files = _narrow()
        found |= {
            "mean": str(files / "means"),
            "var": str(files / "variances"),
            "featparams": str(files / "feat.params"),
            "samprate": 8_000.0,
            "nfft": 256,
        }
    return found


@cache
def scratch() -> Path:
    """A folder of this process for files that PocketSphinx reads; removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="voiceframe-stt-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _narrow() -> Path:
    import numpy as np

    source, target = model_path() / "en-us", scratch()
    transform, lifter = _cosine(_BANDS), 1 + _LIFTER / 2 * np.sin(np.arange(_CEPSTRA) * np.pi / _LIFTER)
    matrix = (lifter[:, None] * _cosine(_KEPT)) @ (transform.T[:_KEPT] / lifter)
    means = _read(source / "means")
    _write(target / "means", [stream @ matrix.T for stream in means])
    variances = _read(source / "variances")
    _write(target / "variances", [stream @ (matrix**2).T + _DETAIL * lifter**2 for stream in variances])
    # The edges of the bands lie evenly on the mel scale.
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (_LOW_HZ, _HIGH_HZ))
    edge = 700 * (10 ** ((low + (high - low) * (_KEPT + 1) / (_BANDS + 1)) / 2595) - 1)
    (target / "feat.params").write_text(
        f"-lowerf {_LOW_HZ}\n-upperf {edge:.3f}\n-nfilt {_KEPT}\n-samprate 8000\n-nfft 256\n-transform dct\n"
        f"-lifter {_LIFTER}\n-feat 1s_c_d_dd\n-svspec 0-12/13-25/26-38\n-agc none\n-cmn batch\n-varnorm no\n"
        "-model ptm\n-remove_noise yes\n"
    )
    return target


def _cosine(bands: int) -> Any:
    import numpy as np

    order, band = np.arange(_CEPSTRA)[:, None], np.arange(bands)
    scale = np.where(order == 0, np.sqrt(1 / bands), np.sqrt(2 / bands))
    return scale * np.cos(np.pi * order * (band + 0.5) / bands)


def _read(path: Path) -> list[Any]:
    """Means or variances: an array (codebook, density, value) for each stream of features."""
    import numpy as np

    data = path.read_bytes()
    place = data.index(b"endhdr\n") + 11  # behind the mark of the byte order
    books, streams, densities = struct.unpack_from("<3i", data, place)
    sizes = struct.unpack_from(f"<{streams}i", data, place + 12)
    place += 16 + 4 * streams
    values = np.frombuffer(data, "<f4", books * densities * sum(sizes), place).reshape(books, -1)
    ends = np.cumsum([densities * size for size in sizes])
    parts = np.split(values, ends[:-1], axis=1)
    return [part.reshape(books, densities, size) for part, size in zip(parts, sizes, strict=True)]


def _write(path: Path, streams: list[Any]) -> None:
    import numpy as np

    books, densities = streams[0].shape[:2]
    sizes = [stream.shape[2] for stream in streams]
    values = np.concatenate([stream.reshape(books, -1) for stream in streams], axis=1).astype("<f4")
    head = struct.pack(f"<I3i{len(sizes)}ii", 0x11223344, books, len(sizes), densities, *sizes, values.size)
    path.write_bytes(b"s3\nversion 1.0\nendhdr\n" + head + values.tobytes())
