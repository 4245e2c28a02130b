"""Flows walked through with mock replies, drawn, and checked from the command line; contracts of workflows."""

from __future__ import annotations

import random
import re
import wave
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flow_maker import flows
from voiceframe.app import Bot
from voiceframe.call import Call
from voiceframe.cli import main
from voiceframe.errors import FlowError
from voiceframe.flow import (
    AnyState,
    Branch,
    Choice,
    Date,
    Digits,
    Do,
    End,
    Flow,
    Handoff,
    Intent,
    Number,
    Slot,
    State,
    Text,
    Time,
    Voicemail,
    When,
    Workflow,
    WorkflowField,
    YesNo,
    check_workflow,
)
from voiceframe.flow.draw import mermaid, svg
from voiceframe.flow.dump import to_yaml
from voiceframe.flow.layout import Box, Edge, lay_out
from voiceframe.flow.load import read
from voiceframe.flow.walk import walk_all
from voiceframe.pipeline import Pipeline
from voiceframe.tools import ToolContext, tool

ROOT = Path(__file__).resolve().parent.parent
CLINIC = ROOT / "examples/flows/clinic.yaml"
END = End("end", "Goodbye.")


def made(text: str | bytes) -> Flow:
    return Flow.of(read(text.encode() if isinstance(text, str) else text, "x.yaml"))


# -- walks


def test_every_way_of_the_example_is_taken() -> None:
    walk = walk_all(made(CLINIC.read_bytes()))
    assert walk.report().exit_code == 0, walk.report().markdown()
    assert walk.missing() == []
    assert all(steps[-1].states for steps in walk.walks)


def test_the_same_seed_walks_the_same_ways() -> None:
    walks = [walk_all(made(CLINIC.read_bytes()), seed=seed).walks for seed in (1, 1, 2)]
    assert walks[0] == walks[1] != walks[2]


def test_a_way_that_cannot_be_taken_is_told() -> None:
    states: list[AnyState] = [
        State("ask", slots=[Number("count", "How many?", high=10)], to="size"),
        Branch("size", [When("count", at_least=11, to="large")], to="end"),
        End("large", "Large."),
        END,
    ]
    walk = walk_all(Flow(states, start="ask", person="desk"))
    report = walk.report()
    assert report.exit_code == 1
    assert [way.to for way in walk.missing()] == ["large"]
    assert "large" in report.markdown()
    states[1] = Branch("size", [When("count", at_least=11, to="large"), When("count", equals=1, to="large")], to="end")
    report = walk_all(Flow(states, start="ask", person="desk")).report()
    assert [check.verdict for check in report.checks] == ["pass", "fail", "pass"]  # the node is reached another way


def test_branches_on_what_was_said_on_the_call_and_on_the_hour_are_walked() -> None:
    states: list[AnyState] = [
        Branch("night", [When(hours="Sun 03:00-03:30", to="asleep")], to="who"),
        End("asleep", "Good night."),
        Branch("who", [When("call.metadata.tier", one_of=["gold", "silver"], to="gold")], to="ask"),
        End("gold", "Welcome."),
        State("ask", slots=[Date("day", "When?", latest_days=300)], to="when"),
        Branch("when", [When("day", equals="2026-02-03", to="holiday")], to="end"),
        End("holiday", "Closed."),
        END,
    ]
    assert walk_all(Flow(states, start="night", person="desk")).report().exit_code == 0


def test_tools_of_python_are_walked_by_their_types() -> None:
    @tool(timeout_ms=1_000)
    async def look(ctx: ToolContext, sure: bool) -> bool:
        """Look."""
        raise AssertionError

    states: list[AnyState] = [
        State("ask", slots=[YesNo("sure", "Sure?")], to="look"),
        Do("look", look, exits={True: "end", False: "no"}, failed="no"),
        Handoff("no", "No.", target="desk"),
        END,
    ]
    assert walk_all(Flow(states, start="ask", person="desk")).report().exit_code == 0


def test_every_kind_of_slot_is_answered() -> None:
    slots: list[Slot[Any]] = [
        Choice("tint", "?", ["red", "green"]),
        Number("count", "?", low=2, high=300_000),
        Date("day", "?", earliest_days=3, latest_days=30, closed=["Sunday"]),
        Time("at", "?", earliest=time(9), latest=time(12)),
        Digits("code", "?", length=5),
        YesNo("sure", "?"),
        Text("wish", "?"),
    ]
    states: list[AnyState] = [
        State("ask", slots=slots, to="end", confirm="{tint} {count} {day} {at} {code} {sure} {wish}?"),
        END,
    ]
    walk = walk_all(Flow(states, start="ask", person="desk"))
    assert walk.report().exit_code == 0, walk.walks


@settings(max_examples=60)
@given(flows(), st.integers(0, 3))
def test_random_walks_through_random_flows_are_never_stuck(data: dict[str, Any], seed: int) -> None:
    walk = walk_all(made(to_yaml(data)), seed=seed)
    assert walk.stuck == []
    assert walk.missing() == []


# -- pictures


def test_a_picture_has_every_node_and_way_and_nothing_to_run() -> None:
    flow = made(CLINIC.read_bytes())
    picture = svg(flow.states, flow.start, title="a < b & {c}")
    root = ElementTree.fromstring(picture)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(flow.states) <= set(texts)
    assert {"1 book an appointment", "Mon-Fri 09:00-17:00", "Taken", "not understood"} <= set(texts)
    assert "a < b & {c}" in texts
    assert "script" not in picture
    assert picture.count('stroke-dasharray="5 4"') == 3


def test_what_is_in_a_prompt_is_no_part_of_a_picture() -> None:
    evil = "<script>\"&'</script>"
    flow = Flow([End(evil, evil)], start=evil, person="desk")
    assert "<script>" not in svg(flow.states, evil) + mermaid(flow.states, evil)
    ElementTree.fromstring(svg(flow.states, evil, title=evil))


def test_mermaid_has_every_node_and_way() -> None:
    flow = made(CLINIC.read_bytes())
    text = mermaid(flow.states, flow.start)
    assert text.startswith("flowchart TD\n")
    assert len(re.findall(r"^    n\d+[\[{(]", text, re.MULTILINE)) == len(flow.states)
    assert 'n2 -->|"1 book an appointment"| n4' in text
    assert 'n4 -.->|"not understood"| n9' in text


def test_a_way_back_to_the_same_node_is_drawn() -> None:
    ask = State("ask", "?", slots=[YesNo("sure")], to="end", give_up="ask")
    assert "not understood" in svg({"ask": ask, "end": END}, "ask")


@settings(max_examples=60)
@given(st.integers(1, 14), st.randoms(use_true_random=False))
def test_nodes_never_lie_on_each_other_and_ways_lead_from_node_to_node(count: int, rng: random.Random) -> None:
    names = [f"n{number}" for number in range(count)]
    boxes = {name: Box(rng.randint(60, 240), rng.randint(20, 90)) for name in names}
    pairs = {(rng.choice(names), rng.choice(names)) for _ in range(2 * count)}
    edges = [Edge(a, b, Box(40, 14) if rng.random() < 0.5 else None) for a, b in sorted(pairs) if a != b]
    laid = lay_out(boxes, edges, names[0])
    placed = list(laid.boxes.values()) + [edge.label for edge in laid.edges if edge.label is not None]
    for number, one in enumerate(placed):
        assert one.x - one.width / 2 >= -0.01
        assert one.x + one.width / 2 <= laid.width + 0.01
        for other in placed[:number]:
            apart = abs(one.x - other.x) >= (one.width + other.width) / 2 - 0.01
            assert apart or abs(one.y - other.y) >= (one.height + other.height) / 2 - 0.01
    for edge in laid.edges:
        for (x, y), name in ((edge.points[0], edge.source), (edge.points[-1], edge.to)):
            box = laid.boxes[name]
            assert abs(x - box.x) <= box.width / 2
            assert abs(abs(y - box.y) - box.height / 2) < 0.01


# -- the command line


def test_check_says_what_is_good_and_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", "check", str(CLINIC)]) == 0
    assert "good, version" in capsys.readouterr().out
    bad = tmp_path / "bad.yaml"
    bad.write_text(CLINIC.read_text("utf-8").replace("to: thanks", "to: thank"))
    assert main(["flow", "check", str(bad)]) == 1
    out = capsys.readouterr().out
    assert "bad.yaml:100:9: the voicemail 'closed' leads to 'thank'" in out
    assert "`thanks`" in out
    assert main(["flow", "check", str(tmp_path / "none.yaml")]) == 2


def test_check_looks_into_a_bot_for_what_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bot = tmp_path / "bot_with_tools.py"
    bot.write_text(
        "from dataclasses import dataclass\nfrom datetime import date, time\n"
        "from voiceframe.tools import ToolContext, tool\n"
        "@dataclass\nclass Booked:\n    number: int\n@dataclass\nclass Taken:\n    free: str\n"
        "@tool()\nasync def book(ctx: ToolContext, doctor: str, day: date, hour: time) -> Booked | Taken:\n    ...\n"
        "def bot(call): ...\n"
    )
    assert main(["flow", "check", str(CLINIC), "--tools", str(bot)]) == 1
    assert "book needs 'hour'" in capsys.readouterr().out
    bot.write_text(bot.read_text().replace("hour: time", "at: time"))
    assert main(["flow", "check", str(CLINIC), "--tools", str(bot)]) == 0


def test_the_walk_is_printed_and_decides_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", "test", str(CLINIC)]) == 0
    out = capsys.readouterr().out
    assert "bot: City clinic, hello." in out
    assert "16 of 16 ways" in out
    never = tmp_path / "never.yaml"
    never.write_text(
        "start: a\nperson: d\nslots: {n: {kind: number, prompt: How many?, high: 5}}\nnodes:\n"
        "  a: {kind: collect, slots: [n], to: b}\n"
        "  b: {kind: branch, cases: [{value: n, at_least: 7, to: c}], to: d}\n"
        "  c: {kind: hangup, prompt: Many.}\n  d: {kind: hangup, prompt: Few.}\n"
    )
    assert main(["flow", "test", str(never), "--quiet"]) == 1
    assert "b → c" in capsys.readouterr().out


SCRIPT = """\
/at 2026-01-05 10:00
/enters menu
/tool book Taken
book an appointment with doctor Lee on Tuesday at ten
yes
/hears eleven or noon is free|free is eleven or noon
/tool book Booked
eleven
/hears goodbye
"""


def test_a_script_walks_on_the_whole_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "replies.txt"
    script.write_text(SCRIPT)
    assert main(["flow", "test", str(CLINIC), "--script", str(script)]) == 0
    out = capsys.readouterr().out
    assert "welcome → opening → menu → form → book → taken → book → booked" in out
    script.write_text(SCRIPT.replace("/hears goodbye", "/hears good morning"))
    assert main(["flow", "test", str(CLINIC), "--script", str(script)]) == 1
    assert "FAILED" in capsys.readouterr().out
    script.write_text(SCRIPT.replace("/enters menu", "/enters form"))
    assert main(["flow", "test", str(CLINIC), "--script", str(script)]) == 1
    assert "in 'menu', and not in 'form'" in capsys.readouterr().out
    script.write_text(SCRIPT.replace("/tool book Booked", "/tool book failed"))
    assert main(["flow", "test", str(CLINIC), "--script", str(script)]) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/tool bok Taken", "there is no tool 'bok'"),
        ("/tool book Gone", "never returns 'Gone'"),
        ("/agent done", "there is no outcome 'done'"),
        ("/enters nowhere", "there is no node 'nowhere'"),
        ("/keys x", "/keys 12#"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused(
    line: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "replies.txt"
    script.write_text(f"hello\n{line}\n")
    assert main(["flow", "test", str(CLINIC), "--script", str(script)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert re.search(r"replies.txt(:2|.*line 2)", error)


def test_an_agent_of_a_script_is_done_when_that_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = tmp_path / "agent.yaml"
    flow.write_text(
        "start: a\nperson: d\nnodes:\n  a: {kind: agent, prompt: Hello., agent: clerk, exits: {done: b}, failed: b}\n"
        "  b: {kind: hangup, prompt: Goodbye.}\n"
    )
    script = tmp_path / "replies.txt"
    script.write_text("hello\n/hears the agent clerk\n/agent done\n/hears goodbye\n")
    assert main(["flow", "test", str(flow), "--script", str(script)]) == 0
    assert "nodes: a → b" in capsys.readouterr().out


def test_drawing_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clinic.svg"
    assert main(["flow", "draw", str(CLINIC), "-o", str(out)]) == 0
    ElementTree.fromstring(out.read_text("utf-8"))
    capsys.readouterr()
    assert main(["flow", "draw", str(CLINIC), "--mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart TD")
    assert main(["flow", "draw", str(CLINIC), "-o", str(tmp_path / "no/such/folder.svg")]) == 2


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", "schema"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs/flow.schema.json").read_text("utf-8")


def test_a_prompt_can_be_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("espeakng_loader")
    out = tmp_path / "prompt.wav"
    assert main(["say", "Please hold the line.", "--voice", "en-us+f2", "--rate", "8000", "-o", str(out)]) == 0
    with wave.open(str(out)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8_000, 1, 2)
        assert 0.8 < file.getnframes() / 8_000 < 4
        assert len(set(file.readframes(8_000))) > 20
    assert main(["say", "x", "--voice", "nobody", "-o", str(out)]) != 0
    assert "nobody" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["say", " ", "-o", "x.wav"], "say.text"),
        (["say", "x", "--rate", "1", "-o", "x.wav"], "say.rate"),
        (["say", "x", "--provider", "nobody", "-o", "x.wav"], "provider.unknown"),
        (["say", "x"], "say.player"),
    ],
)
def test_what_cannot_be_said_is_refused(
    arguments: list[str], code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiceframe.say_command.shutil.which", lambda _: None)
    assert main(arguments) == 2
    assert code in capsys.readouterr().err


# -- contracts


def clinic_bot(result: str = "Booked") -> Bot:
    def bot(call: Call) -> Pipeline:
        flow = made(CLINIC.read_bytes())
        flow.begins_at(datetime.fromisoformat("2026-01-05 10:00"))
        return Pipeline([call.transport.input(), flow, call.transport.output()])

    return bot


TURNS = ["book an appointment", "doctor Lee", "Tuesday", "eleven", "yes"]


async def test_a_contract_of_a_workflow_is_kept() -> None:
    contract = Workflow(
        "booking",
        TURNS,
        fields=["doctor", "day", WorkflowField("number", ("book.number",), "number")],
        values={"doctor": "Dr Lee", "day": date(2026, 1, 6)},
        outcome="booked",
        reason="completed",
        nodes=["menu", "form", "book", "booked"],
        not_nodes=["desk"],
        events=["flow.filled", "tool.called"],
        not_events=["handoff.requested"],
        handoffs="none",
        heard=["appointment with Dr Lee"],
        not_heard=["sorry"],
        least_turns=5,
        check=lambda record, known: None if known["at"] == time(11) else "wrong time",
    )
    report = await check_workflow(clinic_bot(), [contract])
    assert report.exit_code == 0, report.markdown()
    assert [check.id.rpartition(".")[2] for check in report.checks] == [
        *("turns", "fields", "values", "outcome", "reason", "nodes", "events", "handoffs", "heard", "errors"),
        *("answers", "check"),
    ]


@pytest.mark.parametrize(
    ("aspect", "changes"),
    [
        ("turns", {"least_turns": 6}),
        ("turns", {"turns": [*TURNS[:2], "/hears nothing of the kind"]}),
        ("fields", {"fields": ["patient"]}),
        ("fields", {"fields": [WorkflowField("doctor", (), "number")]}),
        ("fields", {"fields": [WorkflowField("day", (), "boolean")]}),
        ("values", {"values": {"doctor": "Dr Brown"}}),
        ("outcome", {"outcome": "cancelled"}),
        ("reason", {"reason": "handed-over"}),
        ("nodes", {"nodes": ["form", "menu"]}),
        ("nodes", {"not_nodes": ["booked"]}),
        ("events", {"events": ["handoff.requested"]}),
        ("events", {"not_events": ["flow.filled"]}),
        ("handoffs", {"handoffs": "one"}),
        ("handoffs", {"target": "reception"}),
        ("heard", {"heard": ["see you on Friday"]}),
        ("heard", {"not_heard": ["goodbye"]}),
        ("check", {"check": lambda record, known: "It is a bad day."}),
    ],
)
async def test_a_contract_that_is_broken_says_so(aspect: str, changes: dict[str, Any]) -> None:
    contract = Workflow("booking", **{"turns": TURNS, **changes})
    report = await check_workflow(clinic_bot(), [contract])
    failed = [check for check in report.checks if check.verdict == "fail"]
    assert [check.id for check in failed] == [f"workflow.booking.{aspect}"]
    assert "`Workflow('booking')`" in str(failed[0].fix)


async def test_errors_and_unanswered_turns_break_a_contract() -> None:
    @tool(timeout_ms=1_000)
    async def broken(ctx: ToolContext) -> str:
        """Fail."""
        raise RuntimeError("out of order")

    def bot(call: Call) -> Pipeline:
        states: list[AnyState] = [
            State("a", "Go?", slots=[YesNo("go")], to="b"),
            Do("b", broken, to="end", failed="end"),
            END,
        ]
        return Pipeline([call.transport.input(), Flow(states, start="a", person="d"), call.transport.output()])

    report = await check_workflow(bot, [Workflow("x", ["yes"]), Workflow("y", ["yes"], most_errors=1)])
    assert [check.id for check in report.checks if check.verdict == "fail"] == ["workflow.x.errors"]

    def silent(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), call.transport.output()])

    report = await check_workflow(silent, [Workflow("x", ["hello", "/wait 9000"])])
    assert [check.id for check in report.checks if check.verdict == "fail"] == ["workflow.x.answers"]


def preset_bot(states: Callable[[], list[AnyState]]) -> Bot:
    def bot(call: Call) -> Pipeline:
        flow = Flow(states(), start="a", person="desk")
        return Pipeline([call.transport.input(), flow, call.transport.output()])

    return bot


def form(*slots: Any, to: str = "end") -> State:
    return State("a", "Hello.", slots=slots, to=to)


NAME, PHONE = Text("caller_name", "Who?"), Digits("phone", "Your number?", length=4)
PRESETS: dict[str, tuple[Callable[[], list[AnyState]], list[str], dict[str, Any]]] = {
    "appointment-booking": (
        lambda: [form(NAME, PHONE, Date("day", "When?"), Text("about", "Why?")), END],
        ["Ann", "four seven one one", "tomorrow", "a cough"],
        {"start": "day", "summary": "about"},
    ),
    "lead-qualification": (
        lambda: [
            form(Text("name", "?"), Text("email", "?"), Text("need", "?"), YesNo("fit", "?"), Text("next", "?")),
            END,
        ],
        ["Ann", "ann at example dot com", "a lamp", "yes", "a call"],
        {"qualified": "fit", "next_step": ["step", "next"]},
    ),
    "support-triage": (
        lambda: [form(Text("name", "?"), Text("issue", "?"), Number("severity", "?"), Text("next_step", "?")), END],
        ["Ann", "it is dark", "three", "a visit"],
        {},
    ),
    "transfer-handoff": (
        lambda: [form(Text("issue", "?"), to="h"), Handoff("h", "I put you through.", target="desk")],
        ["it is dark"],
        {},
    ),
    "voicemail-callback": (
        lambda: [form(NAME, PHONE, to="v"), Voicemail("v", "Speak.", to="end"), END],
        ["Ann", "four seven one one", "please call me", "/wait 6000"],
        {"name": "caller_name", "message": "v.text"},
    ),
}


@pytest.mark.parametrize("name", Workflow.presets())
async def test_each_preset_holds_and_can_be_broken(name: str) -> None:
    states, turns, fields = PRESETS[name]
    report = await check_workflow(preset_bot(states), [Workflow.preset(name, turns=turns, fields=fields)])
    assert report.exit_code == 0, report.markdown()
    nothing = await check_workflow(preset_bot(states), [Workflow.preset(name, turns=["hello"], fields=fields)])
    if name == "transfer-handoff":
        nothing = await check_workflow(
            preset_bot(lambda: [form(Text("x", "?")), END]), [Workflow.preset(name, turns=["x"])]
        )
        assert {check.id for check in nothing.checks if check.verdict == "fail"} >= {
            "workflow.transfer-handoff.handoffs"
        }
    assert f"workflow.{name}.fields" in {check.id for check in nothing.checks if check.verdict == "fail"}


def test_there_are_five_presets_and_a_sixth_is_refused() -> None:
    assert Workflow.presets() == tuple(PRESETS)
    with pytest.raises(FlowError, match=r"flow\.contract") as caught:
        Workflow.preset("support-triag", turns=[])
    assert "`support-triage`" in str(caught.value)
    with pytest.raises(FlowError, match="`severity`"):
        Workflow.preset("support-triage", turns=[], fields={"severty": "x"})


async def test_a_menu_by_keys_is_a_workflow_too() -> None:
    states: list[AnyState] = [
        State(
            "a",
            "One or two?",
            intents=[Intent("x", "sales", to="end", key="1"), Intent("y", "help desk", to="h", key="2")],
        ),
        Handoff("h", "One moment.", target="desk"),
        END,
    ]
    contract = Workflow("ivr", ["/keys 2"], nodes=["a", "h"], target="desk", handoffs="one")
    report = await check_workflow(preset_bot(lambda: states), [contract])
    assert report.exit_code == 0, report.markdown()
