"""Write `docs/surface.txt`: every public name with its signature. The surface is frozen; a test holds this file to it.

uv run scripts/public_surface.py            # show what differs
uv run scripts/public_surface.py --write    # accept it; then say why in CHANGELOG.md
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "docs" / "surface.txt"

#: What users import. Everything else of the package may change without notice.
MODULES = (
    "voiceframe",
    "voiceframe.assistant",
    "voiceframe.audio",
    "voiceframe.call",
    "voiceframe.app",
    "voiceframe.checks",
    "voiceframe.clock",
    "voiceframe.engine",
    "voiceframe.errors",
    "voiceframe.events",
    "voiceframe.frames",
    "voiceframe.llm",
    "voiceframe.pipeline",
    "voiceframe.processor",
    "voiceframe.codecs",
    "voiceframe.dialling",
    "voiceframe.flow",
    "voiceframe.guardrails",
    "voiceframe.jsgf",
    "voiceframe.keys",
    "voiceframe.memories",
    "voiceframe.models",
    "voiceframe.prices",
    "voiceframe.processors",
    "voiceframe.processors.agents",
    "voiceframe.processors.guardrails",
    "voiceframe.processors.manners",
    "voiceframe.processors.observers",
    "voiceframe.processors.realtime",
    "voiceframe.processors.recording",
    "voiceframe.processors.stt",
    "voiceframe.processors.tts",
    "voiceframe.processors.turn",
    "voiceframe.processors.vad",
    "voiceframe.provider",
    "voiceframe.providers",
    "voiceframe.serializers",
    "voiceframe.server",
    "voiceframe.settings",
    "voiceframe.sinks",
    "voiceframe.store",
    "voiceframe.subject",
    "voiceframe.testing",
    "voiceframe.testing.conformance_llm",
    "voiceframe.testing.conformance_realtime",
    "voiceframe.testing.conformance_stt",
    "voiceframe.testing.conformance_tts",
    "voiceframe.testing.voices",
    "voiceframe.tones",
    "voiceframe.tools",
    "voiceframe.transports",
)

#: What one module of the package needs of another, and users do not.
INTERNAL = {"voiceframe.engine.Engine"}


def surface() -> str:
    """All public names, by module, in alphabetical order."""
    lines: list[str] = []
    seen: dict[int, str] = {}
    for name in reversed(MODULES):  # a re-export is described where it lives
        module = importlib.import_module(name)
        for public in module.__all__:
            if name != "voiceframe":
                seen.setdefault(id(getattr(module, public)), f"{name}.{public}")
    for name in MODULES:
        module = importlib.import_module(name)
        lines.append(f"[{name}]")
        for public in sorted(module.__all__):
            value = getattr(module, public)
            home = getattr(value, "__module__", name)
            if public == "__version__" or f"{name}.{public}" in INTERNAL:
                continue
            if name == "voiceframe" or (
                home != name and not home.startswith(f"{name}.") and home in MODULES and inspect.isclass(value)
            ):
                lines.append(f"{public} = {seen.get(id(value), home)}")
            else:
                lines += _described(public, value)
        lines.append("")
    return "\n".join(lines)


def _described(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                if not field.name.startswith("_"):
                    yield f"    {field.name}: {_type(field.type)}{_default(field)}"
        elif "__init__" in value.__dict__:
            yield f"    __init__{_signature(value.__init__)}"
        for member in sorted(value.__dict__):
            if not member.startswith("_"):
                yield from _member(member, value.__dict__[member])
    elif callable(value):
        yield f"{'async ' if inspect.iscoroutinefunction(value) else ''}def {name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _member(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, staticmethod | classmethod):
        yield f"    {type(value).__name__} {name}{_signature(value.__func__)}"
    elif isinstance(value, property):
        yield f"    property {name}"
    elif inspect.isfunction(value):
        yield f"    {'async ' if inspect.iscoroutinefunction(value) else ''}def {name}{_signature(value)}"


class _Bare:
    """An annotation that is a string already: shown without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _signature(function: Any) -> str:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return "(...)"

    def bare(annotation: Any) -> Any:
        return _Bare(annotation) if isinstance(annotation, str) else annotation

    parameters = [p.replace(annotation=bare(p.annotation)) for p in signature.parameters.values()]
    text = str(signature.replace(parameters=parameters, return_annotation=bare(signature.return_annotation)))
    return re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {field.default!r}"
    return " = ..." if field.default_factory is not dataclasses.MISSING else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the file")
    arguments = parser.parse_args()
    new = surface()
    if arguments.write:
        FILE.write_text(new, encoding="utf-8")
        return 0
    old = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    difference = list(difflib.unified_diff(old.splitlines(), new.splitlines(), "frozen", "now", lineterm=""))
    print("\n".join(difference) or "The public surface is as frozen.")
    return int(bool(difference))


if __name__ == "__main__":
    sys.exit(main())
