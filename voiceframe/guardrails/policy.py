"""A policy: rules by stage, and how they come to one decision within their time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from ..errors import GuardrailError
from .compliance import Notice
from .decisions import STAGES, Decision, Finding, Hit, Outcome, Stage, decided
from .rules import Rule, SlowRule, Text, one_of

if TYPE_CHECKING:
    from ..call import Call
    from ..events import HandoffRequested

__all__ = ["OnTimeout", "Policy", "Runner", "Transfer"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

Verdict = Literal["allow", "block"]
#: What puts a caller through: called with the call and the request, while the sentence is being said.
Transfer: TypeAlias = "Callable[[Call, HandoffRequested], Awaitable[None]]"
#: What is done where a rule was not in time: for all stages, or by stage.
OnTimeout = Verdict | Mapping[Stage, Verdict]

#: What goes out is blocked, what comes in is let through.
_IN_DOUBT: Final[dict[Stage, Verdict]] = {
    "transcript": "allow",
    "model-input": "allow",
    "output": "block",
    "tool-input": "block",
    "tool-output": "allow",
    "handoff": "block",
}
#: A text that is longer is judged in a thread, in characters.
_LONG: Final = 4_000
#: A text that is longer is not judged, and goes nowhere.
_TOO_LONG: Final = 200_000

SAY: Final = "I'm sorry, I can't help with that."


class Runner(Protocol):
    """What runs work beside the loop: a processor."""

    def spawn(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, lasting: bool = False
    ) -> asyncio.Task[T]: ...

    async def offload(self, fn: Callable[..., T], *args: Any, virtual_ms: int = 0) -> T: ...


class Scanned(NamedTuple):
    """What the quick rules have found, and from where on the text may yet become something, with who says so."""

    hits: list[Hit]
    open: int
    opener: Rule | None


class Policy:
    """Rules, ready to be asked. Without state: one serves all calls.

    budget_ms: for the slow rules of one text, all of which run at once.
    on_timeout: what is done when one was not in time, or has failed: `"allow"` or `"block"`, for all stages or by
        stage. By default what goes out (output, tool input, handoff) is blocked, and what comes in is let through.
    say: the sentence for what is blocked by a rule that has none.
    transfer: puts the caller through when a rule escalates; None if the call ends then, for somebody to take it up.

    Raises `GuardrailError` (`guard.empty`, `guard.rule`, `guard.twice`, `guard.value`, `guard.number`).
    """

    def __init__(
        self,
        rules: Iterable[Rule | Notice],
        *,
        budget_ms: int = 50,
        on_timeout: OnTimeout | None = None,
        say: str = SAY,
        transfer: Transfer | None = None,
    ) -> None:
        given = list(rules)
        for each in given:
            if not isinstance(each, Rule | Notice):
                raise GuardrailError.of("guard.rule", what=repr(each))
        if not given:
            raise GuardrailError.of("guard.empty")
        names = [each.name for each in given]
        for name in names:
            if names.count(name) > 1:
                raise GuardrailError.of("guard.twice", name=name)
        if budget_ms < 1:
            raise GuardrailError.of(
                "guard.number", where="The guardrail", name="budget_ms", value=budget_ms, expected="1 or more"
            )
        self.rules = tuple(each for each in given if isinstance(each, Rule))
        self.notices = tuple(each for each in given if isinstance(each, Notice))
        self.budget_ms = budget_ms
        self.say = say
        self.transfer = transfer
        self._given = given
        self._in_doubt = _verdicts(on_timeout)
        self._quick: dict[Stage, tuple[Rule, ...]] = {}
        self._by_sentence: dict[Stage, tuple[Rule, ...]] = {}
        self._slow: dict[Stage, tuple[SlowRule, ...]] = {}
        for stage in STAGES:
            asked = [each for each in self.rules if stage in each.stages]
            quick = [each for each in asked if not isinstance(each, SlowRule)]
            self._quick[stage] = tuple(each for each in quick if not each.by_sentence)
            self._by_sentence[stage] = tuple(each for each in quick if each.by_sentence)
            self._slow[stage] = tuple(each for each in asked if isinstance(each, SlowRule))
        #: The sentences that are said instead of something: they are not judged again.
        self.sentences = frozenset(text.strip() for text in (say, *(each.say for each in given)) if text.strip())

    def with_budget(self, budget_ms: int) -> Policy:
        """The same with another budget."""
        return Policy(self._given, budget_ms=budget_ms, on_timeout=self._in_doubt, say=self.say)

    def guards(self, stage: Stage) -> bool:
        """Whether a rule is asked at the stage."""
        return bool(self._quick[stage] or self._by_sentence[stage] or self._slow[stage])

    def waits(self, stage: Stage) -> bool:
        """Whether a rule at the stage may have to wait."""
        return bool(self._slow[stage])

    # -- judging

    def scan(self, stage: Stage, text: Text) -> Scanned:
        """What the quick rules find, but for those that are asked of whole sentences."""
        return self._scan(self._quick[stage], stage, text)

    def by_sentence(self, stage: Stage, text: str) -> list[Hit]:
        """What the quick rules find that are asked of whole sentences."""
        rules = self._by_sentence[stage]
        return self._scan(rules, stage, Text(text)).hits if rules and text.strip() else []

    def _scan(self, rules: Sequence[Rule], stage: Stage, text: Text) -> Scanned:
        hits: list[Hit] = []
        opened, opener = len(text.raw), None
        for rule in rules:
            try:
                findings, at = rule.scan(text)
            except Exception as error:
                hits.append(self._doubt(rule, stage, text.raw, "failed", error))
                continue
            if findings:
                hits.append(Hit(rule, rule.action, tuple(findings)))
            if at < opened:
                opened, opener = at, rule
        return Scanned(hits, opened, opener)

    def quick(self, stage: Stage, text: str) -> Decision:
        """The decision of the quick rules alone."""
        began = time.perf_counter_ns()
        hits = self._scan_whole(stage, text)
        return self.decide(stage, text, hits, began)

    async def judge(self, stage: Stage, text: str, runner: Runner) -> Decision:
        """The decision of all rules, within the budget."""
        began = time.perf_counter_ns()
        if len(text) > _LONG:
            hits = await runner.offload(self._scan_whole, stage, text)
        else:
            hits = self._scan_whole(stage, text)
        if self._slow[stage] and text.strip() and not any(hit.action == "escalate" for hit in hits):
            hits += await self.wait(stage, text, runner)
        return self.decide(stage, text, hits, began)

    def _scan_whole(self, stage: Stage, text: str) -> list[Hit]:
        if len(text) > _TOO_LONG and self.guards(stage):
            rule = next(rule for rule in self.rules if stage in rule.stages)
            return [Hit(rule, "block", outcome="failed", reason=f"{len(text)} characters are too many to judge")]
        return [*self.scan(stage, Text(text)).hits, *self.by_sentence(stage, text)]

    def decide(self, stage: Stage, text: str, hits: Sequence[Hit], began_ns: int = 0) -> Decision:
        """The decision to which these hits lead. began_ns: of `time.perf_counter_ns()`."""
        took_us = (time.perf_counter_ns() - began_ns) // 1000 if began_ns and hits else 0
        return decided(stage, text, tuple(hits), self.say, took_us)

    async def wait(self, stage: Stage, text: str, runner: Runner) -> list[Hit]:
        """What the slow rules find, each within its budget. Those that are late are cancelled and left alone."""
        if not text.strip():
            return []
        loop = asyncio.get_running_loop()
        began = loop.time()
        tasks: list[tuple[SlowRule, asyncio.Task[list[Finding] | Exception]]] = []
        try:
            for rule in self._slow[stage]:
                task = runner.spawn(
                    _quiet(rule.judge(text, runner.offload)), name=f"guardrail {rule.name}", lasting=True
                )
                tasks.append((rule, task))
            hits: list[Hit] = []
            for rule, task in tasks:
                left = began + (rule.budget_ms or self.budget_ms) / 1000 - loop.time()
                if not task.done():
                    await asyncio.wait({task}, timeout=max(0.0, left))
                hits += self._outcome(rule, stage, text, task)
            return hits
        finally:
            for _, task in tasks:
                task.cancel()

    def _outcome(self, rule: SlowRule, stage: Stage, text: str, task: asyncio.Task[Any]) -> list[Hit]:
        if not task.done() or task.cancelled():
            return [self._doubt(rule, stage, text, "timeout", None)]
        found = task.result()
        if isinstance(found, TimeoutError):
            return [self._doubt(rule, stage, text, "timeout", None)]
        if isinstance(found, Exception):
            return [self._doubt(rule, stage, text, "failed", found)]
        return [Hit(rule, rule.action, tuple(found))] if found else []

    def _doubt(self, rule: Rule, stage: Stage, text: str, outcome: Outcome, error: Exception | None) -> Hit:
        """What is done where a rule has not answered."""
        own = rule.on_timeout if isinstance(rule, SlowRule) else None
        verdict = own or self._in_doubt[stage]
        reason = ""
        if error is not None:
            reason = type(error).__name__
            _log.warning("the rule %s has failed at %s: %s", rule.name, stage, reason)
        # The verdict is about all of the text, whatever in it is meant.
        findings = (Finding(0, len(text), outcome),) if verdict == "block" else ()
        return Hit(rule, verdict, findings, outcome, reason)


def _verdicts(on_timeout: OnTimeout | None) -> dict[Stage, Verdict]:
    where = "The guardrail"
    verdicts = dict(_IN_DOUBT)
    if on_timeout is None:
        return verdicts
    if isinstance(on_timeout, str):
        return dict.fromkeys(STAGES, one_of(on_timeout, ("allow", "block"), where, "on_timeout"))
    for stage, verdict in on_timeout.items():
        verdicts[one_of(stage, STAGES, where, "on_timeout")] = one_of(
            verdict, ("allow", "block"), where, f"on_timeout[{stage!r}]"
        )
    return verdicts


async def _quiet(judging: Awaitable[list[Finding]]) -> list[Finding] | Exception:
    """What a rule answers, or what it has raised: the task of one that nobody waits for any more is to say nothing."""
    try:
        return await judging
    except Exception as error:
        return error
