"""What tools take: rich types by pydantic, descriptions from docstrings, and errors that a model can act on."""

from __future__ import annotations

import dataclasses
import enum
import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal

import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypedDict

from voiceframe.errors import MissingExtra, ToolError
from voiceframe.tools import tool
from voiceframe.tools.docstrings import read_docstring
from voiceframe.tools.values import as_text, masked, plain, without_secrets


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Topping(pydantic.BaseModel):
    name: str
    grams: Annotated[int, pydantic.Field(ge=1, le=500)] = 20


@dataclasses.dataclass(frozen=True)
class Place:
    street: str
    number: int


class Contact(TypedDict):
    name: str
    phone: str


@tool()
async def order(
    size: Size,
    toppings: list[Topping],
    to: Place,
    contact: Contact,
    at: datetime | None = None,
    days: dict[str, date] | None = None,
    count: Annotated[int, pydantic.Field(ge=1, le=9)] = 1,
    how: Literal["fetch", "bring"] = "fetch",
) -> None:
    """Order a pizza.

    Only while we are open.

    size: how large it is to be.
    count: how many,
        at most nine.
    """


GOOD: dict[str, Any] = {
    "size": "large",
    "toppings": [{"name": "ham"}, {"name": "egg", "grams": 50}],
    "to": {"street": "Main", "number": 7},
    "contact": {"name": "Ann", "phone": "12"},
    "at": "2026-12-03T10:30",
    "days": {"first": "2026-12-03"},
}


def test_rich_arguments_are_made_of_json() -> None:
    bound = order.bind(GOOD)
    assert bound["size"] is Size.LARGE
    assert bound["toppings"] == [Topping(name="ham"), Topping(name="egg", grams=50)]
    assert bound["to"] == Place("Main", 7)
    assert bound["at"] == datetime(2026, 12, 3, 10, 30)  # noqa: DTZ001
    assert bound["days"] == {"first": date(2026, 12, 3)}
    assert order.bind(GOOD | {"to": Place("Main", 7)})["to"] == Place("Main", 7)


def test_the_schema_says_what_is_taken() -> None:
    schema = order.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(GOOD, schema)
    assert schema["required"] == ["size", "toppings", "to", "contact"]
    assert schema["properties"]["size"]["description"] == "how large it is to be."
    assert schema["properties"]["count"]["description"] == "how many, at most nine."
    assert order.description == "Order a pizza.\n\nOnly while we are open."
    for wrong in ({"size": "huge"}, {"to": {"street": "Main"}}, {"count": 10}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(GOOD | wrong, schema)
    json.dumps(schema)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": "huge"}, ["size='huge'", "'small' or 'large'"]),
        ({"toppings": [{"name": "ham"}, {"grams": 5}]}, ["toppings[1].name", "required"]),
        ({"toppings": [{"name": "ham", "grams": 0}]}, ["toppings[0].grams", "greater than or equal to 1"]),
        ({"to": {"street": "Main", "number": "x"}}, ["to.number", "integer"]),
        ({"to": 7}, ["to=7", "Place"]),
        ({"count": 10}, ["count=10", "less than or equal to 9"]),
        ({"at": "soon"}, ["at='soon'", "a date and time"]),
        ({"how": "send", "count": "x", "extra": 1}, ["(1)", "(2)", "(3)", "'extra'", "'fetch' or 'bring'"]),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(wrong: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ToolError) as caught:
        order.bind(GOOD | wrong)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_two_classes_of_one_name_do_not_get_mixed_up() -> None:
    def other() -> Any:
        class Topping(pydantic.BaseModel):
            spice: str

        return Topping

    async def mix(one: list[Topping], two: None) -> None: ...

    mix.__annotations__["two"] = list[other()]  # type: ignore[misc]
    mix.__annotations__["one"] = list[Topping]
    made = tool()(mix)
    jsonschema.validate({"one": [{"name": "ham"}], "two": [{"spice": "salt"}]}, made.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"one": [{"name": "ham"}], "two": [{"name": "ham"}]}, made.schema())


def test_without_pydantic_plain_tools_work_and_others_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pydantic", None)

    @tool()
    async def simple(day: date, at: time | None = None) -> None: ...

    assert simple.bind({"day": "2026-12-03"}) == {"day": date(2026, 12, 3)}
    assert simple.schema()["properties"]["day"] == {"type": "string", "format": "date"}
    with pytest.raises(MissingExtra, match="agents"):

        @tool()
        async def rich(days: frozenset[str]) -> None: ...


@pytest.mark.parametrize(
    "text",
    [
        "Book it.\n\nday: when they come,\n    in their zone.\ncount: how many.",
        "Book it.\n\nArgs:\n    day: when they come,\n        in their zone.\n    count (int): how many.",
        "Book it.\n\n:param date day: when they come,\n    in their zone.\n:param count: how many.",
        "Book it.\n\nParameters\n----------\nday : date\n    when they come,\n    in their zone.\ncount\n    how many.",
    ],
)
def test_descriptions_are_read_in_the_usual_forms(text: str) -> None:
    assert read_docstring(text, ["day", "count"]) == (
        "Book it.",
        {"day": "when they come, in their zone.", "count": "how many."},
    )


def test_what_only_looks_like_a_parameter_stays() -> None:
    text = "Book it.\n\nNote: it is final.\nReturns: the number."
    assert read_docstring(text, ["day"]) == (text, {})


@given(st.text(alphabet="abday: \n-()*ArgsParameters", max_size=120), st.sets(st.sampled_from(["a", "day", "b"])))
def test_any_docstring_is_read(text: str, names: set[str]) -> None:
    description, found = read_docstring(text, names)
    assert set(found) <= names
    assert len(description) <= len(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_json_stays_json(value: Any) -> None:
    assert plain(value) == value
    json.loads(json.dumps(plain({"x": value})))


def test_results_are_told_to_the_model_as_text() -> None:
    assert as_text(None) == "Done."
    assert as_text("") == "Done: there is nothing."
    assert as_text(date(2026, 12, 3)) == "2026-12-03"
    assert as_text(Topping(name="ham")) == '{"name": "ham", "grams": 20}'
    assert as_text(Place("Main", 7), Place | Topping) == '{"result": "Place", "street": "Main", "number": 7}'
    assert as_text(Place("Main", 7), Place | None) == '{"street": "Main", "number": 7}'
    assert as_text({"x": {Decimal("1.50")}}) == '{"x": ["1.50"]}'


def test_secrets_are_hidden_and_short_ones_do_not_hide_half_of_a_text() -> None:
    arguments = {"pin": {"code": "47114711", "try": 2}, "day": "Monday"}
    assert masked(arguments, ("pin",)) == {"pin": "[secret]", "day": "Monday"}
    assert without_secrets("47114711 at 2 on Monday", arguments, ("pin",)) == "[secret] at 2 on Monday"
