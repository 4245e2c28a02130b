"""Speech to text. Each name is loaded when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import STT, STTSettings
from .stream import EagerEnd, Final, Interim, Restart, Resumed, STTResult, STTStream, TurnEnd, TurnStart

if TYPE_CHECKING:
    from .cartesia import CartesiaSTT as CartesiaSTT
    from .cartesia import CartesiaSTTSettings as CartesiaSTTSettings
    from .cartesia import CartesiaTurnsSettings as CartesiaTurnsSettings
    from .cartesia import CartesiaTurnsSTT as CartesiaTurnsSTT
    from .cloud import CloudSTT as CloudSTT
    from .deepgram import DeepgramFluxSettings as DeepgramFluxSettings
    from .deepgram import DeepgramFluxSTT as DeepgramFluxSTT
    from .deepgram import DeepgramSTT as DeepgramSTT
    from .deepgram import DeepgramSTTSettings as DeepgramSTTSettings
    from .elevenlabs import ElevenLabsSTT as ElevenLabsSTT
    from .elevenlabs import ElevenLabsSTTSettings as ElevenLabsSTTSettings
    from .openai import OpenAISTT as OpenAISTT
    from .openai import OpenAISTTSettings as OpenAISTTSettings
    from .pocketsphinx import PocketSphinxSettings as PocketSphinxSettings
    from .pocketsphinx import PocketSphinxSTT as PocketSphinxSTT

_HOMES = {
    "CartesiaSTT": "cartesia",
    "CartesiaSTTSettings": "cartesia",
    "CartesiaTurnsSTT": "cartesia",
    "CartesiaTurnsSettings": "cartesia",
    "CloudSTT": "cloud",
    "DeepgramFluxSTT": "deepgram",
    "DeepgramFluxSettings": "deepgram",
    "DeepgramSTT": "deepgram",
    "DeepgramSTTSettings": "deepgram",
    "ElevenLabsSTT": "elevenlabs",
    "ElevenLabsSTTSettings": "elevenlabs",
    "OpenAISTT": "openai",
    "OpenAISTTSettings": "openai",
    "PocketSphinxSTT": "pocketsphinx",
    "PocketSphinxSettings": "pocketsphinx",
}

__all__ = [
    "STT",
    "EagerEnd",
    "Final",
    "Interim",
    "Restart",
    "Resumed",
    "STTResult",
    "STTSettings",
    "STTStream",
    "TurnEnd",
    "TurnStart",
    *_HOMES,
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value
