"""`voiceframe demo`: the clinic is called, and everything about that call can be looked at."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from ..audio import AudioFormat
from ..call import Call
from ..clock import run_virtual
from ..errors import TestKitError
from ..extras import optional
from ..llm import LLM
from ..models import POCKETSPHINX, find
from ..pipeline import Pipeline
from ..talk import choose_model, closing, refuse
from . import clinic, clinic_agent
from .breaking import Break, Part
from .files import call_folder, fresh, where, write
from .result import Result, digest, percentile
from .screen import MODEL_STEPS, STEPS, Screen, checks, latencies
from .script import DemoLine
from .telephoning import RATE, make_call

__all__ = ["DEFAULT_SEED", "demo", "demo_load", "demo_runs"]

DEFAULT_SEED: Final = 1
#: What share of many calls must be good.
PASS_RATE: Final = 0.95
#: How long an answer to `--say` and `--wav` may take to begin.
_ANSWER_MS: Final = 8_000

_NEEDED: Final = {
    "telephony": ("msgspec", "starlette", "twilio", "uvicorn", "websockets"),
    "local": ("onnxruntime", "espeakng_loader"),
}

Bot = Callable[[Call], Pipeline]
T = TypeVar("T")


def make_ready() -> None:
    """Raises `MissingExtra`, which says what to install, if the demo cannot be on this machine."""
    for packages in _NEEDED.values():
        for package in packages:
            optional(package, extra="local,telephony", what="The demo")
    find(POCKETSPHINX)


def demo(
    *,
    seed: int | None = None,
    fast: bool = False,
    say: str | None = None,
    wav: str | None = None,
    part: Part | None = None,
    folder: str | None = None,
    as_json: bool = False,
    llm: str | None = None,
    llm_url: str | None = None,
    bot: Bot = clinic.bot,
    out: TextIO | None = None,
) -> int:
    """Make one call, show it, and write its files. Returns the exit code: 0 if all went as it should.

    say, wav: one utterance, or what is in that file, in place of the script. part: what is killed meanwhile. llm,
    llm_url: the model that answers in place of the dialog, see `choose_model()`. bot: what is called.
    """
    make_ready()
    if fast:
        refuse("--fast", llm, llm_url)
    model, bot, who = _asked(llm, llm_url, bot)
    out = out or sys.stdout
    live = out.isatty() and not fast and not as_json
    name = f"seed-{seed if seed is not None else DEFAULT_SEED}"
    if seed is None and not fast:
        name = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    place = Path(folder) if folder else Path("demo-calls") / name
    act = _utterance(say, wav)
    broken = Break(part, bot) if part is not None else None
    fresh(place)
    screen = Screen(out, live=live, steps=() if act is not None else STEPS if model is None else MODEL_STEPS)
    if not as_json:
        print(f"{_introduction(fast=fast)} {who}", file=out)
    calling = make_call(
        DEFAULT_SEED if seed is None else seed,
        place,
        real=not fast,
        show=None if as_json else screen,
        bot=bot,
        observers=() if as_json else (screen.observer,),
        act=act,
        broken=broken,
    )
    with _quiet() if broken is not None else nullcontext():  # that it was killed is shown, and not for the log
        made = _run(closing(model, calling), fast=fast)
    result = Result(made, scripted=act is None, broken=broken)
    document = write(result, place, wall=not fast)
    answered = act is None or any(turn["sum_ms"] is not None for turn in result.turns)
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2), file=out)
    else:
        _show(result, document, out, colours=out.isatty())
    return 0 if result.passed and answered else 1


def demo_runs(
    count: int,
    *,
    seed: int | None = None,
    folder: str | None = None,
    as_json: bool = False,
    bot: Bot = clinic.bot,
    out: TextIO | None = None,
) -> int:
    """Make so many fast calls, with one seed after the other. Returns the exit code: 0 if 95 % and more were good.

    folder: where the files of each call are kept, in a folder of its own; without it nothing is.
    """
    make_ready()
    out = out or sys.stdout
    first = DEFAULT_SEED if seed is None else seed
    good: list[int] = []
    failing: dict[int, str] = {}
    waits: list[float] = []
    together = hashlib.sha256()
    for number in range(first, first + count):
        with _kept(folder, number) as place:
            made = _run(make_call(number, place, real=False, bot=bot), fast=True)
            result = Result(made)
            if folder is not None:
                write(result, place, wall=False)
        waits += result.voice_to_voice
        together.update(digest(made).encode())
        if result.passed:
            good.append(number)
        else:
            bad = [f"{check.id}: {check.evidence[0]}" for check in result.checks if check.verdict == "fail"]
            failing[number] = made.failure or "; ".join(bad)
        if out.isatty() and not as_json:
            done = number - first + 1
            print(f"\r{done} of {count} calls, {len(failing)} failed", end="", file=out, flush=True)
    rate = len(good) / count if count else 0.0
    delays = {"p50_ms": percentile(waits, 0.5), "p95_ms": percentile(waits, 0.95), "turns": len(waits)}
    found = {
        "seeds": [first, first + count - 1],
        "calls": count,
        "pass_rate": rate,
        "voice_to_voice": delays,
        "failing": [{"seed": number, "why": why} for number, why in failing.items()],
        "folder": folder,
        "digest": together.hexdigest(),
        "passed": rate >= PASS_RATE,
    }
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2), file=out)
    else:
        lines = [
            f"{count} calls, seeds {first} to {first + count - 1}: {rate:.1%} passed",
            f"voice to voice: p50 {delays['p50_ms']} ms, p95 {delays['p95_ms']} ms, of {len(waits)} turns",
            *(f"seed {number}: {why} (voiceframe demo --fast --seed {number})" for number, why in failing.items()),
            *([] if folder is None else [where(folder)]),
            f"digest {found['digest']}",
        ]
        print(("\r" if out.isatty() else "") + "\n".join(lines), file=out)
    return 0 if rate >= PASS_RATE else 1


def demo_load(
    count: int,
    *,
    seed: int | None = None,
    folder: str | None = None,
    as_json: bool = False,
    llm: str | None = None,
    llm_url: str | None = None,
    bot: Bot = clinic.bot,
    out: TextIO | None = None,
) -> int:
    """Make so many calls at once at real speed. Returns the exit code: 0 if 95 % and more were good.

    folder: as in `demo_runs()`. llm, llm_url: as in `demo()`.
    """
    from .load import describe, load

    make_ready()
    model, bot, who = _asked(llm, llm_url, bot)
    out = out or sys.stdout
    if not as_json and model is not None:
        print(who, file=out)
    loading = load(count, DEFAULT_SEED if seed is None else seed, bot, folder)
    found = _run(closing(model, loading), fast=False)
    print(json.dumps(found, ensure_ascii=False, indent=2) if as_json else describe(found), file=out)
    return 0 if found["pass_rate"] >= PASS_RATE else 1


# -- parts


def _asked(name: str | None, url: str | None, bot: Bot) -> tuple[LLM | None, Bot, str]:
    """The model that is asked for, the bot that uses it or else `bot`, and who answers in words."""
    chosen = choose_model(name, url)
    if chosen is None:
        return None, bot, "It answers by its dialog, without a model."
    return chosen[0], partial(clinic_agent.pipeline, model=chosen[0]), f"It answers with {chosen[1]}."


def _run(calling: Coroutine[Any, Any, T], *, fast: bool) -> T:
    if fast:
        return run_virtual(calling)
    try:
        return asyncio.run(calling)
    except asyncio.CancelledError:  # by `let_interrupt()`
        raise KeyboardInterrupt from None


@contextmanager
def _kept(folder: str | None, seed: int) -> Iterator[Path]:
    """Where one of many calls is made: in a folder that stays, if there is one for all of them."""
    if folder is not None:
        yield fresh(call_folder(Path(folder), seed))
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("voiceframe")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _utterance(say: str | None, wav: str | None) -> Callable[[DemoLine], Awaitable[Any]] | None:
    """What the caller does in place of the script, if anything."""
    if say is not None:
        return partial(_one, speak=lambda line: line.says(say))
    if wav is not None:
        from ..processors.tts.clips import Clip

        clip = Clip(wav, AudioFormat("pcm_s16le", RATE))
        clip.open()  # raises what is wrong about it, before anybody is called
        clip.close()
        return partial(_one, speak=lambda line: line.plays_file(wav))
    return None


async def _one(line: DemoLine, *, speak: Callable[[DemoLine], Awaitable[None]]) -> None:
    """Say one thing, and hear the answer out."""
    await line.caller.listens()
    await speak(line)
    with suppress(TestKitError):  # it has not answered: that is seen in what is shown
        await line.caller.hears(r"\w", within_ms=_ANSWER_MS)
    await line.caller.listens()


def _introduction(*, fast: bool) -> str:
    how = "in memory, on virtual time" if fast else "over a WebSocket on this machine, at real speed"
    return f"Somebody calls the clinic, {how}."


def _show(result: Result, document: dict[str, Any], out: TextIO, *, colours: bool) -> None:
    spoken = [turn for turn in result.turns if turn["sum_ms"] is not None]
    if spoken:
        print("\nLatency in ms; voice to voice is taken from the recording.\n", file=out)
        print(latencies(result.turns), file=out)
    if result.checks:
        print("\n" + checks(result.checks, colours=colours), file=out)
    if result.made.failure:
        print(f"\nThe call went wrong: {result.made.failure}", file=out)
    found = result.appointment
    booked = f"{found['patient']}, {found['doctor']}, {found['day']} at {found['time']}" if found else "none"
    lines = [
        "",
        f"appointment  {booked} ({Path(document['recording']).with_name('appointments.db')})",
        f"recording    {document['recording']}",
        f"events       {document['events']}",
        f"the call     {document['page']}",
    ]
    if result.model is not None:
        lines.insert(1, f"model        {_used(result.model)}")
    if result.checks:
        lines.append("\nAll of it went as it should." if result.passed else "\nThis call has failed.")
    print("\n".join(lines), file=out)


def _used(model: dict[str, Any]) -> str:
    """The model, how soon its words came, and what it was used for."""
    first, cost = model["first_word"], model["cost_usd"]
    told = [
        f"first word p50 {first['p50_ms']} ms, p95 {first['p95_ms']} ms",
        f"{model['requests']} requests",
        f"{model['input_tokens']} tokens in ({model['cached_tokens']} cached), {model['output_tokens']} out",
        *([] if cost is None else [f"{cost:.4f} USD"]),
    ]
    return f"{model['name']}: {', '.join(told)}"
