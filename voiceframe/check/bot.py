"""The bot itself: whether it loads, its names are those of something, and its pipeline can work."""

from __future__ import annotations

import asyncio
import builtins
import difflib
import dis
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Final

from ..checks import Check, Fact, Missing
from .offline import offline
from .questions import failure, judged
from .sources import source_of
from .subject import Subject

__all__ = ["bot"]


def bot(subject: Subject) -> Iterator[Check | Missing]:
    if subject.error is not None:
        yield failure("bot.loads", subject.error, modules=subject.modules)
        yield Missing("bot.pipeline", "the bot could not be loaded")
        yield Missing("bot.names", "the bot could not be loaded")
        return
    what = "an app" if subject.app is not None else "a bot"
    yield judged("bot.loads", "pass", f"{subject.where} is {what}.")
    yield _names(subject)
    with offline() as tried:
        asyncio.run(subject.rehearse())
    tried += subject.tried
    assert subject.rehearsal is not None
    if subject.rehearsal.error is not None:
        yield failure("bot.pipeline", subject.rehearsal.error, modules=subject.modules)
    elif subject.pipeline is not None:
        names = " ▸ ".join(processor.name for processor in subject.pipeline.processors())
        yield judged("bot.pipeline", "pass", names)
    if tried:
        yield judged(
            "bot.offline",
            "warn",
            [f"It tried to reach {place}, and was not let." for place in dict.fromkeys(tried)],
            "Connect in `async def setup(self)` of a processor: what `def bot(call)` waits for, every caller waits "
            "for.",
        )


def _names(subject: Subject) -> Check | Missing:
    """Whether the names in its functions are those of something: Python itself looks when a call comes to them."""
    wrong: list[Fact] = []
    fixes: list[str] = []
    functions = 0
    for module in subject.modules:
        source = source_of(module)
        if source is None:
            continue
        outer = compile(source, str(module.__file__), "exec", dont_inherit=True)
        known = {*vars(module), *dir(builtins)}
        codes = list(_inner(outer))
        # Also what is bound on another platform, or only for type checkers: this is about what is bound nowhere.
        known |= {
            each.argval for code in (outer, *codes) for each in dis.get_instructions(code) if each.opname in _BINDS
        }
        functions += len(codes)
        for code in codes:
            line = code.co_firstlineno
            for each in dis.get_instructions(code):
                line = (each.positions.lineno if each.positions else None) or line
                if each.opname != "LOAD_GLOBAL" or each.argval in known:
                    continue
                near = difflib.get_close_matches(each.argval, known, n=1)
                wrong.append(f"{module.__file__}, line {line}: {each.argval} is not defined.")
                fixes.append(f"Write `{near[0]}` for `{each.argval}`" if near else f"Define `{each.argval}`")
    if wrong:
        fix = "; ".join(dict.fromkeys(fixes)) + "."
        return judged("bot.names", "fail", list(dict.fromkeys(map(str, wrong))), fix)
    if not subject.modules:
        return Missing("bot.names", "the bot has no source file")
    files = ", ".join(Path(str(module.__file__)).name for module in subject.modules)
    return judged("bot.names", "pass", f"Functions in {files}: {functions}.")


#: A binding in the module's own code, and one by `global` in a function.
_BINDS: Final = frozenset({"STORE_NAME", "STORE_GLOBAL"})


def _inner(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            # Of a class's own body Python has looked at the names when it was defined.
            if constant.co_flags & inspect.CO_NEWLOCALS:
                yield constant
            yield from _inner(constant)
