"""What the code of the bot names: environment variables, files, and processors to be set otherwise."""

from __future__ import annotations

import ast
import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from ..checks import Check, Fact, Missing, Verdict
from ..frames import UpdateSettingsFrame
from ..pipeline import Pipeline
from .cast import agents_in, everything_in, routers_in, squads_in, tools_in
from .questions import judged
from .rehearsal import Rehearsal
from .sources import called_in, dotted, functions_of, nodes, text_of
from .subject import Subject

__all__ = ["environment", "files", "settings_targets"]


class _Use(NamedTuple):
    """An environment variable or a file that the code names."""

    name: str
    place: str
    needed: bool


def environment(subject: Subject) -> Iterator[Check | Missing]:
    uses = [use for module in subject.modules for use in _variables_of(module)]
    if not uses:
        yield Missing("environment.bot", "the bot reads no environment variable by itself")
        return
    optional = {use.name for use in uses if not use.needed}
    needed = {use.name for use in uses} - optional
    missing = sorted(name for name in needed if name not in subject.environment)
    facts: list[Fact] = [
        {
            "variable": use.name,
            "set": use.name in subject.environment,
            "needed": use.name in needed,
            "where": use.place,
        }
        for use in {use.name: use for use in uses}.values()
    ]
    fixes = []
    for name in missing:
        near = difflib.get_close_matches(name, subject.environment, n=1, cutoff=0.8)
        fixes.append(f"`{name}` (there is `{near[0]}`)" if near else f"`{name}`")
    fix = f"Set {', '.join(fixes)}." if missing else None
    yield judged("environment.bot", "fail" if missing else "pass", facts, fix)


#: What is caught where a variable may be missing.
_CAUGHT: Final = frozenset({"", "KeyError", "LookupError", "Exception", "BaseException"})


def _variables_of(module: ModuleType) -> Iterator[_Use]:
    """`os.environ["X"]` is needed; `os.environ.get("X")`, `os.getenv("X")` and `"X" in os.environ` do without, and so
    does whoever catches that it is missing."""
    caught = {
        (inner.lineno, inner.col_offset)
        for node, _ in nodes(module)
        if isinstance(node, ast.Try) and any(_catches(handler) for handler in node.handlers)
        for statement in node.body
        for inner in ast.walk(statement)
        if isinstance(inner, ast.Subscript)
    }
    for node, place in nodes(module):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            if dotted(node.value) in ("os.environ", "environ") and (name := text_of(node.slice)):
                yield _Use(name, place, (node.lineno, node.col_offset) not in caught)
        elif isinstance(node, ast.Compare):
            asks = any(dotted(each) in ("os.environ", "environ") for each in node.comparators)
            if asks and (name := text_of(node.left)):
                yield _Use(name, place, False)
        elif isinstance(node, ast.Call):
            called = dotted(node.func)
            if called in ("os.environ.get", "environ.get", "os.getenv", "getenv") and node.args:
                name = text_of(node.args[0])
                if name:
                    yield _Use(name, place, False)


def _catches(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or dotted(kind) in _CAUGHT for kind in kinds)


def files(subject: Subject) -> Iterator[Check | Missing]:
    uses = [use for module in subject.modules for use in _files_of(module)]
    if not uses:
        yield Missing("files.bot", "the bot names no file that it reads or plays")
        return
    facts: list[Fact] = []
    missing: list[str] = []
    for use in {use.name: use for use in uses}.values():
        there = Path(use.name).is_file() and os.access(use.name, os.R_OK)
        facts.append({"file": use.name, "there": there, "where": use.place})
        if not there:
            missing.append(use.name)
    fix = None
    if missing:
        fix = f"Put {', '.join(f'`{name}`' for name in missing)} below `{Path.cwd()}`, or give the whole path."
    verdict: Verdict = "fail" if missing else "pass"
    yield judged("files.bot", verdict, facts, fix)


def _files_of(module: ModuleType) -> Iterator[_Use]:
    """Files whose path stands in the code as it is: to be played, or to be read."""
    for node, place in nodes(module):
        if not isinstance(node, ast.Call):
            continue
        name = ""
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "read_bytes"):
            inner = node.func.value
            if isinstance(inner, ast.Call) and dotted(inner.func).rpartition(".")[2] == "Path" and inner.args:
                name = text_of(inner.args[0]) if len(inner.args) == 1 else ""
        elif node.args:
            called = dotted(node.func).rpartition(".")[2]
            modes = [text_of(each) for each in node.args[1:2]]
            modes += [text_of(each.value) for each in node.keywords if each.arg == "mode"]
            reads = not any(set(mode) & set("wax+") for mode in modes)
            if (called in ("play", "PlayFrame")) or (isinstance(node.func, ast.Name) and called == "open" and reads):
                name = text_of(node.args[0])
        if name:
            yield _Use(name, place, True)


# -- settings of processors


def settings_targets(rehearsed: list[Rehearsal]) -> Iterator[Check | Missing]:
    """Whether there is who is told to change settings by `UpdateSettingsFrame("name", ...)`."""
    wrong: list[str] = []
    fixes: list[str] = []
    right: list[str] = []
    for each in rehearsed:
        if each.pipeline is None:
            continue
        known = _names_in(each.pipeline)
        parts = [each.bot, *everything_in(each.pipeline), *agents_in(each.pipeline)]
        parts += [tool for _, tool in tools_in(each.pipeline)]
        for called in (called for part in parts for function in functions_of(part) for called in called_in(function)):
            if called.what is not UpdateSettingsFrame:
                continue
            if called.text in known:
                right.append(f"{called.place}: {called.text}")
                continue
            near = difflib.get_close_matches(called.text, known, n=1, cutoff=0.0)[0]
            wrong.append(
                f"{called.place}: settings are changed of {called.text!r}, which is not in the pipeline; there are "
                f"{', '.join(known)}."
            )
            fixes.append(f"Write `{near}` for `{called.text}`.")
    if wrong:
        yield judged("agents.settings", "fail", list(dict.fromkeys(wrong)), " ".join(dict.fromkeys(fixes)))
    elif right:
        yield judged("agents.settings", "pass", list(dict.fromkeys(right)))
    else:
        yield Missing("agents.settings", "no code of the bot changes settings by name")


def _names_in(pipeline: Pipeline) -> list[str]:
    """The names of all that takes settings, numbered as a call numbers them."""
    names: list[str] = []
    ours = "voiceframe.processors.observers."  # every app adds them, and none takes settings
    others = (each for each in pipeline.observers if not type(each).__module__.startswith(ours))
    for processor in (*pipeline.processors(), *others):
        name, number = processor.name, 1
        while name in names:
            number += 1
            name = f"{processor.name}#{number}"
        names.append(name)
    inner = (*agents_in(pipeline), *squads_in(pipeline), *routers_in(pipeline))
    return list(dict.fromkeys((*names, *(each.name for each in inner))))
