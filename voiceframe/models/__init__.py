"""Models that are files: where they are looked for, and how they are fetched where no package brings them.

A model is one or more files, each known by its SHA-256. They are taken out of a wheel from the package index, which
pip or uv downloads without the dependencies of that wheel (Silero's own would bring torch). They ask for the wheel of
one platform and Python, whatever runs here: nothing of it is installed, and its data is the same on all.
"""

from .catalogue import MODELS as MODELS
from .catalogue import POCKETSPHINX as POCKETSPHINX
from .catalogue import SILERO as SILERO
from .command import fetch_missing as fetch_missing
from .command import show as show
from .fetching import fetch as fetch
from .finding import Place as Place
from .finding import find as find
from .finding import places as places
from .folder import ModelsSettings as ModelsSettings
from .folder import models_dir as models_dir
from .model import Model as Model
from .model import ModelFile as ModelFile

__all__ = [
    "MODELS",
    "POCKETSPHINX",
    "SILERO",
    "Model",
    "ModelFile",
    "ModelsSettings",
    "Place",
    "fetch",
    "fetch_missing",
    "find",
    "models_dir",
    "places",
    "show",
]
