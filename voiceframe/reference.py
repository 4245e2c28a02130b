"""The pages of `docs/` that are made from the code: `python -m voiceframe.reference [folder]` writes them."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path

import voiceframe

from . import errors, settings
from .events import json_schema, schema

__all__ = ["import_everything", "main", "pages"]


def pages() -> Mapping[str, str]:
    """The generated pages by file name."""
    import_everything()
    return {
        "configuration.md": settings.markdown(),
        "errors.md": _errors(),
        "events.md": schema.markdown(),
        "events.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


def main(arguments: list[str] | None = None) -> None:
    """Writes the pages into the folder given, or into `docs`."""
    given = sys.argv[1:] if arguments is None else arguments
    folder = Path(given[0] if given else "docs")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")


def _errors() -> str:
    lines = [
        "# Errors",
        "",
        "Everything that Voiceframe raises is a `VoiceframeError` with a `code`, a `message` and a `fix`. Words in",
        "braces are filled in with the facts of the case.",
    ]
    last = None
    for cls, code, explanation in errors.catalogue():
        if cls is not last:
            lines += ["", f"## {cls.__name__}", "", " ".join((cls.__doc__ or "").split())]
            last = cls
        lines += ["", f"### `{code}`", "", explanation.message, "", f"Fix: {explanation.fix}"]
    return "\n".join(lines) + "\n"


def import_everything() -> None:
    """Import every module: settings and events are known once theirs was. Optional packages are imported inside
    functions, so each can be."""
    for module in pkgutil.walk_packages(voiceframe.__path__, "voiceframe."):
        if not module.name.endswith("__main__") and not module.name.startswith("voiceframe.testing."):  # wants pytest
            importlib.import_module(module.name)


if __name__ == "__main__":
    main()
