"""`voiceframe check`: what is missing is named before anybody calls, and nothing is called for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceframe.check import check_bot
from voiceframe.checks import Check, Report
from voiceframe.cli import main
from voiceframe.report import to_text

Bot = Callable[..., str]

USUAL = """
from voiceframe import Agent, Call, Pipeline
from voiceframe.testing import ScriptedLLM

def bot(call: Call) -> Pipeline:
    return Pipeline([call.transport.input(), Agent("it", "", ScriptedLLM([])), call.transport.output()])
"""


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bot:
    """Writes a bot into a folder of its own, with all set that it needs, and names it."""
    for name in list(os.environ):
        if name.startswith(("VOICEFRAME_", "TWILIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "a-very-secret-token")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    monkeypatch.chdir(tmp_path)

    def write(source: str = USUAL, name: str = "bot.py") -> str:
        (tmp_path / name).write_text(textwrap.dedent(source), "utf-8")
        return name

    return write


def checks(where: str) -> dict[str, Check]:
    report = check_bot(where)
    assert "a-very-secret-token" not in report.json() + to_text(report) + report.html() + report.markdown()
    return {check.id: check for check in report.checks}


def failing(found: dict[str, Check]) -> set[str]:
    assert all(check.fix for check in found.values() if check.verdict != "pass")
    return {check.id for check in found.values() if check.verdict == "fail"}


def text(check: Check) -> str:
    return " ".join(map(str, check.evidence))


def body(lines: str) -> str:
    """A usual bot whose function does something first."""
    return USUAL.replace("    return", textwrap.indent(textwrap.dedent(lines), "    ") + "\n    return")


# -- what is right


def test_a_bot_that_has_all_it_needs(bot: Bot) -> None:
    found = checks(bot())
    assert failing(found) == set()
    assert {check.verdict for check in found.values()} == {"pass"}
    assert "it" in text(found["bot.pipeline"])
    assert "https://voice.example.com/twilio/voice" in text(found["server.public-url"])


def test_nothing_is_left_behind(bot: Bot, tmp_path: Path) -> None:
    where = bot()
    before = socket.socket.connect, socket.socket.sendto, socket.getaddrinfo
    checks(where)
    assert (socket.socket.connect, socket.socket.sendto, socket.getaddrinfo) == before
    assert not {"connect", "connect_ex", "sendto"} & set(vars(socket.socket))
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py" and path.name != "__pycache__"] == []


def test_an_app_of_ones_own(bot: Bot) -> None:
    found = checks(bot())
    assert "a bot" in text(found["bot.loads"])
    found = checks(
        bot(
            USUAL + "from voiceframe import App\nfrom voiceframe.transports.twilio import Twilio, TwilioSettings\n"
            "app = App(bot, Twilio(TwilioSettings()), store=None)\n"
        )
    )
    assert "an app" in text(found["bot.loads"])
    assert failing(found) == {"endpoint.twilio"}  # its code says that there is no token


# -- the bot


@pytest.mark.parametrize(
    ("source", "said", "fix"),
    [
        ("def bot(call:\n", "line 1", "bot(call)"),
        ("import nothing_of_the_kind\n", "nothing_of_the_kind", "bot(call)"),
        ("import os\nKEY = os.environ['ACME_KEY']\n", "line 2: KeyError", "`ACME_KEY`"),
        ("raise SystemExit(3)\n", "SystemExit: 3", ""),
        ("from voiceframe.errors import MissingExtra\nraise MissingExtra.of('extra.missing', what='It', package='x', "
         "extra='vad')\n", "extra.missing", "voiceframe[vad]"),
    ],
    ids=["syntax", "import", "environment", "exit", "extra"],
)  # fmt: skip
def test_a_bot_that_does_not_load(bot: Bot, source: str, said: str, fix: str) -> None:
    found = checks(bot(source))
    assert "bot.loads" in failing(found)
    assert said in text(found["bot.loads"])
    assert fix in (found["bot.loads"].fix or "")


def test_a_bot_that_is_not_there_is_wrong_input(bot: Bot, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nowhere.py"]) == 2
    assert main(["check", bot("x = 1\n")]) == 2
    assert main(["check", "nowhere.at.all:bot"]) == 2
    assert "bot.no-bot" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (USUAL.replace("call.transport.input(), ", ""), "link.no-source"),
        (USUAL.replace("return Pipeline", "return list"), "link.not-a-pipeline"),
        (body("raise ValueError('no such agent')"), "line 6: ValueError: no such agent"),
        (body("import asyncio; await asyncio.sleep(0)").replace("def bot", "async def bot"), ""),
    ],
    ids=["no-source", "no-pipeline", "raises", "async"],
)  # fmt: skip
def test_a_pipeline_that_cannot_work(bot: Bot, source: str, said: str) -> None:
    found = checks(bot(source))
    assert failing(found) == ({"bot.pipeline"} if said else set())
    assert said in text(found["bot.pipeline"])


def test_a_bot_that_refuses_is_no_failure(bot: Bot) -> None:
    found = checks(bot(body("from voiceframe.errors import Reject\nraise Reject('closed')")))
    assert found["bot.pipeline"].verdict == "warn"
    assert "closed" in text(found["bot.pipeline"])


def test_a_name_that_is_not_defined_is_found_before_it_is_met(bot: Bot) -> None:
    bot("def late():\n    return nothing_here\n", "helper.py")
    found = checks(
        bot(
            """
            import helper
            from voiceframe import Agent, Call, Pipeline

            class Mine(Agent):
                label = "of its own"
                async def reply(self, turn):
                    yield greting
                    yield [each for each in label_of(turn)]

            greeting = "Hello!"

            def bot(call: Call) -> Pipeline:
                return Pipeline([call.transport.input(), Mine("it"), call.transport.output()])
            """
        )
    )
    assert failing(found) == {"bot.names"}
    said = text(found["bot.names"])
    assert "bot.py, line 8: greting is not defined." in said
    assert "line 9: label_of" in said
    assert "helper.py, line 2: nothing_here" in said
    assert "`greeting` for `greting`" in (found["bot.names"].fix or "")


def test_nobody_is_reached(bot: Bot) -> None:
    reached = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    port = listener.getsockname()[1]
    found = checks(
        bot(
            body(
                f"""
                import socket, urllib.request
                datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                for reach in (
                    lambda: socket.create_connection(("127.0.0.1", {port})),
                    lambda: urllib.request.urlopen("http://example.com/"),
                    lambda: datagrams.sendto(b"x", ("127.0.0.1", {port})),
                ):
                    try:
                        reach()
                    except OSError:
                        pass
                datagrams.close()
                """
            )
        )
    )
    with listener, pytest.raises(TimeoutError):
        reached.append(listener.accept())
    assert failing(found) == set()
    assert found["bot.offline"].verdict == "warn"
    assert "example.com" in text(found["bot.offline"])


# -- what is set


def test_a_variable_that_is_misspelled_is_named_with_the_nearest(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_LIMIT_MAX_CALLS", "5")
    found = checks(bot())
    assert failing(found) == {"settings.variables"}
    assert "VOICEFRAME_LIMITS_MAX_CALLS" in (found["settings.variables"].fix or "")


def test_values_that_cannot_be_read(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_VAD_GATE_DBFS", "loud")
    monkeypatch.setenv("VOICEFRAME_TWILIO_TOKEN_MS", "1")
    found = checks(bot())
    assert {"settings.values", "endpoints"} <= failing(found)
    assert "VOICEFRAME_VAD_GATE_DBFS" in text(found["settings.values"])
    assert "VOICEFRAME_TWILIO_TOKEN_MS" in text(found["settings.values"])


def test_a_settings_file(bot: Bot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "voiceframe.toml"
    monkeypatch.setenv("VOICEFRAME_CONFIG", str(file))
    file.write_text("[limits]\nmax_calls = 5\n")
    found = checks(bot())
    assert failing(found) == set()
    assert "limits.max_calls" in text(found["settings.values"])
    file.write_text("[limit]\nmax_calls = 5\n")
    assert "[limits]" in (checks(bot())["settings.file"].fix or "")
    file.write_text("[limits]\nmax_call = 5\n")
    assert failing(checks(bot())) == {"settings.values"}
    file.unlink()
    assert {"settings.values", "settings.file"} <= failing(checks(bot()))


def test_environment_variables_of_the_bot(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        USUAL
        + """
import os
MODEL = os.environ.get("ACME_MODEL", "small")

def later():
    return os.environ["ACME_KEY"], os.getenv("ACME_REGION")
"""
    )
    found = checks(bot(source))
    assert failing(found) == {"environment.bot"}
    assert found["environment.bot"].fix == "Set `ACME_KEY`."
    monkeypatch.setenv("ACME_KEY", "a-very-secret-token")
    assert failing(checks(bot(source))) == set()


# -- models, files, endpoints


def test_what_processors_need(bot: Bot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="needs voiceframe[local]")
    source = """
        from voiceframe import Call, Pipeline
        from voiceframe.processors.recording import Recorder
        from voiceframe.processors.stt import PocketSphinxSTT
        from voiceframe.processors.tts import EspeakTTS
        from voiceframe.processors.vad import EnergyVAD

        def bot(call: Call) -> Pipeline:
            inner = [EnergyVAD(), PocketSphinxSTT(), EspeakTTS(voice="VOICE")]
            return Pipeline([call.transport.input(), *inner, call.transport.output()], observers=[Recorder("FILE")])
        """
    found = checks(bot(source.replace("VOICE", "en-us").replace("FILE", "calls/{call}.wav")))
    assert {"needs.EspeakTTS", "needs.Recorder"} <= set(found)
    assert failing(found) <= {"needs.PocketSphinxSTT"}
    assert not (tmp_path / "calls").exists()
    (tmp_path / "taken").touch()
    found = checks(bot(source.replace("VOICE", "klingon-x").replace("FILE", "taken/{call}.wav")))
    assert {"needs.EspeakTTS", "needs.Recorder"} <= failing(found)


def test_a_model_that_is_missing(bot: Bot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from voiceframe.models import finding

    monkeypatch.setenv("VOICEFRAME_MODELS_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(finding, "places", lambda model: iter(()))
    found = checks(
        bot(
            """
            from voiceframe import Call, Pipeline
            from voiceframe.processors.stt import PocketSphinxSTT

            def bot(call: Call) -> Pipeline:
                return Pipeline([call.transport.input(), PocketSphinxSTT(), call.transport.output()])
            """
        )
    )
    assert failing(found) == {"needs.PocketSphinxSTT"}
    assert "voiceframe models fetch" in (found["needs.PocketSphinxSTT"].fix or "")


def test_files_that_the_bot_names(bot: Bot, tmp_path: Path) -> None:
    source = (
        USUAL
        + """
from pathlib import Path

def later(call):
    call.play("music.wav")
    Path("prompt.txt").read_text()
    open("out.txt", "w")
    open("in.txt")
"""
    )
    found = checks(bot(source))
    assert failing(found) == {"files.bot"}
    fix = found["files.bot"].fix or ""
    assert all(name in fix for name in ("music.wav", "prompt.txt", "in.txt"))
    assert "out.txt" not in fix
    for name in ("music.wav", "prompt.txt", "in.txt"):
        (tmp_path / name).touch()
    assert failing(checks(bot(source))) == set()


def test_secrets_and_the_public_url(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "http://voice.example.com")
    assert failing(checks(bot())) == {"server.public-url"}  # Twilio opens streams by wss only
    monkeypatch.delenv("VOICEFRAME_PUBLIC_URL")
    monkeypatch.delenv("TWILIO_AUTH_TOKEN")
    found = checks(bot())
    assert failing(found) == {"server.public-url", "endpoint.twilio"}
    monkeypatch.setenv("VOICEFRAME_TWILIO_SIGNING_KEYS", "no-secret")
    assert failing(checks(bot())) == {"endpoints"}
    monkeypatch.delenv("VOICEFRAME_TWILIO_SIGNING_KEYS")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    monkeypatch.setenv("VOICEFRAME_SERVER_INSECURE", "true")
    found = checks(bot())
    assert failing(found) == set()
    assert found["server.insecure"].verdict == "warn"


def test_certificates(bot: Bot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOICEFRAME_SERVER_TLS_KEY", str(tmp_path / "key.pem"))
    assert "VOICEFRAME_SERVER_TLS_CERTIFICATE" in (checks(bot())["server.tls"].fix or "")
    monkeypatch.setenv("VOICEFRAME_SERVER_TLS_CERTIFICATE", str(tmp_path / "chain.pem"))
    assert "No such file" in text(checks(bot())["server.tls"])
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no `openssl` here to make a certificate with")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=localhost"]
    pair = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "chain.pem")]
    subprocess.run([*command, "-nodes", *pair], check=True, capture_output=True, timeout=30)
    assert failing(checks(bot())) == set()
    subprocess.run([*command, "-passout", "pass:1234", *pair], check=True, capture_output=True, timeout=30)
    assert failing(checks(bot())) == {"server.tls"}  # nobody is there to type it


# -- the report


def test_the_forms_and_the_exit_code(
    bot: Bot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = bot()
    assert main(["check", where]) == 0
    assert "✓ Its pipeline can work (bot.pipeline)" in capsys.readouterr().out
    assert main(["check", where, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "pass"
    assert main(["check", where, "--format", "html"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
    monkeypatch.setenv("VOICEFRAME_SERVER_INSECURE", "true")
    assert main(["check", where, "--format", "markdown"]) == 0
    assert main(["check", where, "--strict"]) == 1
    monkeypatch.setenv("VOICEFRAME_SERVER_PORT", "many")
    assert main(["check", where]) == 1


def test_what_comes_from_outside_does_not_steer_the_terminal() -> None:
    report = Report([Check("a", "fail", "red \x1b[31m\r\nline", fix="Do `it`.\x07")], title="t")
    assert all(line.isprintable() for line in to_text(report).splitlines())
    assert to_text(report).count("\n") == 7
