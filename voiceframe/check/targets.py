"""Names in the bot's own functions to whom the caller is given: what only a call would find out otherwise."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any

from ..checks import Check, Missing
from ..pipeline import Pipeline
from ..processors.agents import Agent, Router, Squad
from ..processors.agents.classifiers import Classifier
from ..tools.handoff import Handoff
from .cast import agents_in, routers_in, squads_in
from .questions import judged
from .sources import called_in, functions_of, returned_by

__all__ = ["handoffs"]


def handoffs(pipelines: list[Pipeline]) -> Iterator[Check | Missing]:
    """Whether handoffs, policies and classifiers name somebody whom there is."""
    found: list[tuple[str, str, str, Collection[str]]] = []
    squads = [squad for pipeline in pipelines for squad in squads_in(pipeline)]
    routers = [router for pipeline in pipelines for router in routers_in(pipeline)]
    for squad in squads:
        found += _of_squad(squad)
    for router in routers:
        found += _of_router(router)
    for pipeline in pipelines:
        for agent in agents_in(pipeline):
            if agent._exchange is None:
                found += [(name, place, f"{agent.name}, who is alone,", ()) for name, place in _given_by(agent)]
    # The same function may serve several agents.
    bad = (each for each in found if each[0] not in each[3])
    wrong = list(dict.fromkeys((name, place, who, tuple(known)) for name, place, who, known in bad))
    if wrong:
        yield judged(
            "agents.handoffs",
            "fail",
            [
                f"{place}: {who} gives the caller to {name!r}, and there is "
                + (f"no such target; there are {', '.join(known)}." if known else "nobody else.")
                for name, place, who, known in wrong
            ],
            " ".join(dict.fromkeys(_fix(name, known) for name, _, _, known in wrong)),
        )
    elif squads or routers:
        facts = [f"{squad.name}: {', '.join(_everybody(squad))}." for squad in squads]
        facts += [f"{router.name}: {', '.join(router.targets)}; else {router.fallback}." for router in routers]
        yield judged("agents.handoffs", "pass", facts)
    else:
        yield Missing("agents.handoffs", "nobody gives the caller to somebody else")


def _fix(name: str, known: Collection[str]) -> str:
    if not known:
        return "Put the agent into a squad: `Squad([...], start=...)`."
    return f"Write `{difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]}` for `{name}`."


def _everybody(squad: Squad) -> list[str]:
    return [*squad.agents, *squad._handoffs._destinations]


def _of_squad(squad: Squad) -> Iterator[tuple[str, str, str, Collection[str]]]:
    exchange = squad._handoffs
    for member in squad.agents.values():
        known = list(exchange.targets_of(member.name))
        for name, place in _given_by(member):
            yield name, place, member.name, known
    for function in functions_of(exchange._policy):
        for called in called_in(function):
            if called.name in ("reroute", "escalate"):
                yield called.text, called.place, f"the policy of {squad.name}", _everybody(squad)


def _given_by(agent: Agent) -> Iterator[tuple[str, str]]:
    """To whom the agent's own code and its tools give the caller."""
    parts: list[Any] = [agent, *agent._tools.tools.values()]
    for part in parts:
        for function in functions_of(part):
            for called in called_in(function):
                if called.what is Handoff or (part is agent and called.name == "hand_off"):
                    yield called.text, called.place


def _of_router(router: Router) -> Iterator[tuple[str, str, str, Collection[str]]]:
    if router.classifier is None or isinstance(router.classifier, Classifier):
        return  # which was looked at where the router was made
    for function in functions_of(router.classifier):
        for name, place in returned_by(function):
            yield name, place, f"the classifier of {router.name}", list(router.targets)
