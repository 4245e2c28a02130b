"""The names in double braces: whether they have a value when a call begins."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal, NamedTuple

from ..call import Call
from ..checks import Check, Fact, Missing
from ..pipeline import Pipeline
from ..processors.agents.auditor import Auditor
from ..processors.agents.template import Template, values_of
from ..processors.manners.gate import Gate
from .cast import agents_in, everything_in, routers_in, squads_in
from .questions import judged
from .rehearsal import Rehearsal
from .sources import place_of_text

__all__ = ["variables"]


class _Use(NamedTuple):
    where: str
    name: str
    verdict: Literal["pass", "warn", "fail"]
    why: str
    nearest: str = ""


def variables(rehearsed: list[Rehearsal], modules: Sequence[ModuleType], *, admits: bool) -> Iterator[Check | Missing]:
    """modules: where the names may stand. admits: the app has functions that look at each call before the bot, and may
    keep something in `call.data`."""
    uses = [use for each in rehearsed for use in _uses(each, admits)]
    if not uses:
        yield Missing("agents.variables", "no instructions and no greeting name a value of the call")
        return
    bad = [use for use in uses if use.verdict == "fail"] or [use for use in uses if use.verdict == "warn"]
    if not bad:
        facts: list[Fact] = [{"name": use.name, "of": use.where, "value": use.why} for use in uses]
        yield judged("agents.variables", "pass", facts)
        return
    yield judged(
        "agents.variables",
        bad[0].verdict,
        [f"{_place(use, modules)}{use.where}: {{{{ {use.name} }}}} {use.why}." for use in bad],
        " ".join(dict.fromkeys(_fix(use) for use in bad)),
    )


def _place(use: _Use, modules: Sequence[ModuleType]) -> str:
    found = place_of_text(use.name, modules, within=True)
    return f"{found}: " if found else ""


def _fix(use: _Use) -> str:
    default = f'`{use.name} | default("...")`'
    return f"Write `{use.nearest}` for `{use.name}`, or {default}." if use.nearest else f"Write {default}."


def _uses(rehearsal: Rehearsal, admits: bool) -> Iterator[_Use]:
    call, pipeline = rehearsal.call, rehearsal.pipeline
    if call is None or pipeline is None:
        return
    later = _later(pipeline, placed=rehearsal.tool is not None)
    for agent in [*agents_in(pipeline), *routers_in(pipeline)]:
        values = values_of(call, agent.name, agent._tools.zone)
        for what, template in (("instructions", agent._template), ("greeting", agent._opening._template)):
            where = f"The {what} of {agent.name}" + (f" ({rehearsal.what})" if rehearsal.what else "")
            yield from _of(template, where, values, call, later, admits)


def _later(pipeline: Pipeline, *, placed: bool) -> dict[str, str]:
    """What the framework itself keeps in `call.data`, and whence that comes."""
    later = dict.fromkeys(("subject", "context"), "is given when the call is placed") if placed else {}
    for each in everything_in(pipeline):
        if isinstance(each, Auditor) and each._about is not None:
            later["subject"] = "is the auditor's"
        elif isinstance(each, Gate) and each.tongue is not None:
            later["language"] = "is the language of the call"
    if squads_in(pipeline):
        later["squad"] = "is the squad's"
    return later


def _of(
    template: Template, where: str, values: Mapping[str, Any], call: Call, later: Mapping[str, str], admits: bool
) -> Iterator[_Use]:
    for path, default in template.names():
        name = ".".join(path)
        if default is not None:
            yield _Use(where, name, "pass", f"else {default!r}")
        elif path[0] == "data" and path[1] in later:
            yield _Use(where, name, "pass", later[path[1]])
        elif template.knows(path, values):
            yield _Use(where, name, "pass", "has one")
        elif path[:2] == ("call", "metadata"):
            yield _Use(where, name, "warn", "is there only if whoever makes the call gives it; else no call begins")
        elif path[1] in call.data:
            yield _Use(where, name, "warn", "has no value in the call of this check; without one no call begins")
        elif path[1] in ("subject", "context"):
            why = "has a value only in a call that is placed; one that comes in does not begin"
            yield _Use(where, name, "warn", why)
        else:
            near = difflib.get_close_matches(path[1], (*call.data, *later), n=1)
            nearest = ".".join(("data", near[0], *path[2:])) if near else ""
            why = "has no value when the call begins, and nobody sets it"
            yield _Use(where, name, "warn" if admits else "fail", why, nearest)
