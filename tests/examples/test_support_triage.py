"""The support line does what it says, by text and by sound: triage, policy, specialists, and what goes wrong."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from tests.served import served
from voiceframe.bots import load_bot
from voiceframe.chat import chat
from voiceframe.check import check_bot
from voiceframe.errors import ProviderError
from voiceframe.models import POCKETSPHINX, SILERO, places
from voiceframe.processors.agents import SquadTurn, check_squad
from voiceframe.rehearsed import call_tool
from voiceframe.testing import called, dial, handed_off, heard, judge, said

FILE: Final = str(Path(__file__).resolve().parents[2] / "examples/support_triage.py")

speech = pytest.mark.skipif(
    not all(any(place.present for place in places(model)) for model in (POCKETSPHINX, SILERO))
    or importlib.util.find_spec("espeakng_loader") is None,
    reason="needs voiceframe[local], and its models: `voiceframe models fetch`",
)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example, loaded anew: its customers are those of one test."""
    for name in ("VOICEFRAME_STT_PROVIDER", "VOICEFRAME_TTS_PROVIDER", "VOICEFRAME_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    load_bot(FILE)
    return sys.modules["voiceframe_bot_support_triage"]


# -- as its user


def test_the_script_that_comes_with_it_is_answered(line: ModuleType) -> None:
    out = io.StringIO()
    assert chat(FILE, script=FILE.replace(".py", ".txt"), out=out) == 0, out.getvalue()
    assert out.getvalue().startswith(f"{FILE} answers by what it has rehearsed, without a model")


def test_it_has_all_that_it_needs(line: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    report = check_bot(FILE)
    assert report.exit_code == 0, report.markdown()


# -- by text


async def test_a_customer_is_identified_and_paid_back_by_the_specialist(line: ModuleType) -> None:
    async with dial(line.bot) as caller:
        await caller.hears("how can I help")
        await caller.says("I was charged twice")
        await caller.hears("customer number")
        await caller.says("four seven double one")
        await caller.hears("invoice 1042 was paid twice")
        await caller.says("I want my money back")
        await caller.hears("shall I pay back invoice 1042")
        await caller.says("yes")
        await caller.hears("within three days")
        await caller.says("No thanks")
        assert await caller.hears_the_end() == "completed"
    judge(caller.record).order(
        said("charged twice"),
        called("identify"),
        handed_off("billing"),
        heard("paid twice"),
        said("money back"),
        called("refund", invoice="1042"),
        heard("within three days"),
    ).no_failed_tool().no_unanswered_turn().no_errors().ended("completed").holds()
    # The policy has refused the first handoff: nobody was identified yet.
    decided = [(event.data["target"], event.data["status"]) for event in caller.record.of("handoff.decided")]
    assert decided == [("", "blocked"), ("billing", "allowed")]
    assert (caller.record.of("handoff.decided")[1].personal or {})["metadata"] == {"customer": "4711"}
    assert list(line.CUSTOMERS["4711"].refunds) == ["1042"]


async def test_who_does_not_agree_is_not_paid_back(line: ModuleType) -> None:
    async with dial(line.bot) as caller:
        await caller.says("I was charged twice")
        await caller.hears("customer number")
        await caller.says("4711")
        await caller.hears("money back")
        await caller.says("yes please")
        await caller.hears("shall I pay back")
        await caller.says("no")
        await caller.hears("leave it as it is")
    assert line.CUSTOMERS["4711"].refunds == {}
    assert set(caller.record.outcomes.values()) == {"answered"}


async def test_money_is_paid_back_once_whoever_asks_again(line: ModuleType) -> None:
    ended = []
    for seed in (1, 2):
        async with dial(line.bot, seed=seed) as caller:
            await caller.says("I was charged twice")
            await caller.hears("customer number")
            await caller.says("4711")
            await caller.hears("money back")
            await caller.says("yes")
            await caller.hears("shall I pay back")
            await caller.says("yes")
            await caller.listens()
            ended.append(caller.record)
    assert line.CUSTOMERS["4711"].refunds["1042"].startswith("call_00000001:")
    # The second time the tool has refused, and a person goes on.
    assert [record.outcome for record in ended] == ["hangup", "handed-over"]


async def test_an_unknown_number_is_asked_for_again_and_an_interruption_loses_nothing(line: ModuleType) -> None:
    async with dial(line.bot) as caller:
        await caller.interrupts("My internet is slow", after_ms=400)
        await caller.hears("customer number")
        await caller.says("9999")
        await caller.hears("customer number.*four digits")
        await caller.interrupts("four seven one one", after_ms=300)
        await caller.hears("your line is good")
    assert caller.record.specialists[-1] == "technical"
    assert set(caller.record.outcomes.values()) == {"answered"}


async def test_where_there_is_an_outage_nobody_is_handed_off(line: ModuleType) -> None:
    async with dial(line.bot) as caller:
        await caller.says("My internet is slow")
        await caller.hears("customer number")
        await caller.says("4713")
        await caller.hears("outage where you live. It will be over by six this evening")
        await caller.listens()
    assert caller.record.of("handoff.decided")[-1].data["why"] == "policy"
    caller.record.not_called("test_line")
    assert caller.record.specialists == ["triage"]


async def test_a_lawyer_is_a_matter_for_complaints(line: ModuleType) -> None:
    async with dial(line.bot) as caller:
        await caller.says("My lawyer will call you")
        await caller.hears("putting you through to my boss")
        assert await caller.hears_the_end() == "handed-over"
    caller.record.handed_off_to("complaints", status="escalated")
    asked = caller.record.of("handoff.requested")[0].data
    assert (asked["target"], asked["target_kind"]) == ("complaints", "queue")


@pytest.mark.parametrize(
    ("customer", "broken"), [("4712", False), ("4711", True)], ids=["a bad line", "a test that fails"]
)
async def test_what_the_specialist_cannot_mend_goes_to_the_front_desk(
    line: ModuleType, customer: str, broken: bool
) -> None:
    if broken:

        class Gone(line.Customer):  # type: ignore[misc, name-defined]
            @property
            def line(self) -> str:
                raise ConnectionError("the test bench is away")

            @line.setter
            def line(self, value: str) -> None:
                pass

        line.CUSTOMERS["4711"] = Gone("4711", "north")
    async with dial(line.bot) as caller:
        await caller.says("My internet is slow")
        await caller.hears("customer number")
        await caller.says(customer)
        assert await caller.hears_the_end() == "handed-over"
    caller.record.handed_off_to("front desk")
    assert caller.record.specialists == ["triage", "technical"]
    assert caller.record.of("tool.returned")[-2].data["failed"] == broken


async def test_a_dead_model_is_an_apology_and_no_silence(line: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = line.model.answer

    def dead(request: Any) -> Any:
        raise ProviderError.of("provider.connection", vendor="rehearsed", detail="it is gone", by="it")

    async with dial(line.bot) as caller:
        await caller.hears("how can I help")
        monkeypatch.setattr(line.model, "answer", dead)
        await caller.says("I was charged twice")
        assert await caller.listens()
        monkeypatch.setattr(line.model, "answer", answer)
        await caller.says("I was charged twice")
        await caller.hears("customer number")
    assert [event.data["processor"] for event in caller.record.of("processor.failed")] == ["router"]


# -- who answers


@pytest.mark.parametrize(
    ("known", "by"),
    [({"to": "+442079460200"}, "rule"), ({"metadata": {"queue": "sales"}}, "rule"), ({}, "grammar")],
    ids=["the number", "the metadata", "the first turn"],
)
async def test_who_wants_to_buy_gets_sales(line: ModuleType, known: dict[str, Any], by: str) -> None:
    async with dial(line.bot, **known) as caller:
        await caller.hears("how can I help")
        await caller.says("I need a new connection")
        await caller.hears("a hundred megabits")
    event = caller.record.of("router.decided")[0]
    assert (event.data["target"], event.data["by"]) == ("sales", by)
    assert event.turn == (1 if by == "grammar" else None)


async def test_the_squad_keeps_its_contract(line: ModuleType) -> None:
    report = await check_squad(
        line.agent,
        [
            SquadTurn(
                "I was charged twice",
                specialist="triage",
                handoffs=[("triage", "billing", "blocked")],
                says="customer number",
                says_not="1042",
            ),
            SquadTurn(
                "4711",
                specialist="billing",
                handoffs=[("triage", "billing", "allowed")],
                tools=["invoices"],
                says="1042",
            ),
            SquadTurn(
                "My internet is slow",
                specialist="technical",
                handoffs=[("billing", "technical", "allowed")],
                tools=["test_line"],
                says="line is good",
            ),
            SquadTurn("Hello?", specialist="technical", handoffs=[], tools=[], says="did not get that"),
            SquadTurn("A person, please", handoffs=[("technical", "front desk", "allowed")], ended="handed-over"),
        ],
        name="support",
    )
    assert report.exit_code == 0, report.markdown()


@pytest.mark.real_time
def test_with_a_model_it_is_the_model_that_is_asked(line: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("openai", reason="needs voiceframe[openai]")
    from voiceframe.testing.providers.openai import FakeOpenAI

    script = tmp_path / "script.txt"
    script.write_text("I was charged twice\n/hears so sorry to hear that\n")
    handed = call_tool("hand_off", target="billing", reason="paid twice", summary="")
    with served(FakeOpenAI(["Hello", handed, "I am so sorry to hear that."])) as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        out = io.StringIO()
        code = chat(FILE, llm="openai/gpt-4.1-mini", script=str(script), words_per_minute=0, out=out)
        assert code == 0, out.getvalue()
    assert {tool["function"]["name"] for tool in fake.bodies[1]["tools"]} == {"identify", "hang_up", "hand_off"}
    assert "identified first" in fake.bodies[2]["messages"][-1]["content"]  # the policy holds for any model


# -- by sound


@speech
async def test_a_whole_call_by_voice_over_a_line_with_noise(line: ModuleType) -> None:
    async with dial(line.bot, via="audio", noise_dbfs=-55) as caller:
        await caller.hears("how can I help")
        await caller.says("I was charged twice")
        await caller.hears("customer number")
        await caller.says("four seven one one")
        await caller.hears("paid twice")
        await caller.interrupts("I want my money back", after_ms=800)
        await caller.stops_within(1_000)
        await caller.hears("shall I pay back")
        await caller.says("yes")
        await caller.hears("three days")
        await caller.says("no thanks goodbye")
        assert await caller.hears_the_end() == "completed"
    assert caller.record.turns == [
        "i was charged twice",
        "four seven one one",
        "i want my money back",
        "yes",
        "no thanks goodbye",
    ]
    assert list(line.CUSTOMERS["4711"].refunds) == ["1042"]
    assert "interruption" in {event.kind for event in caller.record.events}
    verdict = judge(caller.record).no_unanswered_turn().yields_within(1_000).answers_within(2_500, by="sound")
    verdict.no_errors().holds()


@speech
async def test_by_way_of_twilio_with_keys_and_to_a_person(line: ModuleType) -> None:
    async with dial(line.bot, via="twilio") as caller:
        await caller.hears("how can I help")
        await caller.says("my internet is slow")
        await caller.hears("customer number")
        await caller.presses("4712")
        assert await caller.hears_the_end() == "handed-over"
    caller.record.handed_off_to("front desk")
    assert caller.record.turns == ["my internet is slow", "4712"]


@speech
async def test_the_number_that_was_dialled_at_twilio_leads_to_sales(line: ModuleType) -> None:
    async with dial(line.bot, via="twilio", to=line.SALES_LINE) as caller:
        await caller.hears("how can I help")
        await caller.says("I need a new connection")
        await caller.hears("megabits")
    assert caller.record.of("router.decided")[0].data["by"] == "rule"
