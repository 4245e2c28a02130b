"""`voiceframe flow`: checks, walks, draws and describes flows in files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import ConfigurationError, FlowError, TestKitError
from ..tools import Tool
from .document import MOST_BYTES
from .draw import mermaid, svg
from .flow import Flow
from .kinds import schema
from .load import Declaration, read
from .mocks import MockTool
from .naming import name_of
from .slots import Slot
from .states import AgentNode, Do
from .walk import Walk, walk_all

if TYPE_CHECKING:
    from ..chat import Screen
    from ..events import LoggedEvent
    from ..processors.agents import Agent
    from ..testing import Caller

__all__ = ["check", "draw", "print_schema", "walk"]

# -- the actions


def check(file: str, *, tools: str | None = None) -> int:
    """Say what is wrong with a flow. tools: where to find what it names. Returns the exit code."""
    try:
        made = load(file, tools)
    except FlowError as error:
        problems = error.problems or (error,)
        for problem in problems:
            print(f"{problem.message}\n    {problem.fix} [{problem.code}]")
        print(f"{file}: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
        return 1
    named = dict.fromkeys(state.tool.name for state in made.states.values() if isinstance(state, Do))
    facts = [f"{len(made.states)} nodes", f"{len(made.slots)} slots"]
    facts += [f"tools: {', '.join(named)}"] if named else []
    facts += [f"agents: {', '.join(made.agents)}"] if made.agents else []
    print(f"{file}: good, version {made.digest} ({'; '.join(facts)})")
    return 0


def walk(file: str, *, script: str | None = None, seed: int = 0, show_walks: bool = True) -> int:
    """Walk through a flow with mock replies, or let a script walk, and print it. Returns the exit code."""
    made = load(file)
    if script is not None:
        return _scripted(made, script, seed, sys.stdout)
    walked = walk_all(Flow.of(made), seed=seed)
    if show_walks:
        _print_walks(walked, sys.stdout)
    report = walked.report(f"Walk through {made.file}")
    print(report.markdown())
    return report.exit_code


def _print_walks(walk: Walk, out: TextIO) -> None:
    for number, steps in enumerate(walk.walks, 1):
        print(f"walk {number}", file=out)
        for step in steps:
            print(f"  {step.state or '·':<16} {step.did}", file=out)
            if step.states:
                print(f"  {'':<16} → {' → '.join(step.states)}", file=out)
            if step.said:
                print(f"  {'':<16} bot: {step.said}", file=out)
        print(file=out)


def draw(file: str, *, out: str | None = None, as_mermaid: bool = False) -> int:
    """Draw a flow. Returns the exit code."""
    made = load(file)
    title = f"{Path(file).name} · version {made.digest}"
    text = mermaid(made.states, made.start) if as_mermaid else svg(made.states, made.start, title=title)
    if out is None:
        print(text, end="")
        return 0
    try:
        Path(out).write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError.of("file.unusable", path=out, done="written", error=error) from error
    print(f"{out}: {len(made.states)} nodes")
    return 0


def print_schema() -> int:
    """Print the JSON schema of a flow's file."""
    print(json.dumps(schema(), indent=2))
    return 0


# -- files


def load(file: str, bot: str | None = None) -> Declaration:
    """What a file declares, with mocks, or with what a bot's file has. Raises `FlowError`, `ConfigurationError`."""
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError.of("file.unusable", path=file, done="read", error=error) from error
    if bot is None:
        return read(data, file)
    tools, agents, slots = _things_of(bot)
    return read(data, file, tools=tools, agents=agents, slots=slots)


def _things_of(bot: str) -> tuple[list[Tool[..., Any]], list[Agent] | None, list[Slot[Any]]]:
    """The tools, agents and slots that a module has at its top. Agents that are made for each call cannot be seen."""
    from ..bots import load_bot
    from ..processors.agents import Agent

    values = list(getattr(load_bot(bot), "__globals__", {}).values())
    agents = [value for value in values if isinstance(value, Agent)]
    return (
        [value for value in values if isinstance(value, Tool)],
        agents or None,
        [value for value in values if isinstance(value, Slot)],
    )


# -- scripts


@dataclass(frozen=True)
class _Order:
    """A line of a script that `voiceframe chat` does not know."""

    do: str
    name: str
    where: str
    result: str = ""


def _scripted(made: Declaration, script: str, seed: int, out: TextIO) -> int:
    from ..chat import Screen
    from ..clock import run_virtual

    try:
        text = Path(script).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError.of("file.unusable", path=script, done="read", error=error) from error
    first = re.fullmatch(r"/at (\d{4}-\d\d-\d\d \d\d:\d\d)", text.lstrip().partition("\n")[0].strip())
    begins = None
    if first is not None:
        text = text.replace(first[0], "", 1)
        begins = datetime.fromisoformat(first[1])
    orders = list(_orders(text, script, made))
    return run_virtual(_run(made, orders, Screen(out, show_events=True), seed, begins))


def _orders(text: str, script: str, made: Declaration) -> Iterable[Any]:
    from ..chat_script import parse_line

    tools = {state.tool.name: state.tool for state in made.states.values() if isinstance(state, Do)}
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{script}:{number}"
        found = re.fullmatch(r"/(tool|agent|enters)(?:\s+(\S+))?(?:\s+(.+))?", line.strip())
        if found is None:
            try:
                action = parse_line(line)
            except ValueError as error:
                raise ConfigurationError.of("script.syntax", path=script, line=number, error=error) from None
            if action is not None:
                yield action
            continue
        do, name, result = found[1], found[2] or "", (found[3] or "").strip()
        known = {
            "tool": list(tools),
            "agent": [o for s in made.states.values() if isinstance(s, AgentNode) for o in s.exits],
            "enters": list(made.states),
        }[do]
        if name not in known:
            what = {"tool": "tool", "agent": "outcome", "enters": "node"}[do]
            why = f"there is no {what} {name!r}; there are {', '.join(known) or 'none'}"
            raise FlowError.of("flow.script", where=where, error=why)
        if do == "tool" and result != "failed":
            tool = tools[name]
            assert isinstance(tool, MockTool)
            results = {type(one).__name__ if not _simple(one) else name_of(one): one for one in tool.results}
            if result not in results:
                why = f"{name} never returns {result!r}; it returns {', '.join(results)}, or failed"
                raise FlowError.of("flow.script", where=where, error=why)
        yield _Order(do, name, where, result)


def _simple(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


async def _run(made: Declaration, orders: list[Any], screen: Screen, seed: int, begins: datetime | None) -> int:
    from ..chat import act
    from ..pipeline import Pipeline
    from ..testing import dial

    flow = Flow.of(made)
    if begins is not None:
        flow.begins_at(begins)
    async with dial(
        lambda call: Pipeline([call.transport.input(), flow, call.transport.output()]), seed=seed
    ) as caller:
        for event in caller.record.events:
            _show(event, screen)
        caller.call.log.subscribe(lambda event: _show(event, screen))
        try:
            for order in orders:
                if isinstance(order, _Order):
                    await _obey(order, flow, caller)
                else:
                    await act(caller, order)
            if not caller.call.ended:
                await caller.listens()
                await caller.waits(300)
        except (TestKitError, FlowError) as error:
            screen.note(f"FAILED: {error.message}")
            return 1
    entered = [event.data["state"] for event in caller.record.of("flow.entered")]
    screen.note(f"nodes: {' → '.join(entered)}")
    return 0


def _show(event: LoggedEvent, screen: Screen) -> None:
    """Who said what, and beside it what the dialog did."""
    text = str((event.personal or {}).get("text") or "").strip()
    if event.kind == "turn.committed":
        screen.said("you", event.at_ms, text)
    elif event.kind == "reply.heard" and text:
        screen.said("bot", event.at_ms, text, cut=not event.data["complete"])
    elif event.kind.startswith(("flow.", "tool.", "handoff.", "call.ended")):
        screen.event(event)


async def _obey(order: _Order, flow: Flow, caller: Caller) -> None:
    if order.do == "tool":
        for state in flow.states.values():
            if isinstance(state, Do) and state.tool.name == order.name and isinstance(state.tool, MockTool):
                state.tool.tell(_result(state.tool, order.result))
                return
    elif order.do == "agent":
        await caller.listens()
        flow.finish(order.name)
    else:
        for _ in range(100):
            if flow.state == order.name:
                return
            await caller.waits(100)
        error = f"the dialog is in {flow.state!r}, and not in {order.name!r}"
        raise FlowError.of("flow.script", where=order.where, error=error)


def _result(tool: MockTool, text: str) -> Any:
    if text == "failed":
        return RuntimeError("the script lets it fail")
    for result in tool.results:
        if (name_of(result) if _simple(result) else type(result).__name__) == text:
            return result
    raise AssertionError(text)
