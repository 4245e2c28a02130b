"""Contracts of tools: each aspect of a case is a check, which fails when the tool does otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voiceframe.tools import ToolCase, ToolContext, check_tool, tool


class Shop:
    """A tool with every fault that there is."""

    def __init__(self, *, fails: int = 0, takes_ms: int = 0, retries: int = 0) -> None:
        self.calls = 0
        self.sold: dict[str, int] = {}

        @tool(timeout_ms=1_000, retries=retries, secret=("pin",))
        async def buy(ctx: ToolContext, what: str, pin: str = "", heeds_key: bool = True) -> dict[str, Any]:
            self.calls += 1
            await asyncio.sleep(takes_ms / 1000)
            if ctx.attempt <= fails:
                raise OSError("no network")
            if what == "nothing":
                ctx.refuse("There is nothing to be had.")
            key = ctx.idempotency_key if heeds_key else str(self.calls)
            return {"number": self.sold.setdefault(key, len(self.sold) + 1), "what": what}

        self.buy = buy


async def test_a_tool_that_keeps_its_contract() -> None:
    cases = [
        ToolCase(
            {"what": "tea"},
            result={"number": 1, "what": "tea"},
            attempts=1,
            timed_out=False,
            within_ms=100,
            idempotent=True,
            name="tea",
        ),
        ToolCase({"what": "tea"}, result=lambda found: found["number"] == 2),
        ToolCase({"what": "nothing"}, status="error", error="nothing to be had", attempts=1),
        ToolCase({"whta": "tea"}, status="error", error="`what`"),
    ]
    report = await check_tool(Shop().buy, cases)
    assert report.exit_code == 0, report.markdown()
    assert [check.id for check in report.checks][:6] == [
        f"tool.buy.tea.{aspect}" for aspect in ("status", "result", "attempts", "timeout", "elapsed", "idempotency")
    ]
    assert report.checks[-1].id == "tool.buy.4.error"


@pytest.mark.parametrize(
    ("shop", "case", "aspect"),
    [
        (Shop(fails=1), ToolCase({"what": "tea"}), "status"),
        (Shop(), ToolCase({"what": "tea"}, status="error"), "status"),
        (Shop(), ToolCase({"what": "tea"}, result={"number": 1}), "result"),
        (Shop(), ToolCase({"what": "tea"}, result=lambda found: False), "result"),
        (Shop(fails=1), ToolCase({"what": "tea"}, status="error", error="no such"), "error"),
        (Shop(fails=1, retries=1), ToolCase({"what": "tea"}, attempts=1), "attempts"),
        (Shop(takes_ms=2_000), ToolCase({"what": "tea"}, status="error", timed_out=False), "timeout"),
        (Shop(), ToolCase({"what": "tea"}, timed_out=True), "timeout"),
        (Shop(takes_ms=500), ToolCase({"what": "tea"}, within_ms=400), "elapsed"),
        (Shop(), ToolCase({"what": "tea", "heeds_key": False}, idempotent=True), "idempotency"),
    ],
)
async def test_each_way_to_break_a_contract_is_found(shop: Shop, case: ToolCase, aspect: str) -> None:
    report = await check_tool(shop.buy, [case])
    failed = [check for check in report.checks if check.verdict == "fail"]
    assert [check.id for check in failed] == [f"tool.buy.1.{aspect}"]
    assert "`buy`" in str(failed[0].fix)
    assert report.exit_code == 1


async def test_a_retry_is_counted_and_has_the_same_key() -> None:
    shop = Shop(fails=2, retries=2)
    report = await check_tool(shop.buy, [ToolCase({"what": "tea"}, attempts=3, idempotent=True, within_ms=700)])
    assert report.exit_code == 0, report.markdown()
    assert len(shop.sold) == 1


async def test_secrets_are_not_in_the_report() -> None:
    report = await check_tool(Shop(fails=1).buy, [ToolCase({"what": "tea", "pin": "471147"})])
    assert "471147" not in report.markdown() + report.html() + report.json()
