"""The vocabulary: every kind of event that Voiceframe writes.

Kinds are `area.what`. Times are `*_ms`; `turn` counts the caller's committed turns and `reply` the bot's replies, both
from 1. What a person said, wrote, pressed or is called is `Personal`. A change of fields is a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .base import Event, Personal, event

# -- the call


@event("call.started", version=1)
class CallStarted(Event):
    """A call has begun; nobody has answered yet. `pipeline` names the processors from source to sink."""

    direction: Literal["inbound", "outbound"]
    from_: Personal[str]
    to: Personal[str]
    pipeline: tuple[str, ...]


@event("call.answered", version=1)
class CallAnswered(Event):
    """The pipeline is running and both sides can speak."""


@event("call.ended", version=1)
class CallEnded(Event):
    """The call is over. `duration_ms` counts from `call.started`."""

    reason: str
    duration_ms: int


@event("call.rejected", version=1)
class CallRejected(Event):
    """The call was refused before it was answered."""

    reason: str


@event("call.end-lapsed", version=1)
class CallEndLapsed(Event):
    """The bot wished to end the call, and the caller interrupted its goodbye: the call goes on."""

    reason: str


@event("leg.opened", version=1)
class LegOpened(Event):
    """A leg, which is the carrier's side of the call, exists. `leg` is the carrier's id (a call SID, say)."""

    leg: str
    carrier: str


@event("leg.closed", version=1)
class LegClosed(Event):
    """The carrier's side of the call is gone."""

    leg: str
    carrier: str
    reason: str = ""


@event("connection.attached", version=1)
class ConnectionAttached(Event):
    """A socket carries the call's media now."""

    connection: str


@event("connection.lost", version=1)
class ConnectionLost(Event):
    """The socket that carried the call's media is gone; another one may attach."""

    connection: str
    reason: str = ""


# -- processors


@event("processor.failed", version=1)
class ProcessorFailed(Event):
    """A handler raised. `error` is the class of the exception and `code` its code, if it has one."""

    processor: str
    handler: str
    error: str
    code: str | None = None
    fatal: bool
    message: Personal[str] = ""
    traceback: Personal[str] = ""


@event("processor.blocked", version=1)
class ProcessorBlocked(Event):
    """A handler has held up the event loop, and with it every call of the process."""

    processor: str
    handler: str
    blocked_ms: int


@event("processor.overflow", version=1)
class ProcessorOverflow(Event):
    """A queue was over its bound. `policy` says what gave way."""

    processor: str
    dropped: int
    policy: str


@event("processor.swallows", version=1)
class ProcessorSwallows(Event):
    """A processor took every frame of a type and let none through: probably a forgotten `return`."""

    processor: str
    frame: str
    count: int


@event("processor.abandoned", version=1)
class ProcessorAbandoned(Event):
    """A handler did not stop when it was cancelled and was left behind."""

    processor: str
    handler: str


@event("processor.replaced", version=1)
class ProcessorReplaced(Event):
    """Another processor took the place of one in the running call."""

    old: str
    new: str


# -- speech


@event("speech.started", version=1)
class SpeechStarted(Event):
    """The caller has begun to speak, at `began_ms`."""

    began_ms: int


@event("speech.ended", version=1)
class SpeechEnded(Event):
    """The caller has stopped speaking, at `ended_ms`. `level_dbfs` is how loud it was."""

    ended_ms: int
    level_dbfs: float | None = None


@event("speech.discarded", version=1)
class SpeechDiscarded(Event):
    """What was heard is no turn: `echo` of the bot, a `backchannel`, `noise` (no words) while the bot spoke."""

    reason: Literal["echo", "backchannel", "noise"]
    text: Personal[str] = ""


@event("speech.corrected", version=1)
class SpeechCorrected(Event):
    """An alias has changed what the recognizer has `heard` to `text`."""

    text: Personal[str]
    heard: Personal[str]


@event("speech.idle", version=1)
class SpeechIdle(Event):
    """The caller has said nothing for as long as the bot is willing to wait, `count` times in a row."""

    count: int


# -- the recording


@event("recording.started", version=1)
class RecordingStarted(Event):
    """Both sides are being recorded from here on. Left is the caller, right the bot."""

    path: str
    rate: int


@event("recording.paused", version=1)
class RecordingPaused(Event):
    """Silence is recorded from here on."""

    reason: str = ""


@event("recording.resumed", version=1)
class RecordingResumed(Event):
    """Both sides are recorded again."""

    reason: str = ""


@event("recording.stopped", version=1)
class RecordingStopped(Event):
    """The recording is closed. `paused_ms` of it are silence by request."""

    path: str
    duration_ms: int
    paused_ms: int = 0
    reason: str = ""


# -- the dialog


@event("flow.entered", version=1)
class FlowEntered(Event):
    """A state of the dialog has begun."""

    state: str


@event("flow.filled", version=1)
class FlowFilled(Event):
    """The caller has given the value of a slot, or changed it (`corrected`)."""

    slot: str
    corrected: bool = False
    value: Personal[Any] = None


@event("flow.reprompted", version=1)
class FlowReprompted(Event):
    """The caller was asked again. `reason`: `no-match`, `no-input`, `declined`, `invalid`, or the command that came."""

    state: str
    reason: str
    count: int


@event("handoff.requested", version=1)
class HandoffRequested(Event):
    """The caller is to go on with `target`, a person or a queue."""

    target: str
    reason: str
    summary: Personal[str] = ""


# -- turns and replies


@event("turn.committed", version=1)
class TurnCommitted(Event):
    """The caller's turn is over and the bot has to answer it."""

    turn: int
    source: Literal["speech", "dtmf", "text"]
    confidence: float
    text: Personal[str]


@event("turn.transcribed", version=1)
class TurnTranscribed(Event):
    """The words of a turn, where its answer had to be begun before they were known: `turn.committed` has none then."""

    turn: int
    text: Personal[str]


@event("turn.answered", version=1)
class TurnAnswered(Event):
    """The audio of a reply to the turn has begun, `latency_ms` after the turn was committed."""

    turn: int
    reply: int
    latency_ms: int


@event("turn.unanswered", version=1)
class TurnUnanswered(Event):
    """No audio of a reply to the turn has begun in time, or none ever will.

    `reason`: `deadline`, `empty` (its reply had no sound), `interrupted`, `superseded` (by the next turn), `ended` (the
    call), `error`.
    """

    turn: int
    reason: str


@event("turn.skipped", version=1)
class TurnSkipped(Event):
    """The turn needs no answer: the call is paused, taken over, on hold or only recorded."""

    turn: int
    why: str


@event("turn.latency", version=1)
class TurnLatency(Event):
    """Where the time between the caller's last sound and the bot's first went; the parts sum to `total_ms`."""

    turn: int
    parts: Mapping[str, int]
    total_ms: int


@event("reply.started", version=1)
class ReplyStarted(Event):
    """The bot begins a reply. `turn` is the caller's turn that it answers; None if it speaks unasked."""

    reply: int
    turn: int | None
    interruptible: bool


@event("reply.speaking", version=1)
class ReplySpeaking(Event):
    """The first sound of the reply goes to the caller."""

    reply: int


@event("reply.heard", version=1)
class ReplyHeard(Event):
    """What the caller heard of a reply, once, when no more of it will be: `complete` if that is all of it."""

    reply: int
    complete: bool
    text: Personal[str]


@event("reply.ended", version=1)
class ReplyEnded(Event):
    """The bot has nothing to add to the reply. It may still be playing."""

    reply: int


@event("interruption", version=1)
class Interruption(Event):
    """All replies up to number `reply` are dead."""

    reply: int
    reason: str


@event("pause", version=1)
class Pause(Event):
    """The reply is held: it may be a false alarm. A resume or an interruption follows."""

    reply: int


@event("resume", version=1)
class Resume(Event):
    """It was a false alarm; the reply goes on where it was held."""

    reply: int


# -- providers

Service = Literal["stt", "tts", "llm", "realtime"]


@event("provider.connected", version=1)
class ProviderConnected(Event):
    """A provider's connection is there, after `took_ms` and `attempts`."""

    vendor: str
    service: Service
    processor: str
    took_ms: int
    attempts: int = 1


@event("provider.lost", version=1)
class ProviderLost(Event):
    """A provider has failed or its connection is lost; `retry_ms` is when it is tried again, None if it is not."""

    vendor: str
    service: Service
    processor: str
    code: str
    status: int = 0
    retry_ms: int | None = None
    message: Personal[str] = ""


@event("provider.ttfb", version=1)
class ProviderTTFB(Event):
    """How long a provider took from being asked to the first byte of its answer. `model` as it was asked for."""

    vendor: str
    service: Service
    processor: str
    model: str
    ttfb_ms: int


@event("provider.usage", version=1)
class ProviderUsage(Event):
    """What a provider was used for since the last such event of its: only what it counts is not 0.

    `cached_tokens` (read from a cache) and `cache_write_tokens` (written to one) are part of `input_tokens`,
    `audio_tokens` of both. `cost_usd` is None without a price.
    """

    vendor: str
    service: Service
    processor: str
    model: str
    audio_ms: int = 0
    characters: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    audio_tokens: int = 0
    requests: int = 0
    cost_usd: float | None = None
    prices: str = ""


# -- tools, keys, messages


@event("tool.called", version=1)
class ToolCalled(Event):
    """The agent calls a tool. `call_id` pairs it with its `tool.returned`."""

    call_id: str
    name: str
    arguments: Personal[Mapping[str, Any]]


@event("tool.returned", version=1)
class ToolReturned(Event):
    """A tool has answered with a result, or failed with an error."""

    call_id: str
    failed: bool
    error: Personal[str | None] = None
    result: Personal[Any] = None


@event("dtmf.received", version=1)
class DTMFReceived(Event):
    """The caller pressed a key: 0-9, *, #, A-D."""

    digit: Personal[str]


@event("message.received", version=1)
class MessageReceived(Event):
    """A message of the application (a browser client, the carrier) came in."""

    data: Personal[Any]


# -- the record itself


@event("settings.changed", version=1)
class SettingsChanged(Event):
    """Settings of a processor were changed in the running call. `names` are those of the settings."""

    target: str
    names: tuple[str, ...]


@event("sink.lost", version=1)
class SinkLost(Event):
    """A sink could not take `count` events of this call: they are missing from what it keeps, and from nothing else."""

    sink: str
    count: int
    reason: str


@event("audit.action", version=1)
class AuditAction(Event):
    """Somebody did something: `actor` (`caller`, `agent`, `operator:<id>`, `engine`) did `action` to `target`.

    `outcome` is `asked`, `done`, `failed` or `refused`.
    """

    actor: str
    action: str
    target: str
    outcome: Literal["asked", "done", "failed", "refused"]
    detail: Personal[Mapping[str, Any]]
