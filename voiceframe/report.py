"""The one renderer of reports: text for terminals, JSON for programs, Markdown for pull requests, HTML for printers.

Whatever comes from outside (evidence, titles, links) is escaped, and a link is one only if it is http, https, mailto or
relative.
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, TextIO
from urllib.parse import quote, urlsplit

from .checks import Check, Fact, Report

__all__ = ["show", "to_html", "to_json", "to_markdown", "to_text"]

_WORDS: Final = {"pass": "Pass", "warn": "Warning", "fail": "Fail"}
_SIGNS: Final = {"pass": "✓", "warn": "!", "fail": "✗"}  # beside the colour, for those who do not see it


def show(report: Report, form: str = "text", out: TextIO | None = None) -> int:
    """Write a report as `text`, `json`, `markdown` or `html`. Returns its exit code."""
    render: dict[str, Callable[[Report], str]] = {"json": to_json, "markdown": to_markdown, "html": to_html}
    (out or sys.stdout).write(render.get(form, to_text)(report))
    return report.exit_code


def to_text(report: Report) -> str:
    """The report for a terminal. What came from outside cannot steer it: control characters are shown as `?`."""
    lines = [report.title, ""]
    for section, checks in report.sections():
        if section:
            lines.append(section)
        for check in checks:
            lines.append(f"  {_SIGNS[check.verdict]} {check.title or check.id} ({check.id})")
            lines += [f"      {_line(fact)}" for fact in check.evidence]
            if check.fix and check.verdict != "pass":
                lines.append(f"      Fix: {check.fix}")
        lines.append("")
    if report.missing:
        lines.append("Not checked")
        lines += [f"  - {item.id}: {item.why}" for item in report.missing]
        lines.append("")
    counts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in ("fail", "warn", "pass"))
    lines.append(f"{_SIGNS[report.verdict]} {report.verdict}: {counts}, {len(report.missing)} not checked")
    return "".join(f"{''.join(c if c.isprintable() else '?' for c in line)}\n" for line in lines)


def _line(fact: Fact) -> str:
    if isinstance(fact, str):
        return fact
    return ", ".join(f"{name}: {_cell(value)}" for name, value in fact.items() if value is not None)


def to_json(report: Report) -> str:
    """See `Report.json()`."""
    document = {
        "title": report.title,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "checks": [
            {
                "id": check.id,
                "verdict": check.verdict,
                "title": check.title,
                "section": check.section,
                "evidence": [fact if isinstance(fact, str) else dict(fact) for fact in check.evidence],
                "link": check.link,
                "fix": check.fix,
            }
            for check in report.checks
        ],
        "missing": [{"id": item.id, "why": item.why} for item in report.missing],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


# -- Markdown


def to_markdown(report: Report) -> str:
    """See `Report.markdown()`."""
    lines = [f"# {_md(report.title)}", "", f"**{_WORDS[report.verdict]}**: {_summary(report)}", ""]
    for section, checks in report.sections():
        if section:
            lines += [f"## {_md(section)}", ""]
        for check in checks:
            lines += _md_check(check)
    if report.missing:
        lines += ["## Not checked", ""]
        lines += [f"- {_md(item.id)}: {_md(item.why)}" for item in report.missing]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _md_check(check: Check) -> Iterator[str]:
    title = f"{_md(check.title)} ({_md(check.id)})" if check.title else _md(check.id)
    yield f"### {_SIGNS[check.verdict]} {_WORDS[check.verdict]}: {title}"
    yield ""
    for rows in _blocks(check.evidence):
        if isinstance(rows[0], str):
            yield from (f"- {_md(str(fact))}" for fact in rows)
        else:
            columns, cells = _table(rows)
            yield f"| {' | '.join(_md(column) for column in columns)} |"
            yield f"|{' --- |' * len(columns)}"
            yield from (f"| {' | '.join(_md(cell) for cell in row)} |" for row in cells)
        yield ""
    if check.fix and check.verdict != "pass":
        yield from (f"Fix: {_md(check.fix, code=True)}", "")
    if check.link:
        href = _href(check.link)
        yield from (f"[More](<{href}>)" if href else f"More: {_md(check.link)}", "")


def _md(text: str, *, code: bool = False) -> str:
    """Text that Markdown shows as it is, on one line. With `code`, backticks keep their meaning."""
    text = " ".join(text.split())
    if code:
        # Inside backticks nothing is special, so only what stands between them is escaped.
        parts = text.split("`")
        if len(parts) % 2 == 1:
            return "`".join(part if number % 2 else _md_escape(part) for number, part in enumerate(parts))
    return _md_escape(text)


def _md_escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# -- HTML

_STYLE: Final = """
:root { color-scheme: light dark; --text: #1a1d21; --soft: #575e66; --line: #d9dde2; --page: #fff; --card: #f7f8fa;
  --pass: #14703a; --warn: #8a5300; --fail: #b3261e; --link: #0b57b0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e8eb; --soft: #a3abb4; --line: #383e45; --page: #15181b; --card: #1d2125;
    --pass: #5fd18f; --warn: #f0b04a; --fail: #ff8a80; --link: #8ab8ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 .25rem; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.2rem; }
h3 { margin: 0; font-size: 1rem; }
a { color: var(--link); }
.pass { --tone: var(--pass); } .warn { --tone: var(--warn); } .fail { --tone: var(--fail); }
.verdict { color: var(--tone); font-weight: 650; white-space: nowrap; }
.summary { margin: 0 0 1.5rem; color: var(--soft); }
article { margin: .75rem 0; padding: .75rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-left: .3rem solid var(--tone); border-radius: .4rem; }
article header { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: baseline; }
.id { color: var(--soft); font-weight: 400; }
ul { margin: .5rem 0 0; padding-left: 1.25rem; }
p.fix, p.link { margin: .5rem 0 0; }
.scroll { overflow-x: auto; margin-top: .5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; }
code { font: .92em ui-monospace, monospace; }
@media print {
  :root { color-scheme: light; --text: #000; --soft: #444; --line: #bbb; --page: #fff; --card: #fff;
    --pass: #14703a; --warn: #8a5300; --fail: #b3261e; --link: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  article { break-inside: avoid; }
  .scroll { overflow: visible; }
  a[href^=http]::after { content: " (" attr(href) ")"; }
}
"""


def to_html(report: Report) -> str:
    """See `Report.html()`."""
    body: list[str] = [
        f"<h1>{_text(report.title)}</h1>",
        f'<p class="summary"><span class="verdict {report.verdict}">{_SIGNS[report.verdict]} '
        f"{_WORDS[report.verdict]}</span>: {_summary(report)}</p>",
    ]
    for section, checks in report.sections():
        body.append(f"<section>\n<h2>{_text(section or 'Checks')}</h2>")
        for check in checks:
            body += _html_check(check)
        body.append("</section>")
    if report.missing:
        body.append("<section>\n<h2>Not checked</h2>\n<ul>")
        body += [f"<li>{_text(item.id)}: {_text(item.why)}</li>" for item in report.missing]
        body.append("</ul>\n</section>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_WORDS[report.verdict]}: {_text(report.title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _html_check(check: Check) -> Iterator[str]:
    title = f'{_text(check.title)} <span class="id">{_text(check.id)}</span>' if check.title else _text(check.id)
    verdict = f"{_SIGNS[check.verdict]} {_WORDS[check.verdict]}"
    yield f'<article class="{check.verdict}" id="{_text(check.id)}">'
    yield f'<header><span class="verdict">{verdict}</span> <h3>{title}</h3></header>'
    for rows in _blocks(check.evidence):
        if isinstance(rows[0], str):
            yield f"<ul>{''.join(f'<li>{_text(str(fact))}</li>' for fact in rows)}</ul>"
        else:
            yield _html_table(rows)
    if check.fix and check.verdict != "pass":
        yield f'<p class="fix"><strong>Fix:</strong> {_code(check.fix)}</p>'
    if check.link:
        href = _href(check.link)
        shown = f'<a href="{_text(href)}">{_text(check.link)}</a>' if href else _text(check.link)
        yield f'<p class="link">More: {shown}</p>'
    yield "</article>"


def _html_table(rows: Sequence[Fact]) -> str:
    columns, cells = _table(rows)
    numeric = [all(_is_number(row.get(column)) for row in rows if isinstance(row, Mapping)) for column in columns]
    kinds = [' class="number"' if number else "" for number in numeric]
    head = "".join(f'<th scope="col"{k}>{_text(column)}</th>' for k, column in zip(kinds, columns, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{k}>{_text(cell)}</td>' for k, cell in zip(kinds, row, strict=True))}</tr>" for row in cells
    )
    # A table that is wider than the page scrolls, and one that scrolls must be reachable by keyboard.
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="Evidence"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(text: str) -> str:
    return html.escape(text)


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


# -- both


def _summary(report: Report) -> str:
    words = {"pass": "passed", "warn": "with a warning", "fail": "failed"}
    counts = [
        f"{report.count(verdict)} {words[verdict]}" for verdict in ("fail", "warn", "pass") if report.count(verdict)
    ]
    if report.missing:
        counts.append(f"{len(report.missing)} not checked")
    return ", ".join(counts) or "nothing was checked"


def _blocks(evidence: Sequence[Fact]) -> Iterator[list[Fact]]:
    for _, facts in groupby(evidence, key=lambda fact: isinstance(fact, str)):
        yield list(facts)


def _table(rows: Sequence[Fact]) -> tuple[list[str], list[list[str]]]:
    columns = list(dict.fromkeys(str(name) for row in rows if isinstance(row, Mapping) for name in row))
    return columns, [[_cell(row.get(name)) for name in columns] for row in rows if isinstance(row, Mapping)]


def _cell(value: Any) -> str:
    return "" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _href(link: str) -> str | None:
    """The link as an address that is safe to follow, or None."""
    link = link.strip()
    try:
        parts = urlsplit(link)
    except ValueError:
        return None
    if parts.scheme not in ("", "http", "https", "mailto") or link.startswith("//"):
        return None
    return quote(link, safe="/:?#[]@!$&'()*+,;=%~-._")
