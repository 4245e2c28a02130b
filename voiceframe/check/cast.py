"""Who and what a pipeline has, however deep it stands: agents, tools, squads, policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..flow import Flow
from ..flow.states import Do
from ..pipeline import Pipeline
from ..processor import Processor
from ..processors.agents import Agent, Router, Squad
from ..processors.agents.auditor import Auditor
from ..processors.realtime import Realtime
from ..tools.tool import AnyTool

__all__ = ["agents_in", "everything_in", "routers_in", "squads_in", "tools_in"]


def everything_in(pipeline: Pipeline) -> list[Processor]:
    return [*pipeline.processors(), *pipeline.observers]


def _fronts(pipeline: Pipeline) -> Iterator[Agent]:
    """The agents that stand in the pipeline, in a flow, or beside it."""
    for each in everything_in(pipeline):
        if isinstance(each, Agent):
            yield each
        elif isinstance(each, Flow):
            yield from each._host.agents
        elif isinstance(each, Auditor):
            yield each.agent


def _all(agent: Agent) -> Iterator[Agent]:
    yield agent
    inside = agent.targets if isinstance(agent, Router) else agent.agents if isinstance(agent, Squad) else {}
    for each in inside.values():
        yield from _all(each)


def _found(pipeline: Pipeline) -> list[Agent]:
    return list(dict.fromkeys(each for front in _fronts(pipeline) for each in _all(front)))


def agents_in(pipeline: Pipeline) -> list[Agent]:
    """All that may speak by themselves, and the agents of auditors."""
    return [each for each in _found(pipeline) if not isinstance(each, Squad | Router)]


def squads_in(pipeline: Pipeline) -> list[Squad]:
    return [each for each in _found(pipeline) if isinstance(each, Squad)]


def routers_in(pipeline: Pipeline) -> list[Router]:
    return [each for each in _found(pipeline) if isinstance(each, Router)]


def tools_in(pipeline: Pipeline) -> Iterator[tuple[Any, AnyTool]]:
    """All tools, with whoever calls them."""
    for agent in agents_in(pipeline):
        yield from ((agent, tool) for tool in agent._tools.tools.values())
    for each in everything_in(pipeline):
        if isinstance(each, Realtime):
            yield from ((each, tool) for tool in each.tools.values())
        elif isinstance(each, Auditor):
            yield from ((each, tool) for tool in each._given_tools or ())
        elif isinstance(each, Flow):
            yield from ((each, state.tool) for state in each.states.values() if isinstance(state, Do))
