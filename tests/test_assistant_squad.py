"""An assistant on top of a squad or a router: variants of a specialist, memory for all of them, one report."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceframe import Agent, Call, Pipeline
from voiceframe.assistant import Assistant, Experiment, InMemoryStore, Memory, Variant, memory_tools, runs_of
from voiceframe.errors import AssistantError
from voiceframe.processors.agents import Router, Squad
from voiceframe.testing import Caller, ScriptedLLM, call_tool, dial
from voiceframe.tools import tool
from voiceframe.transports.text import TextTransport


@tool()
async def invoice() -> str:
    """Look an invoice up."""
    return "12 euros"


class Models:
    """The models of three specialists."""

    def __init__(self) -> None:
        self.triage = ScriptedLLM([call_tool("hand_off", target="billing", reason="invoice"), "Still here."])
        self.billing = ScriptedLLM(["Billing here.", call_tool("remember", topic="plan", fact="gold"), "Noted."])
        self.other = ScriptedLLM(["Another model here.", call_tool("remember", topic="plan", fact="gold"), "Noted."])


memory = Memory(InMemoryStore(), ttl_ms=None, key=lambda call: "ann")


def desk(models: Models) -> Callable[[Call], Agent]:
    def make(call: Call) -> Agent:
        triage = Agent("triage", "You triage.", models.triage, greeting="Hello.", description="Finds out who helps")
        billing = Agent(
            "billing", "You bill.", models.billing, tools=[invoice, *memory_tools(memory)], description="Invoices"
        )
        return Squad([triage, billing], start="triage", name="desk")

    return make


async def served(assistant: Assistant, *lines: str, **variants: str) -> Caller:
    async def bot(call: Call) -> Pipeline:
        agent = await assistant.agent(call, variants=variants)
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    async with dial(bot) as caller:
        await caller.listens()
        for line in lines:
            await caller.says(line)
            await caller.listens()
    assert await assistant.drain()
    return caller


def tried(models: Models, name: str, variant: Variant) -> Assistant:
    split = Experiment("x", [Variant("control"), variant])
    return Assistant(desk(models), name="desk", experiments=[split], memory=memory)


async def test_the_first_specialist_is_changed_unless_another_is_named() -> None:
    models = Models()
    caller = await served(
        tried(models, "desk", Variant("warm", greeting="How lovely!", instructions="Be kind.")), x="warm"
    )
    assert caller.record.heard == ["How lovely!"]
    by_name = Variant("warm", greeting="How nice!", of="desk")
    assert (await served(tried(Models(), "desk", by_name), x="warm")).record.heard == ["How nice!"]


async def test_a_specialist_has_a_variant_and_keeps_the_way_to_hand_off() -> None:
    models = Models()
    changed = Variant("new", of="billing", llm=models.other, instructions="You are new.", tools=[*memory_tools(memory)])
    caller = await served(tried(models, "desk", changed), "My invoice", "I have the gold plan", x="new")
    assert caller.record.heard == ["Hello.", "Another model here.", "Noted."]
    assert models.billing.requests == []
    request = models.other.requests[0]
    assert request.messages[0].text == "You are new."
    assert sorted(spec.name for spec in request.tools) == ["forget", "hand_off", "recall", "remember"]
    (run,) = runs_of(caller.record.events)
    assert (run.agent, run.variants, run.memory_writes, run.transfers) == ("desk", {"x": "new"}, 1, 0)


async def test_every_specialist_knows_what_is_remembered() -> None:
    own = Memory(InMemoryStore(), ttl_ms=None, key=lambda call: "bob")
    await own.of(Call(TextTransport())).set("plan", "silver")
    models = Models()
    await served(Assistant(desk(models), name="desk", memory=own), "My invoice")
    for llm in (models.triage, models.billing):
        assert '{"plan": "silver"}' in "".join(message.text for message in llm.requests[0].messages)


async def test_a_router_has_only_a_greeting_of_its_own() -> None:
    def routed(call: Call) -> Agent:
        found = [
            Agent(name, "Help.", ScriptedLLM([f"{name} here."]), description=name) for name in ("sales", "billing")
        ]
        return Router(found, name="reception", greeting="Hello.", classifier=lambda request: "sales", fallback="sales")

    def assistant(variant: Variant) -> Assistant:
        return Assistant(routed, experiments=[Experiment("x", [Variant("control"), variant])])

    assert (await served(assistant(Variant("b", greeting="Hi.")), x="b")).record.heard == ["Hi."]
    changed = ScriptedLLM(["Other sales."])
    caller = await served(assistant(Variant("b", llm=changed, of="sales")), "Help", x="b")
    assert caller.record.heard == ["Hello.", "Other sales."]
    with pytest.raises(AssistantError) as raised:
        await served(assistant(Variant("b", instructions="New.")), x="b")
    assert raised.value.code == "experiment.member"
