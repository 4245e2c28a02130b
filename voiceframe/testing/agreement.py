"""Judging the judge: how far a model agrees with people who have labelled the same calls.

examples = [Labelled([("bot", "On Monday at nine, is that right?")], {"confirms": True}), ...]
assert (await agreement(judge, examples)).report(at_least=0.6).exit_code == 0
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..checks import Check, Fact, Report, Verdict
from ..errors import TestKitError
from .deeds import Line
from .llm_judge import LLMJudge, RubricVerdict
from .record import CallTranscript
from .statistics import cohens_kappa, wilson

__all__ = ["Agreement", "CriterionAgreement", "Labelled", "agreement"]


@dataclass(frozen=True)
class Labelled:
    """A call and what a person says of it: whether it is as it should be, by each criterion.

    source: what `LLMJudge.verdict()` takes. labels: by the ids of criteria; with `never`, True means that it did not
    happen. A criterion without a label is not compared.
    """

    source: CallTranscript | Iterable[Line | tuple[str, str]]
    labels: Mapping[str, bool]
    name: str = ""


@dataclass(frozen=True)
class CriterionAgreement:
    """How far the judge agrees with people on one criterion. What it does not decide is no agreement."""

    id: str
    #: For each example, what the person says and what the judge says (None: undecided).
    pairs: tuple[tuple[bool, bool | None], ...]

    @property
    def agreed(self) -> int:
        """On how many examples they agree."""
        return sum(person is judge for person, judge in self.pairs)

    @property
    def false_passes(self) -> int:
        """Calls that the judge lets pass and people do not: the dear mistakes."""
        return sum(judge is True and not person for person, judge in self.pairs)

    @property
    def false_fails(self) -> int:
        """Calls that people let pass and the judge does not."""
        return sum(judge is False and person for person, judge in self.pairs)

    @property
    def undecided(self) -> int:
        """Calls of which the judge does not say."""
        return sum(judge is None for _, judge in self.pairs)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa, agreement beyond chance; None where all labels are one and the same."""
        return cohens_kappa(self.pairs)


@dataclass(frozen=True)
class Agreement:
    """How far a judge agrees with people."""

    model: str
    rubric: str
    criteria: tuple[CriterionAgreement, ...]
    verdicts: tuple[RubricVerdict, ...]

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa over all criteria together."""
        return cohens_kappa(pair for one in self.criteria for pair in one.pairs)

    def report(self, *, at_least: float = 0.6) -> Report:
        """A check for each criterion: its kappa is `at_least` so high. A warning where it is not defined, for then the
        examples show nothing: give some that pass and some that fail."""
        return Report([self._check(one, at_least) for one in self.criteria], title=f"{self.model} as a judge")

    def _check(self, one: CriterionAgreement, at_least: float) -> Check:
        count, kappa = len(one.pairs), one.kappa
        low, high = wilson(one.agreed, count)
        facts: list[Fact] = [
            {
                "examples": count,
                "agreed": one.agreed,
                "passed wrongly": one.false_passes,
                "failed wrongly": one.false_fails,
                "undecided": one.undecided,
                "kappa": "not defined" if kappa is None else round(kappa, 2),
            },
            f"They agree on {one.agreed / count:.0%} (95 %: {low:.0%} to {high:.0%}).",
        ]
        verdict: Verdict
        one_sided = len({person for person, _ in one.pairs}) == 1
        if one_sided:
            verdict = "warn" if one.agreed == count else "fail"
            facts.append("All examples have the same label: whether the judge can tell the other is not known.")
        else:
            verdict = "pass" if kappa is not None and kappa + 1e-9 >= at_least else "fail"
            facts.append(f"A kappa of {at_least} is wanted.")
        fix = "Say the criterion more exactly, try another model, or label more calls: `Labelled(lines, labels)`."
        return Check(
            f"{self.rubric}.{one.id}.agreement",
            verdict,
            facts,
            title=f"Agreement on {one.id}",
            section=self.rubric,
            fix=None if verdict == "pass" else fix,
        )


async def agreement(judge: LLMJudge, examples: Iterable[Labelled]) -> Agreement:
    """Let the judge judge what people have judged.

    Raises `TestKitError` (`test.labels`) without examples, for a label of no criterion, and for a criterion that no
    example labels.
    """
    found = list(examples)
    known = {criterion.id for criterion in judge.rubric.criteria}
    pairs: dict[str, list[tuple[bool, bool | None]]] = {criterion.id: [] for criterion in judge.rubric.criteria}
    for number, example in enumerate(found, 1):
        strange = example.labels.keys() - known
        if strange:
            what = f"the example {example.name or number} labels {', '.join(sorted(strange))}"
            raise TestKitError.of("test.labels", reason=f"{what}, which the rubric does not have")
    missing = [id for id in pairs if not any(id in example.labels for example in found)]
    if missing:
        raise TestKitError.of("test.labels", reason=f"none of the {len(found)} examples labels {', '.join(missing)}")
    verdicts = []
    for example in found:
        verdict = await judge.verdict(example.source)
        verdicts.append(verdict)
        for id, label in example.labels.items():
            pairs[id].append((label, verdict.opinions[id].holds))
    each = tuple(CriterionAgreement(id, tuple(some)) for id, some in pairs.items())
    return Agreement(judge.model, judge.rubric.name, each, tuple(verdicts))
