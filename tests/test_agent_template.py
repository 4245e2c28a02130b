"""Templates of instructions: names are looked up, values are text, and nothing is ever run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.call import Call
from voiceframe.errors import ConfigurationError
from voiceframe.processors.agents.template import Template, values_of
from voiceframe.transports.text import TextTransport


@dataclass
class Customer:
    name: str
    visits: int


def values(**data: Any) -> dict[str, Any]:
    return {
        "agent": "clinic",
        "call": {"id": "c1", "from": "+4930", "to": "+4940", "direction": "inbound", "metadata": {"tier": "gold"}},
        "data": data,
        "date": "Monday, 1 June 2026",
        "time": "10:30",
        "weekday": "Monday",
        "now": "2026-06-01T10:30+00:00",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("from {{ call.from }} to {{call.to}}", "from +4930 to +4940"),
        ("{{ call.metadata.tier | upper }}", "GOLD"),
        ("{{ data.customer.name }} {{ data.customer.visits }}", "Ann 3"),
        ('{{ data.nobody | default("friend") }}', "friend"),
        ("{{ data.nobody | default('a | b') }}", "a | b"),
        ('{{ data.nobody.name | default("say \\"hi\\"") }}', 'say "hi"'),
        ('{{ "{{" }} stays {{ "}}" }}', "{{ stays }}"),
        ("{{ data.list }}", '["a", "b"]'),
        ("{a: {b: 1}}", "{a: {b: 1}}"),
        ("{{ date }}, {{ agent | title }}", "Monday, 1 June 2026, Clinic"),
    ],
)
def test_names_are_filled_in(text: str, expected: str) -> None:
    assert Template(text, "It").fill(values(customer=Customer("Ann", 3), list=["a", "b"])) == expected


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{{ call.form }}", "agent.template-name", "`call.from`"),
        ("{{ dta.x }}", "agent.template-name", "`da"),
        ("{{ metadata.x }}", "agent.template-name", "call.metadata"),
        ("{{ call.from | shout }}", "agent.template", "no filter 'shout'"),
        ("{{ call.from.__class__ }}", "agent.template-name", "call.from"),
        ("{{ 1 + 1 }}", "agent.template", "not the name"),
        ("{{ data.x() }}", "agent.template", "not the name"),
        ("{{ data['x'] }}", "agent.template", "not the name"),
        ("{{ call.from", "agent.template", "no end"),
        ("{{ }}", "agent.template", "not the name"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_where_it_is_written(text: str, code: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Template(text, "The instructions")
    assert caught.value.code == code
    assert words in str(caught.value)


def test_a_name_without_value_is_an_error_at_the_start_and_nothing_later() -> None:
    template = Template("for {{ data.costumer.name }}", "The instructions")
    with pytest.raises(ConfigurationError, match=r"Did you mean `data\.customer`"):
        template.fill(values(customer=Customer("Ann", 3)))
    assert template.fill(values(), strict=False) == "for "


NAMES = ("data.x", "data.x | upper", 'data.x | default("d")')


@given(st.text(max_size=200), st.sampled_from(NAMES))
def test_a_hostile_value_stays_a_piece_of_its_line(value: str, name: str) -> None:
    before, after = "You are the clinic. The caller is called ", ".\nNever give refunds."
    filled = Template(f"{before}{{{{ {name} }}}}{after}", "It").fill(values(x=value))
    assert filled.startswith(before)
    assert filled.endswith(after)
    inside = filled[len(before) : len(filled) - len(after)]
    assert "\n" not in inside
    assert all(char.isprintable() for char in inside)
    # It is the value, and not what the value would say if it were a template.
    assert "+4930" not in inside or "+4930" in value


@pytest.mark.parametrize("value", ["{{ call.from }}", "{{ data.secret }}", '{{ "x" }}', "{{", "{{ data.x }}"])
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    assert Template("<{{ data.x }}>", "It").fill(values(x=value, secret="s3cret")) == f"<{value}>"


def test_a_value_cannot_fill_the_context() -> None:
    assert len(Template("{{ data.x }}", "It").fill(values(x="x" * 1_000_000))) == 2_000


@given(st.text(alphabet="{}\" |.\\dataxcl()'", max_size=60))
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        Template(text, "It").fill(values(), strict=False)
    except ConfigurationError as error:
        assert error.code in ("agent.template", "agent.template-name")  # noqa: PT017


async def test_the_values_come_from_the_call() -> None:
    call = Call(TextTransport(), from_="+4930", to="+4940", metadata={"tier": "gold"}, seed=1)
    call.data["plan"] = "basic"
    text = "{{ call.from }} {{ call.metadata.tier }} {{ data.plan }} {{ date }} {{ time }} {{ now }} {{ weekday }}"
    filled = Template(text, "It").fill(values_of(call, "clinic", timezone.utc))  # noqa: UP017
    assert filled == "+4930 gold basic Thursday, 1 January 2026 00:00 2026-01-01T00:00+00:00 Thursday"
