"""The variants of an experiment, compared with its control."""

from __future__ import annotations

from collections.abc import Iterator

from ..checks import Check, Fact
from .metric import Metric, metrics_of, rounded, shown
from .runs import Run
from .statistics import Interval, Sample, chi_square_p, difference

__all__ = ["compare"]

#: A split that is less probable than this is no accident.
_UNLIKELY = 0.001
#: So many calls of a rate must be so, and so many not, before a difference is spoken of.
_EACH = 5


def compare(assistant: str, experiment: str, runs: list[Run], *, confidence: float, least: int) -> Iterator[Check]:
    """The checks of an experiment: whether the split is as it should be, then each metric by variant."""
    drawn = [run for run in runs if run.ended and experiment in run.variants and experiment not in run.chosen]
    begun = [run for run in runs if experiment in run.variants]
    newest = begun[-1]
    control = newest.controls[experiment]
    names = [*newest.shares[experiment], *sorted({run.variants[experiment] for run in begun})]
    variants = list(dict.fromkeys([control, *names]))
    by = {variant: [run for run in drawn if run.variants[experiment] == variant] for variant in variants}
    section = f"{assistant}: experiment {experiment}"
    prefix = f"{assistant}.{experiment}"
    yield _split(prefix, section, experiment, variants, begun)
    for metric in metrics_of(drawn):
        yield _compared(prefix, section, metric, experiment, by, confidence=confidence, least=least)


def _split(prefix: str, section: str, experiment: str, variants: list[str], runs: list[Run]) -> Check:
    """Whether as many callers have each variant as its weight says. If not, something loses calls of one of them."""
    first: dict[str, Run] = {}
    for run in runs:
        if experiment not in run.chosen:
            first.setdefault(run.units[experiment], run)
    seen = {variant: sum(run.variants[experiment] == variant for run in first.values()) for variant in variants}
    due = {variant: sum(run.shares[experiment].get(variant, 0.0) for run in first.values()) for variant in variants}
    rows: list[Fact] = [
        {"variant": variant, "callers": seen[variant], "expected": rounded(due[variant])} for variant in variants
    ]
    chosen = sum(experiment in run.chosen for run in runs)
    if chosen:
        rows.append(f"{chosen} calls had a variant that was chosen for them, and are not counted.")
    tested = [variant for variant in variants if due[variant] > 0]
    if len(tested) > 1 and min(due[variant] for variant in tested) >= _EACH:
        p = chi_square_p([seen[variant] for variant in tested], [due[variant] for variant in tested])
        if p < _UNLIKELY:
            rows.append(f"So uneven a split comes about by chance in {p:.2g} of all cases.")
            fix = (
                "Find what loses calls of one variant before you believe a difference: look at `call.rejected` events."
            )
            return Check(f"{prefix}.split", "fail", rows, fix=fix, section=section)
        rows.append(f"The split is as the weights say (p = {p:.2g}).")
        return Check(f"{prefix}.split", "pass", rows, section=section)
    rows.append("Too little data to judge the split.")
    return Check(f"{prefix}.split", "warn", rows, section=section)


def _compared(
    prefix: str,
    section: str,
    metric: Metric,
    experiment: str,
    by: dict[str, list[Run]],
    *,
    confidence: float,
    least: int,
) -> Check:
    samples = {
        variant: Sample.of(
            ((run.units[experiment], value) for run in runs if (value := metric.value(run)) is not None),
            rate=metric.rate,
        )
        for variant, runs in by.items()
    }
    (control, base), *others = samples.items()
    together = 1 - (1 - confidence) / max(1, len(others))
    rows: list[Fact] = []
    texts: list[str] = []
    for variant, sample in samples.items():
        row = {
            "variant": variant,
            "calls": sample.count,
            "callers": sample.units,
            "unit": metric.unit,
            **shown(sample.interval(confidence)),
        }
        if variant != control:
            gap = difference(sample, base, together)
            row |= {f"difference {name}": value for name, value in shown(gap).items()}
        rows.append(row)
    short = _too_little(metric, samples, least)
    if short:
        return Check(f"{prefix}.{metric.name}", "warn", [*rows, f"Too little data: {short}."], section=section)
    for variant, sample in others:
        texts.append(_said(variant, control, difference(sample, base, together), metric, together))
    return Check(f"{prefix}.{metric.name}", "pass", [*rows, *texts], section=section)


def _too_little(metric: Metric, samples: dict[str, Sample], least: int) -> str:
    for variant, sample in samples.items():
        if sample.units < least:
            return f"{variant} has {sample.units} of at least {least} callers"
    if metric.rate:
        yes = round(sum(sample.mean * sample.count for sample in samples.values()))
        no = sum(sample.count for sample in samples.values()) - yes
        if min(yes, no) < _EACH:
            return f"it is so of {yes} calls and not of {no}, and {_EACH} of each are needed"
    return ""


def _said(variant: str, control: str, gap: Interval, metric: Metric, confidence: float) -> str:
    scale, unit = (100, " percentage points") if metric.rate else (1, f" {metric.unit}".rstrip())
    low, high = gap.low * scale, gap.high * scale
    sure = f"({confidence:.3g} confidence)"
    if not gap.clear:
        between = f"it may lie between {low:+.3g} and {high:+.3g}{unit}"
        return f"No difference of {variant} to {control} is shown: {between} {sure}."
    word = "more" if gap.value > 0 else "less"
    least, most = sorted((abs(low), abs(high)))
    return f"{variant} has {least:.3g} to {most:.3g}{unit} {word} than {control} {sure}."
