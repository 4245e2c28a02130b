"""The command: `voiceframe models`, and `voiceframe models fetch`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import ModelError
from .catalogue import MODELS, SHORT_NAMES
from .fetching import fetch
from .finding import Place, places
from .model import Model

__all__ = ["fetch_missing", "show"]


def fetch_missing(*sources: Path, names: Sequence[str] = ()) -> int:
    """`voiceframe models fetch`: fetch what is not there, from the sources if there are any. Returns the exit code.

    names: of the models, all by default. One that cannot be fetched is told of, with what to do, and the others are
    fetched all the same; then the code is 1. Sources need not have every model that is missing, unless it is named, but
    one.

    Raises `ModelError` (`model.unknown`) for a name that is none, before anything is fetched.
    """
    kept = 0
    absent: dict[str, ModelError] = {}
    failed: dict[str, ModelError] = {}
    for model in _named(names):
        place = next((place for place in places(model) if place.present), None)
        if place is not None:
            print(f"{model.name} is there: {place.path}")
            continue
        try:
            print(f"{model.name} is kept as {fetch(model, *sources)}")
            kept += 1
        except ModelError as error:
            if sources and not names and error.code == "model.absent":
                print(f"{model.name} is still missing")
                absent[model.name] = error
            else:
                failed[model.name] = error
    if not kept:
        failed = absent | failed
    for name, why in failed.items():
        print(f"voiceframe: {name} was not fetched. {why.message}\n{why.fix} [{why.code}]", file=sys.stderr)
    return 1 if failed else 0


def _named(names: Sequence[str]) -> Sequence[Model]:
    if not names:
        return MODELS
    known = {model.name: model for model in MODELS}
    known |= {short: known[name] for short, name in SHORT_NAMES.items() if name in known}
    for name in names:
        if name not in known:
            raise ModelError.of("model.unknown", name=name, known=", ".join(f"`{each}`" for each in known))
    return list(dict.fromkeys(known[name] for name in names))


def show() -> int:
    """`voiceframe models`: where each model was looked for. Returns the exit code, 1 if one is missing."""
    complete = True
    for model in MODELS:
        print(f"{model.name}: {model.purpose}")
        used = False
        for place in places(model):
            fault = place.fault
            mark = " " if fault or used else "*"
            used = used or not fault
            print(f" {mark} {place.origin}: {fault or _state(place)}")
        print("   (* is used)" if used else f"   missing: `voiceframe models fetch {model.name}` gets it")
        complete = complete and used
    return 0 if complete else 1


def _state(place: Place) -> str:
    others = place.others
    if not others:
        return f"{place.path}, SHA-256 is right"
    which = "" if len(place.model.files) == 1 else f": {', '.join(others)}"
    return f"{place.path}, SHA-256 is of another version{which}"
