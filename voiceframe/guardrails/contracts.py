"""Contracts of guardrails as checks: that a rule finds what it must, leaves alone what it must, and each has fired.

report = await check_guardrail(RULES, [GuardCase("You should sue them.", action="block", rule="legal-advice")])
assert report.exit_code == 0, report.markdown()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..checks import Check, Missing, Report, Verdict
from .compliance import Notice
from .decisions import ACTIONS, STAGES, Action, Decision, Stage
from .policy import OnTimeout, Policy
from .rules import Rule, one_of

if TYPE_CHECKING:
    from ..processors.guardrails import Guardrail

__all__ = ["GuardCase", "LoopRunner", "check_guardrail"]

T = TypeVar("T")
Aspect = Literal["action", "rule", "text", "silent"]


@dataclass(frozen=True)
class GuardCase:
    """A text at a stage, and what must become of it. What is left out is not asked.

    rule: the one that decides. becomes: the text that goes on. absent: what must not be in it.
    name: for the report; by default its place in the list. Raises `GuardrailError` (`guard.value`).
    """

    text: str
    stage: Stage = "output"
    action: Action = "block"
    rule: str = ""
    becomes: str | None = None
    absent: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        one_of(self.stage, STAGES, "GuardCase", "stage")
        one_of(self.action, ACTIONS, "GuardCase", "action")


async def check_guardrail(
    guard: Guardrail | Policy | Sequence[Rule | Notice],
    cases: Iterable[GuardCase],
    *,
    budget_ms: int = 50,
    on_timeout: OnTimeout | None = None,
    every_rule: bool = True,
) -> Report:
    """Judge each case and check what was decided.

    The checks are named `guard.<case>.<aspect>`, with the aspects action, rule, text and silent (nothing of what must
    be absent goes on), and `guard.fires.<rule>` for each rule: that a case has made it fire. A rule that none has is a
    `fail`, or with `every_rule=False` listed as missing. budget_ms, on_timeout: where rules are given by themselves.
    """
    policy = _policy(guard, budget_ms, on_timeout)
    runner = LoopRunner()
    checks: list[Check | Missing] = []
    fired: dict[str, str] = {}
    for number, case in enumerate(cases, 1):
        name = case.name or str(number)
        decision = await policy.judge(case.stage, case.text, runner)
        for hit in decision.hits:
            if hit.outcome == "found":
                fired.setdefault(hit.rule.name, name)
        checks += _judged(case, name, decision)
    for rule in policy.rules:
        if rule.name in fired:
            evidence = f"The case {fired[rule.name]} makes it fire."
            checks.append(Check(f"guard.fires.{rule.name}", "pass", (evidence,), section="Rules"))
        elif every_rule:
            fix = f"Add a case that the rule must find: `GuardCase(..., rule={rule.name!r})`."
            evidence = "No case makes it fire."
            checks.append(Check(f"guard.fires.{rule.name}", "fail", (evidence,), fix=fix, section="Rules"))
        else:
            checks.append(Missing(f"guard.fires.{rule.name}", "no case makes it fire"))
    return Report(checks, title="Contract of the guardrail")


def _policy(
    guard: Guardrail | Policy | Sequence[Rule | Notice], budget_ms: int, on_timeout: OnTimeout | None
) -> Policy:
    if isinstance(guard, Policy):
        return guard
    found = getattr(guard, "policy", None)
    if isinstance(found, Policy):
        return found
    return Policy(guard, budget_ms=budget_ms, on_timeout=on_timeout)  # type: ignore[arg-type]


def _judged(case: GuardCase, name: str, decision: Decision) -> Iterator[Check]:
    rules = ", ".join(decision.rules) or "no rule"
    came = f"At {case.stage} it was decided: {decision.action} ({rules})."
    yield _check(name, "action", decision.action == case.action, came, f"It must be {case.action}.")
    if case.rule:
        ok = decision.rule == case.rule
        yield _check(name, "rule", ok, f"{decision.rule or 'No rule'} has decided.", f"It must be {case.rule}.")
    if case.becomes is not None:
        ok = decision.text == case.becomes
        # The text of a case is the test's own, and no caller's.
        yield _check(name, "text", ok, f"{decision.text!r} goes on.", f"It must be {case.becomes!r}.")
    if case.absent:
        ok = case.absent not in decision.text
        evidence = "Nothing of it goes on." if ok else "It goes on."
        yield _check(name, "silent", ok, evidence, "It must not.")


def _check(name: str, aspect: Aspect, ok: bool, evidence: str, wanted: str) -> Check:
    verdict: Verdict = "pass" if ok else "fail"
    fix = None if ok else f"Correct the rule, or the case {name!r}: `GuardCase(...)`."
    return Check(f"guard.{name}.{aspect}", verdict, (evidence,) if ok else (evidence, wanted), fix=fix, section=name)


class LoopRunner:
    """Runs what rules have to wait for where there is no call: on the loop, and in its threads."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str | None = None, lasting: bool = False) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def offload(self, fn: Callable[..., T], *args: Any, virtual_ms: int = 0) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, fn, *args)
