"""Personal data found by Presidio, or by whatever else answers as its analyzer does."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

from ..errors import GuardrailError
from ..extras import import_lock
from .decisions import STAGES, Action, Finding, Stage
from .rules import SlowRule
from .threads import Threads

__all__ = ["Analyzer", "AnalyzerResult", "Presidio"]


class AnalyzerResult(Protocol):
    """One finding of an analyzer: a place in the text, what it is (`"PERSON"`), and how sure that is, from 0 to 1."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def entity_type(self) -> str: ...
    @property
    def score(self) -> float: ...


class Analyzer(Protocol):
    """What analyzes texts: `presidio_analyzer.AnalyzerEngine`, or your own. It is called in threads."""

    def analyze(
        self, text: str, language: str, entities: list[str] | None = None, score_threshold: float | None = None
    ) -> Sequence[AnalyzerResult]: ...


class Presidio(SlowRule):
    """Finds personal data with Presidio, which knows more kinds of it than `PersonalData`, and names by their context.

    analyzer: an `AnalyzerEngine` that you have set up, or anything with its `analyze()`; by default one with Presidio's
        own settings, which is made in a thread when the first text comes. It takes about a second to make and some
        milliseconds for a sentence, so give the rule a budget that fits: `budget_ms=...`.
    entities: which, by Presidio's names, such as `"PERSON"`; all if None. threshold: how sure it must be.

    What it finds is known by the sentence: of what the bot says, a finding over two sentences is not found.
    """

    def __init__(
        self,
        analyzer: Analyzer | None = None,
        *,
        entities: Sequence[str] | None = None,
        language: str = "en",
        threshold: float = 0.5,
        name: str = "presidio",
        budget_ms: int | None = None,
        on_timeout: Literal["allow", "block"] | None = None,
        stages: Sequence[Stage] = STAGES,
        action: Action = "redact",
        say: str = "",
        reason: str = "",
        target: str = "person",
        replacement: str = "[{label}]",
    ) -> None:
        super().__init__(
            name,
            budget_ms=budget_ms,
            on_timeout=on_timeout,
            stages=stages,
            action=action,
            say=say,
            reason=reason,
            target=target,
            replacement=replacement,
        )
        self._analyzer = analyzer
        self._problem: GuardrailError | None = None
        self._loading = threading.Lock()
        self._threads = Threads()
        self._entities = None if entities is None else list(entities)
        self._language = language
        self._threshold = threshold

    def load(self) -> Analyzer:
        """Make the analyzer, if that has not been done. It blocks: call it before calls come.

        Raises `GuardrailError` (`guard.presidio`).
        """
        if self._analyzer is None:
            with self._loading:
                if self._problem is not None:  # it would take as long again to find that out
                    raise self._problem
                if self._analyzer is None:
                    self._analyzer = self._made()
        return self._analyzer

    def _made(self) -> Analyzer:
        try:
            with import_lock:
                package = importlib.import_module("presidio_analyzer")
            made: Analyzer = package.AnalyzerEngine()
            return made
        except (Exception, SystemExit) as error:  # spaCy has no model, and wants to fetch one
            problem = f"{type(error).__name__}: {error}".rstrip(".")
            if isinstance(error, ModuleNotFoundError):
                problem = f"{error.name} is not installed"
            self._problem = GuardrailError.of("guard.presidio", problem=problem)
            raise self._problem from error

    async def judge(self, text: str, offload: Callable[..., Awaitable[Any]]) -> list[Finding]:
        found: Sequence[AnalyzerResult] = await self._threads.run(offload, self._analyze, text) or ()
        return [
            Finding(each.start, each.end, each.entity_type.lower().replace("_", " "))
            for each in found
            if each.score >= self._threshold
        ]

    def _analyze(self, text: str) -> Sequence[AnalyzerResult]:
        return self.load().analyze(
            text=text, language=self._language, entities=self._entities, score_threshold=self._threshold
        )
