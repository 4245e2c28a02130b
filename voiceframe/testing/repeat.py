"""The same scenario many times, with other seeds: how often it passes, and with which seeds it does not.

    async def books(seed: int) -> None:
        async with dial(bot, seed=seed) as caller:
            ...

    runs = await repeat(books, runs=20, seed=0)
    assert runs.report(at_least=0.95).exit_code == 0

A run passes if the scenario raises nothing, and returns nothing or what has not failed (a check, a report, a judge).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import pickle
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..bots import load_bot
from ..checks import Check, Report
from ..clock import VirtualTimeLoop, is_virtual
from ..errors import TestKitError
from ..report import to_text
from .judges import Judge
from .leaks import leftovers
from .llm_judge import RubricVerdict
from .runs import Repeated, Run, ScenarioRuns

__all__ = ["Scenario", "repeat", "repeat_now", "scenario"]

#: What is run: given a seed, it calls a bot and says what it thinks of it.
Scenario = Callable[[int], Awaitable[Any]]

_ASYNCIO = frozenset(str(file) for file in Path(asyncio.__file__).parent.glob("*.py"))

#: How long a run may take, by the clock of its loop.
_TIMEOUT_MS = 3_600_000
#: How many failed seeds of a scenario are run once more.
_AGAIN = 3


async def repeat(
    scenario: Scenario | str | Mapping[str, Scenario | str],
    *,
    runs: int = 20,
    seed: int = 0,
    real_time: bool = False,
    processes: int = 1,
    timeout_ms: int = _TIMEOUT_MS,
    again: bool | None = None,
) -> Repeated:
    """Run a scenario, or some by name, with the seeds `seed`, `seed + 1` and so on. Raises nothing that a run raises.

    scenario: `async def scenario(seed: int)`, or where to find it (`"scenarios.py:books"`).
    real_time: on real loops, for models and carriers that are real. Otherwise each run has a virtual clock of its own,
        as if it were the only one, so that a seed which fails does so by itself as well.
    processes: in so many processes at once; the scenario then must be one that another process can import: the name of
        it, or a function of a module.
    timeout_ms: how long a run may take, by its own clock.
    again: run the first seeds that failed once more, to tell whether they fail again; by default on virtual time.

    While the runs go on, a loop on virtual time stands still; a real one does not. Raises `TestKitError`
    (`test.repeat`) for what cannot be run.
    """
    work = functools.partial(
        repeat_now,
        scenario,
        runs=runs,
        seed=seed,
        real_time=real_time,
        processes=processes,
        timeout_ms=timeout_ms,
        again=again,
    )
    loop = asyncio.get_running_loop()
    if not is_virtual(loop):
        return await asyncio.to_thread(work)
    # A thread can run one loop only, and this one has one already.
    result: Future[Repeated] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result.set_result(context.run(work))
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=run, name="repeat")
    thread.start()
    thread.join()
    return result.result()


def repeat_now(
    scenario: Scenario | str | Mapping[str, Scenario | str],
    *,
    runs: int = 20,
    seed: int = 0,
    real_time: bool = False,
    processes: int = 1,
    timeout_ms: int = _TIMEOUT_MS,
    again: bool | None = None,
) -> Repeated:
    """The same as `repeat()`, where no loop runs."""
    if runs < 1 or processes < 1:
        raise TestKitError.of("test.repeat", reason=f"{runs} runs in {processes} processes are none")
    named = dict(scenario) if isinstance(scenario, Mapping) else {_name(scenario): scenario}
    if not named:
        raise TestKitError.of("test.repeat", reason="there is none")
    for one in named.values():
        _found(one)
    jobs = [(name, seed + number) for name in named for number in range(runs)]
    work = functools.partial(_job, named, real_time, timeout_ms)
    again = not real_time if again is None else again
    if processes == 1:
        done = list(map(work, jobs))
    else:
        # Spawned: a process that was forked has locks and threads of this one.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            try:
                done = list(pool.map(work, jobs))
            except (AttributeError, TypeError, ImportError, pickle.PicklingError) as error:  # it cannot be sent there
                raise TestKitError.of("test.repeat", reason=f"another process cannot have it ({error})") from error
            except BrokenProcessPool as error:
                raise TestKitError.of("test.repeat", reason="one of the processes was killed") from error
    found: list[ScenarioRuns] = []
    for name in named:
        mine = [run for (owner, _), run in zip(jobs, done, strict=True) if owner == name]
        failed = [run.seed for run in mine if not run.passed][: _AGAIN if again else 0]
        found.append(ScenarioRuns(name, tuple(mine), tuple(work((name, number)) for number in failed)))
    return Repeated(tuple(found))


def scenario(
    *,
    runs: int = 20,
    at_least: float = 1.0,
    seed: int = 0,
    real_time: bool = False,
    timeout_ms: int = _TIMEOUT_MS,
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., None]]:
    """Makes a test of a scenario: it passes if so large a part of its runs does.

        @scenario(runs=20, at_least=0.95)
        async def test_books(seed: int) -> None: ...

    Other parameters are fixtures of pytest, the same for all runs. Raises `TestKitError` (`test.repeat`) for a function
    that is not `async` or has no `seed`.
    """

    def declare(function: Callable[..., Awaitable[Any]]) -> Callable[..., None]:
        signature = inspect.signature(function)
        if not inspect.iscoroutinefunction(function) or "seed" not in signature.parameters:
            name = getattr(function, "__name__", str(function))
            raise TestKitError.of("test.repeat", reason=f"{name} is no `async def {name}(seed: int)`")

        @functools.wraps(function)
        def test(**fixtures: Any) -> None:
            async def once(seed: int) -> Any:
                return await function(seed=seed, **fixtures)

            name = function.__name__
            found = repeat_now({name: once}, runs=runs, seed=seed, real_time=real_time, timeout_ms=timeout_ms)
            report = found.report(at_least=at_least)
            if report.exit_code:
                raise TestKitError.of("test.repeated", report=to_text(report).rstrip())

        others = [one for one in signature.parameters.values() if one.name != "seed"]
        # pytest asks for fixtures by the signature, and looks for it through what is wrapped.
        vars(test)["__signature__"] = signature.replace(parameters=others, return_annotation=None)
        del vars(test)["__wrapped__"]
        return test

    return declare


# -- one run


def _job(named: Mapping[str, Scenario | str], real_time: bool, timeout_ms: int, job: tuple[str, int]) -> Run:
    name, seed = job
    function = _found(named[name])
    try:
        with asyncio.Runner(loop_factory=None if real_time else VirtualTimeLoop, debug=False) as runner:
            runner.run(_once(function, seed, timeout_ms))
    except _Failed as error:
        return Run(name, seed, error.what, str(error))
    except TestKitError as error:
        return Run(name, seed, error.code, error.message)
    except AssertionError as error:
        return Run(name, seed, "AssertionError", str(error) or _where(error))
    except TimeoutError as error:
        return Run(name, seed, "TimeoutError", str(error) or f"It took too long: {_where(error.__cause__ or error)}.")
    except Exception as error:
        return Run(name, seed, type(error).__name__, f"{error} ({_where(error)})", broken=True)
    return Run(name, seed)


async def _once(function: Scenario, seed: int, timeout_ms: int) -> None:
    async with asyncio.timeout(timeout_ms / 1000):
        _weigh(await function(seed))
    await asyncio.sleep(0)  # what is being cancelled may finish
    found = leftovers(asyncio.get_running_loop())
    if found:
        raise TestKitError.of("test.leak", what="; ".join(found))


class _Failed(Exception):
    """What a scenario has returned says that it has failed: by this check."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


def _weigh(result: Any) -> None:
    """Raise `_Failed` for the first check that fails."""
    if isinstance(result, Judge | RubricVerdict):
        result = result.report()
    if result is None:
        return
    if isinstance(result, Check):
        checks: Iterable[Any] = [result]
    elif isinstance(result, Report):
        if result.exit_code and not any(check.verdict == "fail" for check in result.checks):
            raise _Failed(result.title, "The report has no checks, or is strict and has a warning.")
        checks = result.checks
    elif isinstance(result, Iterable) and not isinstance(result, str):
        for one in result:
            _weigh(one)
        return
    else:
        raise TestKitError.of(
            "test.repeat", reason=f"it returns {type(result).__name__}, which is nothing, no check and no report"
        )
    for check in checks:
        if check.verdict == "fail":
            raise _Failed(check.id, "; ".join(str(fact) for fact in check.evidence))


def _where(error: BaseException) -> str:
    """In which line it was, of the scenario or what it calls; not where asyncio waits."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in _ASYNCIO]
    return f"line {frames[-1].lineno} of {frames[-1].filename}" if frames else "nowhere"


def _found(scenario: Scenario | str) -> Scenario:
    function: Any = load_bot(scenario) if isinstance(scenario, str) else scenario
    method = getattr(type(function), "__call__", None)  # noqa: B004  # of an object that is called
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(method)):
        raise TestKitError.of("test.repeat", reason=f"{_name(scenario)} is not `async`")
    with contextlib.suppress(ValueError):  # of something built in, nothing is known
        try:
            inspect.signature(function).bind(0)
        except TypeError as error:
            raise TestKitError.of("test.repeat", reason=f"{_name(scenario)} does not take a seed ({error})") from error
    return function  # type: ignore[no-any-return]


def _name(scenario: Scenario | str) -> str:
    if isinstance(scenario, str):
        return scenario.rpartition(":")[2]
    return str(getattr(scenario, "__name__", type(scenario).__name__))
