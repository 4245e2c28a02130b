"""What a docstring says of each parameter, taken out of the description that a model gets.

Understood are lines `name: text` (alone, or below `Args:`), `:param name: text`, and the sections of numpydoc.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

__all__ = ["read_docstring"]

_HEADS: Final = frozenset({"args:", "arguments:", "parameters:", "params:", "parameters"})
_LINE: Final = re.compile(
    r"(?P<indent>\s*)(?::param\s+(?:[\w\[\], |.]+\s+)?)?\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)"
)


def read_docstring(text: str, names: Collection[str]) -> tuple[str, dict[str, str]]:
    """The description without what is said of the parameters, and that by name."""
    kept: list[str] = []
    found: dict[str, list[str]] = {}
    current = ""  # the parameter whose text goes on
    depth = 0  # how far its line is indented
    numpy = False
    lines = text.splitlines()
    for number, line in enumerate(lines):
        bare = line.strip()
        follows = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if bare.lower() in _HEADS and (bare.endswith(":") or set(follows) == {"-"}):
            current, numpy = "", set(follows) == {"-"}
            continue
        if bare and set(bare) == {"-"} and numpy and not found:
            continue
        if not bare:
            current = ""
            kept.append(line)
            continue
        match = _LINE.fullmatch(line)
        if match is not None and match["name"] in names and match["name"] not in found:
            current, depth = match["name"], len(match["indent"])
            # numpydoc has the type behind the colon, and the text below
            found[current] = [] if numpy else [match["text"]]
        elif numpy and bare in names and bare not in found:
            current, depth, found[bare] = bare, len(line) - len(line.lstrip()), []
        elif current and len(line) - len(line.lstrip()) > depth:
            found[current].append(bare)
        else:
            current = ""
            kept.append(line)
    description = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    return description, {name: " ".join(parts).strip() for name, parts in found.items()}
