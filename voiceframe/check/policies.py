"""Guardrails: whether each of their rules is ever asked."""

from __future__ import annotations

from collections.abc import Iterator

from ..checks import Check, Fact, Missing
from ..guardrails.decisions import Stage
from ..guardrails.policy import Policy
from ..pipeline import Pipeline
from ..processors.guardrails import Guardrail
from ..processors.guardrails.output import OutputGuard
from ..processors.guardrails.transcripts import TranscriptGuard
from .cast import agents_in, everything_in, squads_in, tools_in
from .questions import judged

__all__ = ["policies", "policies_in"]

#: What has a policy judge at a stage.
_HOW: dict[Stage, str] = {
    "transcript": "`guard` before the agent",
    "model-input": "`Agent(guardrail=guard)`",
    "output": "`guard.output()` behind the agent",
    "tool-input": "`Agent(guardrail=guard)`",
    "tool-output": "`Agent(guardrail=guard)`",
    "handoff": "`Squad(guardrail=guard)`",
}


def policies(pipelines: list[Pipeline]) -> Iterator[Check | Missing]:
    facts: list[Fact] = []
    silent: list[str] = []
    fixes: list[str] = []
    for pipeline in pipelines:
        there = _there(pipeline)
        for policy, stages in policies_in(pipeline).items():
            facts.append({"rules": ", ".join(rule.name for rule in policy.rules), "stages": ", ".join(sorted(stages))})
            for rule in policy.rules:
                wanted = [stage for stage in rule.stages if stage in there]
                if wanted and not stages & set(wanted):
                    silent.append(f"The rule {rule.name} is for {', '.join(wanted)}, where nobody asks it.")
                    fixes.append(_HOW[wanted[0]])
    if silent:
        fix = f"Let it stand there: {', '.join(dict.fromkeys(fixes))}."
        yield judged("agents.guardrails", "warn", list(dict.fromkeys(silent)), fix)
    elif facts:
        yield judged("agents.guardrails", "pass", facts)
    else:
        yield Missing("agents.guardrails", "there is no guardrail")


def policies_in(pipeline: Pipeline) -> dict[Policy, set[Stage]]:
    """The policies, with the stages at which they are asked."""
    found: dict[Policy, set[Stage]] = {}
    for each in everything_in(pipeline):
        if isinstance(each, Guardrail):
            found.setdefault(each.policy, set()).add("transcript")
        elif isinstance(each, TranscriptGuard):
            found.setdefault(each._policy, set()).add("transcript")
        elif isinstance(each, OutputGuard):
            found.setdefault(each._policy, set()).add("output")
    for agent in [*agents_in(pipeline), *squads_in(pipeline)]:
        if agent._guard is not None:
            found.setdefault(agent._guard._policy, set()).update(
                ("model-input", "tool-input", "tool-output", "handoff")
            )
    return found


def _there(pipeline: Pipeline) -> set[Stage]:
    """The stages at which there is anything to be judged."""
    there: set[Stage] = {"transcript", "output"}
    if any(agent._thinks for agent in agents_in(pipeline)):
        there.add("model-input")
    if any(True for _ in tools_in(pipeline)):
        there |= {"tool-input", "tool-output"}
    if squads_in(pipeline):
        there.add("handoff")
    return there
