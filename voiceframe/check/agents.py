"""Who talks: agents, squads, routers and auditors, whom they give the caller to, and whom they call."""

from __future__ import annotations

from collections.abc import Iterator

from ..checks import Check, Fact, Missing
from ..errors import DialError, Reject, VoiceframeError
from ..flow import Flow
from ..flow.states import Do, Handoff
from ..pipeline import Pipeline
from ..processors.agents import Agent
from ..processors.agents.auditor import Auditor
from ..processors.realtime import Realtime
from .cast import agents_in, everything_in, routers_in, squads_in
from .named import settings_targets
from .policies import policies, policies_in
from .questions import judged, wrong
from .rehearsal import Rehearsal
from .subject import Subject
from .targets import handoffs
from .variables import variables

__all__ = ["agents"]


def agents(subject: Subject) -> Iterator[Check | Missing]:
    """What can be known of those who talk before anybody calls, in the bot's own calls and in those that it places."""
    if subject.pipeline is None:
        yield Missing("agents", "there is no pipeline in which anybody could talk")
        return
    rehearsed = [each for each in (subject.rehearsal, *subject.targets) if each is not None]
    pipelines = [each.pipeline for each in rehearsed if each.pipeline is not None]
    cast = [fact for each in rehearsed for fact in _cast(each)]
    if cast:
        yield judged("agents.cast", "pass", cast)
    else:
        yield Missing("agents.cast", "nobody in the pipeline is an agent, a flow or a model that speaks")
    yield _mute(pipelines)
    yield from variables(rehearsed, subject.modules, admits=bool(subject.app is not None and subject.app._admit))
    yield from handoffs(pipelines)
    yield _delivered(pipelines)
    yield from settings_targets(rehearsed)
    yield from policies(pipelines)
    yield from _calls(subject)


def _cast(rehearsal: Rehearsal) -> Iterator[Fact]:
    pipeline = rehearsal.pipeline
    if pipeline is None:
        return
    routed = {agent: f"{router.name}: router" for router in routers_in(pipeline) for agent in router.targets.values()}
    member = {agent: f"{squad.name}: squad" for squad in squads_in(pipeline) for agent in squad.agents.values()}
    for agent in agents_in(pipeline):
        auditors = [each for each in pipeline.observers if isinstance(each, Auditor) and each.agent is agent]
        part = member.get(agent) or routed.get(agent) or (f"auditor {auditors[0].name}" if auditors else "agent")
        yield _row(rehearsal, agent.name, part, [*agent._tools.tools])
    for each in everything_in(pipeline):
        if isinstance(each, Flow):
            tools = [state.tool.name for state in each.states.values() if isinstance(state, Do)]
            yield _row(rehearsal, each.name, f"flow of {len(each.states)} nodes", tools)
        elif isinstance(each, Realtime):
            yield _row(rehearsal, each.name, f"realtime model {each.model}".rstrip(), [*each.tools])


def _row(rehearsal: Rehearsal, name: str, part: str, tools: list[str]) -> dict[str, str]:
    return {"who": name, "as": part, "tools": ", ".join(tools) or "none", "in": rehearsal.what or "calls that come in"}


def _mute(pipelines: list[Pipeline]) -> Check | Missing:
    """Whoever is asked for an answer and has none: the caller hears no stand-in for it."""
    speakers = [each for pipeline in pipelines for each in agents_in(pipeline)]
    if not speakers:
        return Missing("agents.answers", "there is no agent")
    mute = [each.name for each in speakers if not each._thinks and type(each).reply is Agent.reply]
    if not mute:
        return judged("agents.answers", "pass", f"{', '.join(each.name for each in speakers)}.")
    return judged(
        "agents.answers",
        "warn",
        [f"{name} has no model and no `reply()`: it can say its greeting, and answers no turn." for name in mute],
        "Pass a model, `Agent(name, instructions, llm)`, or override `reply(turn)`.",
    )


def _delivered(pipelines: list[Pipeline]) -> Check | Missing:
    """Whether callers who are given to somebody outside get there."""
    outside: list[str] = []
    lost: list[str] = []
    for pipeline in pipelines:
        for squad in squads_in(pipeline):
            names = list(squad._handoffs._destinations)
            outside += names
            lost += names if squad._handoffs._transfer is None else []
        for flow in everything_in(pipeline):
            if isinstance(flow, Flow):
                names = [state.target for state in flow.states.values() if isinstance(state, Handoff)]
                names += [flow._person] if flow._person else []
                outside += names
                lost += names if flow._transfer is None else []
        for policy in policies_in(pipeline):
            names = [rule.target for rule in policy.rules if rule.action == "escalate"]
            outside += names
            lost += names if policy.transfer is None else []
    if not outside:
        return Missing("agents.delivery", "callers are given to nobody outside")
    if not lost:
        return judged("agents.delivery", "pass", f"{', '.join(dict.fromkeys(outside))}.")
    return judged(
        "agents.delivery",
        "warn",
        [f"Nobody puts a caller through to {name}: the call ends when that was said." for name in dict.fromkeys(lost)],
        "Give the squad, flow or guardrail a `transfer=`, unless whoever reads the event `handoff.requested` does it.",
    )


# -- calls that tools place


def _calls(subject: Subject) -> Iterator[Check | Missing]:
    if not subject.targets:
        yield Missing("agents.calls", "no tool places calls")
        return
    problems: list[str] = []
    fixes: list[str] = []
    doubts: list[str] = []
    facts: list[Fact] = []
    dialled = {each.tool for each in subject.targets if each.tool is not None}
    for tool in sorted(dialled, key=lambda each: each.name):
        if subject.app is None or tool.dialler not in subject.app.endpoints:
            dialler = type(tool.dialler).__name__
            error = DialError.of("dial.closed", dialler=dialler, why=f"the tool {tool.name} has one that no app opens")
            problems.append(f"{error.message} [{error.code}]")
            fixes.append(error.fix)
    for each in subject.targets:
        if each.pipeline is not None:
            names = " ▸ ".join(processor.name for processor in each.pipeline.processors())
            facts.append({"who": each.what, "pipeline": names})
        elif isinstance(each.error, VoiceframeError) and not isinstance(each.error, Reject):
            said, fix = wrong(each.error, subject.modules)
            problems += [f"{each.what}: {line}" for line in said]
            fixes.append(fix)
        else:  # it may need what only a call has that is about something
            doubts.append(f"{each.what}: it could not be tried: {type(each.error).__name__}: {each.error}")
    if problems:
        yield judged("agents.calls", "fail", problems, " ".join(dict.fromkeys(fixes)))
    elif doubts:
        fix = "Let the bot do without what is missing where `call.metadata` says `rehearsal`."
        yield judged("agents.calls", "warn", [*doubts, *facts], fix)
    else:
        yield judged("agents.calls", "pass", facts)
