"""Errors of declared dialogs and of tools."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["FlowError", "ToolError"]


class FlowError(VoiceframeError):
    """A declared dialog that cannot work; raised where the `Flow` is made. `problems` has each fault by itself."""

    problems: tuple[FlowError, ...] = ()

    codes = {
        "flow.invalid": Explanation(
            "The flow cannot work: {problems} (Problems: {count}).",
            "Correct each of them; `Flow(states, start=...)` checks all again, `error.problems` has them one by one.",
        ),
        "flow.unknown-state": Explanation(
            "{where}: {what} leads to {name!r}, and there is no such state.",
            "Did you mean `{nearest}`?",
        ),
        "flow.unreachable": Explanation(
            "{where}: no state leads to {name!r}.",
            "Name it in an `Intent(..., to={name!r})`, in `to=` or in `exits=`, or remove it.",
        ),
        "flow.dead-end": Explanation(
            "{where}: from {name!r} the caller comes to no end and to no person.",
            "Give it a `to=`, or make it an `End(...)` or a `Handoff(...)`.",
        ),
        "flow.loop": Explanation(
            "{where}: {name!r} leads back to itself through states that ask nothing, so it would talk for ever.",
            "Let one of the states ask something: `intents=[...]` or `slots=[...]`.",
        ),
        "flow.duplicate": Explanation(
            "{where}: there is another {kind} named {name!r} at {other}.",
            "Rename one of them; a slot that several states ask for is one object, passed to each `slots=[...]`.",
        ),
        "flow.variable": Explanation(
            "{where}: {what} uses the variable {name!r}, which nothing has filled when {state!r} is reached.",
            "Fill it before, or did you mean `{nearest}`?",
        ),
        "flow.template": Explanation(
            "{where}: {text!r} is not a text with variables: {error}.",
            "Write the name of a slot or `result.field` in braces, and a brace of the text twice.",
        ),
        "flow.no-prompt": Explanation(
            "{where}: {name!r} has nothing to ask the caller with.",
            'Give it a `prompt="..."`.',
        ),
        "flow.no-phrases": Explanation(
            "{where}: the caller has no way to say {name!r}.",
            "Give it phrases of plain words: `{example}`.",
        ),
        "flow.phrase-twice": Explanation(
            "{where}: {phrase!r} may mean {first!r} and {second!r} in state {state!r}.",
            "Take it out of one of them: each phrase of `Intent(name, *phrases)` has one meaning in a state.",
        ),
        "flow.key-twice": Explanation(
            "{where}: key {key} may mean {first!r} and {second!r} in state {state!r}.",
            "Give one of them another `key=`; 0 is always the person.",
        ),
        "flow.key": Explanation(
            "{where}: {key!r} is not a key for {name!r}.",
            'Use one of `key="1"` to `key="9"`.',
        ),
        "flow.no-person": Explanation(
            "{where}: the flow has no way out for a caller who is not understood.",
            'Name who takes over, `Flow(..., person="reception")`, or a state: `Flow(..., give_up="goodbye")`.',
        ),
        "flow.tool-parameter": Explanation(
            "{where}: {tool} needs {name!r}, which nothing has filled when {state!r} is reached.",
            "Ask for it in a state before, or did you mean `{nearest}`?",
        ),
        "flow.tool-type": Explanation(
            "{where}: {tool} takes {name!r} as {expected}, the slot at {other} gives {found}.",
            "Change the type in `def {tool}(...)`, or the slot.",
        ),
        "flow.exit-missing": Explanation(
            "{where}: {tool} may return {case}, for which {state!r} has no exit.",
            "Add `{case}` to its `exits=`, or give a `to=` for all others.",
        ),
        "flow.zone": Explanation(
            "{zone!r} is not a time zone that this machine knows.",
            'Use a name such as `Flow(..., zone="Europe/Berlin")`, and install `tzdata` where the system has none.',
        ),
        "flow.value": Explanation(
            "{where}: {error}.",
            "See the docstring of `{what}`.",
        ),
        "flow.option": Explanation(
            "{where}: {slot!r} can never be {value!r}.",
            "Did you mean `{nearest}`?",
        ),
        "flow.file": Explanation(
            "{where}: the flow cannot be read: {error}.",
            "Give `Flow.load(...)` a YAML file in UTF-8; `voiceframe flow check FILE` reads it as well.",
        ),
        "flow.yaml": Explanation(
            "{where}: {error}.",
            "Mend the YAML there; `voiceframe flow check FILE` says when it is right.",
        ),
        "flow.unknown-key": Explanation(
            "{where}: {what} has no {name!r}.",
            "Did you mean `{nearest}`? `voiceframe flow schema` lists all.",
        ),
        "flow.missing-key": Explanation(
            "{where}: {what} lacks {name!r}.",
            "Add `{name}:`; `voiceframe flow schema` tells what it may be.",
        ),
        "flow.type": Explanation(
            "{where}: {name!r} of {what} is {found}, and must be {expected}.",
            "Write {name!r} as that; `voiceframe flow schema` has all the rules.",
        ),
        "flow.unknown-name": Explanation(
            "{where}: there is no {kind} {name!r}.",
            "Did you mean `{nearest}`?",
        ),
        "flow.not-in-yaml": Explanation(
            "{where}: {what} cannot be written in YAML: {error}.",
            "Keep that flow in Python, or give what it needs to `Flow.load(..., tools=[...], agents=[...])`.",
        ),
        "flow.script": Explanation(
            "{where}: {error}.",
            "See `voiceframe flow test --help` for what a line may be.",
        ),
        "flow.contract": Explanation(
            "There is no preset of workflow contracts {name!r}.",
            "Did you mean `{nearest}`?",
        ),
    }


class ToolError(VoiceframeError):
    """A tool that is declared, called or answered in a way that cannot work."""

    codes = {
        "tool.signature": Explanation(
            "The tool {tool} cannot be called: {error}.",
            "Declare it `async def {tool}(ctx: ToolContext, day: date, count: int = 1) -> Result`.",
        ),
        "tool.missing": Explanation(
            "{tool} was called without {name!r}.",
            "Give it as `{name}=...`.",
        ),
        "tool.unknown-argument": Explanation(
            "{tool} was called with {name!r}, which it does not take.",
            "Did you mean `{nearest}`?",
        ),
        "tool.argument": Explanation(
            "{tool} was called with {name}={value!r}, which is not {expected}.",
            "Give `{name}` as {expected}.",
        ),
        "tool.arguments": Explanation(
            "{tool} was called with several things wrong: {problems}.",
            "Call `{tool}` again with all of them mended.",
        ),
        "tool.json": Explanation(
            "{tool} was called with arguments that are no JSON object: {error}.",
            "Call `{tool}` again with one JSON object that fits its schema.",
        ),
        "tool.unknown": Explanation(
            "There is no tool {name!r}; there are {known}.",
            "Did you mean `{nearest}`?",
        ),
        "tool.twice": Explanation(
            "{agent} has two tools of the name {name!r}.",
            'Rename one of them: `@tool(name="...")`, or `MCPServer(..., prefix="...")`.',
        ),
        "tool.refused": Explanation(
            "{tool} refuses: {reason}.",
            "Tell the caller, or call `{tool}` with other arguments.",
        ),
        "tool.duplicate": Explanation(
            "{tool} was called with the same arguments {ago}, {outcome}; it was not called again.",
            'Use what came of that. A tool that may be repeated says `on_duplicate="allow"`.',
        ),
        "tool.replaced": Explanation(
            "This call of {tool} was stopped, because it was called again with the same arguments.",
            "Use what comes of the later call of `{tool}`.",
        ),
        "tool.cancelled": Explanation(
            "{tool} was stopped: {why}.",
            "Call `{tool}` again if its result is still wanted.",
        ),
        "tool.declined": Explanation(
            "{who} does not agree to {tool}: {why}.",
            "Do not call `{tool}` again unless they ask for it.",
        ),
        "tool.unapproved": Explanation(
            "Nobody has approved {tool} within {waited_ms} ms.",
            "Call `agent.approve(call_id, by=...)` in time, or raise `AgentSettings.approval_ms`.",
        ),
        "tool.unanswered": Explanation(
            "{tool} has no answer: {why}.",
            "Respond to what the caller said; call `{tool}` again when they are ready.",
        ),
        "tool.no-floor": Explanation(
            "{tool} cannot ask the caller anything here.",
            "Give it to an agent: `Agent(..., tools=[{tool}])`.",
        ),
        "tool.mcp": Explanation(
            "The MCP server {server} cannot be used: {detail}.",
            "Check `MCPServer({server!r})`; it is tried again when a tool of it is called.",
        ),
        "tool.mcp-unsure": Explanation(
            "The connection to the MCP server {server} was lost while {tool} ran; it may have been done or not.",
            "Find out whether it was before `{tool}` is called again.",
        ),
        "tool.mcp-result": Explanation(
            "{tool} reports an error: {detail}.",
            "Tell the caller, or call `{tool}` with other arguments.",
        ),
        "tool.mcp-place": Explanation(
            "An MCP server is either a program or at a URL, and this one is {found}.",
            'Write `MCPServer("https://...")`, or `MCPServer(command=["program", "argument"])`.',
        ),
        "tool.timeout": Explanation(
            "{tool} did not answer within {timeout_ms} ms.",
            "Check what it waits for, or raise `@tool(timeout_ms=...)`.",
        ),
        "tool.failed": Explanation(
            "{tool} raised {error}.",
            "See the log; a tool that expects a failure returns a result that says so: `-> Booking | Taken`.",
        ),
    }
