"""Checks: one question, one verdict, its evidence.

A check without evidence is not green. `weigh()` holds the rule:

| evidence | required | configured | result |
| --- | --- | --- | --- |
| there is some | | | what the evidence says |
| none | yes | | `fail` |
| none | no | yes | `warn` |
| none | no | no | `Missing`: listed in the report, with no verdict |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from .errors import CheckError

__all__ = ["Check", "Fact", "Missing", "Report", "Verdict", "weigh"]

Verdict = Literal["pass", "warn", "fail"]

#: A piece of evidence: a sentence, or a row of named values (rows that follow one another are shown as a table).
Fact = str | Mapping[str, Any]

_WORSE: Final[Mapping[str, int]] = {verdict: rank for rank, verdict in enumerate(get_args(Verdict))}


@dataclass(slots=True, frozen=True)
class Check:
    """A question that was asked: its id (`latency.p95`), its verdict and what the verdict rests on.

    `link` leads to more (a call's page, a document), `fix` says what to do about a bad verdict, `section` groups checks
    in a report. Raises `CheckError` for an unknown verdict (`check.verdict`) and for a pass without evidence
    (`check.evidence`).
    """

    id: str
    verdict: Verdict
    evidence: Sequence[Fact] = ()
    link: str | None = None
    fix: str | None = None
    title: str | None = None
    section: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in _WORSE:
            raise CheckError.of("check.verdict", verdict=self.verdict)
        if isinstance(self.evidence, str):
            object.__setattr__(self, "evidence", (self.evidence,))
        if self.verdict == "pass" and not self.evidence:
            raise CheckError.of("check.evidence", id=self.id)


@dataclass(slots=True, frozen=True)
class Missing:
    """A question that could not be asked because nothing is configured for it: never a verdict, always listed."""

    id: str
    why: str = "not configured"


def weigh(
    id: str,
    evidence: Sequence[Fact],
    judge: Verdict | Callable[[], Verdict] = "pass",
    *,
    required: bool = False,
    configured: bool = True,
    link: str | None = None,
    fix: str | None = None,
    title: str | None = None,
    section: str = "",
) -> Check | Missing:
    """The check with the verdict that `judge` reaches on the evidence; without evidence, by the rule of this module.

    `judge` is only called when there is evidence.
    """
    verdict: Verdict
    if evidence:
        verdict = judge() if callable(judge) else judge
    elif required:
        verdict, evidence = "fail", ("No evidence, and it is required.",)
    elif configured:
        verdict, evidence = "warn", ("Configured, but there is no evidence yet.",)
    else:
        return Missing(id)
    return Check(id, verdict, evidence, link, fix, title, section)


class Report:
    """Checks together, in the order given. Raises `CheckError` (`check.id`) if two of them share an id.

    `Missing` ones may stand among the checks or be given by id as `missing`. With `strict` a warning fails the report.
    A report with no checks at all has nothing to show for itself: its verdict is `fail`.
    """

    def __init__(
        self,
        checks: Iterable[Check | Missing],
        *,
        title: str = "Report",
        missing: Iterable[Missing | str] = (),
        strict: bool = False,
    ) -> None:
        found = list(checks)
        self.title = title
        self.strict = strict
        self.checks = tuple(check for check in found if isinstance(check, Check))
        self.missing = (
            *(item for item in found if isinstance(item, Missing)),
            *(Missing(item) if isinstance(item, str) else item for item in missing),
        )
        seen: set[str] = set()
        for id in (*(check.id for check in self.checks), *(item.id for item in self.missing)):
            if id in seen:
                raise CheckError.of("check.id", id=id)
            seen.add(id)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all checks."""
        return max((check.verdict for check in self.checks), key=_WORSE.__getitem__, default="fail")

    @property
    def exit_code(self) -> int:
        """What a command that shows this report exits with: 0, or 1 for a `fail` (with `strict` also for a `warn`)."""
        return int(_WORSE[self.verdict] > (0 if self.strict else 1))

    def count(self, verdict: Verdict) -> int:
        """How many checks have this verdict."""
        return sum(check.verdict == verdict for check in self.checks)

    def sections(self) -> list[tuple[str, list[Check]]]:
        """The checks by section, sections in the order in which they first appear."""
        grouped: dict[str, list[Check]] = {}
        for check in self.checks:
            grouped.setdefault(check.section, []).append(check)
        return list(grouped.items())

    def json(self) -> str:
        """The report as a JSON object, indented."""
        from . import report

        return report.to_json(self)

    def markdown(self) -> str:
        """The report as GitHub-flavoured Markdown."""
        from . import report

        return report.to_markdown(self)

    def html(self) -> str:
        """The report as one HTML page that needs nothing else: no script, no style sheet, no network."""
        from . import report

        return report.to_html(self)
