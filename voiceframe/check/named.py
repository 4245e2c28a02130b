"""What the code of the bot names: environment variables and files."""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from ..checks import Check, Fact, Missing, Verdict
from .questions import judged
from .subject import Subject, source_of

__all__ = ["environment", "files"]


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
    missing = [use for use in uses if use.needed and use.name not in subject.environment]
    needed = {use.name for use in uses if use.needed}
    facts: list[Fact] = [
        {
            "variable": use.name,
            "set": use.name in subject.environment,
            "needed": use.name in needed,
            "where": use.place,
        }
        for use in {use.name: use for use in uses}.values()
    ]
    fix = f"Set {', '.join(sorted({f'`{use.name}`' for use in missing}))}." if missing else None
    yield judged("environment.bot", "fail" if missing else "pass", facts, fix)


def _variables_of(module: ModuleType) -> Iterator[_Use]:
    """`os.environ["X"]` is needed; `os.environ.get("X")` and `os.getenv("X")` do without."""
    for node, place in _nodes(module):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            if _dotted(node.value) in ("os.environ", "environ") and (name := _text_of(node.slice)):
                yield _Use(name, place, True)
        elif isinstance(node, ast.Call):
            called = _dotted(node.func)
            if called in ("os.environ.get", "environ.get", "os.getenv", "getenv") and node.args:
                name = _text_of(node.args[0])
                if name:
                    yield _Use(name, place, False)


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
    for node, place in _nodes(module):
        if not isinstance(node, ast.Call):
            continue
        name = ""
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "read_bytes"):
            inner = node.func.value
            if isinstance(inner, ast.Call) and _dotted(inner.func).rpartition(".")[2] == "Path" and inner.args:
                name = _text_of(inner.args[0]) if len(inner.args) == 1 else ""
        elif node.args:
            called = _dotted(node.func).rpartition(".")[2]
            modes = [_text_of(each) for each in node.args[1:2]]
            modes += [_text_of(each.value) for each in node.keywords if each.arg == "mode"]
            reads = not any(set(mode) & set("wax+") for mode in modes)
            if (called in ("play", "PlayFrame")) or (isinstance(node.func, ast.Name) and called == "open" and reads):
                name = _text_of(node.args[0])
        if name:
            yield _Use(name, place, True)


def _nodes(module: ModuleType) -> Iterator[tuple[ast.AST, str]]:
    source = source_of(module)
    if source is None:
        return
    file = Path(str(module.__file__)).name
    with contextlib.suppress(SyntaxError):  # of which `bot.loads` has told
        for node in ast.walk(ast.parse(source)):
            yield node, f"{file}:{getattr(node, 'lineno', 0)}"


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def _text_of(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
