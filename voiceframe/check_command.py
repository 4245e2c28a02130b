"""`voiceframe check`: whether a bot has all that it will need, before anybody calls it.

The bot is loaded and asked for the pipeline of a call that nobody makes. The pipeline is linked and never started, and
while the bot's own code runs no socket is connected: what it tries to reach is reported instead. What else that code
does, such as to open a file, it does. Nothing that is secret is shown.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import difflib
import dis
import importlib.util
import inspect
import os
import ssl
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, NamedTuple, TextIO

from .app import App
from .audio import PCMU_8K
from .bots import load_app
from .call import Call
from .checks import Check, Fact, Missing, Report, Verdict
from .errors import ConfigurationError, LinkError, MissingExtra, Reject, VoiceframeError
from .models import POCKETSPHINX, SILERO, Model, find
from .pipeline import Pipeline
from .settings import CONFIG, Settings, settings_classes

__all__ = ["check_bot", "check_command", "to_text"]

#: What is asked, by id or by the beginning of it: the section of the report, and the question as it reads when the
#: answer is yes.
_QUESTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "bot.loads": ("Bot", "The file loads"),
    "bot.names": ("Bot", "Its names are those of something"),
    "bot.pipeline": ("Bot", "Its pipeline can work"),
    "bot.offline": ("Bot", "It reaches for nothing before its call begins"),
    "settings.values": ("Settings", "Every setting can be read"),
    "settings.variables": ("Settings", "No variable VOICEFRAME_* is misspelled"),
    "settings.file": ("Settings", "No section of the settings file is misspelled"),
    "environment.bot": ("Settings", "The environment variables of the bot are set"),
    "needs": ("Models and extras", ""),
    "files.bot": ("Files", "The files that the bot names are there"),
    "endpoints": ("Endpoints", "Calls can come"),
    "endpoint": ("Endpoints", ""),
    "endpoint.packages": ("Endpoints", "What the gateway imports is installed"),
    "server.public-url": ("Endpoints", "Carriers can be told where to call"),
    "server.insecure": ("Endpoints", "Signatures are checked"),
    "server.tls": ("Endpoints", "The certificate can be served"),
}
#: Time that the bot has to make its pipeline.
_BUILD_S: Final = 10
#: Environment variables that no settings class has.
_OTHERS: Final = (CONFIG, "VOICEFRAME_LOG", "VOICEFRAME_LOG_LEVEL")

_Found = list[Check | Missing]


def check_command(where: str, *, form: str = "text", strict: bool = False, out: TextIO | None = None) -> int:
    """Check the bot or app that `where` names and show the report. Returns the exit code.

    Raises `ConfigurationError` (`bot.not-found`, `bot.no-bot`) if it names none.
    """
    return show(check_bot(where, strict=strict), form, out)


def show(report: Report, form: str = "text", out: TextIO | None = None) -> int:
    """Write a report as `text`, `json`, `markdown` or `html`. Returns its exit code."""
    render: dict[str, Callable[[], str]] = {"json": report.json, "markdown": report.markdown, "html": report.html}
    (out or sys.stdout).write(render[form]() if form in render else to_text(report))
    return report.exit_code


def check_bot(where: str, *, strict: bool = False) -> Report:
    """What a call of this bot would need, and whether it is there. See `check_command()` for what is raised."""
    subject = _Subject(where)
    checks: _Found = [
        *_bot(subject),
        *_settings(),
        *_environment(subject),
        *_needs(subject),
        *_files(subject),
        *_endpoints(subject),
    ]
    return Report(checks, title=f"voiceframe check {where}", strict=strict)


class _Subject:
    """What is checked, as far as it could be had."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.error: BaseException | None = None
        self.bot: Any = None
        self.app: App | None = None
        #: The files of the bot: its own, and those beside it that it imports.
        self.modules: list[ModuleType] = []
        self.pipeline: Pipeline | None = None
        before = set(sys.modules)
        # A program that changes its environment does that on import, so what it was told is noted before.
        self.environment = dict(os.environ)
        with _offline() as tried:
            try:
                found = load_app(where)
            except ConfigurationError as error:
                if error.code == "bot.no-bot" or not _exists(where):
                    raise
                self.error = error
            except (Exception, SystemExit) as error:
                self.error = error
            else:
                self.app = found if isinstance(found, App) else None
                self.bot = found.bot if isinstance(found, App) else found
        self.tried = tried
        self.modules = list(_own_modules(where, before, self.bot))

    @property
    def endpoints(self) -> tuple[Any, ...]:
        """Where calls would come from. A bot without an app is run with Twilio's numbers."""
        if self.app is not None:
            return self.app.endpoints
        if self.bot is None:
            return ()
        from .transports.twilio import Twilio

        return (Twilio(),)


def _exists(where: str) -> bool:
    """Whether there is such a file or module, so that it is its content that is wrong."""
    path, _, name = where.rpartition(":")
    if not path or "/" in name or "\\" in name or name.endswith(".py"):
        path = where
    if path.endswith(".py"):
        return Path(path).is_file()
    try:
        return importlib.util.find_spec(path) is not None
    except (ImportError, ValueError):
        return False


def _own_modules(where: str, before: set[str], bot: Any) -> Iterator[ModuleType]:
    names = [name for name in sys.modules if name not in before or name.startswith("voiceframe_bot_")]
    path = where.rpartition(":")[0] or where
    main = sys.modules.get(f"voiceframe_bot_{Path(path if path.endswith('.py') else where).stem}")
    main = main or sys.modules.get(getattr(bot, "__module__", "")) or sys.modules.get(path)
    file = getattr(main, "__file__", None)
    if main is None or not file:
        return
    folder = Path(file).resolve().parent
    ours = Path(__file__).resolve().parent
    yield main
    for name in names:
        module = sys.modules.get(name)
        source = getattr(module, "__file__", None)
        if module is None or module is main or not source or name.startswith("voiceframe_bot_"):
            continue
        path_of = Path(source).resolve()
        inside = folder in path_of.parents and "site-packages" not in path_of.parts and ours not in path_of.parents
        if inside and not any(part.startswith(".") for part in path_of.relative_to(folder).parts):
            yield module


# -- the bot


def _bot(subject: _Subject) -> Iterator[Check | Missing]:
    if subject.error is not None:
        yield _failure("bot.loads", subject.error)
        yield Missing("bot.pipeline", "the bot could not be loaded")
        yield Missing("bot.names", "the bot could not be loaded")
        return
    what = "an app" if subject.app is not None else "a bot"
    yield _said("bot.loads", "pass", f"{subject.where} is {what}.")
    yield _names(subject)
    with _offline() as tried:
        pipeline = asyncio.run(_build(subject))
    tried += subject.tried
    if isinstance(pipeline, BaseException):
        yield _failure("bot.pipeline", pipeline)
    else:
        subject.pipeline = pipeline
        names = " ▸ ".join(processor.name for processor in pipeline.processors())
        yield _said("bot.pipeline", "pass", names)
    if tried:
        yield _said(
            "bot.offline",
            "warn",
            [f"It tried to reach {place}, and was not let." for place in dict.fromkeys(tried)],
            "Connect in `async def setup(self)` of a processor: what `def bot(call)` waits for, every caller waits "
            "for.",
        )


async def _build(subject: _Subject) -> Pipeline | BaseException:
    """The pipeline of a call that is never started, linked; or why there is none."""
    from .transports.media import MediaTransport

    app = subject.app
    try:
        call = Call(
            MediaTransport("twilio", PCMU_8K, leg="CA" + "0" * 32),
            from_="+14155550101",
            to="+14155550199",
            metadata={"call_sid": "CA" + "0" * 32, "parameters": {}},
            id="call_check",
            seed=0,
        )
        async with asyncio.timeout(_BUILD_S):
            found = subject.bot(call)
            if inspect.isawaitable(found):
                found = await found
        if not isinstance(found, Pipeline):
            raise LinkError.of("link.not-a-pipeline", what=repr(found), call=call.id)
        own = {type(observer) for observer in found.observers}
        added = () if app is None else (each for each in app._observers() if type(each) not in own)
        pipeline = Pipeline(found.elements, observers=(*found.observers, *added))
        pipeline.check()
    except TimeoutError:
        return TimeoutError(f"it was not made in {_BUILD_S} s")
    except (Exception, SystemExit) as error:
        return error
    return pipeline


def _names(subject: _Subject) -> Check | Missing:
    """Whether the names in its functions are those of something: Python itself looks when a call comes to them."""
    wrong: list[Fact] = []
    fixes: list[str] = []
    functions = 0
    for module in subject.modules:
        source = _source(module)
        if source is None:
            continue
        outer = compile(source, str(module.__file__), "exec", dont_inherit=True)
        known = {*vars(module), *dir(builtins)}
        codes = list(_inner(outer))
        # Also what is bound on another platform, or only for type checkers: this is about what is bound nowhere.
        known |= {
            each.argval for code in (outer, *codes) for each in dis.get_instructions(code) if each.opname in _BINDS
        }
        functions += len(codes)
        for code in codes:
            line = code.co_firstlineno
            for each in dis.get_instructions(code):
                line = (each.positions.lineno if each.positions else None) or line
                if each.opname != "LOAD_GLOBAL" or each.argval in known:
                    continue
                near = difflib.get_close_matches(each.argval, known, n=1)
                wrong.append(f"{module.__file__}, line {line}: {each.argval} is not defined.")
                fixes.append(f"Write `{near[0]}` for `{each.argval}`" if near else f"Define `{each.argval}`")
    if wrong:
        fix = "; ".join(dict.fromkeys(fixes)) + "."
        return _said("bot.names", "fail", list(dict.fromkeys(map(str, wrong))), fix)
    if not subject.modules:
        return Missing("bot.names", "the bot has no source file")
    files = ", ".join(Path(str(module.__file__)).name for module in subject.modules)
    return _said("bot.names", "pass", f"Functions in {files}: {functions}.")


#: A binding in the module's own code, and one by `global` in a function.
_BINDS: Final = frozenset({"STORE_NAME", "STORE_GLOBAL"})


def _inner(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            # Of a class's own body Python has looked at the names when it was defined.
            if constant.co_flags & inspect.CO_NEWLOCALS:
                yield constant
            yield from _inner(constant)


def _source(module: ModuleType) -> str | None:
    try:
        return Path(str(module.__file__)).read_text("utf-8") if str(module.__file__).endswith(".py") else None
    except (OSError, ValueError):
        return None


# -- what is set


def _settings() -> Iterator[Check]:
    from .reference import _import_everything

    _import_everything()  # a settings class is known once its module was imported
    facts: list[Fact] = []
    failures: list[tuple[str, VoiceframeError]] = []
    read = 0
    for cls in settings_classes():
        try:
            settings = cls.load()
        except ConfigurationError as error:
            failures.append((cls.prefix, error))
            continue
        read += 1
        facts += [
            {"setting": f"{cls.prefix.lower()}.{each.name}", "value": str(each.value), "from": each.source}
            for each in settings.describe()
            if each.source != "default"
        ]
    if failures:
        # A file that cannot be read is missed by every class, and is one fault.
        said = list(dict.fromkeys(error.message for _, error in failures))
        fixes = list(dict.fromkeys(error.fix for _, error in failures))
        yield _said("settings.values", "fail", said, " ".join(fixes))
    else:
        facts = [f"{read} groups of settings were read; what is not listed has its default.", *facts]
        yield _said("settings.values", "pass", facts)
    yield _variables()
    yield from _sections()


def _variables() -> Check:
    known = set(_OTHERS)
    for cls in settings_classes():
        for field in cls._settings.values():
            known |= {f"VOICEFRAME_{cls.prefix}_{field.name.upper()}", field.variable}
    known.discard("")
    set_here = sorted(name for name in os.environ if name.startswith("VOICEFRAME_"))
    unknown = [name for name in set_here if name not in known]
    if not unknown:
        said = f"Set and known: {', '.join(set_here)}." if set_here else f"None is set; {len(known)} are known."
        return _said("settings.variables", "pass", said)
    near = {name: difflib.get_close_matches(name, known, n=1, cutoff=0)[0] for name in unknown}
    return _said(
        "settings.variables",
        "fail",
        [f"{name} is not known; the nearest is {near[name]}." for name in unknown],
        " ".join(f"Set `{near[name]}` for `{name}`, or unset it." for name in unknown),
    )


def _sections() -> Iterator[Check]:
    """The sections of the file that nobody reads."""
    path = os.environ.get(CONFIG)
    if not path:
        return
    try:
        document = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        failure = ConfigurationError.of("settings.file", path=path, error=error)
        yield _failure("settings.file", failure)
        return
    known = [cls.prefix.lower() for cls in settings_classes()]
    unknown = [name for name in document if name not in known]
    if unknown:
        near = {name: difflib.get_close_matches(name, known, n=1, cutoff=0)[0] for name in unknown}
        yield _said(
            "settings.file",
            "fail",
            [f"{path} has [{name}], which nobody reads; the nearest is [{near[name]}]." for name in unknown],
            " ".join(f"Write `[{near[name]}]` for `[{name}]`, or take it out." for name in unknown),
        )
    else:
        said = f"{path}: {', '.join(f'[{name}]' for name in document) or 'empty'}."
        yield _said("settings.file", "pass", said)


class _Use(NamedTuple):
    """An environment variable or a file that the code names."""

    name: str
    place: str
    needed: bool


def _environment(subject: _Subject) -> Iterator[Check | Missing]:
    uses = [use for module in subject.modules for use in _variables_of(module)]
    if not uses:
        yield Missing("environment.bot", "the bot reads no environment variable by itself")
        return
    missing = [use for use in uses if use.needed and use.name not in subject.environment]
    needed = {use.name for use in uses if use.needed}
    facts: list[Fact] = [
        {
            "variable": use.name,
            "set": use.name in subject.environment,
            "needed": use.name in needed,
            "where": use.place,
        }
        for use in {use.name: use for use in uses}.values()
    ]
    fix = f"Set {', '.join(sorted({f'`{use.name}`' for use in missing}))}." if missing else None
    yield _said("environment.bot", "fail" if missing else "pass", facts, fix)


def _variables_of(module: ModuleType) -> Iterator[_Use]:
    """`os.environ["X"]` is needed; `os.environ.get("X")` and `os.getenv("X")` do without."""
    for node, place in _nodes(module):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            if _dotted(node.value) in ("os.environ", "environ") and (name := _text_of(node.slice)):
                yield _Use(name, place, True)
        elif isinstance(node, ast.Call):
            called = _dotted(node.func)
            if called in ("os.environ.get", "environ.get", "os.getenv", "getenv") and node.args:
                name = _text_of(node.args[0])
                if name:
                    yield _Use(name, place, False)


def _nodes(module: ModuleType) -> Iterator[tuple[ast.AST, str]]:
    source = _source(module)
    if source is None:
        return
    file = Path(str(module.__file__)).name
    with contextlib.suppress(SyntaxError):  # of which `bot.loads` has told
        for node in ast.walk(ast.parse(source)):
            yield node, f"{file}:{getattr(node, 'lineno', 0)}"


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def _text_of(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


# -- what its processors need


def _model(model: Model) -> Callable[[Any], str]:
    return lambda processor: f"{model.name}: {find(model)}"


def _package(name: str, extra: str) -> Callable[[Any], str]:
    def there(processor: Any) -> str:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra.of("extra.missing", what=type(processor).__name__, package=name, extra=extra)
        return f"package {name}"

    return there


def _dictation(processor: Any) -> str:
    if not processor.sphinx.dictation:
        return "no dictation"
    from .processors.stt.resources import package

    return f"dictation: {package().__name__}"


def _voice(processor: Any) -> str:
    from . import espeak

    return f"voice {processor.voice}: {espeak.resolve(processor.voice)}"


def _folder(processor: Any) -> str:
    folder = Path(processor._template).parent
    there = next((each for each in (folder, *folder.parents) if each.exists()), Path())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise PermissionError(f"nothing can be written into {there.resolve()}")
    return f"records into {folder}"


#: What is asked of which processor, by its class's name: a class that was not imported is not there to be asked.
_NEEDS: Final[Mapping[str, tuple[Callable[[Any], str], ...]]] = {
    "voiceframe.processors.vad.silero.SileroVAD": (_model(SILERO), _package("onnxruntime", "vad")),
    "voiceframe.processors.vad.webrtc.WebRTCVAD": (_package("webrtcvad", "vad"),),
    "voiceframe.processors.stt.pocketsphinx.PocketSphinxSTT": (_model(POCKETSPHINX), _dictation),
    "voiceframe.processors.tts.espeak.EspeakTTS": (_package("espeakng_loader", "local"), _voice),
    "voiceframe.processors.recording.recorder.Recorder": (_folder,),
}


def _needs(subject: _Subject) -> Iterator[Check | Missing]:
    """Each processor that needs something of this machine: is it there?"""
    if subject.pipeline is None:
        yield Missing("needs", "there is no pipeline whose processors could be asked")
        return
    asked = False
    taken: set[str] = set()
    for processor in (*subject.pipeline.processors(), *subject.pipeline.observers):
        classes = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(processor).__mro__)
        name = next((name for name in classes if name in _NEEDS), None)
        if name is None:
            continue
        asked = True
        id, number = f"needs.{processor.name}", 1
        while id in taken:
            number += 1
            id = f"needs.{processor.name}-{number}"
        taken.add(id)
        title = f"{processor.name} has what it needs"
        try:
            facts = [need(processor) for need in _NEEDS[name]]
        except (VoiceframeError, OSError) as error:
            yield _failure(id, error, title)
        else:
            yield _said(id, "pass", facts, title=title)
    if not asked:
        yield Missing("needs", "no processor needs a model or a package that is known here")


# -- files


def _files(subject: _Subject) -> Iterator[Check | Missing]:
    uses = [use for module in subject.modules for use in _files_of(module)]
    if not uses:
        yield Missing("files.bot", "the bot names no file that it reads or plays")
        return
    facts: list[Fact] = []
    missing: list[str] = []
    for use in {use.name: use for use in uses}.values():
        there = Path(use.name).is_file() and os.access(use.name, os.R_OK)
        facts.append({"file": use.name, "there": there, "where": use.place})
        if not there:
            missing.append(use.name)
    fix = None
    if missing:
        fix = f"Put {', '.join(f'`{name}`' for name in missing)} below `{Path.cwd()}`, or give the whole path."
    verdict: Verdict = "fail" if missing else "pass"
    yield _said("files.bot", verdict, facts, fix)


def _files_of(module: ModuleType) -> Iterator[_Use]:
    """Files whose path stands in the code as it is: to be played, or to be read."""
    for node, place in _nodes(module):
        if not isinstance(node, ast.Call):
            continue
        name = ""
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "read_bytes"):
            inner = node.func.value
            if isinstance(inner, ast.Call) and _dotted(inner.func).rpartition(".")[2] == "Path" and inner.args:
                name = _text_of(inner.args[0]) if len(inner.args) == 1 else ""
        elif node.args:
            called = _dotted(node.func).rpartition(".")[2]
            modes = [_text_of(each) for each in node.args[1:2]]
            modes += [_text_of(each.value) for each in node.keywords if each.arg == "mode"]
            reads = not any(set(mode) & set("wax+") for mode in modes)
            if (called in ("play", "PlayFrame")) or (isinstance(node.func, ast.Name) and called == "open" and reads):
                name = _text_of(node.args[0])
        if name:
            yield _Use(name, place, True)


# -- where calls come from


def _endpoints(subject: _Subject) -> Iterator[Check | Missing]:
    from .server import ServerSettings, WebEndpoint

    try:
        endpoints = subject.endpoints
        settings = ServerSettings.load()
    except VoiceframeError as error:
        yield _failure("endpoints", error)
        return
    if not endpoints:
        yield Missing("endpoints", "the app has no endpoint, so nobody can call it")
        return
    web = [endpoint for endpoint in endpoints if isinstance(endpoint, WebEndpoint)]
    seen: dict[str, int] = {}
    for endpoint in endpoints:
        name = type(endpoint).__name__.lower()
        seen[name] = seen.get(name, 0) + 1
        id = name if seen[name] == 1 else f"{name}-{seen[name]}"
        yield from _secrets(endpoint, f"endpoint.{id}", insecure=settings.insecure)
    if web:
        yield _telephony()
        yield _public_url(web, settings.public_url, settings.port)
    if settings.insecure:
        yield _said(
            "server.insecure",
            "warn",
            "VOICEFRAME_SERVER_INSECURE is set: requests from this machine are taken without a signature.",
            "Unset `VOICEFRAME_SERVER_INSECURE` where real calls come.",
        )
    yield _tls(settings.tls_certificate, settings.tls_key)


def _secrets(endpoint: Any, id: str, *, insecure: bool) -> Iterator[Check | Missing]:
    """Whether what it needs to know its carrier is set; of secrets only that."""
    from .transports.twilio import Twilio

    title = f"{type(endpoint).__name__} has its secrets"
    settings = getattr(endpoint, "settings", None)
    if not isinstance(settings, Settings):
        yield Missing(id, f"{type(endpoint).__name__} does not say what it needs")
        return
    secret = {name for name, field in settings._settings.items() if field.secret}
    facts: list[Fact] = [
        {"setting": each.name, "set": bool(each.value), "from": each.source if each.value else None}
        for each in settings.describe()
        if each.name in secret or (each.source != "default" and each.name == "account_sid")
    ]
    if not isinstance(endpoint, Twilio):
        yield _said(id, "pass" if facts else "warn", facts or ["It has no secrets."], title=title)
        return
    if not endpoint.settings.auth_token and not endpoint.settings.signing_keys and not insecure:
        error = ConfigurationError.of("server.no-secret", carrier="Twilio", setting="TWILIO_AUTH_TOKEN")
        yield _failure(id, error, title)
        return
    if not endpoint.settings.account_sid:
        facts.append("TWILIO_ACCOUNT_SID is not set: calls end with their stream, and are not hung up by REST.")
    yield _said(id, "pass", facts, title=title)


#: What the gateway and Twilio's endpoint import when they are used.
_TELEPHONY: Final = ("starlette", "uvicorn", "websockets", "msgspec", "aiohttp", "twilio")


def _telephony() -> Check:
    missing = [name for name in _TELEPHONY if importlib.util.find_spec(name) is None]
    if missing:
        error = MissingExtra.of("extra.missing", what="The gateway", package=", ".join(missing), extra="telephony")
        return _failure("endpoint.packages", error)
    return _said("endpoint.packages", "pass", f"{', '.join(_TELEPHONY)}.")


def _public_url(web: list[Any], url: str, port: int) -> Check:
    from .server import _checked_url
    from .transports.twilio import Twilio, twiml

    try:
        public = _checked_url(url)
        if not public:
            raise ConfigurationError.of("server.no-public-url", carrier=type(web[0]).__name__, port=port)
        said = [f"Public URL: {public}"]
        for endpoint in web:
            if isinstance(endpoint, Twilio):
                twiml.connect("ws" + public.removeprefix("http") + endpoint.settings.media_path)
                said.append(f"At Twilio, A call comes in: Webhook, {public}{endpoint.settings.webhook_path}, HTTP POST")
    except VoiceframeError as error:
        return _failure("server.public-url", error)
    return _said("server.public-url", "pass", said)


def _tls(certificate: str, key: str) -> Check | Missing:
    if not certificate and not key:
        return Missing("server.tls", "no certificate is set: TLS is the matter of a proxy")
    if not certificate:
        return _said(
            "server.tls",
            "fail",
            "VOICEFRAME_SERVER_TLS_KEY is set, and VOICEFRAME_SERVER_TLS_CERTIFICATE is not.",
            "Set `VOICEFRAME_SERVER_TLS_CERTIFICATE` to the file with the certificate chain.",
        )
    try:
        for path in filter(None, (certificate, key)):
            with Path(path).open("rb"):
                pass
        # Neither prompts for a passphrase: nobody is there to type one when the service starts.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        return _said(
            "server.tls",
            "fail",
            f"{certificate}, {key or 'no key'}: {error}",
            "Let `VOICEFRAME_SERVER_TLS_CERTIFICATE` and `VOICEFRAME_SERVER_TLS_KEY` name PEM files that belong "
            "together, have no passphrase, and can be read by the user that runs the gateway.",
        )
    return _said("server.tls", "pass", f"{certificate} and {key or certificate} fit.")


# -- the report


def _said(id: str, verdict: Verdict, evidence: Sequence[Fact], fix: str | None = None, title: str = "") -> Check:
    section, question = _QUESTIONS.get(id) or _QUESTIONS[id.partition(".")[0]]
    fix = None if verdict == "pass" else fix
    return Check(id, verdict, evidence, fix=fix, title=title or question, section=section)


def _failure(id: str, error: BaseException, title: str = "") -> Check:
    """A check that an error has failed."""
    if isinstance(error, VoiceframeError):
        said, fix = f"{error.message} [{error.code}]", error.fix
        if isinstance(error, Reject):
            said = f"The bot refuses the call of this check: {error.reason}."
            fix = "Let `def bot(call)` refuse by `call.from_` or the time, and run `voiceframe check` again."
            return _said(id, "warn", said, fix, title)
        return _said(id, "fail", said, fix, title)
    frames = traceback.extract_tb(error.__traceback__)
    where = next((f"{frame.filename}, line {frame.lineno}: " for frame in reversed(frames) if _theirs(frame)), "")
    text = f"{where}{type(error).__name__}: {error}"
    fix = "Mend what the line names, then run `voiceframe check` again."
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str) and error.args[0].isupper():
        fix = f"Set the environment variable `{error.args[0]}`, if that is what is missing."
    return _said(id, "fail", text, fix, title)


def _theirs(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    return path.is_file() and Path(__file__).parent not in path.parents and "site-packages" not in path.parts


_SIGNS: Final = {"pass": "✓", "warn": "!", "fail": "✗"}


def to_text(report: Report) -> str:
    """The report for a terminal. What came from outside cannot steer it: control characters are shown as `?`."""
    lines = [report.title, ""]
    for section, checks in report.sections():
        if section:
            lines.append(section)
        for check in checks:
            lines.append(f"  {_SIGNS[check.verdict]} {check.title or check.id} ({check.id})")
            lines += [f"      {_fact(fact)}" for fact in check.evidence]
            if check.fix and check.verdict != "pass":
                lines.append(f"      Fix: {check.fix}")
        lines.append("")
    if report.missing:
        lines.append("Not checked")
        lines += [f"  - {item.id}: {item.why}" for item in report.missing]
        lines.append("")
    counts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in ("fail", "warn", "pass"))
    lines.append(f"{_SIGNS[report.verdict]} {report.verdict}: {counts}, {len(report.missing)} not checked")
    return "".join(f"{''.join(c if c.isprintable() else '?' for c in line)}\n" for line in lines)


def _fact(fact: Fact) -> str:
    if isinstance(fact, str):
        return fact
    shown = ((name, "yes" if value is True else "no" if value is False else value) for name, value in fact.items())
    return ", ".join(f"{name}: {value}" for name, value in shown if value is not None)


# -- no network


@contextlib.contextmanager
def _offline() -> Iterator[list[str]]:
    """While it is open no socket of this process connects; yields what was tried."""
    import socket

    tried: list[str] = []

    def refuse(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        shown = ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)
        tried.append(shown)
        raise ConnectionRefusedError(f"voiceframe check lets nobody reach {shown}")

    def resolve(host: Any, *arguments: Any, **rest: Any) -> Any:
        tried.append(str(host))
        raise socket.gaierror(socket.EAI_FAIL, f"voiceframe check lets nobody reach {host}")

    own = {name: vars(socket.socket).get(name) for name in ("connect", "connect_ex", "sendto")}
    names = socket.getaddrinfo
    for name in own:
        setattr(socket.socket, name, refuse)
    socket.getaddrinfo = resolve
    try:
        yield tried
    finally:
        socket.getaddrinfo = names
        for name, method in own.items():
            if method is None:
                delattr(socket.socket, name)  # what it inherits is there again
            else:
                setattr(socket.socket, name, method)
