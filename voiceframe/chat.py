"""`voiceframe chat`: a conversation in the terminal, with the call's events beside it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from .bots import load_bot
from .chat_script import Action, parse_line, parse_script
from .clock import run_virtual
from .errors import ConfigurationError, TestKitError
from .events import LoggedEvent
from .llm import LLM
from .talk import choose_model, closing, offering
from .testing.answering import answer
from .testing.caller import Caller, dial

__all__ = ["chat"]


class Screen:
    """Two columns: who said what, and the events. Everything that is written is a whole line."""

    def __init__(self, out: TextIO, *, show_events: bool, prompt: Callable[[], str] | None = None) -> None:
        self._out = out
        self._show_events = show_events
        self._prompt = prompt
        self._colour = out.isatty()
        width = shutil.get_terminal_size((120, 24)).columns
        self._left = max(36, width * 11 // 20) if show_events else max(40, width - 2)
        self._right = max(20, width - self._left - 3)
        self._lock = threading.Lock()

    def said(self, who: str, at_ms: int, text: str, *, cut: bool = False) -> None:
        mark = " —" if cut else ""
        head = f"{at_ms / 1000:7.2f}  {who}  "
        body = textwrap.wrap(text + mark, self._left - len(head)) or [""]
        for number, line in enumerate(body):
            self._line(f"{head if number == 0 else ' ' * len(head)}{line}", bold=who == "you")

    def event(self, event: LoggedEvent) -> None:
        if self._show_events:
            facts = " ".join(f"{name}={_short(value)}" for name, value in event.data.items())
            text = f"{event.at_ms / 1000:7.2f} {event.kind} {facts}".rstrip()
            self._line(f"{'':<{self._left}} │ {textwrap.shorten(text, self._right, placeholder='…')}", dim=True)

    def note(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str, *, bold: bool = False, dim: bool = False) -> None:
        with self._lock:
            if self._prompt is not None and self._colour:
                self._out.write("\r\x1b[K")  # what is being typed is written again below
            if self._colour and (bold or dim):
                text = f"\x1b[{1 if bold else 2}m{text}\x1b[0m"
            self._out.write(text + "\n")
            if self._prompt is not None:
                self._out.write(self._prompt())
            self._out.flush()


def _short(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{name}:{part}" for name, part in value.items())
    return str(value)


def chat(
    bot: str | None = None,
    *,
    llm: str | None = None,
    llm_url: str | None = None,
    script: str | None = None,
    seed: int = 0,
    events_file: str | None = None,
    show_events: bool = True,
    words_per_minute: int = 180,
    called: str | None = None,
    out: TextIO | None = None,
) -> int:
    """Talk to a bot, or let a script talk to it. Returns the exit code.

    bot: by default the built-in clinic: its dialog, or an agent with the model that `llm` and `llm_url` ask for, see
    `choose_model()`. One of your own gets that model by `voiceframe.talk.model_or()`.

    called: the bot calls, at this number, and the one who talks to it has picked up. A script may say it: `/called`.

    A script runs on virtual time, the same output on every run; with a model at real speed. Raises
    `ConfigurationError` for a bot or a script that cannot be read, and what `choose_model()` raises.
    """
    out = out or sys.stdout
    note = ""
    if bot is None:
        chosen = choose_model(llm, llm_url)
        function = _clinic(chosen[0] if chosen is not None else None)
        note = _answers("The clinic", chosen, "its dialog")
    else:
        with offering(llm, llm_url) as offer:
            function = load_bot(bot)
        if (llm or llm_url) and not offer.asked:
            raise ConfigurationError.of("talk.bot", bot=bot)
        chosen = offer.given
        if offer.asked:
            note = _answers(bot, chosen, "what it has rehearsed")
    model = chosen[0] if chosen is not None else None
    with contextlib.ExitStack() as stack:
        keep: TextIO | None = None
        if events_file is not None:
            try:
                keep = stack.enter_context(Path(events_file).open("w", encoding="utf-8"))
            except OSError as error:
                raise ConfigurationError.of("file.unusable", path=events_file, done="written", error=error) from error
        if script is not None:
            try:
                text = Path(script).read_text(encoding="utf-8")
            except OSError as error:
                raise ConfigurationError.of("file.unusable", path=script, done="read", error=error) from error
            actions = parse_script(text, script)
            screen = Screen(out, show_events=show_events)
            if note:
                screen.note(note)
            if actions and actions[0].do == "called":
                called = actions.pop(0).text
            talking = _scripted(_line(function, called, seed, words_per_minute), actions, screen, keep)
            return run_virtual(talking) if model is None else asyncio.run(closing(model, talking))
        if note:
            print(note, file=out, flush=True)
        line = _line(function, called, seed, words_per_minute)
        return asyncio.run(closing(model, _typed(line, out, keep, show_events)))


def _line(
    bot: Callable[..., Any], called: str | None, seed: int, words_per_minute: int
) -> AbstractAsyncContextManager[Caller]:
    """A call of the bot, or by it."""
    if called is not None:
        return answer(bot, called, seed=seed, words_per_minute=words_per_minute)
    return dial(bot, seed=seed, words_per_minute=words_per_minute)


def _clinic(model: LLM | None) -> Callable[..., object]:
    """The built-in bot: its dialog, or its agent with this model."""
    from .demo import clinic, clinic_agent

    return clinic.bot if model is None else partial(clinic_agent.pipeline, model=model)


def _answers(who: str, chosen: tuple[LLM, str] | None, without: str) -> str:
    if chosen is None:
        return f"{who} answers by {without}, without a model; --llm or --llm-url asks one."
    return f"{who} answers with {chosen[1]}."


def _listen(caller: Caller, screen: Screen, keep: TextIO | None) -> None:
    """Show what has happened so far, and what happens from now on."""

    def show(event: LoggedEvent) -> None:
        if keep is not None:
            keep.write(event.to_json() + "\n")
            keep.flush()
        text = str((event.personal or {}).get("text") or "")
        if event.kind == "turn.committed":
            screen.said("you", event.at_ms, text)
        elif event.kind == "reply.heard" and text:
            screen.said("bot", event.at_ms, text.strip(), cut=not event.data["complete"])
        elif event.kind == "processor.failed":
            screen.note(f"! {event.data['processor']}.{event.data['handler']}: {(event.personal or {}).get('message')}")
        screen.event(event)

    for event in caller.record.events:
        show(event)
    caller.call.log.subscribe(show)


async def _scripted(
    line: AbstractAsyncContextManager[Caller],
    actions: list[Action],
    screen: Screen,
    keep: TextIO | None,
) -> int:
    async with line as caller:
        _listen(caller, screen, keep)
        try:
            for action in actions:
                await act(caller, action)
            if not caller.call.ended:
                await caller.listens()
                await caller.waits(300)  # a bot that has said goodbye ends the call itself
        except TestKitError as error:
            screen.note(f"FAILED: {error.message}")
            return 1
    return 0


async def act(caller: Caller, action: Action) -> None:
    """Do one thing of a script. Raises `TestKitError` when it is not to be done, or an expectation fails."""
    match action.do:
        case "say":
            await caller.says(action.text)
        case "interrupt":
            await caller.interrupts(action.text, after_ms=action.ms)
        case "keys":
            await caller.listens()
            await caller.presses(action.text)
        case "wait":
            await caller.waits(action.ms)
        case "hears":
            await caller.hears(action.text)
        case "hangup":
            await caller.hangs_up()
        case "called":
            raise TestKitError.of("test.called")


async def _typed(
    line: AbstractAsyncContextManager[Caller],
    out: TextIO,
    keep: TextIO | None,
    show_events: bool,
) -> int:
    interactive = sys.stdin.isatty()
    screen = Screen(out, show_events=show_events, prompt=_prompt if interactive and out.isatty() else None)
    if interactive:
        screen.note("Type what you say; what you type while the bot speaks interrupts it. /hangup or Ctrl-D leaves.")
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    # A daemon thread: a program that ends must not wait for somebody to press the return key.
    threading.Thread(target=_read_lines, args=(loop, lines, interactive), daemon=True).start()
    async with line as caller:
        _listen(caller, screen, keep)
        ended = asyncio.ensure_future(caller.call.wait_ended())
        while not ended.done():
            reading = asyncio.ensure_future(lines.get())
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                break
            typed = reading.result()
            if typed is None:
                if not interactive:  # input from a pipe is at its end: hear the bot out
                    await caller.listens()
                break
            try:
                action = parse_line(typed)
                if action is None:
                    continue
                if action.do == "say" and interactive:
                    caller.interrupts_now(action.text)
                else:
                    await act(caller, action)
            except (ValueError, TestKitError) as error:
                screen.note(f"! {error.message if isinstance(error, TestKitError) else error}")
                if not interactive:
                    ended.cancel()
                    return 1
        ended.cancel()
    return 0


def _prompt() -> str:
    try:
        import readline
    except ImportError:
        return "> "
    return "> " + readline.get_line_buffer()


def _read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str | None], interactive: bool) -> None:
    while True:
        try:
            line: str | None = input("> " if interactive else "")
        except (EOFError, OSError):
            line = None
        try:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        except RuntimeError:  # the loop is closed: nobody listens any more
            return
        if line is None:
            return
