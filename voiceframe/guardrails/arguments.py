"""The arguments of `voiceframe guard`. The commands themselves are imported when they are used."""

from __future__ import annotations

import argparse

__all__ = ["add_guard"]

_FORMATS = ("text", "json", "markdown", "html")
_WHERE = "a preset, or rules of your own: module:name, file.py:name"


def add_guard(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "guard",
        help="see what a guardrail makes of a text",
        description="Try texts on the rules of a guardrail, list them, and prove that they fire. Nobody is called.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_try(actions)
    _add_list(actions)
    _add_prove(actions)


def _add_try(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    trying = actions.add_parser(
        "try",
        help="judge one text",
        description="Judge a text and print the decision. The exit code is 1 if the text is blocked, or with --expect "
        "if something else was decided.",
    )
    trying.add_argument("policy", help=_WHERE)
    trying.add_argument("text", help="the text")
    trying.add_argument(
        "--stage",
        default="output",
        metavar="STAGE",
        help="transcript, model-input, output, tool-input, tool-output or handoff (default: output)",
    )
    trying.add_argument("--budget-ms", type=int, metavar="MS", help="for rules that have to wait (default: 50)")
    trying.add_argument("--expect", metavar="ACTION", help="allow, warn, redact, replace, block or escalate")
    trying.add_argument("--json", action="store_true", help="print one JSON object")

    def run(arguments: argparse.Namespace) -> int:
        from .command import guard_try

        return guard_try(
            arguments.policy,
            arguments.text,
            stage=arguments.stage,
            budget_ms=arguments.budget_ms,
            expect=arguments.expect,
            as_json=arguments.json,
        )

    trying.set_defaults(run=run)


def _add_list(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    listing = actions.add_parser("list", help="list the presets and their rules")
    listing.add_argument("policy", nargs="?", help=f"{_WHERE} (default: all presets)")
    listing.add_argument("--json", action="store_true", help="print one JSON object")

    def run(arguments: argparse.Namespace) -> int:
        from .command import guard_list

        return guard_list(arguments.policy, as_json=arguments.json)

    listing.set_defaults(run=run)


def _add_prove(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    proving = actions.add_parser(
        "prove",
        help="prove that every rule fires, and leaves alone what it must",
        description="Judge the cases of a contract and show the report. The exit code is 1 if one is not kept.",
    )
    proving.add_argument("policy", help=_WHERE)
    proving.add_argument(
        "--cases", metavar="NAME", help="a list of GuardCase: module:name, file.py:name (presets have some)"
    )
    proving.add_argument("--format", choices=_FORMATS, default="text")

    def run(arguments: argparse.Namespace) -> int:
        from .command import guard_prove

        return guard_prove(arguments.policy, arguments.cases, form=arguments.format)

    proving.set_defaults(run=run)
