"""Six mistakes that surface late elsewhere, as a call that goes wrong, and where each of them is refused here.

What happens once calls run is in `test_voice_call.py` and `test_auditor.py`, in the tests whose names begin with
`test_footgun_`; here stands what `voiceframe check` and the start of a service say before anybody calls.
"""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest

from voiceframe.app import App
from voiceframe.bots import load_app, load_bot
from voiceframe.call import Call
from voiceframe.check import check_bot, rehearsal, startup
from voiceframe.check.startup import refuse_unusable
from voiceframe.checks import Check
from voiceframe.cli import main
from voiceframe.errors import ConfigurationError, RouterError, VoiceframeError
from voiceframe.pipeline import Pipeline
from voiceframe.report import to_text
from voiceframe.transports.text import TextTransport

HEAD = """
from voiceframe import Agent, App, Call, Pipeline
from voiceframe.dialling import LoopbackDialler
from voiceframe.processors import Auditor
from voiceframe.processors.agents import Router, Rule, Squad
from voiceframe.testing import ScriptedLLM
from voiceframe.tools import voice_call

llm = ScriptedLLM([])
"""


class Bots:
    """Writes bots into a folder, and says what is said of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, source: str, name: str = "bot.py") -> str:
        (self.folder / name).write_text(HEAD + textwrap.dedent(source), "utf-8")
        return name

    def checks(self, source: str) -> dict[str, Check]:
        return {check.id: check for check in check_bot(self.write(source)).checks}

    def fails(self, source: str, id: str) -> tuple[str, str]:
        """What is wrong, and the fix."""
        check = self.checks(source)[id]
        assert check.verdict == "fail", to_text(check_bot("bot.py"))
        return " ".join(map(str, check.evidence)), check.fix or ""

    async def starts(self, source: str) -> None:
        """What `voiceframe run` does before it opens its endpoints. The bot's file itself may refuse."""
        found = load_app(self.write(source))
        await refuse_unusable(found if isinstance(found, App) else App(found, store=None))

    def refused(self, source: str) -> str:
        """The error with which a service does not start."""
        with pytest.raises(VoiceframeError) as caught:
            asyncio.run(self.starts(source))
        return str(caught.value)


@pytest.fixture
def bots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bots:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "12345")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    monkeypatch.chdir(tmp_path)
    # That of the command is for the whole process.
    for module in ("cli", "run_command"):
        monkeypatch.setattr(f"voiceframe.{module}.configure_logging", lambda level: None)
    return Bots(tmp_path)


def line_of(bots: Bots, text: str) -> str:
    lines = (bots.folder / "bot.py").read_text("utf-8").splitlines()
    return f"bot.py, line {next(n for n, line in enumerate(lines, 1) if text in line)}"


# -- 1: a call without an agent, in which the caller hears a model that nobody has instructed

PLACES = """
dialler = LoopbackDialler()

def reminder(call: Call) -> Pipeline:
    return Pipeline([call.transport.input(), Agent("reminder", "Remind.", llm), call.transport.output()])

def bot(call: Call) -> Pipeline:
    tool = voice_call(dialler, agents=dict(reminder=reminder))
    return Pipeline([call.transport.input(), Agent("desk", "Help.", llm, tools=[tool]), call.transport.output()])

app = App(bot, dialler, store=None)
"""


def test_footgun_1_a_tool_that_calls_without_an_agent_is_refused(bots: Bots) -> None:
    source = PLACES.replace(", agents=dict(reminder=reminder)", "")
    said, fix = bots.fails(source, "bot.pipeline")
    assert "dial.no-target" in said
    assert line_of(bots, "voice_call(dialler)") in said
    assert "agents=dict(" in fix
    assert "dial.no-target" in bots.refused(source)


def test_footgun_1_whoever_talks_in_a_call_that_is_placed_is_looked_at_too(bots: Bots) -> None:
    assert bots.checks(PLACES)["agents.calls"].verdict == "pass"
    asyncio.run(bots.starts(PLACES))
    source = PLACES.replace('Agent("reminder", "Remind.", llm)', 'Squad([Agent("ann", "", llm)], start="anne")')
    said, fix = bots.fails(source, "agents.calls")
    assert "agent reminder" in said
    assert "squad.start" in said
    assert line_of(bots, "Squad([") in said
    assert "'ann'" in fix
    assert "squad.start" in bots.refused(source)


def test_footgun_1_so_is_whoever_is_called_out_of_such_a_call(bots: Bots) -> None:
    source = PLACES.replace(
        "def bot(",
        "def second(call: Call) -> Pipeline:\n"
        "    return Pipeline([Agent('second', '', llm), call.transport.output()])\n\n"
        "def bot(",
    ).replace('"Remind.", llm)', '"Remind.", llm, tools=[voice_call(dialler, agents=dict(second=second))])')
    said, _ = bots.fails(source, "agents.calls")
    assert "agent second" in said
    assert "link.no-source" in said
    assert "link.no-source" in bots.refused(source)


def test_footgun_1_a_tool_whose_line_no_app_opens_is_refused(bots: Bots) -> None:
    source = PLACES.replace("App(bot, dialler,", "App(bot,")
    assert "dial.closed" in bots.fails(source, "agents.calls")[0]
    assert "dial.closed" in bots.refused(source)


def test_footgun_1_an_agent_without_a_model_is_told_before_it_is_asked(bots: Bots) -> None:
    found = bots.checks(PLACES.replace('Agent("desk", "Help.", llm, tools', 'Agent("desk", "Help.", tools'))
    assert found["agents.answers"].verdict == "warn"  # it says its greeting, and nobody answers in its place
    assert "desk" in str(found["agents.answers"].evidence)


# -- 2: an auditor that is not there

AUDITED = """
def bot(call: Call) -> Pipeline:
    clinic = Agent("clinic", "Book.", llm)
    checker = Agent("checker", "Check.", llm)
    return Pipeline([call.transport.input(), clinic, call.transport.output()], observers=[Auditor(checker)])
"""


@pytest.mark.parametrize(
    ("auditor", "code", "fix"),
    [
        ("Auditor(None)", "auditor.no-agent", "Auditor(Agent("),
        ('Auditor("checker")', "auditor.no-agent", "Auditor(Agent("),
        ('Auditor(Agent("checker"))', "auditor.no-model", "Agent('checker'"),
        ('Auditor(checker, of="clinik")', "auditor.unknown-voice", "`clinic`"),
    ],
)
def test_footgun_2_an_auditor_that_is_not_there_is_refused(bots: Bots, auditor: str, code: str, fix: str) -> None:
    source = AUDITED.replace("Auditor(checker)", auditor)
    said, how = bots.fails(source, "bot.pipeline")
    assert code in said
    assert line_of(bots, auditor) in said
    assert fix in how
    told = bots.refused(source)
    assert code in told
    assert line_of(bots, auditor) in told


@pytest.mark.parametrize("observers", ["[]", "[Auditor(clinic)]", "[Auditor(checker)]"])
def test_footgun_2_none_is_needed_and_it_may_be_the_agent_itself(bots: Bots, observers: str) -> None:
    source = AUDITED.replace("[Auditor(checker)]", observers)
    assert bots.checks(source)["bot.pipeline"].verdict == "pass"
    asyncio.run(bots.starts(source))


# -- 3: a call that does not know what it is about


def test_footgun_3_what_a_placed_call_is_about_has_a_value_in_its_instructions(bots: Bots) -> None:
    source = PLACES.replace('"Remind."', '"About {{ data.subject.id }} of {{ data.context.name }}."')
    found = bots.checks(source)["agents.variables"]
    assert found.verdict == "pass"
    assert "given when the call is placed" in str(found.evidence)
    asyncio.run(bots.starts(source))


def test_footgun_3_what_nobody_gives_is_refused_with_the_nearest(bots: Bots) -> None:
    source = PLACES.replace('"Remind."', '"About {{ data.contekst.name }}."')
    said, fix = bots.fails(source, "agents.variables")
    assert "data.contekst.name" in said
    assert "reminder" in said
    assert "`data.context.name`" in fix
    assert "data.contekst.name" in bots.refused(source)


# -- 4: an agent that was renamed or is gone, while numbers and tools still name it

ROUTED = """
def bot(call: Call) -> Pipeline:
    router = Router(
        [Agent("sales", "Sell.", llm), Agent("support", "Help.", llm)],
        rules=[Rule("sales", to="+493011111")],
        fallback="support",
    )
    return Pipeline([call.transport.input(), router, call.transport.output()])
"""


@pytest.mark.parametrize(
    ("before", "after", "code", "nearest"),
    [
        ('Rule("sales"', 'Rule("sale"', "router.target", "`sales`"),  # the number is bound to it
        ('fallback="support"', 'fallback="suport"', "router.fallback", "'support'"),
    ],
)
def test_footgun_4_a_number_whose_agent_was_renamed_is_refused(
    bots: Bots, before: str, after: str, code: str, nearest: str
) -> None:
    assert bots.checks(ROUTED)["agents.handoffs"].verdict == "pass"
    source = ROUTED.replace(before, after)
    said, fix = bots.fails(source, "bot.pipeline")
    assert code in said
    assert "bot.py, line " in said
    assert nearest in fix
    assert code in bots.refused(source)


async def test_footgun_4_a_call_that_comes_in_for_it_is_not_answered_by_somebody_else(
    bots: Bots, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App(load_bot(bots.write(ROUTED.replace('Rule("sales"', 'Rule("sale"'))), store=None)
    with pytest.raises(RouterError):
        await app.take(TextTransport(), to="+493011111")
    assert app.calls == {}


@pytest.mark.parametrize("command", ["check", "run"])
def test_footgun_4_a_service_whose_bot_was_renamed_does_not_start(
    bots: Bots, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bots.write("def clinic_bot(call: Call) -> Pipeline:\n    return Pipeline([])\n")
    assert main([command, "bot.py:clinik_bot"]) == 2
    assert "`voiceframe chat bot.py:clinic_bot`" in capsys.readouterr().err
    with pytest.raises(ConfigurationError) as caught:
        App("bot.py:clinik_bot", store=None)
    assert caught.value.code == "bot.no-bot"


def test_footgun_4_a_tool_whose_bot_was_renamed_is_refused(bots: Bots) -> None:
    source = PLACES.replace("reminder=reminder", 'reminder="bot.py:remindr"')
    said, fix = bots.fails(source, "bot.pipeline")
    assert "bot.no-bot" in said
    assert "bot.py:reminder" in fix
    assert "bot.no-bot" in bots.refused(source)


# -- 5: a call that hangs before it has begun


def test_footgun_5_a_bot_that_hangs_is_found_without_a_call(bots: Bots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "BUILD_S", 0.05)
    source = """
        async def bot(call: Call) -> Pipeline:
            import asyncio
            await asyncio.sleep(3_600)
    """
    said, _ = bots.fails(source, "bot.pipeline")
    assert "it was not made in" in said


async def test_footgun_5_a_service_whose_bot_hangs_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(startup._log, "warning", lambda text, *values: said.append(text % values))

    async def hangs(call: Call) -> Pipeline:
        await asyncio.sleep(3_600)
        raise AssertionError

    await refuse_unusable(App(hangs, store=None))  # it may be this call alone; Twilio's are bounded by `answer_ms`
    assert "it was not made in 10 s" in said[0]


# -- 6: an auditor that corrects what it has just corrected


def test_footgun_6_an_interval_that_is_too_short_is_refused(bots: Bots, monkeypatch: pytest.MonkeyPatch) -> None:
    source = AUDITED.replace("Auditor(checker)", "Auditor(checker, every_ms=2_999)")
    said, fix = bots.fails(source, "bot.pipeline")
    assert "auditor.interval" in said
    assert line_of(bots, "every_ms=2_999") in said
    assert "every_ms=5000" in fix
    assert "auditor.interval" in bots.refused(source)
    monkeypatch.setenv("VOICEFRAME_AUDITOR_EVERY_MS", "2999")
    assert "VOICEFRAME_AUDITOR_EVERY_MS" in bots.fails(AUDITED, "settings.values")[0]
    assert "VOICEFRAME_AUDITOR_EVERY_MS" in bots.refused(AUDITED)


# -- the command


def test_the_command_that_serves_says_why_it_does_not(
    bots: Bots, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opened(app: App) -> App:
        raise AssertionError("its endpoints were opened")

    monkeypatch.setattr(App, "__aenter__", opened)
    where = bots.write(AUDITED.replace("Auditor(checker)", 'Auditor(checker, of="clinik")'))
    assert main(["run", where, "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert "auditor.unknown-voice" in said
    assert "`clinic`" in said
    assert line_of(bots, "clinik") in said
    assert "Traceback" not in said
