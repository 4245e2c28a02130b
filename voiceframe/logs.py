"""Logging: the standard library's, with the call on every line.

Voiceframe logs below the logger `voiceframe`: one line per turn at INFO, faults above it, and nothing of what people
said above DEBUG. A program that configures logging itself needs nothing of this but `CallFilter`, which puts `call`,
`turn` and `processor` on each record.
"""

from __future__ import annotations

import json as _json
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from .errors import ConfigurationError, VoiceframeError

__all__ = [
    "CallFilter",
    "JSONFormatter",
    "TextFormatter",
    "call_id",
    "configure_logging",
    "log_context",
    "log_turn",
    "processor_name",
    "turn_number",
]

#: What `log_context()` says about the code that runs now; an asyncio task inherits it.
call_id: Final[ContextVar[str | None]] = ContextVar("voiceframe_call", default=None)
turn_number: Final[ContextVar[int | None]] = ContextVar("voiceframe_turn", default=None)
processor_name: Final[ContextVar[str | None]] = ContextVar("voiceframe_processor", default=None)

_turns = logging.getLogger("voiceframe.turns")

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@contextmanager
def log_context(*, call: str | None = None, turn: int | None = None, processor: str | None = None) -> Iterator[None]:
    """Puts these on every record that is logged inside; those left out stay as they are."""
    with ExitStack() as stack:
        if call is not None:
            stack.callback(call_id.reset, call_id.set(call))
        if turn is not None:
            stack.callback(turn_number.reset, turn_number.set(turn))
        if processor is not None:
            stack.callback(processor_name.reset, processor_name.set(processor))
        yield


class CallFilter(logging.Filter):
    """Puts `call`, `turn` and `processor` on each record, and lets everything pass.

    What `extra={"call": ...}` says comes first, then `log_context()`, then what the engine is doing now, which is read
    off the stack: nothing is kept up to date for the case that somebody logs.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        place: tuple[str | int | None, ...] | None = None
        for index, (name, variable) in enumerate(_CONTEXT):
            if hasattr(record, name):
                continue
            value = variable.get()
            if value is None:
                place = place or _here()
                value = place[index]
            setattr(record, name, value)
        return True


_CONTEXT: Final[tuple[tuple[str, ContextVar[Any]], ...]] = (
    ("call", call_id),
    ("turn", turn_number),
    ("processor", processor_name),
)


def _here() -> tuple[str | int | None, ...]:
    # A program that has no call has not loaded the engine, and need not for a line in the log.
    if "voiceframe.engine" not in sys.modules:
        return None, None, None
    from .whereabouts import here

    return here()


class _Formatter(logging.Formatter):
    """What both formats share: UTC, and no words of an exception unless its line or its logger is at DEBUG.

    The message of an exception may quote what a caller said; its type, its place in the source, and the messages of our
    own errors never do.
    """

    def __init__(self, *, quote_errors: bool = False) -> None:
        super().__init__()
        self._quote = quote_errors

    def message(self, record: logging.LogRecord) -> str:
        arguments = record.args
        if self._quote or record.levelno <= logging.DEBUG or not arguments:
            return record.getMessage()
        if isinstance(arguments, Mapping):
            values: Any = {name: _discreet(value) for name, value in arguments.items()}
        else:
            values = tuple(_discreet(value) for value in arguments)
        text: str = str(record.msg) % values
        return text

    def exception(self, record: logging.LogRecord) -> str | None:
        if not record.exc_info or record.exc_info[1] is None:
            return None
        error = record.exc_info[1]
        if self._quote or record.levelno <= logging.DEBUG:
            return "".join(traceback.format_exception(error)).rstrip()
        return "\n".join(_discreet_traceback(error))


class TextFormatter(_Formatter):
    """`2026-01-01T00:00:00.000Z INFO voiceframe.turns [call-1 turn 3 Agent] message`"""

    def format(self, record: logging.LogRecord) -> str:
        context = [getattr(record, "call", None), getattr(record, "turn", None), getattr(record, "processor", None)]
        if context[1] is not None:
            context[1] = f"turn {context[1]}"
        where = " ".join(str(part) for part in context if part is not None)
        head = f"{_time(record)} {record.levelname} {record.name}"
        line = f"{head} [{where}] {self.message(record)}" if where else f"{head} {self.message(record)}"
        exception = self.exception(record)
        return f"{line}\n{exception}" if exception else line


class JSONFormatter(_Formatter):
    """One object per line: time, level, logger, call, turn, processor, message; `exception` and `data` if any."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "call": getattr(record, "call", None),
            "turn": getattr(record, "turn", None),
            "processor": getattr(record, "processor", None),
            "message": self.message(record),
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        if exception := self.exception(record):
            fields["exception"] = exception
        if data := getattr(record, "data", None):
            fields["data"] = data
        return _json.dumps(fields, ensure_ascii=False, default=str)


def configure_logging(
    level: str | None = None, *, json: bool | None = None, stream: TextIO | None = None
) -> logging.Handler:
    """Writes the log of Voiceframe to `stream` (standard error), and returns the handler.

    What is left out comes from the environment: `VOICEFRAME_LOG_LEVEL` (INFO) and `VOICEFRAME_LOG` (`json` or `text`).
    Called again it replaces what it did before; handlers of others stay. Raises `ConfigurationError`.
    """
    level = _choice("VOICEFRAME_LOG_LEVEL", level, "INFO", _LEVELS, str.upper)
    if json is None:
        json = _choice("VOICEFRAME_LOG", None, "text", ("text", "json"), str.lower) == "json"
    quote = level == "DEBUG"
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.set_name("voiceframe")
    handler.setFormatter(JSONFormatter(quote_errors=quote) if json else TextFormatter(quote_errors=quote))
    handler.addFilter(CallFilter())
    logger = logging.getLogger("voiceframe")
    for other in [h for h in logger.handlers if h.get_name() == "voiceframe"]:
        logger.removeHandler(other)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False  # else a root logger that is configured as well would say everything twice
    return handler


def log_turn(
    call: str,
    turn: int,
    outcome: str,
    *,
    latency_ms: int | None = None,
    parts: Mapping[str, int] | None = None,
) -> None:
    """The one line of a turn: its outcome (`answered`, `unanswered: deadline`, `skipped: on hold`) and its latency.

    `turn 3 answered in 820 ms (vad 200, stt 120, turn 0, llm 300, tts 200)`
    """
    if not _turns.isEnabledFor(logging.INFO):
        return
    message = f"turn {turn} {outcome}"
    if latency_ms is not None:
        message += f" in {latency_ms} ms"
    if parts:
        message += f" ({', '.join(f'{name} {ms}' for name, ms in parts.items())})"
    data = {"outcome": outcome, "latency_ms": latency_ms, "parts": dict(parts or {})}
    _turns.info("%s", message, extra={"call": call, "turn": turn, "data": data})


def _choice(variable: str, given: str | None, default: str, choices: tuple[str, ...], fold: Any) -> str:
    where = "the environment" if given is None else "configure_logging(...)"
    value = os.environ.get(variable) if given is None else given
    chosen: str = fold(value or default)
    if chosen not in choices:
        raise ConfigurationError.of(
            "settings.type", where=where, name=variable, value=value, expected=f"one of {', '.join(choices)}"
        )
    return chosen


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _discreet(value: object) -> object:
    if isinstance(value, BaseException) and not isinstance(value, VoiceframeError):
        return type(value).__name__
    return value


def _discreet_traceback(error: BaseException) -> Iterator[str]:
    """The traceback with its causes, without the messages of errors that are not ours."""
    if error.__cause__ is not None:
        yield from _discreet_traceback(error.__cause__)
        yield "The above exception was the direct cause of the following exception:"
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _discreet_traceback(error.__context__)
        yield "During handling of the above exception, another exception occurred:"
    yield "Traceback (most recent call last):"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    yield f"{name}: {error}" if isinstance(error, VoiceframeError) else name
