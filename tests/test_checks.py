"""A check without evidence is not green, and one report serves programs, pull requests, people and printers."""

from __future__ import annotations

import html.parser
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.checks import Check, Missing, Report, Verdict, weigh
from voiceframe.errors import CheckError

PASS = Check("a.pass", "pass", ["seen"])
WARN = Check("b.warn", "warn", ["hm"])
FAIL = Check("c.fail", "fail", ["no"])


# -- the rule


@pytest.mark.parametrize(
    ("required", "configured", "verdict"), [(True, True, "fail"), (True, False, "fail"), (False, True, "warn")]
)
def test_without_evidence_there_is_no_pass(required: bool, configured: bool, verdict: Verdict) -> None:
    check = weigh("x", [], required=required, configured=configured, fix="Do it.", link="/x", title="X", section="S")
    assert isinstance(check, Check)
    assert check.verdict == verdict
    assert check.evidence  # it says that there is none
    assert (check.fix, check.link, check.title, check.section) == ("Do it.", "/x", "X", "S")


def test_what_is_not_configured_is_listed_and_has_no_verdict() -> None:
    missing = weigh("x", [], configured=False)
    assert missing == Missing("x", "not configured")
    assert Report([PASS, missing]).missing == (missing,)


@pytest.mark.parametrize("verdict", ["pass", "warn", "fail"])
def test_with_evidence_the_evidence_decides(verdict: Verdict) -> None:
    for judge in (verdict, lambda: verdict):
        check = weigh("x", ["seen"], judge, required=True)
        assert isinstance(check, Check)
        assert (check.verdict, check.evidence) == (verdict, ["seen"])


def test_the_judge_is_not_asked_without_evidence() -> None:
    def judge() -> Verdict:
        raise AssertionError

    assert isinstance(weigh("x", [], judge), Check)


def test_a_pass_that_shows_nothing_cannot_be_made() -> None:
    with pytest.raises(CheckError) as raised:
        Check("x", "pass")
    assert raised.value.code == "check.evidence"


def test_there_are_three_verdicts() -> None:
    with pytest.raises(CheckError) as raised:
        Check("x", "green", ["seen"])  # type: ignore[arg-type]
    assert raised.value.code == "check.verdict"


# -- the report as a whole


@pytest.mark.parametrize(
    ("checks", "verdict", "code", "strict_code"),
    [
        ([PASS], "pass", 0, 0),
        ([PASS, WARN], "warn", 0, 1),
        ([FAIL, WARN, PASS], "fail", 1, 1),
        ([], "fail", 1, 1),
        ([Missing("x")], "fail", 1, 1),
    ],
)
def test_the_worst_verdict_decides(checks: list[Check | Missing], verdict: str, code: int, strict_code: int) -> None:
    assert (Report(checks).verdict, Report(checks).exit_code) == (verdict, code)
    assert Report(checks, strict=True).exit_code == strict_code


def test_an_id_stands_in_a_report_once() -> None:
    twice: list[list[Check | Missing]] = [[PASS, PASS], [PASS, Missing("a.pass")]]
    for wrong in twice:
        with pytest.raises(CheckError) as raised:
            Report(wrong)
        assert raised.value.code == "check.id"


# -- its forms

RENDER: list[Callable[[Report], str]] = [Report.json, Report.markdown, Report.html]

FULL = Report(
    [
        Check(
            "latency.p95",
            "fail",
            ["p95 is 1240 ms", {"stage": "llm", "ms": 760}, {"stage": "tts", "ms": 270, "slow": True}, "over 48 turns"],
            link="https://example.org/calls?a=1&b=2",
            fix="Lower `min_silence_ms`.",
            title="Voice-to-voice",
            section="Latency",
        ),
        Check("turns", "pass", ["48 of 48"], fix="Nothing to do."),
    ],
    title="Readiness",
    missing=["s3.delivery"],
)


@pytest.mark.parametrize("render", RENDER)
def test_every_form_tells_everything(render: Callable[[Report], str]) -> None:
    text = re.sub(r"<[^>]*>|\\", "", render(FULL))  # what is read, without the marks
    for part in (
        "Readiness",
        "latency.p95",
        "Voice-to-voice",
        "Latency",
        "p95 is 1240 ms",
        "760",
        "270",
        "over 48 turns",
    ):
        assert part in text
    for part in ("min_silence_ms", "turns", "48 of 48", "s3.delivery", "not configured"):
        assert part in text


def test_json_is_for_programs() -> None:
    document = json.loads(FULL.json())
    assert (document["title"], document["verdict"], document["exit_code"]) == ("Readiness", "fail", 1)
    assert [check["id"] for check in document["checks"]] == ["latency.p95", "turns"]
    assert document["checks"][0]["evidence"][1] == {"stage": "llm", "ms": 760}
    assert document["missing"] == [{"id": "s3.delivery", "why": "not configured"}]


def test_rows_that_follow_one_another_are_a_table() -> None:
    assert "| stage | ms | slow |\n| --- | --- | --- |\n| llm | 760 |  |\n| tts | 270 | yes |" in FULL.markdown()
    assert FULL.html().count("<table>") == 1
    assert '<td class="number">760</td>' in FULL.html()


def test_a_pass_is_not_told_how_to_be_mended() -> None:
    for text in (FULL.markdown(), FULL.html()):
        assert "Nothing to do." not in text


class _Page(html.parser.HTMLParser):
    """What a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src") or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


PLAIN_TAGS = set(_Page(FULL.html()).tags) | {"code"}


@given(st.text(), st.text(min_size=1), st.text(), st.dictionaries(st.text(), st.text() | st.integers(), min_size=1))
def test_nothing_from_outside_becomes_markup(title: str, fact: str, fix: str, row: dict[str, Any]) -> None:
    page = _Page(Report([Check("x", "warn", [fact, row], fix=fix, link=fact, title=fix)], title=title).html())
    assert set(page.tags) <= PLAIN_TAGS
    assert page.open == []
    assert all(not link.lower().strip().startswith(("javascript:", "data:", "//")) for link in page.links)


@pytest.mark.parametrize("bad", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><b>"])
def test_markup_in_evidence_is_shown_as_it_is(bad: str) -> None:
    report = Report([Check("x", "warn", [bad, {bad: bad}], title=bad, fix=bad, section=bad)], title=bad)
    assert bad not in report.html()
    assert bad not in report.markdown()
    assert _Page(report.html()).text.count(bad) == 8


@pytest.mark.parametrize(
    ("link", "followed"),
    [
        ("https://example.org/a?b=1&c=2", True),
        ("/calls/1", True),
        ("calls/1#turn", True),
        ("javascript:alert(1)", False),
        ("JavaScript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//evil.example", False),
        ("http://[broken", False),
    ],
)
def test_only_harmless_links_can_be_followed(link: str, followed: bool) -> None:
    report = Report([Check("x", "pass", ["seen"], link=link)])
    assert bool(_Page(report.html()).links) is followed
    assert ("[More](<" in report.markdown()) is followed


def test_markdown_shows_special_characters_as_they_are() -> None:
    text = Report([Check("x", "pass", [{"a|b": "*c*\n# d"}])]).markdown()
    assert r"| a\|b |" in text
    assert r"| \*c\* \# d |" in text


def test_the_page_needs_no_script_and_nothing_from_elsewhere() -> None:
    page = FULL.html()
    assert not re.search(r"<script|<link|@import|url\(|src=", page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert '<html lang="en">' in page


@pytest.mark.parametrize("verdict", ["pass", "warn", "fail"])
def test_a_verdict_is_told_by_a_word_and_not_by_colour_alone(verdict: Verdict) -> None:
    word = {"pass": "Pass", "warn": "Warning", "fail": "Fail"}[verdict]
    report = Report([Check("x", verdict, ["seen"])])
    assert word in _Page(report.html()).text
    assert word in report.markdown()
