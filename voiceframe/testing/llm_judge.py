"""Judging a call by a model: a rubric, several samples, quotations that are verified, and what it has cost.

    rubric = Rubric({"confirms": "The agent repeats the day before it books."})
    report = (await LLMJudge(OpenAI("gpt-4.1"), rubric).verdict(caller.record)).report()

Judge words with a model, and facts by rules and by the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..checks import Check, Fact, Report, Verdict
from ..errors import ProviderError, TestKitError
from ..llm import LLM, Stop, TextDelta, Usage
from ..prices import cost
from .deeds import Line
from .record import CallTranscript
from .rubric import Criterion, Finding, Question, Rubric, Unusable, lines_of

_logger = logging.getLogger(__name__)

__all__ = ["JudgeCache", "LLMJudge", "Opinion", "RubricVerdict"]


class JudgeCache:
    """Keeps answers of models by what they were asked, so that the same is not paid for twice.

    folder: where, one file for each answer, readable by its owner only, since they quote what people have said. None:
    for as long as the program runs.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._folder = Path(folder) if folder is not None else None
        self._kept: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """The answer that was kept, or None."""
        if self._folder is None:
            return self._kept.get(key)
        try:
            found = json.loads((self._folder / f"{key}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None  # there is none, or the disk has half of one: then it is asked again
        answer = found.get("answer") if isinstance(found, dict) else None
        return answer if isinstance(answer, str) else None

    def put(self, key: str, answer: str) -> None:
        """Keep an answer."""
        if self._folder is None:
            self._kept[key] = answer
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        half = self._folder / f".{key}.{os.getpid()}.{id(answer):x}"
        half.touch(0o600)
        half.write_text(json.dumps({"answer": answer}), encoding="utf-8")
        half.replace(self._folder / f"{key}.json")


@dataclass(frozen=True)
class Opinion:
    """What the samples say of one criterion. `holds` is None where they do not decide it."""

    criterion: Criterion
    findings: tuple[Finding, ...]
    #: How many samples were to be asked; more than half must agree.
    samples: int

    @property
    def votes(self) -> Counter[str]:
        """How many say `yes`, `no` and `unsure`; the answers that are void are `void`."""
        return Counter(finding.answer or "void" for finding in self.findings)

    @property
    def holds(self) -> bool | None:
        """Whether the call is as it should be: the statement is true, or with `never` is not."""
        votes = self.votes
        for answer in ("yes", "no"):
            if 2 * votes[answer] > self.samples:
                return (answer == "no") is self.criterion.never
        return None


@dataclass(frozen=True)
class RubricVerdict:
    """What a model says of a call."""

    rubric: Rubric
    model: str
    opinions: Mapping[str, Opinion]
    #: Samples that were asked, and how many of them were known from before.
    asked: int
    cached: int
    #: Why samples were not usable, one line for each.
    unusable: tuple[str, ...]
    usage: Usage
    #: In US dollars, without what was cached; None if the price of the model is not known.
    cost_usd: float | None
    #: Lines of the transcript whose words are not kept.
    not_kept: int = 0
    #: The verdict where the samples do not decide.
    undecided: Verdict = "fail"

    @property
    def passed(self) -> bool:
        """Whether no check of the report fails."""
        return self.report().exit_code == 0

    def report(self) -> Report:
        """A check for each criterion, and one for the judge itself: `<rubric>.judge`."""
        checks = [self._check(opinion) for opinion in self.opinions.values()]
        return Report([*checks, self._reliability()], title=f"Verdict of {self.model} by the {self.rubric.name}")

    def _check(self, opinion: Opinion) -> Check:
        criterion, holds = opinion.criterion, opinion.holds
        votes = ", ".join(f"{count} {answer}" for answer, count in sorted(opinion.votes.items())) or "none"
        facts: list[Fact] = [f"Samples: {votes}."]
        verdict: Verdict
        if holds is None:
            verdict = self.undecided
            facts.append("The judge is unreliable here: its samples do not decide.")
        else:
            verdict = "pass" if holds else "fail" if criterion.required else "warn"
        decisive = "yes" if (holds is not None and holds is not criterion.never) else "no"
        for finding in opinion.findings:
            if holds is None or finding.answer == decisive:
                facts += [
                    {"line": quote.line, "who": quote.who, "quoted": quote.text} for quote in finding.quotations
                ] or ([finding.reason] if finding.reason else [])
        return Check(
            f"{self.rubric.name}.{criterion.id}",
            verdict,
            list(_once(facts)),
            title=f"Never: {criterion.text}" if criterion.never else criterion.text,
            section=self.rubric.name,
            fix=None if verdict == "pass" else "Read the call: `caller.record.transcript`.",
        )

    def _reliability(self) -> Check:
        used = self.asked - len(self.unusable)
        facts: list[Fact] = [f"{self.model}: {self.asked} samples asked, {used} usable, {self.cached} from the cache."]
        facts += list(self.unusable)
        void = sum(opinion.votes["void"] for opinion in self.opinions.values())
        if void:
            facts.append(
                f"{void} answers were void, for a quotation that does not stand in the transcript or is missing."
            )
        if self.not_kept:
            facts.append(f"{self.not_kept} lines of the transcript are not kept: what was said there is not judged.")
        tokens = f"{self.usage.input_tokens} tokens in, {self.usage.output_tokens} out"
        price = "its price is not known" if self.cost_usd is None else f"${self.cost_usd:.6f}"
        facts.append(f"Cost: {price} ({tokens}).")
        verdict: Verdict = "fail" if not used else "warn" if self.unusable or void or self.not_kept else "pass"
        fix = "Try another model, or measure this one: `agreement(judge, examples)`."
        return Check(
            f"{self.rubric.name}.judge",
            verdict,
            facts,
            title="The judge is reliable",
            section=self.rubric.name,
            fix=None if verdict == "pass" else fix,
        )


class LLMJudge:
    """A model that judges calls by a rubric. One instance may judge many, also at once.

    samples: how often the model is asked at most; more than half must agree. It is asked no more than it takes to
        decide. Use an odd number.
    undecided: the verdict where they do not agree, or are void: `"fail"`, or `"warn"`.
    cache: where answers are kept. timeout_ms: for each request. max_chars: the longest transcript.
    temperature, max_tokens, settings: of the requests.
    """

    def __init__(
        self,
        llm: LLM,
        rubric: Rubric,
        *,
        samples: int = 3,
        undecided: Literal["warn", "fail"] = "fail",
        cache: JudgeCache | None = None,
        timeout_ms: int = 60_000,
        max_chars: int = 200_000,
        temperature: float | None = None,
        max_tokens: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if samples < 1:
            raise TestKitError.of("test.rubric", reason=f"{samples} samples decide nothing")
        self.llm = llm
        self.rubric = rubric
        self.samples = samples
        self._undecided: Verdict = undecided
        self._cache = cache
        self._timeout_ms = timeout_ms
        self._max_chars = max_chars
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._settings = dict(settings or {})

    @property
    def model(self) -> str:
        """Which model it is, as in prices: `vendor/model`."""
        return "/".join(filter(None, (self.llm.vendor, self.llm.model))) or self.llm.name

    async def verdict(self, source: CallTranscript | Iterable[Line | tuple[str, str]]) -> RubricVerdict:
        """Judge a call: its record; or lines, or pairs of who (`caller`, `bot`, `tool`, `result`, `handoff`) and what.

        A model that fails, answers nonsense or takes too long makes the verdict undecided, and raises nothing. Raises
        `TestKitError` (`test.transcript`) if there is nothing to judge, or too much.
        """
        lines = lines_of(source)
        size = sum(len(line.text or "") for line in lines)
        if size > self._max_chars:
            reason = f"it has {size} characters, and {self._max_chars} are allowed"
            raise TestKitError.of("test.transcript", reason=reason)
        findings: dict[str, list[Finding]] = {one.id: [] for one in self.rubric.criteria}
        spent = _Spent()
        unusable: list[str] = []
        asked = cached = 0
        while asked < self.samples and not all(
            self._opinion(id, found).holds is not None for id, found in findings.items()
        ):
            asked += 1
            question = Question(self.rubric, lines, asked, self._temperature, self._max_tokens, self._settings)
            try:
                found, known = await self._ask(question, spent)
            except Unusable as error:
                unusable.append(f"Sample {asked}: {error}.")
            else:
                cached += known
                for id, finding in found.items():
                    findings[id].append(finding)
        return RubricVerdict(
            self.rubric,
            self.model,
            {id: self._opinion(id, found) for id, found in findings.items()},
            asked,
            cached,
            tuple(unusable),
            spent.usage,
            spent.price(self.llm),
            sum(line.text is None for line in lines),
            self._undecided,
        )

    def _opinion(self, id: str, findings: Iterable[Finding]) -> Opinion:
        criterion = next(one for one in self.rubric.criteria if one.id == id)
        return Opinion(criterion, tuple(findings), self.samples)

    async def _ask(self, question: Question, spent: _Spent) -> tuple[dict[str, Finding], bool]:
        """What an answer says, and whether it was known from before. Raises `Unusable`."""
        key = hashlib.sha256(f"{self.model} {question.digest}".encode()).hexdigest()
        if self._cache is not None:
            kept = await asyncio.to_thread(self._cache.get, key)
            if kept is not None:
                with contextlib.suppress(Unusable):  # kept by another version of this program
                    return question.read(kept), True
        answer = await self._answer(question, spent)
        found = question.read(answer)
        if self._cache is not None:
            try:
                await asyncio.to_thread(self._cache.put, key, answer)
            except OSError as error:  # the answer is there all the same; it will be paid for again
                _logger.warning("an answer of a judge cannot be kept: %s", error)
        return found, False

    async def _answer(self, question: Question, spent: _Spent) -> str:
        text: list[str] = []
        stop = ""
        try:
            async with (
                asyncio.timeout(self._timeout_ms / 1000),
                contextlib.aclosing(self.llm.stream(question.request())) as parts,
            ):
                async for part in parts:
                    if isinstance(part, TextDelta):
                        text.append(part.text)
                    elif isinstance(part, Usage):
                        spent.add(part)
                    elif isinstance(part, Stop):
                        stop = part.reason
        except TimeoutError:
            raise Unusable(f"the model has not answered within {self._timeout_ms} ms") from None
        except ProviderError as error:
            raise Unusable(f"the model has failed: {error}") from error
        if stop != "end":
            why = {"length": "its answer is cut off", "refused": "it refuses"}.get(stop, "its answer has no end")
            raise Unusable(f"of the model: {why}")
        return "".join(text)


@dataclass
class _Spent:
    """What requests have used."""

    each: list[Usage] = field(default_factory=list)

    def add(self, usage: Usage) -> None:
        self.each.append(usage)

    @property
    def usage(self) -> Usage:
        return Usage(
            sum(one.input_tokens for one in self.each),
            sum(one.output_tokens for one in self.each),
            sum(one.cached_tokens for one in self.each),
            sum(one.cache_write_tokens for one in self.each),
        )

    def price(self, llm: LLM) -> float | None:
        total = 0.0
        for one in self.each:  # each by itself: long requests have another price
            price = cost(llm.vendor, llm.model, one)
            if price is None:
                return None
            total += price
        return total


def _once(facts: Iterable[Fact]) -> Iterable[Fact]:
    seen: list[Fact] = []
    for fact in facts:
        if fact not in seen:
            seen.append(fact)
    return seen
