"""Every name that a bot gives is looked up before anybody calls: by `voiceframe check`, and when a service starts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voiceframe.app import App
from voiceframe.bots import load_app
from voiceframe.check import check_bot
from voiceframe.check.startup import refuse_unusable
from voiceframe.checks import Check
from voiceframe.errors import ConfigurationError, VoiceframeError
from voiceframe.server import Gateway, ServerSettings

ROOT = Path(__file__).resolve().parent.parent

HEAD = """
from voiceframe import Agent, Call, Guardrail, Pipeline, Processor, handles
from voiceframe.flow import End, Flow, State
from voiceframe.frames import Frame, UpdateSettingsFrame, UserTurnFrame
from voiceframe.guardrails import Words
from voiceframe.processors.agents import CallVoice, Destination, Router, Squad
from voiceframe.processors.manners import Language, Manners
from voiceframe.testing import ScriptedLLM
from voiceframe.tools import Handoff, tool

llm = ScriptedLLM([])

def through(call, *processors, observers=()):
    return Pipeline([call.transport.input(), *processors, call.transport.output()], observers=observers)
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a bot into a folder of its own, with all set that it needs, and names it."""
    for name in list(os.environ):
        if name.startswith(("VOICEFRAME_", "TWILIO_", "ACME_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "12345")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    monkeypatch.chdir(tmp_path)

    def written(source: str) -> str:
        (tmp_path / "bot.py").write_text(HEAD + textwrap.dedent(source), "utf-8")
        return "bot.py"

    return written


def checks(where: str) -> dict[str, Check]:
    return {check.id: check for check in check_bot(where).checks}


def refused(where: str) -> str:
    """The error with which a service does not start; "" if it does."""

    async def start() -> None:
        found = load_app(where)
        await refuse_unusable(found if isinstance(found, App) else App(found, store=None))

    try:
        asyncio.run(start())
    except VoiceframeError as error:
        return str(error)
    return ""


def fails(where: str, id: str) -> tuple[str, str]:
    """What is wrong and the fix; a service that has it does not start either, and says the same."""
    check = checks(where)[id]
    assert check.verdict == "fail", check
    said = [line for line in check.evidence if isinstance(line, str)]
    told = refused(where)
    assert told
    assert all(line in told for line in said)
    return " ".join(said), check.fix or ""


def line_of(text: str) -> str:
    lines = Path("bot.py").read_text("utf-8").splitlines()
    return f"bot.py, line {next(n for n, line in enumerate(lines, 1) if text in line)}"


# -- to whom the caller is given

SQUAD = """
ELSEWHERE = "front desk"

@tool(side_effects=False)
async def invoice(number: int) -> str | Handoff:
    '''Look an invoice up.'''
    return Handoff("billing", reason="an invoice")

def policy(request):
    if request.target == "billing":
        return request.reroute("billing")
    return request.escalate(ELSEWHERE, "why not")

class Mine(Agent):
    async def reply(self, turn: UserTurnFrame):
        yield "One moment."
        await self.hand_off("triage")

def bot(call: Call) -> Pipeline:
    squad = Squad(
        [Agent("triage", "", llm, tools=[invoice]), Mine("billing")],
        start="triage",
        destinations=[Destination("front desk")],
        handoff=policy,
    )
    return through(call, squad)
"""


def test_handoffs_that_name_somebody_are_right(write: Write) -> None:
    found = checks(write(SQUAD))
    assert found["agents.handoffs"].verdict == "pass"
    assert refused(write(SQUAD)) == ""
    assert found["agents.delivery"].verdict == "warn"  # nobody puts them through to the front desk
    assert "front desk" in str(found["agents.delivery"].evidence)
    found = checks(write(SQUAD.replace("handoff=policy", "handoff=policy, transfer=print")))
    assert found["agents.delivery"].verdict == "pass"


@pytest.mark.parametrize(
    ("before", "after", "who", "nearest"),
    [
        ('Handoff("billing", reason', 'Handoff("biling", reason', "triage", "`billing`"),
        ('Handoff("billing", reason', 'Handoff(target="biling", reason', "triage", "`billing`"),
        ('reroute("billing")', 'reroute("biling")', "policy", "`billing`"),
        ('ELSEWHERE = "front desk"', 'ELSEWHERE = "front dsk"', "policy", "`front desk`"),
        ('hand_off("triage")', 'hand_off("triages")', "billing", "`triage`"),
    ],
)
def test_a_handoff_to_nobody_is_found_in_the_code(
    write: Write, before: str, after: str, who: str, nearest: str
) -> None:
    assert SQUAD.count(before) == 1
    said, fix = fails(write(SQUAD.replace(before, after)), "agents.handoffs")
    assert who in said
    assert nearest in fix
    assert line_of("ELSEWHERE, " if "ELSEWHERE" in before else after) in said


def test_routes_bind_a_specialist(write: Write) -> None:
    where = write(SQUAD.replace("handoff=policy", 'handoff=policy, routes={"triage": ["front desk"]}'))
    assert "triage gives the caller to 'billing'" in fails(where, "agents.handoffs")[0]


def test_a_tool_that_gives_the_caller_away_needs_a_squad(write: Write) -> None:
    said, fix = fails(
        write(SQUAD + '\ndef bot(call):\n    return through(call, Agent("a", "", llm, tools=[invoice]))\n'),
        "bot.pipeline",
    )
    assert "squad.alone" in said
    assert "Squad(" in fix


def test_a_classifier_that_names_nobody(write: Write) -> None:
    source = """
        def classify(request):
            return "sales" if "buy" in request.text else None

        def bot(call: Call) -> Pipeline:
            targets = [Agent("sales", "", llm), Agent("support", "", llm)]
            return through(call, Router(targets, fallback="support", classifier=classify))
        """
    assert checks(write(source))["agents.handoffs"].verdict == "pass"
    said, fix = fails(write(source.replace('return "sales"', 'return "sale"')), "agents.handoffs")
    assert line_of('return "sale"') in said
    assert "`sales`" in fix


# -- settings and voices

SETS = """
class Faster(Processor):
    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> Frame:
        self.push(UpdateSettingsFrame("clinic", {"temperature": 0.1}))
        return frame

def bot(call: Call) -> Pipeline:
    return through(call, Faster(), Agent("clinic", "", llm))
"""


def test_settings_are_changed_of_somebody_who_is_there(write: Write) -> None:
    assert checks(write(SETS))["agents.settings"].verdict == "pass"
    said, fix = fails(write(SETS.replace('Frame("clinic"', 'Frame("clinik"')), "agents.settings")
    assert line_of('"clinik"') in said
    assert "`clinic`" in fix


@pytest.mark.parametrize(
    "agent",
    [
        'Agent("clinic", "", llm, voice="en-ux")',
        'Router([Agent("a", "", llm)], fallback="a", classifier=len, call_voice=CallVoice("en-ux"))',
        '*Manners(languages=[Language("en"), Language("es", voice="en-ux")]).around(Turns()), Agent("a", "", llm)',
        'Flow([State("a", "Hello!", to="b", voice="en-ux"), End("b", "Bye!")], start="a", person="c")',
    ],
    ids=["agent", "router", "language", "flow"],
)
def test_a_voice_that_the_tts_does_not_have(write: Write, agent: str) -> None:
    pytest.importorskip("espeakng_loader", reason="needs voiceframe[local]")
    source = f"""
from voiceframe.processors.tts import EspeakTTS
from voiceframe.processors.turn import Turns

def bot(call: Call) -> Pipeline:
    return through(call, {agent}, EspeakTTS())
"""
    said, fix = fails(write(source), "bot.pipeline")
    assert "agent.voice" in said
    assert line_of("en-ux") in said or "bot.py:" in said
    assert "`en-" in fix
    assert checks(write(source.replace("en-ux", "en-us")))["bot.pipeline"].verdict == "pass"
    # Who knows no voices of a vendor refuses none.
    other = source.replace("EspeakTTS()", "ToneTTS()").replace(
        "tts import EspeakTTS", "tts import EspeakTTS\nfrom voiceframe.testing import ToneTTS"
    )
    assert checks(write(other))["bot.pipeline"].verdict == "pass"


def test_a_setting_of_a_call_that_nobody_has(write: Write) -> None:
    source = """
        from voiceframe.processors.turn import Turns

        def bot(call: Call) -> Pipeline:
            voice = CallVoice(turns={"silense_ms": 900})
            router = Router([Agent("a", "", llm)], fallback="a", classifier=len, call_voice=voice)
            return through(call, Turns(), router)
        """
    said, fix = fails(write(source), "bot.pipeline")
    assert "router.setting" in said
    assert line_of("silense_ms") in said
    assert "`silence_ms`" in fix


# -- values in instructions


def named(*names: str, before: str = "") -> str:
    text = " ".join(f"{{{{ {name} }}}}" for name in names)
    return f"""
def bot(call: Call) -> Pipeline:
    call.data["customer"] = {{"name": "Ann"}}
    {before}
    return through(call, Agent("clinic", {text!r}, llm, greeting="Hello {{{{ data.customer.name }}}}!"))
"""


def test_names_with_a_value_are_right(write: Write) -> None:
    where = write(named("call.from", "data.customer.name", 'data.plan | default("none")', "weekday"))
    assert checks(where)["agents.variables"].verdict == "pass"
    assert refused(where) == ""


@pytest.mark.parametrize("before", ["", "call.data['other'] = 1"])
def test_a_name_that_nobody_sets_is_refused_with_the_nearest(write: Write, before: str) -> None:
    said, fix = fails(write(named("data.custmer.name", before=before)), "agents.variables")
    assert f"{line_of('custmer')}: The instructions of clinic" in said
    assert "`data.customer.name`" in fix


@pytest.mark.parametrize("name", ["data.customer.age", "call.metadata.plan", "data.subject.id"])
def test_a_name_that_depends_on_the_call_is_told(write: Write, name: str) -> None:
    where = write(named(name))
    found = checks(where)["agents.variables"]
    assert found.verdict == "warn"
    assert f"`{name} | default" in (found.fix or "")
    assert refused(where) == ""


def test_what_admits_calls_may_set_values(write: Write) -> None:
    source = (
        named("data.plan")
        + "\nfrom voiceframe import App\napp = App(bot, store=None, admit=[lambda app, call: None])\n"
    )
    assert checks(write(source))["agents.variables"].verdict == "warn"


# -- guardrails


def test_a_rule_that_nobody_asks_is_told(write: Write) -> None:
    source = """
        def bot(call: Call) -> Pipeline:
            guard = Guardrail(Words("lawsuit", name="suits", stages=("output",)))
            return through(call, guard, Agent("clinic", "", llm))
        """
    found = checks(write(source))["agents.guardrails"]
    assert found.verdict == "warn"
    assert "suits" in str(found.evidence)
    assert "`guard.output()`" in (found.fix or "")
    found = checks(write(source.replace('"", llm)', '"", llm), guard.output()')))["agents.guardrails"]
    assert found.verdict == "pass"
    # Without tools there is nothing that a rule for them could be asked of.
    assert checks(write(source.replace('"output",', '"tool-input",')))["agents.guardrails"].verdict == "pass"


def test_whoever_a_rule_escalates_to_is_somebody_outside(write: Write) -> None:
    source = """
        def bot(call: Call) -> Pipeline:
            rule = Words("lawsuit", stages=("transcript",), action="escalate", target="lawyer", reason="a threat")
            return through(call, Guardrail(rule), Agent("clinic", "", llm))
        """
    found = checks(write(source))["agents.delivery"]
    assert found.verdict == "warn"
    assert "lawyer" in str(found.evidence)
    assert checks(write(source.replace("(rule)", "(rule, transfer=print)")))["agents.delivery"].verdict == "pass"


def test_a_guardrail_in_the_wrong_place_is_refused(write: Write) -> None:
    source = """
        def bot(call: Call) -> Pipeline:
            guard = Guardrail(Words("lawsuit"))
            return through(call, guard.output(), Agent("clinic", "", llm))
        """
    assert "guard.order" in fails(write(source), "bot.pipeline")[0]


# -- flows


def test_all_that_is_wrong_with_a_flow_is_told_with_its_places(write: Write) -> None:
    source = """
        def bot(call: Call) -> Pipeline:
            states = [
                State("ask", "Hello {nme}!", to="by"),
                End("bye", "Goodbye!"),
            ]
            return through(call, Flow(states, start="ask", person="reception", variables={"name": "Ann"}))
        """
    where = write(source)
    found = checks(where)["bot.pipeline"]
    assert found.verdict == "fail"
    assert len(found.evidence) >= 2
    said, fix = fails(where, "bot.pipeline")
    assert "flow.unknown-state" in said
    assert "flow.variable" in said
    assert "bot.py:" in said
    assert "bye" in fix
    assert "name" in fix


def test_a_flow_in_a_file_names_file_and_line(write: Write, tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="needs voiceframe[flows]")
    (tmp_path / "menu.yaml").write_text(
        "start: hello\nperson: reception\nnodes:\n  hello:\n    kind: greet\n    prompt: Hello!\n    to: by\n"
        "  bye:\n    kind: hangup\n    prompt: Goodbye!\n",
        "utf-8",
    )
    said, fix = fails(write('def bot(call):\n    return through(call, Flow.load("menu.yaml"))\n'), "bot.pipeline")
    assert "menu.yaml:7" in said
    assert "bye" in fix


# -- environment


def test_a_variable_that_is_missing_keeps_a_service_from_starting(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import os

        def bot(call: Call) -> Pipeline:
            return through(call, Agent("clinic", "", llm, greeting=lambda call: os.environ["ACME_KEY"]))
        """
    monkeypatch.setenv("ACME_KEYS", "secret")
    where = write(source)
    assert checks(where)["environment.bot"].fix == "Set `ACME_KEY` (there is `ACME_KEYS`)."
    assert "the environment variable ACME_KEY is not set" in refused(where)
    for guarded in (
        source.replace("import os", 'import os\n        HAS = "ACME_KEY" in os.environ'),
        source + "\n        try:\n            os.environ['ACME_OTHER']\n        except KeyError:\n            pass\n",
    ):
        monkeypatch.setenv("ACME_KEY", "secret") if "OTHER" in guarded else None
        assert refused(write(guarded)) == ""


# -- the start


def test_what_may_be_due_to_the_rehearsal_does_not_keep_a_service_from_starting(write: Write) -> None:
    source = 'def bot(call):\n    return through(call, Agent(call.metadata["plan"], "", llm))\n'
    assert checks(write(source))["bot.pipeline"].verdict == "fail"
    assert refused(write(source)) == ""
    rehearsed = source.replace('["plan"]', '.get("plan") or str(call.metadata["rehearsal"])')
    assert checks(write(rehearsed))["bot.pipeline"].verdict == "pass"


def test_a_bot_that_refuses_the_rehearsal_is_started(write: Write) -> None:
    source = 'from voiceframe.errors import Reject\ndef bot(call):\n    raise Reject("closed")\n'
    assert refused(write(source)) == ""


def test_the_error_of_a_start_names_the_command_that_says_more(write: Write) -> None:
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(refuse_unusable(App(load_app(write("def bot(call):\n    return Squad([], start='a')\n")))))
    assert caught.value.code == "bot.unusable"
    assert "`voiceframe check " in caught.value.fix
    assert "bot.py, line " in caught.value.message


@pytest.mark.parametrize("rehearse", [True, False])
async def test_a_server_of_its_own_refuses_too_unless_it_is_told_not_to(write: Write, rehearse: bool) -> None:
    pytest.importorskip("starlette", reason="needs voiceframe[telephony]")
    app = App(load_app(write("def bot(call):\n    return Squad([], start='a')\n")), store=None)
    asgi = Gateway(app, ServerSettings(rehearse=rehearse))
    said: list[str] = []
    told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, str]:
        return next(told)

    async def send(message: Any) -> None:
        said.append(message["type"])

    with pytest.raises(ConfigurationError) if rehearse else contextlib.nullcontext():
        await asgi({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert said[0] == ("lifespan.startup.failed" if rehearse else "lifespan.startup.complete")


@pytest.mark.parametrize(
    ("made", "nearest"),
    [('TTS.by_name("elevenlab")', "`elevenlabs`"), ('STT.by_name("depgram")', "`deepgram`")],
)
def test_a_provider_that_there_is_not(write: Write, made: str, nearest: str) -> None:
    source = f"""
        from voiceframe.processors.stt import STT
        from voiceframe.processors.tts import TTS

        def bot(call: Call) -> Pipeline:
            return through(call, {made})
        """
    said, fix = fails(write(source), "bot.pipeline")
    assert "provider.unknown" in said
    assert line_of(made) in said
    assert nearest in said + fix


def test_a_line_in_memory_needs_no_secret(write: Write) -> None:
    source = """
        from voiceframe import App
        from voiceframe.dialling import LoopbackDialler

        def bot(call: Call) -> Pipeline:
            return through(call, Agent("clinic", "", llm))

        app = App(bot, LoopbackDialler(), store=None)
        """
    assert checks(write(source))["endpoint.loopbackdialler"].verdict == "pass"


# -- the examples


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_every_example_is_right(write: Write, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in ("OPENAI", "ANTHROPIC", "GEMINI", "DEEPGRAM", "CARTESIA", "ELEVENLABS"):
        monkeypatch.setenv(f"{vendor}_API_KEY", "key-of-nobody")
    monkeypatch.chdir(ROOT)
    failing = {id: check.evidence for id, check in checks(f"examples/{name}").items() if check.verdict == "fail"}
    # What this machine has not got is none of the example's mistakes.
    assert {id for id in failing if not id.startswith(("needs", "files"))} == set(), failing
