"""Errors of an auditor: what cannot look on, and at what."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["AuditorError"]


class AuditorError(VoiceframeError):
    """An auditor that cannot work; raised where it is made, or where its call begins."""

    codes = {
        "auditor.no-agent": Explanation(
            "The auditor is to be {what}, and that is no agent.",
            'Give one, `Auditor(Agent("auditor", "...", llm))`; where none is wanted, add none to `observers=[...]`.',
        ),
        "auditor.no-model": Explanation(
            "The auditor {agent} has no model to ask.",
            'Give it one: `Agent({agent!r}, "...", llm)`.',
        ),
        "auditor.own-reply": Explanation(
            "The auditor {agent} is a {kind}, which answers by a `reply()` of its own; an auditor is asked as text.",
            'Give an agent that asks a model: `Auditor(Agent("auditor", "...", llm))`.',
        ),
        "auditor.interval": Explanation(
            "An auditor that looks every {every_ms} ms would correct what it has just corrected.",
            "Write `Auditor(agent, every_ms={default_ms})`; {least_ms} is the least. Left out, it looks at each turn.",
        ),
        "auditor.deliver": Explanation(
            "A correction cannot be delivered {deliver!r}.",
            'Write `Auditor(agent, deliver="turn")` or `Auditor(agent, deliver="now")`.',
        ),
        "auditor.tool-asks": Explanation(
            "The auditor's tool {tool} wants agreement, and nobody hears an auditor ask for it.",
            "Declare it `@tool(confirm=False)`, or leave it out: `Auditor(agent, tools=[...])`.",
        ),
        "auditor.no-voice": Explanation(
            "There is no agent in this pipeline that the auditor {auditor} could listen to.",
            "Let an agent answer: `Pipeline([..., Agent(...), ...], observers=[Auditor(...)])`.",
        ),
        "auditor.which-voice": Explanation(
            "There are several agents in this pipeline: {known}. The auditor {auditor} does not know which to advise.",
            "Name it: `Auditor(agent, of={first!r})`.",
        ),
        "auditor.unknown-voice": Explanation(
            "The auditor {auditor} is to advise {name!r}, which is not in this pipeline; there are {known}.",
            "Did you mean `{nearest}`?",
        ),
    }
