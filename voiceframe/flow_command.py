"""The options of `voiceframe flow`. What it does is in `voiceframe.flow.command`, which is imported when it is used."""

from __future__ import annotations

import argparse
from typing import Any, Final

__all__ = ["add_actions"]

SCRIPT_HELP: Final = """\
a script has what `voiceframe chat` takes, one thing a line (words, /keys 12#, /wait 1500, /hears which day, /hangup),
and besides
  /tool book Taken         the next call of this tool returns this result; `failed` lets it fail
  /agent done              the agent that talks is done, with this outcome
  /enters form             the dialog must be in this node within 10 s
  /at 2026-01-05 10:00     on the first line: when the call begins, in the zone of the flow
"""


def add_actions(parser: argparse.ArgumentParser) -> None:
    """Add check, test, draw and schema."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    checking = _action(actions, "check", "see whether a flow can work")
    checking.add_argument(
        "--tools",
        metavar="BOT",
        help="a bot's file or module with the tools, agents and slots that the flow names; without it they are taken "
        "on trust",
    )
    testing = _action(
        actions,
        "test",
        "walk through a flow with mock replies",
        description="Walk through a flow with mock replies, without tools, agents and models, and print the walks: by "
        "itself every way from every node, or one that a script says. The exit code is 1 if a way cannot be taken, or "
        "the script fails.",
        epilog=SCRIPT_HELP,
    )
    testing.add_argument("--script", metavar="FILE", help="what the caller says and does, on the whole engine")
    testing.add_argument("--seed", type=int, default=0, help="where the random numbers begin (default: 0)")
    testing.add_argument("--quiet", action="store_true", help="print the report, and no walks")
    drawing = _action(actions, "draw", "draw a flow")
    drawing.add_argument("-o", "--out", metavar="FILE", help="where to write it (default: to the output)")
    drawing.add_argument("--mermaid", action="store_true", help="as text for Mermaid instead of SVG")
    printing = actions.add_parser("schema", help="print the JSON schema of a flow's file")
    printing.set_defaults(run=_run)


def _action(actions: Any, name: str, help: str, *, description: str = "", epilog: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=help,
        description=description or f"{help[0].upper()}{help[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter if epilog else argparse.HelpFormatter,
    )
    parser.add_argument("file", help="a flow in YAML")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from .flow import command

    if arguments.action == "check":
        return command.check(arguments.file, tools=arguments.tools)
    if arguments.action == "test":
        return command.walk(
            arguments.file, script=arguments.script, seed=arguments.seed, show_walks=not arguments.quiet
        )
    if arguments.action == "draw":
        return command.draw(arguments.file, out=arguments.out, as_mermaid=arguments.mermaid)
    return command.print_schema()
