"""Rules: one question each that is asked of a text, at some stages, and what is done if the answer is yes.

Words("lawsuit", "money back*", action="warn")
Pattern(r"\\bticket [a-z]{2}-\\d{4}\\b", action="redact", label="ticket")

@rule("shouting", stages=("output",), action="replace", replacement="I'm sorry.")
def shouting(text: str) -> bool:
    return text.isupper()
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar

from ..errors import GuardrailError
from .decisions import ACTIONS, STAGES, Action, Finding, Stage
from .folding import Folded, fold
from .machine import Machine

__all__ = ["Found", "Pattern", "Rule", "Scan", "SlowRule", "Text", "Words", "one_of", "rule"]

T = TypeVar("T")

#: How much of what stands before a text a rule may look at, in characters.
CONTEXT: Final = 100

#: What a function that is a rule may return: whether all of the text is meant, places in it, or findings.
Found = bool | None | Iterable[tuple[int, int] | Finding]


class Text:
    """A text to be judged: by itself, or a part of one that is still being made.

    raw: as it is. before: what stands in front of it, as much as a rule may look at. final: nothing comes behind it.
    """

    __slots__ = ("_folded", "_folded_before", "before", "final", "raw")

    def __init__(self, raw: str, before: str = "", *, final: bool = True) -> None:
        self.raw = raw
        self.before = before[-CONTEXT:]
        self.final = final
        self._folded: Folded | None = None
        self._folded_before: str | None = None

    @property
    def folded(self) -> Folded:
        """As rules read it: see `folding`."""
        if self._folded is None:
            self._folded = fold(self.raw)
        return self._folded

    @property
    def folded_before(self) -> str:
        """What stands in front of it, folded."""
        if self._folded_before is None:
            self._folded_before = fold(self.before).text
        return self._folded_before

    def context(self, at: int, length: int = CONTEXT) -> str:
        """What stands in front of the place `at` of the folded text."""
        if at >= length:
            return self.folded.text[at - length : at]
        return self.folded_before[-(length - at) :] + self.folded.text[:at]


class Scan(NamedTuple):
    """What a rule has found, and from where on the end of the text may yet become something."""

    findings: list[Finding]
    open: int


class Rule:
    """The base of all rules. A subclass says in `scan()` what it finds; one that must wait is a `SlowRule`.

    name: for events, reports and contracts. stages: where it is asked. action: what is done when it finds something.
    say: what is said instead of what it blocks; by default the guardrail's own sentence.
    reason, target: of an escalation: why, and to whom; it is also a `handoff.requested` in the log.
    replacement: what stands for a finding that is redacted (`{label}` is what it is), or for a text that is replaced.

    by_sentence: it is asked of whole sentences of the bot, and not of text that is still being made.

    A rule keeps nothing of a call, and may be used by many at once. Raises `GuardrailError` (`guard.value`) for a stage
    or action that there is not.
    """

    by_sentence: bool = False

    def __init__(
        self,
        name: str,
        *,
        stages: Sequence[Stage] = ("output",),
        action: Action = "block",
        say: str = "",
        reason: str = "",
        target: str = "person",
        replacement: str = "[{label}]",
    ) -> None:
        where = f"The rule {name!r}"
        self.name = name
        self.stages: frozenset[Stage] = frozenset(one_of(stage, STAGES, where, "stage") for stage in _several(stages))
        self.action: Action = one_of(action, ACTIONS, where, "action")
        self.say = say
        self.reason = reason
        self.target = target
        self.replacement = replacement

    def scan(self, text: Text) -> Scan:
        """What is found in the text, and from where on its end may yet become something (its length if nothing may).

        It must not take long: it runs on the event loop, for each sentence of the bot.
        """
        raise NotImplementedError

    def mask(self, finding: Finding) -> str:
        """What stands for a finding that is taken out."""
        return self.replacement.replace("{label}", finding.label or self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.action} at {', '.join(sorted(self.stages))}>"


class SlowRule(Rule):
    """A rule that has to wait for its answer: a classifier, a model. It has a budget, and sees whole sentences.

    budget_ms, on_timeout: by default those of the guardrail.
    """

    def __init__(
        self,
        name: str,
        *,
        budget_ms: int | None = None,
        on_timeout: Literal["allow", "block"] | None = None,
        stages: Sequence[Stage] = ("output",),
        action: Action = "block",
        say: str = "",
        reason: str = "",
        target: str = "person",
        replacement: str = "[{label}]",
    ) -> None:
        super().__init__(
            name, stages=stages, action=action, say=say, reason=reason, target=target, replacement=replacement
        )
        where = f"The rule {name!r}"
        if budget_ms is not None and budget_ms < 1:
            raise GuardrailError.of(
                "guard.number", where=where, name="budget_ms", value=budget_ms, expected="1 or more"
            )
        if on_timeout is not None:
            one_of(on_timeout, ("allow", "block"), where, "on_timeout")
        self.budget_ms = budget_ms
        self.on_timeout = on_timeout

    def scan(self, text: Text) -> Scan:
        return Scan([], len(text.raw))

    async def judge(self, text: str, offload: Callable[..., Awaitable[Any]]) -> list[Finding]:
        """What is found in the text. offload: runs a function that blocks in a thread, `await offload(fn, *args)`.

        It is cancelled when its budget is over. What it raises is reported, and counts as a time-out.
        """
        raise NotImplementedError


class Pattern(Rule):
    """A regular expression: matched in time that grows with the text alone, whatever expression and text are.

    pattern: in the language of `guardrails.syntax`, which has no looking around and no back references. Everything that
        a match covers is found, so `{1,3}` or `{1,3}?` make no difference. A compiled `re.Pattern` gives its text and
        whether it heeds case.
    fold: read the text in small letters, without accents, unseen characters and look-alikes of other scripts.
    label: what it is, for redaction and events; by default the name.
    """

    def __init__(
        self,
        pattern: str | re.Pattern[str],
        *,
        name: str = "",
        label: str = "",
        ignore_case: bool = True,
        fold: bool = True,
        stages: Sequence[Stage] = ("output",),
        action: Action = "block",
        say: str = "",
        reason: str = "",
        target: str = "person",
        replacement: str = "[{label}]",
    ) -> None:
        if isinstance(pattern, re.Pattern):
            ignore_case = bool(pattern.flags & re.IGNORECASE)
            fold = fold and ignore_case
            pattern = pattern.pattern
        super().__init__(
            name or f"pattern {pattern}",
            stages=stages,
            action=action,
            say=say,
            reason=reason,
            target=target,
            replacement=replacement,
        )
        self.pattern = pattern
        self.label = label or name
        self._fold = fold
        self._machine = Machine(pattern, ignore_case=ignore_case or fold)

    def scan(self, text: Text) -> Scan:
        if not self._fold:
            spans, opened = self._machine.matches(text.raw, before=text.before, final=text.final)
            return Scan([Finding(start, end, self.label) for start, end in spans], opened)
        return scanned(self._machine, text, self.label)


class Words(Pattern):
    """Words and phrases, in any writing: case, accents, look-alikes of other scripts and what stands between the words
    make no difference. A `*` at the end of a word stands for its endings: `"guarantee*"`.

    Raises `GuardrailError` (`guard.words`) if there is nothing to look for.
    """

    def __init__(
        self,
        *words: str,
        name: str = "",
        label: str = "",
        stages: Sequence[Stage] = ("output",),
        action: Action = "block",
        say: str = "",
        reason: str = "",
        target: str = "person",
        replacement: str = "[{label}]",
    ) -> None:
        self.words = words
        name = name or f"words {', '.join(words[:3])}"
        super().__init__(
            phrases(words, name),
            name=name,
            label=label,
            stages=stages,
            action=action,
            say=say,
            reason=reason,
            target=target,
            replacement=replacement,
        )


class _Function(Rule):
    """A function as a rule."""

    by_sentence = True

    def __init__(self, function: Callable[[str], Found], name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._function = function

    def scan(self, text: Text) -> Scan:
        return Scan(found(self._function(text.raw), text.raw, self.name), len(text.raw))

    def __call__(self, text: str) -> Found:
        return self._function(text)


class _SlowFunction(SlowRule):
    """An `async def` function as a rule."""

    def __init__(self, function: Callable[[str], Awaitable[Found]], name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._function = function

    async def judge(self, text: str, offload: Callable[..., Awaitable[Any]]) -> list[Finding]:
        return found(await self._function(text), text, self.name)

    async def __call__(self, text: str) -> Found:
        return await self._function(text)


def rule(
    name: str,
    *,
    stages: Sequence[Stage] = ("output",),
    action: Action = "block",
    say: str = "",
    reason: str = "",
    target: str = "person",
    replacement: str = "[{label}]",
    budget_ms: int | None = None,
    on_timeout: Literal["allow", "block"] | None = None,
) -> Callable[[Callable[[str], Any]], Rule]:
    """Make a rule of a function: of a text it returns whether it is meant, or which places of it.

    A `def` runs on the event loop and must be quick. An `async def` has the budget. Of what the bot says the function
    is asked sentence by sentence, of anything else the whole.
    """
    options: dict[str, Any] = {
        "stages": stages,
        "action": action,
        "say": say,
        "reason": reason,
        "target": target,
        "replacement": replacement,
    }

    def make(function: Callable[[str], Any]) -> Rule:
        if inspect.iscoroutinefunction(function):
            return _SlowFunction(function, name, budget_ms=budget_ms, on_timeout=on_timeout, **options)
        return _Function(function, name, **options)

    return make


# -- for other rules


def phrases(words: Sequence[str], rule: str) -> str:
    """The pattern of words and phrases, as `Words` takes them. Raises `GuardrailError` (`guard.words`)."""
    made: list[str] = []
    for phrase in words:
        folded = fold(phrase).text.split()
        parts = [part for part in (_word(word) for word in folded) if part]
        if not parts:
            raise GuardrailError.of("guard.words", rule=rule, words=phrase)
        made.append(r"[^\w]{1,4}".join(parts))
    if not made:
        raise GuardrailError.of("guard.words", rule=rule, words=words)
    return rf"\b(?:{'|'.join(made)})\b"


def _word(word: str) -> str:
    stem = word.rstrip("*")
    pieces = re.findall(r"\w+", stem)
    # An apostrophe may be there or not, also between the words: "don't" is "dont" is "don t".
    return r"[^\w]{0,2}".join(pieces) + (r"\w*" if pieces and word.endswith("*") else "")


def scanned(machine: Machine, text: Text, label: str) -> Scan:
    """What a machine finds in the folded text, at its places in the text itself."""
    folded = text.folded
    spans, opened = machine.matches(folded.text, before=text.folded_before, final=text.final)
    findings = [Finding(*folded.span(start, end), label) for start, end in spans]
    return Scan(findings, len(text.raw) if text.final else folded.start(opened))


def found(answer: Found, text: str, label: str) -> list[Finding]:
    """What a function has answered, as findings."""
    if answer is None or answer is False:
        return []
    if answer is True:
        return [Finding(0, len(text), label)]
    return [place if isinstance(place, Finding) else Finding(place[0], place[1], label) for place in answer]


def one_of(value: T, known: Sequence[T], where: str, name: str) -> T:
    """The value, if it is one of the known ones. Raises `GuardrailError` (`guard.value`), which names the nearest."""
    if value not in known:
        nearest = difflib.get_close_matches(str(value), [str(each) for each in known], n=1, cutoff=0.0)
        raise GuardrailError.of(
            "guard.value",
            where=where,
            name=name,
            value=value,
            known=", ".join(map(str, known)),
            nearest=nearest[0] if nearest else known[0],
        )
    return value


def _several(stages: Sequence[Stage]) -> Sequence[Stage]:
    return (stages,) if isinstance(stages, str) else tuple(stages)  # type: ignore[return-value]
