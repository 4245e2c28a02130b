"""Errors of squads and routers, and of handoffs between their agents."""

from __future__ import annotations

from .base import Explanation, VoiceframeError
from .dialog import ToolError

__all__ = ["HandoffError", "RouterError", "SquadError"]


class HandoffError(ToolError):
    """A handoff that does not take place: whoever wanted it goes on with the caller."""

    codes = {
        "handoff.nobody": Explanation(
            "The caller cannot be given to {target!r}: there is nobody else here.",
            "Answer the caller without a handoff; specialists stand in a `Squad(agents, start=...)`.",
        ),
        "handoff.unknown-target": Explanation(
            "{source} cannot give the caller to {target!r}; it can to {known}.",
            "Did you mean `{nearest}`? Else answer the caller without a handoff.",
        ),
        "handoff.cycle": Explanation(
            "{target} has had the caller in this turn already, or has them now.",
            "Answer the caller without `hand_off`; it can be called again when they have said more.",
        ),
        "handoff.most": Explanation(
            "The caller was given on {count} times in this turn, which is as often as they may be.",
            "Answer the caller without `hand_off`; the bound is `SquadSettings.max_handoffs`.",
        ),
        "handoff.blocked": Explanation(
            "The caller is not given to {target}: {reason}.",
            "Answer the caller without `hand_off` to that target.",
        ),
        "handoff.late": Explanation(
            "The caller is not given to {target}: {why}.",
            "Call `hand_off` again if it is still wanted.",
        ),
        "handoff.failed": Explanation(
            "The caller is not given to {target}: what decides about it has failed.",
            "Answer the caller without `hand_off`; the function `Squad(handoff=...)` is in the log with its error.",
        ),
    }


class SquadError(VoiceframeError):
    """A squad that cannot work as it is declared."""

    codes = {
        "squad.empty": Explanation(
            "A {kind} needs somebody who answers, and this one has nobody.",
            "Give it agents: `{kind}([Agent(...), Agent(...)], ...)`.",
        ),
        "squad.not-an-agent": Explanation(
            "{kind} {name!r} was given {what}, which is no agent.",
            "Give it agents: `{kind}([Agent(...), Agent(...)], ...)`.",
        ),
        "squad.unnamed": Explanation(
            "An agent of {name!r} has no name, by which the others could call it.",
            'Name it: `Agent("billing", ...)`.',
        ),
        "squad.name-twice": Explanation(
            "{squad!r} has several of the name {name!r}.",
            'Give each agent, squad and destination a name of its own: `Agent("billing", ...)`.',
        ),
        "squad.start": Explanation(
            "{squad!r} begins with {name!r}, and there is no such agent; there are {known}.",
            "Did you mean `start={nearest!r}`?",
        ),
        "squad.route": Explanation(
            "The routes of {squad!r} name {name!r}, and there is no such agent or destination; there are {known}.",
            "Did you mean `{nearest!r}` in `Squad(routes=...)`?",
        ),
        "squad.nested": Explanation(
            "{name!r} is a {kind} and cannot be a specialist of {squad!r}.",
            "Give its agents to one `Squad(...)`, or put a `Router([...])` before several squads.",
        ),
        "squad.handlers": Explanation(
            "{name!r} handles frames in {handlers}, which it would never get: in the pipeline stands {squad!r}.",
            "Override `reply(turn)` in the agent, and put the handlers into a `Processor` or a subclass of the squad.",
        ),
        "squad.taken": Explanation(
            "{name!r} belongs to {other!r} already, and cannot belong to {squad!r} too.",
            "Make an agent for each: `Agent({name!r}, ...)`, in the function of the call.",
        ),
        "squad.number": Explanation(
            "The destination {name!r} has the number {number!r}, which is {problem}.",
            'Write it in E.164: `Destination({name!r}, kind="number", number="+4930123456")`.',
        ),
        "squad.say": Explanation(
            "The destination {name!r} has nothing to say to the caller before they are put through.",
            'Give it a sentence: `Destination({name!r}, say="One moment, I am putting you through.")`.',
        ),
        "squad.destination": Explanation(
            "A destination has the kind {kind!r} and the name {name!r}.",
            'Write `Destination("front desk", kind="person")`; the kinds are person, queue and number.',
        ),
        "squad.decision": Explanation(
            "The policy of {squad!r} has returned {what} for a handoff.",
            "Return `request.allow()`, `request.reroute(to)`, `request.block(reason)` or `request.escalate(to)`.",
        ),
        "squad.decision-target": Explanation(
            "The policy of {squad!r} sends the caller to {name!r}, and there is no such agent or destination; there "
            "are {known}.",
            "Did you mean `{nearest}`?",
        ),
        "squad.context": Explanation(
            "The context of {squad!r} for {target!r} has {problem}.",
            "Return messages of the caller, the assistant and tools from `Squad(context=...)`: `context.messages`.",
        ),
        "squad.last-turns": Explanation(
            "A specialist is to see the last {count} turns, and must see at least the one that it answers.",
            "Write `last_turns(1)` or more, or `summary_only`.",
        ),
        "squad.outside": Explanation(
            "{name!r} cannot hand the caller over: it belongs to no squad.",
            "Put it into one: `Squad([...], start=...)`.",
        ),
        "squad.alone": Explanation(
            "The tool {tool!r} of {name!r} gives the caller to somebody else, and there is nobody: {name!r} belongs to "
            "no squad.",
            "Put it into one, `Squad([...], start={name!r})`, or let the tool return no `Handoff`.",
        ),
        "squad.turns": Explanation(
            "The contract of a squad was given no turns.",
            'Give it some: `check_squad(make, [SquadTurn("I have a question about my bill", specialist="billing")])`.',
        ),
    }


class RouterError(VoiceframeError):
    """A router that cannot work as it is declared."""

    codes = {
        "router.fallback": Explanation(
            "The fallback of the router {router!r} is {name!r}, and there is no such target; there are {known}.",
            "Did you mean `fallback={nearest!r}`?",
        ),
        "router.target": Explanation(
            "{what} of the router {router!r} leads to {name!r}, and there is no such target; there are {known}.",
            "Did you mean `{nearest}`?",
        ),
        "router.nothing": Explanation(
            "The router {router!r} has nothing to decide by, so that all calls would go to its fallback.",
            "Give it `rules=[Rule(...)]` or a `classifier=`, such as `ModelClassifier(llm)`.",
        ),
        "router.description": Explanation(
            "The model of the router {router!r} is to tell its targets apart, and {name!r} has no description.",
            'Give it one: `Agent({name!r}, ..., description="Invoices and refunds")`.',
        ),
        "router.rule": Explanation(
            "A rule for {target!r} {problem}.",
            'Write `Rule("billing", pattern="bill|invoice")`, or give it `to=`, `caller=`, `metadata=` or `when=`.',
        ),
        "router.phrases": Explanation(
            "The grammar for {target!r} has no phrases.",
            'Give it some: `GrammarClassifier(dict(billing=["my bill", "an invoice"]))`.',
        ),
        "router.answer": Explanation(
            "The classifier of {router!r} has answered {what}, which is no target; there are {known}.",
            "Return the name of a target or None from `Router(classifier=...)`.",
        ),
        "router.setting": Explanation(
            "The voice of the router {router!r} sets {name!r} of {processor}, which has no such setting.",
            "Did you mean `{nearest}`?",
        ),
    }
