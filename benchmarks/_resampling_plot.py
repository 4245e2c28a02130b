"""docs/resampling.svg: the response of our filters beside soxr HQ, within the limits; and what each holds back."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from ._resamplers import PIECE_MS, click, delay, response, soxr, streams

__all__ = ["available", "draw"]

_OURS: Final = "#0b6e99"
_THEIRS: Final = "#c0622f"
_LIMIT: Final = "#8a8a8a"


def draw(path: Path) -> None:
    """Needs matplotlib and soxr. The same versions of them draw the same bytes."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "voiceframe", "font.size": 9, "axes.spines.top": False})
    matplotlib.rcParams.update({"axes.spines.right": False, "path.simplify_threshold": 0.5})
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    _magnitude(axes[0, 0], 8_000, 16_000, "images kept out")
    _magnitude(axes[0, 1], 16_000, 8_000, "aliases kept out")
    _click(axes[1, 0])
    _held(axes[1, 1])
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _magnitude(axis: Any, source: int, target: int, purpose: str) -> None:
    axis.axhspan(-0.5, 0.5, 0, 3_400 / 8_000, color=_LIMIT, alpha=0.45, linewidth=0)
    axis.fill_between([4_600, 8_000], -50, 8, color=_LIMIT, alpha=0.25, linewidth=0)
    axis.text(6_300, -22, "asked for:\nat least 50 dB less\nfrom 4.6 kHz", ha="center", color="#555555")
    axis.text(200, -9, "asked for: ±0.5 dB to 3.4 kHz", color="#555555", fontsize=8)
    for name, color in (("soxr HQ", _THEIRS), ("ours", _OURS)):
        hz, db = response(name, source, target)
        axis.plot(hz, db, color=color, linewidth=1.1, label=name)
    axis.set(xlim=(0, 8_000), ylim=(-110, 8), xlabel="Hz", ylabel="dB")
    axis.set_title(f"{source // 1000} → {target // 1000} kHz: {purpose}")
    axis.legend(loc="lower left", frameon=False)
    zoom = axis.inset_axes((0.1, 0.3, 0.36, 0.3))
    zoom.axhspan(-0.5, 0.5, 0, 3_400 / 4_000, color=_LIMIT, alpha=0.35, linewidth=0)
    for name, color in (("soxr HQ", _THEIRS), ("ours", _OURS)):
        hz, db = response(name, source, target)
        zoom.plot(hz, db, color=color, linewidth=1)
    zoom.set(xlim=(0, 4_000), ylim=(-1, 1))
    zoom.tick_params(labelsize=7)


def _click(axis: Any) -> None:
    source, target = 8_000, 16_000
    out, _, at = click(streams(source, target)["ours"], source)
    samples = np.frombuffer(out, "<i2").astype(float) / 30_000
    times = 1000 * (np.arange(len(samples)) / target - at / source)
    near = (times > -0.5) & (times < 4)
    axis.plot(times[near], samples[near], ".-", color=_OURS, linewidth=1, markersize=4, label="ours: a click")
    step = np.cumsum(samples) * source / target
    axis.plot(times[near], step[near], "--", color=_OURS, linewidth=1, label="ours: a step")
    axis.axvline(2, color=_LIMIT, linewidth=1)
    axis.text(2.05, 0.5, "asked for: at most 2 ms", color="#555555")
    axis.set(xlim=(-0.5, 4), xlabel="ms after the click, or the step, went in", ylabel="amplitude")
    axis.set_title("8 → 16 kHz: a click comes 1.5 ms later, the same on both sides")
    axis.legend(loc="upper left", frameon=False)


def _held(axis: Any) -> None:
    for name, color in (("soxr HQ", _THEIRS), ("ours", _OURS)):
        found = delay(streams(8_000, 16_000)[name], 8_000, 16_000)
        held = [h + found.signal_ms for h in found.held_ms[:40]]
        axis.step([PIECE_MS * n for n in range(len(held))], held, where="post", color=color, linewidth=1.2, label=name)
    axis.axhline(2, color=_LIMIT, linewidth=1)
    axis.text(795, 4, "asked for: at most 2 ms", ha="right", color="#555555")
    axis.set(xlim=(0, 800), ylim=(0, 130), xlabel="ms, a packet every 20 ms", ylabel="ms")
    axis.set_title("8 → 16 kHz, a stream: how much has not come out yet")
    axis.legend(loc="upper right", frameon=False)


def available() -> bool:
    """Whether both packages are here."""
    return soxr is not None and find_spec("matplotlib") is not None
