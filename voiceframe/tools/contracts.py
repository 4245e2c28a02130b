"""Contracts of tools as checks: what a tool must return, how fast, in how many attempts, and that twice is once.

report = await check_tool(book, [ToolCase({"day": "2026-12-03"}, result={"number": 7}, idempotent=True)])
assert report.exit_code == 0, report.markdown()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..checks import Check, Report, Verdict
from ..errors import ToolError
from .context import ToolContext, ToolResult
from .tool import AnyTool
from .values import masked, plain, without_secrets

if TYPE_CHECKING:
    from ..call import Call

__all__ = ["ToolCase", "check_tool"]

#: What a check of a case is about; its id ends in one of these.
Aspect = Literal["status", "result", "error", "attempts", "timeout", "elapsed", "idempotency"]


@dataclass(frozen=True)
class ToolCase:
    """One call of a tool and what must come of it. What is left out is not asked.

    status: whether it returns (`"ok"`) or raises (`"error"`).
    result: what it returns, as JSON has it or as it is; or a function that says whether a value will do.
    error: a part of the error's text.
    attempts: how often it is tried. timed_out: whether it runs out of time. within_ms: how long all of it may take.
    idempotent: it is called a second time with the same key, and must return the same.
    name: for the report; by default its place in the list.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    status: Literal["ok", "error"] = "ok"
    result: Any = ...
    error: str = ""
    attempts: int | None = None
    timed_out: bool | None = None
    within_ms: int | None = None
    idempotent: bool = False
    name: str = ""


async def check_tool(tool: AnyTool, cases: Iterable[ToolCase], *, call: Call | None = None) -> Report:
    """Call the tool for each case, one after the other, and check what came of it.

    The checks are named `tool.<tool>.<case>.<aspect>`, with the aspects status, result, error, attempts, timeout,
    elapsed and idempotency. call: what the tool sees as its call; by default one that has not begun.
    """
    if call is None:
        from ..call import Call
        from ..transports.text import TextTransport

        call = Call(TextTransport(), id=f"contract_{tool.name}")
    checks: list[Check] = []
    for number, case in enumerate(cases, 1):
        name = case.name or str(number)
        context = ToolContext(call, f"{tool.name}-{name}")
        result = await tool.outcome(context, case.arguments)
        again = await tool.outcome(context, case.arguments) if case.idempotent else None
        checks += _Judge(tool, case, name, result).checks(again)
    return Report(checks, title=f"Contract of the tool {tool.name}")


class _Judge:
    """The checks of one case."""

    def __init__(self, tool: AnyTool, case: ToolCase, name: str, result: ToolResult) -> None:
        self._tool = tool
        self._case = case
        self._name = name
        self._result = result
        self._called = f"{tool.name}({', '.join(f'{k}={v!r}' for k, v in masked(case.arguments, tool.secret).items())})"

    def checks(self, again: ToolResult | None) -> Iterable[Check]:
        case, result = self._case, self._result
        status = "ok" if result.error is None else "error"
        came = self._came(result)
        yield self._check("status", status == case.status, f"{self._called} {came}", f"It must be {case.status}.")
        if case.result is not ...:
            yield self._check("result", self._fits(result), f"{self._called} {came}", f"It must {self._wanted()}.")
        if case.error:
            found = result.error is not None and case.error in str(result.error)
            yield self._check("error", found, f"{self._called} {came}", f"The error must say {case.error!r}.")
        if case.attempts is not None:
            ok = result.attempts == case.attempts
            yield self._check("attempts", ok, f"It was tried {_times(result.attempts)}.", _wanted_times(case.attempts))
        if case.timed_out is not None:
            late = result.error is not None and result.error.code == "tool.timeout"
            is_so, must = ("" if late else "not "), ("" if case.timed_out else "not ")
            yield self._check("timeout", late == case.timed_out, f"It did {is_so}time out.", f"It must {must}time out.")
        if case.within_ms is not None:
            ok = result.elapsed_ms <= case.within_ms
            yield self._check("elapsed", ok, f"It took {result.elapsed_ms} ms.", f"At most {case.within_ms} ms.")
        if again is not None:
            same = (plain(again.value), _code(again.error)) == (plain(result.value), _code(result.error))
            yield self._check(
                "idempotency", same, f"The first call {came} The second {self._came(again)}", "Both must be the same."
            )

    def _check(self, aspect: Aspect, ok: bool, evidence: str, wanted: str) -> Check:
        verdict: Verdict = "pass" if ok else "fail"
        fix = None if ok else f"Correct `{self._tool.name}`, or the case {self._name!r} of its contract."
        facts = (evidence,) if ok else (evidence, wanted)
        return Check(f"tool.{self._tool.name}.{self._name}.{aspect}", verdict, facts, fix=fix, section=self._name)

    def _came(self, result: ToolResult) -> str:
        if result.error is None:
            return f"returned {plain(result.value)!r}."
        return f"raised {without_secrets(str(result.error), self._case.arguments, self._tool.secret)}"

    def _fits(self, result: ToolResult) -> bool:
        if result.error is not None:
            return False
        wanted = self._case.result
        if callable(wanted) and not isinstance(wanted, type):
            return bool(wanted(result.value))
        return bool(result.value == wanted) or plain(result.value) == plain(wanted)

    def _wanted(self) -> str:
        wanted = self._case.result
        if isinstance(wanted, Callable) and not isinstance(wanted, type):  # type: ignore[arg-type]
            return f"satisfy {getattr(wanted, '__name__', wanted)}"
        return f"return {plain(wanted)!r}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _wanted_times(count: int) -> str:
    return f"It must be tried {_times(count)}."


def _code(error: ToolError | None) -> str:
    return "" if error is None else error.code
