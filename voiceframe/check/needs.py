"""What its processors need: models, packages, voices, folders, keys of providers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..checks import Check, Missing
from ..errors import MissingExtra, VoiceframeError
from ..models import POCKETSPHINX, SILERO, Model, find
from .cast import agents_in, everything_in
from .providers import models, numbered, provider_needs
from .questions import failure, judged
from .subject import Subject

__all__ = ["needs"]


def _model(model: Model) -> Callable[[Any], str]:
    return lambda processor: f"{model.name}: {find(model)}"


def _package(name: str, extra: str) -> Callable[[Any], str]:
    def there(processor: Any) -> str:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra.of("extra.missing", what=type(processor).__name__, package=name, extra=extra)
        return f"package {name}"

    return there


def _dictation(processor: Any) -> str:
    if not processor.sphinx.dictation:
        return "no dictation"
    from ..processors.stt.resources import package

    return f"dictation: {package().__name__}"


def _voice(processor: Any) -> str:
    from .. import espeak

    return f"voice {processor.voice}: {espeak.resolve(processor.voice)}"


def _folder(processor: Any) -> str:
    folder = Path(processor._template).parent
    there = next((each for each in (folder, *folder.parents) if each.exists()), Path())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise PermissionError(f"nothing can be written into {there.resolve()}")
    return f"records into {folder}"


#: What is asked of which processor, by its class's name: a class that was not imported is not there to be asked.
_NEEDS: Final[Mapping[str, tuple[Callable[[Any], str], ...]]] = {
    "voiceframe.processors.vad.silero.SileroVAD": (_model(SILERO), _package("onnxruntime", "vad")),
    "voiceframe.processors.vad.webrtc.WebRTCVAD": (_package("webrtcvad", "vad"),),
    "voiceframe.processors.stt.pocketsphinx.PocketSphinxSTT": (_model(POCKETSPHINX), _dictation),
    "voiceframe.processors.tts.espeak.EspeakTTS": (_package("espeakng_loader", "local"), _voice),
    "voiceframe.processors.recording.recorder.Recorder": (_folder,),
}


def needs(subject: Subject) -> Iterator[Check | Missing]:
    """Each processor that needs something of this machine: is it there?"""
    if subject.pipeline is None:
        yield Missing("needs", "there is no pipeline whose processors could be asked")
        return
    asked = False
    taken: set[str] = set()
    askers: list[Any] = []
    pipelines = [subject.pipeline, *(each.pipeline for each in subject.targets if each.pipeline is not None)]
    for asker in (each for pipeline in pipelines for each in (*everything_in(pipeline), *agents_in(pipeline))):
        if asker not in askers:
            askers.append(asker)
            yield from models(asker, taken)
    for processor in (each for pipeline in pipelines for each in everything_in(pipeline)):
        classes = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(processor).__mro__)
        name = next((name for name in classes if name in _NEEDS), None)
        wanted = _NEEDS[name] if name is not None else provider_needs(processor)
        if not wanted:
            continue
        asked = True
        id = numbered(f"needs.{processor.name}", taken)
        title = f"{processor.name} has what it needs"
        try:
            facts = [need(processor) for need in wanted]
        except (VoiceframeError, OSError) as error:
            yield failure(id, error, title)
        else:
            yield judged(id, "pass", facts, title=title)
    if not asked:
        yield Missing("needs", "no processor needs a model or a package that is known here")
