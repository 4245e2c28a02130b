"""The tables of `docs/flow.md`: what a flow's file may have, made of the same table as its reader."""

from __future__ import annotations

from collections.abc import Iterable

from .fields import Field
from .kinds import CASE, FLOW, MOCK, NODES, OPTION, SETTINGS, SLOTS, common_fields

__all__ = ["markdown"]


def markdown() -> str:
    """All tables, with a heading each."""
    common = common_fields()
    shared = {one.name for one in common}
    parts = ["### The file", *_table(FLOW.fields.values())]
    parts += ["", "`slots` and `nodes` are mappings of names; `kind` says which fields one has.", ""]
    for name, kind in NODES.items():
        own = [one for one in kind.fields if one.name not in shared or one not in common]
        parts += [f"### Node `{name}`", "", kind.doc, *_table(own), ""]
    parts += [
        "### Settings of nodes",
        "",
        "`voice`, `language` and `interruptible` are for every node that says something, the others for `listen`,",
        "`menu`, `collect` and `agent`.",
        *_table(common),
        "",
        "### An option of a menu",
        *_table(OPTION.fields.values()),
        "",
        "### A case of a branch",
        *_table(CASE.fields.values()),
        "",
    ]
    for name, kind in SLOTS.items():
        parts += [f"### Slot `{name}`", "", kind.doc, *_table(kind.fields), ""]
    parts += ["### `settings`", *_table(SETTINGS.fields.values()), "", "### A mock", *_table(MOCK.fields.values())]
    return "\n".join(parts) + "\n"


def _table(fields: Iterable[Field]) -> list[str]:
    rows = ["", "| field | what | without it |", "| --- | --- | --- |"]
    for one in fields:
        without = "**required**" if one.required else one.default
        rows.append(f"| `{one.name}` | {_cell(one.doc)} {_cell(one.shape.words).capitalize()}. | {_cell(without)} |")
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("{{", "`{{`").replace("}}", "`}}`")
