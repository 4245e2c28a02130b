"""Flows in YAML: what they declare, what is refused and where, hostile files, round trips, and edits between calls."""

from __future__ import annotations

import json
import logging
import re
import time as clock
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flow_maker import flows
from voiceframe.demo.clinic import STATES
from voiceframe.errors import FlowError, MissingExtra
from voiceframe.flow import AgentNode, Do, End, Flow, FlowSettings, Intent, State, Text, Wording, YesNo
from voiceframe.flow.document import MOST_BYTES, MOST_DEPTH, MOST_NODES, parse
from voiceframe.flow.dump import data_of, to_yaml
from voiceframe.flow.kinds import NODES, schema
from voiceframe.flow.load import Declaration, read
from voiceframe.flow.manual import markdown
from voiceframe.pipeline import Pipeline
from voiceframe.processors import Agent
from voiceframe.testing import Caller, dial
from voiceframe.tools import ToolContext, tool

ROOT = Path(__file__).resolve().parent.parent
CLINIC = ROOT / "examples/flows/clinic.yaml"
SMALL = """\
start: ask
person: desk
nodes:
  ask:
    kind: listen
    prompt: What is it?
    to: bye
  bye:
    kind: hangup
    prompt: So {ask}. Goodbye.
"""


@dataclass(frozen=True)
class Booked:
    number: int


@dataclass(frozen=True)
class Taken:
    free: str


@tool(timeout_ms=5_000)
async def book(ctx: ToolContext, doctor: str, day: date, at: time) -> Booked | Taken:
    """Book an appointment."""
    return Taken("eleven") if at == time(10) else Booked(7)


def load(path: Path, **options: Any) -> Flow:
    return Flow.load(path, **options)


def again(made: Declaration) -> dict[str, Any]:
    return data_of(made.states, start=made.start, person=made.person, give_up=made.give_up, zone=made.zone)


def problems(text: str | bytes, **options: Any) -> list[str]:
    with pytest.raises(FlowError) as caught:
        read(text.encode() if isinstance(text, str) else text, "x.yaml", **options)
    return [str(problem) for problem in caught.value.problems or (caught.value,)]


def write(path: Path, text: str) -> None:
    """As an editor does: a new file in the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(path)


# -- a flow of a file in a call


async def say(caller: Caller, *texts: str) -> str:
    heard = ""
    for text in texts:
        await caller.says(text)
        await caller.waits(50)
        heard = await caller.listens()
    return " ".join(heard.split())


async def test_a_file_is_a_whole_dialog() -> None:
    def bot(call: Any) -> Pipeline:
        flow = load(CLINIC, tools=[book])
        flow.begins_at(datetime.fromisoformat("2026-01-05 10:00"))
        return Pipeline([call.transport.input(), flow, call.transport.output()])

    async with dial(bot) as caller:
        greeting = "City clinic, hello. Would you like to book an appointment, or hear our opening hours?"
        assert " ".join((await caller.listens()).split()) == greeting
        assert "opening hours?" in await say(caller, "opening hours")
        await say(caller, "book an appointment with Dr Lee on Tuesday at ten")
        assert "What is free is eleven" in await say(caller, "yes")
        assert "appointment with Dr Lee on Tuesday the sixth of January at eleven" in await say(caller, "eleven")
        await caller.hears_the_end()
    assert caller.call.data["outcome"] == "booked"
    (loaded,) = caller.record.of("flow.loaded")
    assert loaded.data["nodes"] == 13
    assert re.fullmatch("[0-9a-f]{12}", loaded.data["digest"])
    started = caller.record.of("reply.started")
    assert [event.data["interruptible"] for event in started[:2]] == [False, True]


async def test_what_is_given_in_python_holds_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(
        "start: a\nperson: desk\nvariables: {who: nobody, what: file}\nsettings: {attempts: 2}\n"
        "wording: {goodbye: So long.}\nnodes:\n  a: {kind: hangup, prompt: '{{ who }} {what}'}\n"
    )
    flow = load(path, variables={"who": "Ann"}, settings=FlowSettings(attempts=5))
    assert flow.given == {"who": "Ann", "what": "file"}
    assert flow.settings.attempts == 5
    assert load(path).settings.attempts == 2


async def test_agents_are_the_ones_of_the_call(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(
        "start: talk\nperson: desk\nnodes:\n  talk: {kind: agent, agent: clerk, exits: {done: bye}, failed: bye}\n"
        "  bye: {kind: hangup, prompt: Goodbye.}\n"
    )
    agents = [Agent("clerk", voice="anna"), Agent("clerk", voice="bert")]
    flows = [load(path, agents=[agent]) for agent in agents]
    nodes = [flow.states["talk"] for flow in flows]
    assert [node.agent for node in nodes if isinstance(node, AgentNode)] == agents
    assert [node.voice for node in nodes] == ["anna", "bert"]
    with pytest.raises(FlowError, match=r"there is no agent 'clerk'. Did you mean `clark`"):
        load(path, agents=[Agent("clark")])


# -- the schema


def test_the_shipped_schema_is_the_one_of_the_code() -> None:
    shipped = (ROOT / "docs/flow.schema.json").read_text("utf-8")
    assert shipped == json.dumps(schema(), indent=2) + "\n", "voiceframe flow schema > docs/flow.schema.json"


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs/flow.md").read_text("utf-8")
    assert page.partition("## All that a file may have\n\n")[2] == markdown(), "see voiceframe/flow/manual.py"


def test_the_schema_takes_what_the_reader_takes() -> None:
    yaml = pytest.importorskip("yaml")
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    assert list(validator.iter_errors(yaml.load(CLINIC.read_text("utf-8"), yaml.BaseLoader) | {"mocks": {}})) != []
    data = again(read(CLINIC.read_bytes(), "clinic.yaml"))
    assert list(validator.iter_errors(data)) == []
    data["nodes"]["menu"]["kind"] = "menü"
    assert list(validator.iter_errors(data)) != []


def test_every_field_of_every_kind_is_described() -> None:
    for kind, definition in schema()["$defs"].items():
        for name, described in definition["properties"].items():
            assert name == "kind" or described["description"].endswith("."), f"{kind}.{name}"


# -- what is refused, and where


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        (("to: bye", "to: by"), "x.yaml:7:9", "leads to 'by'"),
        (("kind: listen", "kind: lisen"), "x.yaml:5:11", "there is no kind of node 'lisen'"),
        (("prompt: What", "prompts: What"), "x.yaml:6:5", "has no 'prompts'"),
        (("    prompt: What is it?\n", ""), "x.yaml:5:5", "lacks 'prompt'"),
        (("{ask}", "{aks}"), "x.yaml:10:13", "uses the variable 'aks'"),
        (("{ask}", "{ask.x}"), "x.yaml:10:13", "'ask.x'"),
        (("{ask}", "{1 + 1}"), "x.yaml:10:13", "not a text with variables"),
        (("start: ask", "start: aks"), "x.yaml:1:8", "start leads to 'aks'"),
        (("start: ask\n", ""), "x.yaml:1:1", "lacks 'start'"),
        (("person: desk", "person: [desk]"), "x.yaml:2:9", "is a list"),
        (("person: desk", "persona: desk"), "x.yaml:2:1", "has no 'persona'"),
        (("person: desk\n", ""), "x.yaml:1:8", "no way out"),
        (("    to: bye", "    attempts: three\n    to: bye"), "x.yaml:7:15", "a whole number from 1 to 20"),
        (("    to: bye", "    attempts: 0\n    to: bye"), "x.yaml:7:15", "'0'"),
        (("    to: bye", "    interruptible: yes\n    to: bye"), "x.yaml:7:20", "true or false"),
        (("    to: bye", "    to: bye\n    to: bye"), "x.yaml:8:5", "'to' twice"),
        (("  bye:", "  ask: {kind: greet}\n  bye:"), "x.yaml:8:3", "'ask' twice"),
        (("person: desk", "person: desk\nzone: Middle/Earth"), "x.yaml:3:7", "Middle/Earth"),
        (("person: desk", "person: desk\nwording: {goodby: x}"), "x.yaml:3:11", "has no 'goodby'"),
        (("person: desk", "person: desk\nwording: {which: '{ x }'}"), "x.yaml:3:11", "'which' takes {labels}"),
        (("person: desk", "person: desk\nsettings: {attempts: 99}"), "x.yaml:3:22", "from 1 to 20"),
        (("person: desk", "person: desk\nslots: {x: 5}"), "x.yaml:3:12", "a mapping with `kind`"),
        (("person: desk", "person: desk\nslots: {x: {kind: date, closed: [Mon]}}"), "x.yaml:3:34", "`Monday`"),
        (("person: desk", "person: desk\nslots: {x: {kind: choice}}"), "x.yaml:3:12", "lacks 'options'"),
        (("person: desk", "person: desk\nslots: {x: {kind: time, latest: '25:00'}}"), "x.yaml:3:33", "09:30"),
        (("nodes:", "nodes: []\nx:"), "x.yaml:3:8", "is a list"),
        (("nodes:", "nodes: {}\nx:"), "x.yaml:4:1", "has no 'x'"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_column(change: tuple[str, str], where: str, words: str) -> None:
    assert change[0] in SMALL
    found = problems(SMALL.replace(*change, 1))
    assert any(where + ":" in problem and words in problem for problem in found), found


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = SMALL.replace("kind: listen", "kind: lisen").replace("outcome", "x").replace("Goodbye.", "\n    outcom: x")
    found = problems(text)
    assert [problem.split(":")[1] for problem in found] == ["5", "11"]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("", "1", "empty"),
        ("a: [", "2:1", ""),
        ("a: b: c", "1:5", "mapping values"),
        ("a: *b", "1:4", "aliases"),
        ("a: &b c", "1:4", "anchors"),
        ("a: !!python/object/apply:os.system [x]", "1:4", "tags"),
        ("<<: *b", "1:5", "aliases"),
        ("a: b\n---\na: c", "2:1", "second document"),
        ("? [a]\n: b", "1:3", "a key has to be a name"),
        ("a: \x00", "1", ""),
        ('a: "\\U00110000"', "1", ""),
        ("- x", "1:1", "is a list"),
        ("x", "1:1", "is 'x'"),
    ],
)
def test_what_is_no_flow_is_refused(text: str, where: str, words: str) -> None:
    found = problems(text)
    assert any(f"x.yaml:{where}" in problem and words in problem for problem in found), found


@pytest.mark.parametrize("text", ["a: [", 'a: "\\U00110000"', "a: \x00", "a: &b c", "{" * 3_000, "? ? ? a", "%YAML 9"])
def test_where_libyaml_is_missing_the_same_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert "x.yaml" in problems(text)[0]


def test_a_slot_that_cannot_be_read_is_told_once() -> None:
    found = problems(CLINIC.read_text("utf-8").replace("step_minutes: 30", "step_minutes: half"))
    assert len(found) == 1
    assert "'step_minutes' of slot 'at' (time)" in found[0]


def test_bombs_do_nothing() -> None:
    began = clock.perf_counter()
    laughs = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    assert "anchors" in problems(laughs)[0]
    assert f"deeper than {MOST_DEPTH}" in problems("[" * 100_000)[0]
    assert "levels" in problems("a: " + "{a: " * 5_000)[0]
    assert f"at most {MOST_BYTES:,}" in problems("x" * (MOST_BYTES + 1))[0]
    assert f"more than {MOST_NODES:,}" in problems("[" + "1," * (MOST_NODES + 1) + "]")[0]
    assert "UTF-8" in problems(b"a: b\nc: \xff\xfe")[0]
    assert "x.yaml:2:" in problems(b"a: b\nc: \xff\xfe")[0]
    assert clock.perf_counter() - began < 5


@pytest.mark.parametrize("name", ["free time", "class", "1st", '"\\0"', "__class__"])
def test_a_mock_has_names_that_a_class_can_have(name: str) -> None:
    text = CLINIC.read_text("utf-8")
    assert "has to be one word" in problems(text.replace("{free: ", f"{{{name}: "))[0]
    assert "has to be one word" in problems(text.replace("      Taken: ", f"      {name}: "))[0]


def test_words_stay_words() -> None:
    made = read(
        SMALL.replace("    to: bye", "    to: 'no'\n    reprompts: [yes, 09:00, 1e3, '~', on]")
        .replace("  bye:", "  no:")
        .encode(),
        "x.yaml",
    )
    node = made.states["ask"]
    assert isinstance(node, State)
    assert node.to == "no"
    assert node.reprompts == ("yes", "09:00", "1e3", "~", "on")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(MissingExtra, match="flows"):
        parse(b"a: b", "x.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match=r"flow\.file"):
        load(tmp_path / "nothing.yaml")


def test_tools_are_checked_when_they_are_given() -> None:
    text = CLINIC.read_text("utf-8")
    assert read(text.encode(), "x.yaml", tools=[book]).states
    assert "there is no tool 'book'" in problems(text, tools=[])[0]
    found = problems(text.replace("Taken: taken", "Takn: taken"), tools=[book])
    assert "there is no result of book 'Takn'" in found[0]
    found = problems(text.replace(", Taken: taken", ""), tools=[book])
    assert any("for which 'book' has no exit" in problem for problem in found)
    found = problems(
        text.replace("slots: [doctor, day, at]\n    confirm", "slots: [doctor, at]\n    confirm"), tools=[book]
    )
    assert any("book needs 'day'" in problem for problem in found)
    assert any("'book.fre'" in problem for problem in problems(text.replace("{book.free}", "{book.fre}"), tools=[book]))


# -- Python and YAML


def test_the_clinic_in_python_cannot_be_written_and_says_why() -> None:
    with pytest.raises(FlowError, match="its options are a function"):
        Flow(STATES, start="welcome", person="reception").to_yaml()


def test_a_flow_in_python_can_be_written_and_read() -> None:
    flow = Flow(
        [
            State(
                "a", "Sure?", slots=[YesNo("sure")], to="b", attempts=2, give_up="end", silence_ms=4_000, voice="anna"
            ),
            State("b", "{sure}", to="c"),
            State("c", "And?", slots=[Text("more")], intents=[Intent("x", "stop it", to="end", key="9")], to="end"),
            End("end", "{{ call.from }}", outcome="x", interruptible=False),
        ],
        start="a",
        person="desk",
        zone="Europe/Berlin",
        variables={"x": "y"},
    )
    text = flow.to_yaml()
    made = read(text.encode(), "x.yaml")
    assert data_of(
        made.states, start="a", person="desk", give_up=None, zone=made.zone, variables=made.variables
    ) == data_of(flow.states, start="a", person="desk", give_up=None, zone="Europe/Berlin", variables={"x": "y"})
    assert made.states["end"].interruptible is False


@pytest.mark.parametrize(
    "made",
    [
        lambda: Flow([End("e", "x")], start="e", person="d", variables={"x": lambda call: "y"}),
        lambda: Flow(
            [State("a", slots=[YesNo("s", "?", check=lambda v, c: None)], to="e"), End("e", "x")], start="a", person="d"
        ),
    ],
)
def test_what_only_a_program_can_say_is_not_written(made: Any) -> None:
    with pytest.raises(FlowError, match=r"flow\.not-in-yaml"):
        made().to_yaml()


@settings(max_examples=120)
@given(flows())
def test_any_flow_survives_the_way_to_python_and_back(data: dict[str, Any]) -> None:
    first = read(to_yaml(data).encode(), "x.yaml")
    values = again(first)
    second = read(to_yaml(values).encode(), "x.yaml")
    assert again(second) == values
    assert list(first.states) == list(data["nodes"])
    for name, node in data["nodes"].items():
        assert values["nodes"][name]["kind"] == node["kind"]
        assert values["nodes"][name]["prompt"] == " ".join(node["prompt"].split())


@settings(max_examples=250)
@given(st.data())
def test_a_mutated_file_is_a_flow_or_a_flow_error(data: st.DataObject) -> None:
    text = CLINIC.read_bytes()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 30)))
        new = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [
                        b"\n",
                        b": ",
                        b"- ",
                        b"*a",
                        b"&a",
                        b"!!int",
                        b"{",
                        b"}",
                        b"[",
                        b"]",
                        b"'",
                        b'"',
                        b"|",
                        b"\t",
                        b"~",
                        b"%",
                        b"\\x",
                    ]
                ),
            )
        )
        text = text[:start] + new + text[end:]
    try:
        made = read(text, "x.yaml")
    except FlowError as error:
        for problem in error.problems or (error,):
            assert "x.yaml" in problem.message
    else:
        assert made.states


@settings(max_examples=80)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["start", "nodes", "slots", "kind", "prompt", "to", "options", "mocks", "variables", "x"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_any_values_are_a_flow_or_a_flow_error(value: Any) -> None:
    import yaml

    try:
        read(yaml.safe_dump(value).encode(), "x.yaml")
    except FlowError as error:
        assert "x.yaml" in error.message  # noqa: PT017  # a flow that works is as good


def test_every_kind_of_node_can_be_read() -> None:
    assert set(NODES) == {
        "greet",
        "listen",
        "menu",
        "collect",
        "branch",
        "tool",
        "agent",
        "voicemail",
        "transfer",
        "hangup",
    }
    text = (
        CLINIC.read_text("utf-8")
        .replace("to: reason", "to: help")
        .replace("  reason:\n", "  help: {kind: agent, agent: clerk, exits: {done: reason}, failed: desk}\n  reason:\n")
    )
    made = read(text.encode(), "x.yaml")
    assert {values["kind"] for values in again(made)["nodes"].values()} == set(NODES)
    assert made.agents == ("clerk",)
    assert isinstance(made.states["book"], Do)


# -- between calls


async def test_a_changed_file_is_for_new_calls_and_a_broken_one_for_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "flow.yaml"
    write(path, SMALL)

    def bot(call: Any) -> Pipeline:
        return Pipeline([call.transport.input(), load(path), call.transport.output()])

    async with dial(bot) as running:
        assert "What is it?" in await running.listens()
        write(path, SMALL.replace("Goodbye", "Farewell"))
        async with dial(bot, seed=1) as later:
            assert "Farewell" in await say(later, "a lamp")
        assert "Goodbye" in await say(running, "a lamp")
    with caplog.at_level(logging.ERROR, "voiceframe.flow"):
        write(path, SMALL.replace("to: bye", "to: nowhere"))
        for seed in (2, 3):
            async with dial(bot, seed=seed) as caller:
                assert "What is it?" in await caller.listens()
            (failed,) = caller.record.of("flow.reload-failed")
            (loaded,) = caller.record.of("flow.loaded")
            assert failed.data["digest"] == loaded.data["digest"]
            assert failed.data["code"] == "flow.invalid"
            assert "'nowhere'" in failed.data["problems"][0]
            assert "flow.yaml:7:9" in failed.data["problems"][0]
        assert len(caplog.records) == 1
        path.unlink()
        async with dial(bot, seed=4) as caller:
            assert caller.record.of("flow.reload-failed")[0].data["code"] == "flow.file"
    write(path, SMALL)
    async with dial(bot, seed=5) as caller:
        assert caller.record.of("flow.reload-failed") == []


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "flow.yaml"
    write(path, SMALL)
    first = load(path)
    monkeypatch.setattr("voiceframe.flow.files.read", lambda *_, **__: pytest.fail("it was read again"))
    second = load(path)
    assert first.states["ask"] is second.states["ask"]
    assert first is not second
    assert Wording() == Wording()
