"""What every language model must do, as tests: inherit them, and say how yours is made.

    @pytest.mark.real_time
    class TestOpenAIChat(LLMConformance):
        def fake(self, *answers: Answer) -> FakeLLM:
            return FakeOpenAI(answers)

        def model(self, url: str, settings: LLMSettings) -> LLM:
            return OpenAI("gpt-4.1-mini", place=Place(url + "/v1"), api_key="key", settings=settings)

The model talks to a local server by its SDK, over real sockets. `LLMLive` asks the real service instead.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import gc
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from ..errors import ProviderError
from ..llm import LLM, LLMRequest, Message, Part, Stop, TextDelta, ToolCall, ToolSpec, Usage
from ..providers.base import LLMSettings
from .providers.scripts import Answer, Broken, FakeLLM
from .providers.server import Fault

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["CONVERSATION", "TOOLS", "LLMConformance", "LLMLive", "conversations", "heard"]

#: Long enough for a busy machine, short enough for a test.
_SETTINGS: Final = LLMSettings(first_ms=3_000, silence_ms=3_000)
_HASTY: Final = LLMSettings(first_ms=600, silence_ms=200)

TOOLS: Final = (
    ToolSpec(
        "find_slots",
        "Free appointments of a day.",
        {
            "type": "object",
            "properties": {"day": {"type": "string"}, "doctor": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "required": ["day"],
            "additionalProperties": False,
        },
    ),
    ToolSpec("hang_up", "End the call.", {"type": "object", "properties": {}, "additionalProperties": False}),
)

#: All that a conversation may have: a greeting first, tools in parallel with results out of order, one that failed,
#: ids of another vendor, a turn that was not understood, two turns in a row, a message from the side.
CONVERSATION: Final = (
    Message("system", "You book appointments."),
    Message("assistant", "City clinic, hello!"),
    Message("user", "Tomorrow?"),
    Message("user", ""),
    Message(
        "assistant",
        "One moment.",
        (ToolCall("toolu:1/a", "find_slots", {"day": "mon"}), ToolCall("x" * 60, "find_slots", {"day": "tue"})),
    ),
    Message("tool", "nothing", call_id="x" * 60),
    Message("tool", "closed", call_id="toolu:1/a", failed=True),
    Message("assistant", "", (ToolCall("c3", "find_slots", {}, error="no JSON"),)),
    Message("tool", "", call_id="c3"),
    Message("system", "They are an old patient."),
    Message("assistant", " "),
    Message("assistant", "Not tomorrow."),
    Message("user", "Then when?"),
)

_TEXT: Final = "On Thursday at ten there is one."
_CALLS: Final = (
    TextDelta("I look."),
    ToolCall("call_a", "find_slots", {"day": "Thursday", "doctor": "Dr. Jäger"}),
    ToolCall("call_b", "hang_up", {}),
)


async def heard(llm: LLM, request: LLMRequest) -> list[Part]:
    """All parts of an answer."""
    async with contextlib.aclosing(llm.stream(request)) as stream:
        return [part async for part in stream]


def _ask(text: str = "When can I come?", **more: Any) -> LLMRequest:
    return LLMRequest((Message("system", "Be brief."), Message("user", text)), **more)


def _said(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextDelta))


def _calls(parts: list[Part]) -> list[ToolCall]:
    return [part for part in parts if isinstance(part, ToolCall)]


class LLMConformance(abc.ABC):
    """The tests. All of them are asynchronous, and want a real event loop."""

    @abc.abstractmethod
    def fake(self, *answers: Answer) -> FakeLLM:
        """The vendor's local server, with this script."""

    @abc.abstractmethod
    def model(self, url: str, settings: LLMSettings) -> LLM:
        """The model, at the server with this URL, with the key `"key"`."""

    #: The vendor's name of an error in the middle of an answer that is worth another attempt.
    overloaded: str = "server_error"
    #: What the model counts: a compatible server may count nothing.
    counts: bool = True

    async def _with(
        self,
        test: Callable[[FakeLLM, LLM], Awaitable[None]],
        *answers: Answer,
        settings: LLMSettings = _SETTINGS,
    ) -> None:
        async with self.fake(*(answers or (_TEXT,))) as fake:
            llm = self.model(fake.url, settings)
            try:
                await test(fake, llm)
            finally:
                await llm.aclose()
                gc.collect()
                await asyncio.sleep(0.01)  # an SDK may leave generators to the loop, which closes them in a task

    async def test_an_answer_comes_in_pieces_and_ends_with_what_it_cost_and_why(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            parts = await heard(llm, _ask())
            assert _said(parts) == _TEXT
            assert sum(isinstance(part, TextDelta) for part in parts) > 3
            usage = [part for part in parts if isinstance(part, Usage)]
            assert [(u.input_tokens, u.output_tokens, u.cached_tokens) for u in usage] == (
                [(12, 7, 4)] if self.counts else []
            )
            assert parts[-1] == Stop("end")

        await self._with(test)

    async def test_tools_are_called_side_by_side_with_whole_arguments(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            parts = await heard(llm, _ask(tools=TOOLS))
            assert _said(parts) == "I look."
            assert [(c.name, dict(c.arguments), c.error) for c in _calls(parts)] == [
                ("find_slots", {"day": "Thursday", "doctor": "Dr. Jäger"}, ""),
                ("hang_up", {}, ""),
            ]
            first, second = _calls(parts)
            assert first.id
            assert second.id
            assert first.id != second.id
            assert parts[-1] == Stop("tools")
            answered = (
                *_ask().messages,
                Message("assistant", "I look.", (first, second)),
                Message("tool", "gone", call_id=second.id),
                Message("tool", "10:00", call_id=first.id),
            )
            assert _said(await heard(llm, LLMRequest(answered, TOOLS))) == _TEXT

        await self._with(test, _CALLS, _TEXT)

    async def test_arguments_that_are_no_object_are_told_and_not_made_up(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            for _ in range(3):
                parts, error = await _until_error(llm, _ask(tools=TOOLS))
                if error is not None:  # a vendor that notices itself
                    assert error.code == "provider.server"
                    continue
                calls = _calls(parts)
                assert [(c.name, dict(c.arguments)) for c in calls] == [("find_slots", {})]
                assert "JSON" in calls[0].error

        broken = [[ToolCall("c", "find_slots", {}, error=text)] for text in ('{"day": "Thu', "[1, 2]", "nonsense")]
        await self._with(test, *broken)

    async def test_whatever_is_a_conversation_is_accepted(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            for count in range(len(CONVERSATION) + 1):
                if count < len(CONVERSATION) and CONVERSATION[count].role == "tool":
                    continue  # no conversation: its call would have no result
                for tools in (TOOLS, ()):
                    request = LLMRequest(CONVERSATION[:count] or (Message("system", "Hello."),), tools)
                    assert _said(await heard(llm, request)) == _TEXT

        await self._with(test)

    async def test_what_is_no_conversation_is_refused_here(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            call = ToolCall("c", "find_slots", {})
            for messages in (
                (Message("user", "a"), Message("tool", "b", call_id="c")),
                (Message("assistant", "", (call,)), Message("user", "a")),
                (Message("assistant", "", (call,)), Message("tool", "b", call_id="d")),
                (Message("assistant", "", (call,)), Message("tool", "", call_id="c"), Message("tool", "", call_id="c")),
                (Message("assistant", "", (call, call)), Message("tool", "", call_id="c")),
            ):
                error = await _fails(llm, LLMRequest(messages))
                assert error.code == "provider.request"
                assert "conversation" in error.message
            assert not fake.bodies

        await self._with(test)

    async def test_how_to_answer_is_passed_on(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            schema = {
                "type": "object",
                "properties": {"day": {"type": "string"}},
                "required": ["day"],
                "additionalProperties": False,
            }
            for choice in ("auto", "none", "required", "find_slots"):
                await heard(llm, _ask(tools=TOOLS, tool_choice=choice, parallel_tools=False))
            assert _said(await heard(llm, _ask(schema=schema, temperature=0.25, max_tokens=77))) == _TEXT
            asked = json.dumps(fake.bodies[-1])
            assert all(found in asked for found in ("0.25", "77", '"day"'))

        await self._with(test)

    async def test_cut_at_every_boundary_it_is_asked_again_or_the_error_is_told_and_nothing_comes_twice(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            whole = _told(await heard(llm, _ask(tools=TOOLS)))
            pieces = 0
            while True:
                fake.faults.append(Fault(cut_after=pieces))
                asked = len(fake.asked)
                parts, error = await _until_error(llm, _ask(tools=TOOLS))
                if error is None and len(fake.asked) == asked + 1:
                    break  # behind the last piece
                if error is None:
                    assert _told(parts) == whole
                else:
                    assert (error.code, error.retryable) == ("provider.connection", True)
                    assert parts
                    assert _told(parts) == whole[: len(_told(parts))]
                    assert len(fake.asked) == asked + 1
                pieces += 1
                fake.faults.clear()
            assert pieces > 5

        await self._with(test, _CALLS)

    async def test_what_passes_is_tried_again_and_what_does_not_is_told_at_once(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            loop = asyncio.get_running_loop()
            for fault in (Fault(status=500), Fault(status=503), Fault(status=429, retry_after_ms=100)):
                fake.faults += (fault, fault)
                began = loop.time()
                assert _said(await heard(llm, _ask())) == _TEXT
                if fault.retry_after_ms is not None:
                    assert loop.time() - began >= 0.2
            for status, code in ((400, "request"), (401, "auth"), (403, "auth"), (404, "request"), (413, "request")):
                fake.faults.append(Fault(status=status))
                asked = len(fake.asked)
                error = await _fails(llm, _ask())
                assert (error.code, error.status) == (f"provider.{code}", status)
                assert len(fake.asked) == asked + 1
            fake.faults += [Fault(status=503)] * 3
            assert (await _fails(llm, _ask())).status == 503  # three attempts are all
            fake.faults.append(Fault(status=429, retry_after_ms=60_000))
            error = await _fails(llm, _ask())  # no caller waits a minute
            assert (error.code, error.retry_after_ms) == ("provider.rate-limit", 60_000)

        await self._with(test)

    async def test_an_error_in_the_middle_of_an_answer_is_told(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            parts, error = await _until_error(llm, _ask())
            assert _said(parts) == "On Thursday"
            assert error is not None
            assert (error.code, error.retryable) == ("provider.server", True)
            assert len(fake.bodies) == 1
            fake.answers = [[Broken(self.overloaded)], _TEXT]
            fake.bodies.clear()
            assert _said(await heard(llm, _ask())) == _TEXT  # nothing had come: it is asked again

        await self._with(test, [TextDelta("On Thursday"), Broken(self.overloaded)])

    async def test_what_is_no_message_is_told(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            for count in range(4):
                fake.faults.append(Fault(garble_after=count))
                parts, error = await _until_error(llm, _ask())
                assert error is not None
                assert error.code == "provider.protocol"
                assert _TEXT.startswith(_said(parts))

        await self._with(test)

    async def test_silence_is_told_in_time(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            loop = asyncio.get_running_loop()
            await llm.warm()
            for fault, setting in ((Fault(hang_after=0), "first_ms"), (Fault(hang_after=6), "silence_ms")):
                fake.faults.append(fault)
                began = loop.time()
                parts, error = await _until_error(llm, _ask())
                assert error is not None
                assert error.code == "provider.silent"
                assert setting in error.fix
                assert bool(parts) == (setting == "silence_ms")
                assert loop.time() - began < 2.0
            await _closed(fake)

        await self._with(test, settings=_HASTY)

    async def test_closing_an_answer_cancels_the_request_at_once(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            fake.faults.append(Fault(delay_ms=20))
            stream = llm.stream(_ask())
            assert isinstance(await anext(stream), TextDelta)
            assert fake.connections == 1
            await stream.aclose()
            await _closed(fake)
            fake.faults.append(Fault(hang_after=4))
            task = asyncio.create_task(heard(llm, _ask()))
            while fake.connections == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await _closed(fake)
            assert _said(await heard(llm, _ask())) == _TEXT

        await self._with(test)

    async def test_one_connection_serves_turn_after_turn_and_nothing_of_an_answer_is_left(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            for _ in range(3):
                await heard(llm, _ask(tools=TOOLS))
            assert len(fake.lines) == 1
            for count in range(1, 5):
                stream = llm.stream(_ask(tools=TOOLS))
                for _ in range(count):
                    await anext(stream)
                await stream.aclose()
                for _ in range(10):  # an SDK may have dropped generators of its own, which the loop closes at once
                    await asyncio.sleep(0)
                left = [task for task in asyncio.all_tasks() if "async_generator" in repr(task.get_coro())]
                assert not left

        await self._with(test, _CALLS)

    async def test_one_model_serves_many_calls_at_once(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            answers = await asyncio.gather(*(heard(llm, _ask(f"Question {n}?")) for n in range(8)))
            assert [_said(answer) for answer in answers] == [_TEXT] * 8

        await self._with(test)

    async def test_a_connection_is_ready_and_a_server_that_is_down_harms_nothing_yet(self) -> None:
        async def test(fake: FakeLLM, llm: LLM) -> None:
            await llm.warm()
            assert len(fake.asked) == 1
            assert not fake.bodies
            await fake.__aexit__()
            await llm.warm()
            error = await _fails(llm, _ask())
            assert (error.code, error.retryable) == ("provider.connection", True)

        async with contextlib.AsyncExitStack() as stack:
            fake = self.fake(_TEXT)
            await fake.__aenter__()
            llm = self.model(fake.url, _SETTINGS)
            stack.push_async_callback(llm.aclose)
            await test(fake, llm)


def _told(parts: list[Part]) -> list[object]:
    """Parts without what may differ from one request to the next."""
    return [(part.name, dict(part.arguments), part.error) if isinstance(part, ToolCall) else part for part in parts]


async def _until_error(llm: LLM, request: LLMRequest) -> tuple[list[Part], ProviderError | None]:
    parts: list[Part] = []
    try:
        async with contextlib.aclosing(llm.stream(request)) as stream:
            async for part in stream:
                parts.append(part)  # noqa: PERF401
    except ProviderError as error:
        return parts, error
    return parts, None


async def _fails(llm: LLM, request: LLMRequest) -> ProviderError:
    parts, error = await _until_error(llm, request)
    assert error is not None, "there was no error"
    assert not parts
    return error


async def _closed(fake: FakeLLM) -> None:
    """The server has seen that the client is gone."""
    async with asyncio.timeout(1):
        while fake.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class LLMLive(abc.ABC):
    """The same of the real service, as far as it can be asked for: mark the class `live`, and set the key."""

    @abc.abstractmethod
    def live_model(self) -> LLM:
        """The model, as a user makes it."""

    async def test_it_answers_and_calls_tools(self) -> None:
        llm = self.live_model()
        try:
            parts = await heard(llm, _ask("Say the word pear, and nothing else."))
            assert "pear" in _said(parts).casefold()
            assert parts[-1] == Stop("end")
            request = _ask("What is free on Thursday?", tools=TOOLS, tool_choice="required")
            calls = _calls(await heard(llm, request))
            assert calls[0].name == "find_slots"
            messages = (
                *request.messages,
                Message("assistant", "", tuple(calls)),
                *(Message("tool", "only 10:30", call_id=call.id) for call in calls),
            )
            assert "10" in _said(await heard(llm, LLMRequest(messages, TOOLS)))
        finally:
            await llm.aclose()

    async def test_it_accepts_whatever_is_a_conversation(self) -> None:
        llm = self.live_model()
        try:
            assert isinstance((await heard(llm, LLMRequest(CONVERSATION, TOOLS)))[-1], Stop)
        finally:
            await llm.aclose()


def conversations(tools: tuple[ToolSpec, ...] = TOOLS) -> SearchStrategy[tuple[Message, ...]]:
    """Any valid conversation (see `Message`), for property tests with hypothesis."""
    from hypothesis import strategies as st

    text = st.one_of(st.just(""), st.just("  "), st.text(max_size=20))
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
        max_leaves=4,
    )
    names = st.sampled_from([tool.name for tool in tools] or ["gone"])

    @st.composite
    def called(draw: st.DrawFn) -> list[Message]:
        ids = draw(st.lists(st.text(min_size=1, max_size=50), min_size=1, max_size=3, unique=True))
        arguments = st.dictionaries(st.text(max_size=6), values, max_size=2)
        calls = tuple(ToolCall(id, draw(names), draw(arguments)) for id in ids)
        order = draw(st.permutations(ids))
        results = [Message("tool", draw(text), call_id=id, failed=draw(st.booleans())) for id in order]
        return [Message("assistant", draw(text), calls), *results]

    said = st.builds(Message, st.sampled_from(["user", "assistant", "system"]), text).map(lambda message: [message])
    systems = st.lists(st.builds(Message, st.just("system"), text), max_size=2)
    rest = st.lists(st.one_of(said, called()), max_size=7)
    return st.tuples(systems, rest).map(lambda both: (*both[0], *(m for part in both[1] for m in part))).filter(bool)
