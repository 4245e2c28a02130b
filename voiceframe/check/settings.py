"""What is set: the values of all settings, and names of variables and sections that are misspelled."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..checks import Check, Fact
from ..errors import ConfigurationError, VoiceframeError
from ..reference import import_everything
from ..settings import CONFIG, settings_classes
from .questions import failure, judged

__all__ = ["settings"]

#: Environment variables that no settings class has.
_OTHERS: Final = (CONFIG, "VOICEFRAME_LOG", "VOICEFRAME_LOG_LEVEL")


def settings() -> Iterator[Check]:
    import_everything()  # a settings class is known once its module was imported
    facts: list[Fact] = []
    failures: list[tuple[str, VoiceframeError]] = []
    read = 0
    for cls in settings_classes():
        try:
            values = cls.load()
        except ConfigurationError as error:
            failures.append((cls.prefix, error))
            continue
        read += 1
        facts += [
            {"setting": f"{cls.prefix.lower()}.{each.name}", "value": str(each.value), "from": each.source}
            for each in values.describe()
            if each.source != "default"
        ]
    if failures:
        # A file that cannot be read is missed by every class, and is one fault.
        said = list(dict.fromkeys(error.message for _, error in failures))
        fixes = list(dict.fromkeys(error.fix for _, error in failures))
        yield judged("settings.values", "fail", said, " ".join(fixes))
    else:
        facts = [f"{read} groups of settings were read; what is not listed has its default.", *facts]
        yield judged("settings.values", "pass", facts)
    yield _variables()
    yield from _sections()


def _variables() -> Check:
    known = set(_OTHERS)
    for cls in settings_classes():
        for field in cls._settings.values():
            known |= {f"VOICEFRAME_{cls.prefix}_{field.name.upper()}", field.variable}
    known.discard("")
    set_here = sorted(name for name in os.environ if name.startswith("VOICEFRAME_"))
    unknown = [name for name in set_here if name not in known]
    if not unknown:
        said = f"Set and known: {', '.join(set_here)}." if set_here else f"None is set; {len(known)} are known."
        return judged("settings.variables", "pass", said)
    near = {name: difflib.get_close_matches(name, known, n=1, cutoff=0)[0] for name in unknown}
    return judged(
        "settings.variables",
        "fail",
        [f"{name} is not known; the nearest is {near[name]}." for name in unknown],
        " ".join(f"Set `{near[name]}` for `{name}`, or unset it." for name in unknown),
    )


def _sections() -> Iterator[Check]:
    """The sections of the file that nobody reads."""
    path = os.environ.get(CONFIG)
    if not path:
        return
    try:
        document = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        yield failure("settings.file", ConfigurationError.of("settings.file", path=path, error=error))
        return
    known = [cls.prefix.lower() for cls in settings_classes()]
    unknown = [name for name in document if name not in known]
    if unknown:
        near = {name: difflib.get_close_matches(name, known, n=1, cutoff=0)[0] for name in unknown}
        yield judged(
            "settings.file",
            "fail",
            [f"{path} has [{name}], which nobody reads; the nearest is [{near[name]}]." for name in unknown],
            " ".join(f"Write `[{near[name]}]` for `[{name}]`, or take it out." for name in unknown),
        )
    else:
        said = f"{path}: {', '.join(f'[{name}]' for name in document) or 'empty'}."
        yield judged("settings.file", "pass", said)
