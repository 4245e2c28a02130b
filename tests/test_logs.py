"""The log names the call on every line, has one line per turn, and quotes nobody above DEBUG."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from voiceframe.errors import ConfigurationError, StoreError
from voiceframe.logs import CallFilter, configure_logging, log_context, log_turn

LOG = logging.getLogger("voiceframe.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger("voiceframe")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before
    logger.setLevel(before[1])


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def fail_on(words: str) -> None:
    try:
        try:
            int(words)  # Python's own message quotes them
        except ValueError as error:
            raise StoreError.of("store.url", url="here") from error
    except StoreError:
        LOG.exception("could not")


def test_a_line_names_the_call_the_turn_and_the_processor(out: io.StringIO) -> None:
    configure_logging("INFO", stream=out, json=False)
    LOG.info("outside")
    with log_context(call="call-1", turn=3):
        with log_context(processor="Agent"):
            LOG.info("inside %d", 1)
        LOG.info("between")
    LOG.info("after")
    lines = [line.split(" ", 1)[1] for line in out.getvalue().splitlines()]
    assert lines == [
        "INFO voiceframe.test outside",
        "INFO voiceframe.test [call-1 turn 3 Agent] inside 1",
        "INFO voiceframe.test [call-1 turn 3] between",
        "INFO voiceframe.test after",
    ]


def test_json_has_one_object_per_line(out: io.StringIO) -> None:
    configure_logging("INFO", stream=out, json=True)
    with log_context(call="call-1", turn=3, processor="Agent"):
        LOG.warning("two\nlines")
    (line,) = out.getvalue().splitlines()
    fields = json.loads(line)
    assert fields.pop("time").endswith("Z")
    assert fields == {
        "level": "WARNING",
        "logger": "voiceframe.test",
        "call": "call-1",
        "turn": 3,
        "processor": "Agent",
        "message": "two\nlines",
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_the_words_of_foreign_errors_are_left_out_above_debug(out: io.StringIO, as_json: bool) -> None:
    configure_logging("INFO", stream=out, json=as_json)
    fail_on("my name is Ann")
    LOG.error("failed: %r", ValueError("my name is Ann"))
    LOG.error("failed: %(error)s", {"error": ValueError("my name is Ann")})
    text = out.getvalue()
    assert "Ann" not in text
    assert text.count("ValueError") == 3
    assert "fail_on" in text  # the place in the source is there
    assert "store.url" in text  # and so are our own words


def test_at_debug_errors_are_quoted(out: io.StringIO) -> None:
    configure_logging("DEBUG", stream=out, json=False)
    fail_on("my name is Ann")
    assert "my name is Ann" in out.getvalue()


def test_a_turn_is_one_line_at_info(out: io.StringIO) -> None:
    configure_logging("INFO", stream=out, json=False)
    log_turn("call-1", 3, "answered", latency_ms=820, parts={"vad": 200, "llm": 620})
    log_turn("call-1", 4, "unanswered: deadline")
    first, second = out.getvalue().splitlines()
    assert first.endswith("INFO voiceframe.turns [call-1 turn 3] turn 3 answered in 820 ms (vad 200, llm 620)")
    assert second.endswith("[call-1 turn 4] turn 4 unanswered: deadline")


def test_a_turn_in_json_has_its_numbers(out: io.StringIO) -> None:
    configure_logging("INFO", stream=out, json=True)
    log_turn("call-1", 3, "answered", latency_ms=820, parts={"vad": 200, "llm": 620})
    fields = json.loads(out.getvalue())
    assert (fields["call"], fields["turn"]) == ("call-1", 3)
    assert fields["data"] == {"outcome": "answered", "latency_ms": 820, "parts": {"vad": 200, "llm": 620}}


def test_what_is_left_out_comes_from_the_environment(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_LOG", "json")
    monkeypatch.setenv("VOICEFRAME_LOG_LEVEL", "warning")
    configure_logging(stream=out)
    LOG.info("too quiet")
    LOG.warning("heard")
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["heard"]


@pytest.mark.parametrize(("variable", "value"), [("VOICEFRAME_LOG", "xml"), ("VOICEFRAME_LOG_LEVEL", "loud")])
def test_a_wrong_choice_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        configure_logging()


def test_configuring_again_replaces_the_first_and_keeps_the_handlers_of_others(out: io.StringIO) -> None:
    logger = logging.getLogger("voiceframe")
    other = logging.NullHandler()
    logger.addHandler(other)
    configure_logging("INFO", stream=io.StringIO(), json=False)
    configure_logging("INFO", stream=out, json=False)
    LOG.info("once")
    assert len(out.getvalue().splitlines()) == 1
    assert other in logger.handlers


def test_the_filter_serves_a_handler_of_ones_own() -> None:
    handler = _Keeping()
    handler.addFilter(CallFilter())
    LOG.addHandler(handler)
    with log_context(call="call-1"):
        LOG.error("x")
    LOG.error("y", extra={"call": "given"})
    LOG.removeHandler(handler)
    assert [record.__dict__["call"] for record in handler.records] == ["call-1", "given"]


class _Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


async def test_a_line_that_is_logged_in_a_call_has_the_call_the_turn_and_the_processor() -> None:
    import asyncio

    from voiceframe.frames import TranscriptionFrame, UserTurnFrame
    from voiceframe.processor import Processor, handles
    from voiceframe.testing import run

    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.addFilter(CallFilter())
    handler.emit = records.append  # type: ignore[assignment,method-assign]
    logger = logging.getLogger("somebody.elses")
    logger.addHandler(handler)
    logger.propagate = False

    class Talkative(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> None:
            logger.warning("def")

        @handles(UserTurnFrame)
        async def on_turn(self, frame: UserTurnFrame) -> None:
            await asyncio.sleep(1)
            logger.warning("async def")
            self.spawn(self.work())

        async def work(self) -> None:
            await asyncio.sleep(1)
            logger.warning("spawned")

    try:
        result = await run(Talkative(), frames=[TranscriptionFrame("a"), UserTurnFrame(1, "b"), 3_000])
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)
    call = result.events[0].call
    seen = [(r.getMessage(), *(getattr(r, name) for name in ("call", "turn", "processor"))) for r in records]
    assert seen == [
        ("def", call, None, "Talkative"),
        ("async def", call, 1, "Talkative"),
        ("spawned", call, 1, "Talkative"),
        ("outside", None, None, None),
    ]
