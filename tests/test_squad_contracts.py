"""Contracts of squads: a conversation, turn by turn, and who must have answered it."""

from __future__ import annotations

import pytest

from voiceframe.call import Call
from voiceframe.errors import SquadError
from voiceframe.processors.agents import Agent, Destination, Squad, SquadTurn, check_squad
from voiceframe.testing import ScriptedLLM, call_tool
from voiceframe.tools import tool


@tool(side_effects=False)
async def look_up(number: int) -> str:
    """Look up an invoice."""
    return "paid"


def to(target: str) -> list[object]:
    return call_tool("hand_off", f"to-{target}", target=target, reason="", summary="")  # type: ignore[return-value]


def desk(call: Call) -> Squad:
    triage = Agent("triage", "", ScriptedLLM(["Hello!", to("billing")]))  # type: ignore[list-item]
    bill = ScriptedLLM([call_tool("look_up", number=7), "Invoice seven is paid.", to("front desk")])  # type: ignore[list-item]
    billing = Agent("billing", "", bill, tools=[look_up])
    return Squad([triage, billing], start="triage", name="support", destinations=[Destination("front desk")])


GOOD = [
    SquadTurn("Hi", specialist="triage", handoffs=(), says="hello"),
    SquadTurn(
        "Is invoice 7 paid?",
        specialist="billing",
        handoffs=[("triage", "billing", "allowed")],
        tools=["look_up"],
        says="is paid",
        says_not="sorry",
        name="invoice",
    ),
    SquadTurn("A person!", handoffs=[("billing", "front desk", "allowed")], ended="handed-over"),
]


async def test_a_squad_that_keeps_its_contract() -> None:
    report = await check_squad(desk, GOOD)
    assert report.exit_code == 0, report.markdown()
    assert [check.id for check in report.checks] == [
        "squad.support.1.specialist",
        "squad.support.1.handoffs",
        "squad.support.1.says",
        "squad.support.1.outcome",
        "squad.support.invoice.specialist",
        "squad.support.invoice.handoffs",
        "squad.support.invoice.tools",
        "squad.support.invoice.says",
        "squad.support.invoice.says-not",
        "squad.support.invoice.outcome",
        "squad.support.3.handoffs",
        "squad.support.3.outcome",
        "squad.support.3.ended",
    ]


async def test_each_aspect_can_fail() -> None:
    wrong = SquadTurn(
        "Hi",
        specialist="billing",
        handoffs=[("triage", "billing", "blocked")],
        tools=["look_up"],
        says="goodbye",
        says_not="hello",
        outcome="unanswered",
    )
    report = await check_squad(desk, [wrong], name="desk")
    assert report.exit_code != 0
    assert {check.id: check.verdict for check in report.checks} == {
        f"squad.desk.1.{aspect}": "fail"
        for aspect in ("specialist", "handoffs", "tools", "says", "says-not", "outcome")
    }
    assert "Expected: triage to billing: blocked." in report.checks[1].evidence


async def test_a_turn_after_the_end_fails() -> None:
    report = await check_squad(desk, [*GOOD, SquadTurn("Are you there?", says_not="anything")])
    assert [check.verdict for check in report.checks[-2:]] == ["fail", "fail"]
    assert "test.ended" in str(report.checks[-1].evidence)


async def test_a_contract_has_turns() -> None:
    with pytest.raises(SquadError) as caught:
        await check_squad(desk, [])
    assert caught.value.code == "squad.turns"
