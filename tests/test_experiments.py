"""Who gets which variant: the same caller the same one, as many as the weights say, and no more moved than must be."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Agent, Call, Pipeline
from voiceframe.assistant import Assistant, Experiment, Variant
from voiceframe.assistant.party import party
from voiceframe.errors import AssistantError, ConfigurationError
from voiceframe.llm import LLM
from voiceframe.testing import ScriptedLLM, dial
from voiceframe.tools import tool
from voiceframe.transports.text import TextTransport

KEYS = [f"+4930{number:07}" for number in range(4_000)]


def experiment(**weights: float) -> Experiment:
    return Experiment("greeting", [Variant(name, weight=weight) for name, weight in weights.items()])


def call_from(number: str, **options: str) -> Call:
    return Call(TextTransport(), from_=number, **options)  # type: ignore[arg-type]


# -- drawing


@given(st.text(max_size=50), st.text(min_size=1, max_size=5))
def test_a_caller_has_the_same_variant_every_time(key: str, seed: str) -> None:
    variants = [Variant("a"), Variant("b", weight=2), Variant("c", weight=0.5)]
    first = Experiment("x", variants, seed=seed)
    again = Experiment("x", reversed(variants), seed=seed)  # in whatever order they are declared
    assert first.draw(key).name == again.draw(key).name


def test_another_process_draws_the_same() -> None:
    code = (
        "from voiceframe.assistant import Experiment, Variant\n"
        "e = Experiment('greeting', [Variant('a'), Variant('b', weight=3)])\n"
        "print(*(e.draw(f'+4930{n:07}').name for n in range(200)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    mine = experiment(a=1, b=3)
    assert done.stdout.split() == [mine.draw(key).name for key in KEYS[:200]]


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1}, {"a": 1, "b": 3}, {"a": 5, "b": 1, "c": 4}, {"a": 0.01, "b": 1}])
def test_the_shares_are_those_of_the_weights(weights: dict[str, float]) -> None:
    drawn = Counter(experiment(**weights).draw(key).name for key in KEYS)
    total = sum(weights.values())
    for name, weight in weights.items():
        share = weight / total
        sigma = math.sqrt(len(KEYS) * share * (1 - share))
        assert abs(drawn[name] - len(KEYS) * share) < 4 * sigma, drawn
    assert experiment(**weights).shares() == pytest.approx({name: w / total for name, w in weights.items()})


def test_a_greater_weight_takes_callers_from_the_others_and_moves_nobody_else() -> None:
    before, after = experiment(a=1, b=1, c=1), experiment(a=1, b=2, c=1)
    moved = [(before.draw(key).name, after.draw(key).name) for key in KEYS]
    assert {new for old, new in moved if old != new} == {"b"}
    gone = experiment(a=1, b=1, c=0)
    assert all(old.name in (new.name, "c") for old, new in ((before.draw(k), gone.draw(k)) for k in KEYS))


def test_experiments_are_drawn_independently_of_each_other() -> None:
    first = Experiment("first", [Variant("a"), Variant("b")])
    second = Experiment("second", [Variant("a"), Variant("b")])
    pairs = Counter((first.draw(key).name, second.draw(key).name) for key in KEYS)
    assert all(abs(count - len(KEYS) / 4) < 4 * math.sqrt(len(KEYS) * 3 / 16) for count in pairs.values()), pairs
    seeded = Experiment("first", [Variant("a"), Variant("b")], seed="other")
    assert any(first.draw(key).name != seeded.draw(key).name for key in KEYS[:100])


async def test_who_is_not_known_is_drawn_by_the_call_and_who_withholds_the_number_is_not_known() -> None:
    split = experiment(a=1, b=1)
    known = split.assign(call_from("+493012345"))
    assert (known.reason, known.unit) == ("sticky", split.assign(call_from("+493012345")).unit)
    assert "493012345" not in known.unit
    drawn = [split.assign(call_from(number)) for number in ("", "anonymous", "Restricted", "+266696687") * 10]
    assert {assignment.reason for assignment in drawn} == {"call"}
    assert {assignment.variant.name for assignment in drawn} == {"a", "b"}
    outbound = Call(TextTransport(), direction="outbound", from_="+1555", to="+493012345")
    assert party(outbound) == "+493012345"


async def test_a_variant_may_be_chosen_and_what_goes_wrong_in_choosing_costs_no_call() -> None:
    chosen = Experiment("x", [Variant("a"), Variant("b", weight=0)], choose=lambda call: call.metadata.get("variant"))
    call = Call(TextTransport(), from_="+1", metadata={"variant": "b"})
    assert chosen.assign(call)[1:3] == (chosen.variants[1], "chosen")
    assert chosen.assign(call_from("+1")).variant.name == "a"
    unknown = Call(TextTransport(), from_="+1", metadata={"variant": "z"})
    assert chosen.assign(unknown)[1:3] == (chosen.variants[0], "sticky")

    def broken(call: Call) -> str:
        raise RuntimeError("the database is gone")

    assert Experiment("x", [Variant("a"), Variant("b")], key=broken).assign(call_from("+1")).reason == "call"
    assert Experiment("x", [Variant("a"), Variant("b")], choose=broken).assign(call_from("+1")).reason == "sticky"


# -- declaring


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Experiment("x", []), "experiment.variants"),
        (lambda: Experiment("x", [Variant("a")]), "experiment.variants"),
        (lambda: Experiment("x", [Variant("a"), Variant("a")]), "experiment.variants"),
        (lambda: Experiment("", [Variant("a"), Variant("b")]), "experiment.variants"),
        (lambda: Experiment("x", [Variant("a", weight=0), Variant("b", weight=0)]), "experiment.variants"),
        (lambda: Variant("a", weight=-1), "experiment.change"),
        (lambda: Variant("a", weight=math.nan), "experiment.change"),
        (lambda: Variant("a\n"), "experiment.change"),
        (lambda: Variant("a", tools=[len]), "experiment.change"),  # type: ignore[list-item]
        (lambda: experiment(a=1, b=1).variant("c"), "experiment.unknown"),
    ],
)
def test_what_cannot_be_an_experiment_is_refused(make: object, code: str) -> None:
    with pytest.raises(AssistantError) as raised:
        make()  # type: ignore[operator]
    assert raised.value.code == code


def test_a_text_or_a_setting_that_cannot_be_is_refused_where_the_variant_is_declared() -> None:
    with pytest.raises(ConfigurationError):
        Variant("a", greeting="Hello {{ call.form }}")
    with pytest.raises(ConfigurationError):
        Variant("a", instructions="{{ open")
    with pytest.raises(ConfigurationError):
        Variant("a", settings={"temprature": 1})


def test_two_experiments_cannot_change_the_same_thing() -> None:
    def make(call: Call) -> Agent:
        return Agent("clinic")

    def tried(name: str, variant: Variant) -> Experiment:
        return Experiment(name, [Variant("control"), variant])

    warm = tried("tone", Variant("warm", greeting="Hi", settings={"temperature": 1.0}))
    with pytest.raises(AssistantError) as raised:
        Assistant(make, experiments=[warm, tried("heat", Variant("hot", settings={"temperature": 2.0}))])
    assert raised.value.code == "experiment.overlap"
    assert "settings.temperature" in raised.value.message
    Assistant(make, experiments=[warm, tried("heat", Variant("hot", settings={"max_tokens": 20}))])
    Assistant(make, experiments=[warm, tried("heat", Variant("hot", greeting="Hey", of="billing"))])


# -- in a call


@tool()
async def book() -> str:
    """Book."""
    return "booked"


@tool()
async def cancel() -> str:
    """Cancel."""
    return "cancelled"


async def greeted(assistant: Assistant, seed: int = 0, **variants: str) -> tuple[str, Agent]:
    made: list[Agent] = []

    async def bot(call: Call) -> Pipeline:
        made.append(await assistant.agent(call, variants=variants))
        return Pipeline([call.transport.input(), *made[-1:], call.transport.output()])

    async with dial(bot, seed=seed) as caller:
        await caller.listens()
        heard = caller.record.heard
        await caller.says("Hello?")
        await caller.listens()
    return (heard[0] if heard else ""), made[0]


async def test_a_variant_changes_all_that_it_names_and_nothing_else() -> None:
    old, new = ScriptedLLM(["Old."], repeat=True), ScriptedLLM(["New."], repeat=True)

    def clinic(call: Call) -> Agent:
        return Agent("clinic", "You are old.", old, tools=[book], greeting="Hello.", voice="anna")

    models: tuple[LLM, ...] = (old, new)
    assistant = Assistant(
        clinic,
        experiments=[
            Experiment(
                "all",
                [
                    Variant("control"),
                    Variant(
                        "new",
                        instructions="You are new, {{ data.variants.all }}.",
                        greeting="Good day from {{ agent }}.",
                        voice="berta",
                        llm=models[1],
                        model="newest",
                        tools=[cancel],
                        settings={"temperature": 0.5, "zone": "Europe/Berlin", "result_chars": 300},
                    ),
                    Variant("silent", greeting=""),
                ],
            )
        ],
    )
    heard, agent = await greeted(assistant, all="control")
    assert (heard, agent.voice, agent.settings.temperature) == ("Hello.", "anna", None)
    assert old.requests[-1].messages[0].text == "You are old."
    heard, agent = await greeted(assistant, seed=1, all="new")
    assert (heard, agent.voice, agent.settings.temperature) == ("Good day from clinic.", "berta", 0.5)
    request = new.requests[-1]
    assert request.messages[0].text == "You are new, new."
    assert [spec.name for spec in request.tools] == ["cancel"]
    assert (request.temperature, request.settings) == (0.5, {"model": "newest"})
    assert (await greeted(assistant, seed=2, all="silent"))[0] == ""


async def test_the_variant_of_a_call_is_an_event_behind_its_beginning() -> None:
    assistant = Assistant(lambda call: Agent("clinic"), name="clinic", experiments=[experiment(a=1, b=1)])

    async def bot(call: Call) -> Pipeline:
        call.from_ = "+493012345"
        agent = await assistant.agent(call)
        assert call.data["variants"] == assistant.variants(call)
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    async with dial(bot) as caller:
        pass
    expected = experiment(a=1, b=1).draw("+493012345").name
    assert [event.kind for event in caller.record.events[:3]] == [
        "call.started",
        "experiment.assigned",
        "assistant.started",
    ]
    assigned, started = caller.record.of("experiment.assigned", "assistant.started")
    assert assigned.data == {
        "assistant": "clinic",
        "experiment": "greeting",
        "variant": expected,
        "reason": "sticky",
        "control": "a",
        "shares": {"a": 0.5, "b": 0.5},
    }
    assert assigned.personal is not None
    assert len(assigned.personal["unit"]) == 16
    assert started.data["variants"] == {"greeting": expected}


async def test_a_variant_of_an_agent_that_is_not_there_is_refused_with_the_nearest() -> None:
    far = Experiment("x", [Variant("control"), Variant("b", of="biling", greeting="Hi")])
    assistant = Assistant(lambda call: Agent("billing"), name="clinic", experiments=[far])
    with pytest.raises(AssistantError) as raised:
        await greeted(assistant, x="b")
    assert raised.value.code == "experiment.member"
    assert "`of='billing'`" in raised.value.fix
    near = Experiment("x", [Variant("control"), Variant("b", of="billing", greeting="Hi")])
    own = Assistant(lambda call: Agent("billing", llm=ScriptedLLM(["Yes."])), name="clinic", experiments=[near])
    assert (await greeted(own, seed=1, x="b"))[0] == "Hi"


async def test_variants_that_are_asked_for_must_be_there() -> None:
    assistant = Assistant(lambda call: Agent("clinic"), name="clinic", experiments=[experiment(a=1, b=1)])
    for wanted, code in (({"tone": "a"}, "experiment.none"), ({"greeting": "z"}, "experiment.unknown")):
        with pytest.raises(AssistantError) as raised:
            await assistant.agent(call_from("+1"), variants=wanted)
        assert raised.value.code == code
