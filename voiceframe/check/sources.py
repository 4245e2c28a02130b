"""The source of the bot: what is named in it, and where a name stands."""

from __future__ import annotations

import ast
import contextlib
import inspect
import sysconfig
import textwrap
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

__all__ = [
    "Called",
    "called_in",
    "dotted",
    "functions_of",
    "is_theirs",
    "nodes",
    "place_of",
    "place_of_text",
    "returned_by",
    "source_of",
    "text_of",
]

#: Whose code is not the bot's.
_PACKAGE: Final = Path(__file__).resolve().parent.parent
_STANDARD: Final = Path(sysconfig.get_paths()["stdlib"]).resolve()


class Called(NamedTuple):
    """A call in the source. what: what is called, where that is known; name: the last part of its name.

    text: its first argument, or the one called `target` or `to`, where that is a text that is known beforehand.
    """

    what: Any
    name: str
    text: str
    place: str


def source_of(module: ModuleType) -> str | None:
    try:
        return Path(str(module.__file__)).read_text("utf-8") if str(module.__file__).endswith(".py") else None
    except (OSError, ValueError):
        return None


def nodes(module: ModuleType) -> Iterator[tuple[ast.AST, str]]:
    """All of the module's source, with the place of each."""
    source = source_of(module)
    if source is None:
        return
    file = Path(str(module.__file__)).name
    with contextlib.suppress(SyntaxError):  # of which `bot.loads` has told
        for node in ast.walk(ast.parse(source)):
            yield node, f"{file}:{getattr(node, 'lineno', 0)}"


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def text_of(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_theirs(file: str) -> bool:
    """Whether this is a file of the user's, and not of a package."""
    path = Path(file)
    if not path.is_file() or "site-packages" in path.parts:
        return False
    return not {_PACKAGE, _STANDARD} & set(path.resolve().parents)


def place_of(error: BaseException, modules: Iterable[ModuleType] = ()) -> str:
    """Where in the user's source an error comes from; else where the first name that it quotes stands; else ""."""
    frames = traceback.extract_tb(error.__traceback__)
    found = next((frame for frame in reversed(frames) if is_theirs(frame.filename)), None)
    if found is not None:
        return f"{found.filename}, line {found.lineno}"
    said = str(getattr(error, "message", error))
    places = (place_of_text(name, modules) for name in said.split("'")[1::2])
    return next(filter(None, places), "")


def place_of_text(text: str, modules: Iterable[ModuleType], *, within: bool = False) -> str:
    """Where a text stands in the source for the first time; "" if it does not. within: as a part of another one."""
    for module in modules:
        for node, _ in nodes(module):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and (text in value if within else text == value):
                assert isinstance(node, ast.Constant)
                return f"{module.__file__}, line {node.lineno}"
    return ""


def functions_of(what: Any) -> Iterator[FunctionType]:
    """The functions of the user's that a tool, an object of a class, or a function is made of."""
    found = getattr(what, "fn", what)
    if isinstance(found, MethodType):
        found = found.__func__
    if isinstance(found, FunctionType):
        found = inspect.unwrap(found)
        if is_theirs(found.__code__.co_filename):
            yield found
        return
    for cls in type(found).__mro__:
        for member in vars(cls).values():
            inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if isinstance(inner, FunctionType) and is_theirs(inner.__code__.co_filename):
                yield inner


def _tree(function: FunctionType) -> tuple[ast.AST | None, str, int]:
    """Its source, its file, and how many lines stand before it."""
    file = function.__code__.co_filename
    try:
        lines, first = inspect.getsourcelines(function)
        return ast.parse(textwrap.dedent("".join(lines))), file, first - 1
    except (OSError, TypeError, SyntaxError):  # a lambda amid an expression, say
        return None, file, 0


def called_in(function: FunctionType) -> Iterator[Called]:
    """What it calls with a text."""
    tree, file, above = _tree(function)
    for node in ast.walk(tree) if tree is not None else ():
        if not isinstance(node, ast.Call):
            continue
        given = [*node.args[:1], *(each.value for each in node.keywords if each.arg in ("target", "to"))]
        text = next((text for each in given if (text := _known(function, each))), "")
        name = node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)
        if text:
            yield Called(_object(function, node.func), name, text, f"{file}, line {node.lineno + above}")


def returned_by(function: FunctionType) -> Iterator[tuple[str, str]]:
    """The texts that it returns, where they are known, each with its place."""
    tree, file, above = _tree(function)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Return) and node.value is not None:
            choices = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
            for each in choices:
                if text := _known(function, each):
                    yield text, f"{file}, line {each.lineno + above}"


def _known(function: FunctionType, node: ast.expr) -> str:
    found = text_of(node) or _object(function, node)
    return found if isinstance(found, str) else ""


def _object(function: FunctionType, node: ast.expr) -> Any:
    """What a name means in a function, as far as that is known before it runs; else None."""
    first, *rest = dotted(node).split(".")
    code = function.__code__
    if not first or first in code.co_varnames:
        return None
    found: Any = function.__globals__.get(first)
    if first in code.co_freevars and function.__closure__:
        with contextlib.suppress(ValueError):  # not yet filled
            found = function.__closure__[code.co_freevars.index(first)].cell_contents
    for name in rest:
        if not isinstance(found, ModuleType | type):
            return None
        found = getattr(found, name, None)
    return found
