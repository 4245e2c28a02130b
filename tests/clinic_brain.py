"""A model of the clinic's agent without a model: its answers are those of the clinic's dialog, for any conversation."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, cast
from unittest.mock import Mock

from voiceframe.demo import clinic
from voiceframe.demo.calendar import Booked, Calendar
from voiceframe.flow import Context, Do, End, FlowSettings, Handoff, Wording
from voiceframe.flow.dialog import Dialog
from voiceframe.flow.places import here
from voiceframe.flow.validate import checked
from voiceframe.llm import LLM, LLMRequest, Message, Part, Stop, TextDelta, ToolCall, Usage
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.testing.providers.scripts import Broken, Thought
from voiceframe.testing.providers.server import Asked

_KEYS: Final = re.compile(r"\(Keys pressed: (.*)\)")
_RESULTS: Final = {"Booked": Booked, "Busy": clinic.Busy, "Full": clinic.Full}


class Brain:
    """What the dialog says, as the answer of a model. calendar: whose doctors and patients it knows."""

    def __init__(self, calendar: Calendar, now: datetime) -> None:
        self._context = Context(now, Mock(data={"calendar": calendar}))

    def answer(self, messages: Sequence[Message]) -> list[Part]:
        """The answer to this conversation, which has the same beginning as one that was answered before."""
        dialog = self._dialog()
        dialog.begin()
        text, _, effect = dialog.take()
        calls = 0
        for message in messages:
            if message.role == "user":
                for line in message.text.split("\n"):
                    self._hear(dialog, line)
                    text, _, effect = dialog.take()
            elif message.role == "tool" and isinstance(effect, Do):
                calls += 1
                dialog.tool_done(effect, _value(message), failed=message.failed)
                text, _, effect = dialog.take()
        said: list[Part] = [TextDelta(text)] if text and not isinstance(effect, Handoff) else []
        if isinstance(effect, Do):
            names = [field for field in effect.tool.parameters if field in dialog.values]
            arguments = {name: _plain(dialog.values[name]) for name in names}
            return [*said, ToolCall(f"call_{calls}", effect.tool.name, arguments), Stop("tools")]
        if isinstance(effect, End):
            return [*said, ToolCall(f"call_{calls}_end", "hang_up", {}), Stop("tools")]
        if isinstance(effect, Handoff):
            arguments = {"summary": dialog.summary() or "They want a person."}
            return [*said, ToolCall(f"call_{calls}_end", "put_through", arguments), Stop("tools")]
        return [*said, Stop()]

    def _dialog(self) -> Dialog:
        wording = Wording()
        states, slots = checked(
            tuple(clinic.STATES),
            start="welcome",
            person="reception",
            give_up=None,
            given=(),
            universals=wording.universals,
            place=here(),
        )
        return Dialog(
            states,
            slots,
            start="welcome",
            person="reception",
            give_up=None,
            settings=FlowSettings(),
            wording=wording,
            context=lambda values: Context(self._context.now, self._context.call, values),
            values={},
        )

    @staticmethod
    def _hear(dialog: Dialog, line: str) -> None:
        keys = _KEYS.fullmatch(line)
        if keys is not None:
            dialog.keys(keys[1])
        else:
            dialog.hear([] if line == "(not understood)" else [(line, 1.0)])


def _value(message: Message) -> Any:
    if message.failed:
        return None
    found = json.loads(message.text)
    cls = cast("Any", _RESULTS[found["result"]])
    return cls(**{field.name: found[field.name] for field in fields(cls)})


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


class BrainLLM(LLM):
    """The brain as a model of virtual time: `delay_ms` until the first word, then `word_ms` for each."""

    name, vendor, model = "scripted/clinic", "scripted", "clinic"

    def __init__(self, brain: Brain, *, delay_ms: int = 300, word_ms: int = 20) -> None:
        self.brain = brain
        self.requests: list[LLMRequest] = []
        self._delay_s, self._word_s = delay_ms / 1000, word_ms / 1000

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        self.requests.append(request)
        await asyncio.sleep(self._delay_s)
        for part in self.brain.answer(request.messages[1:]):
            if isinstance(part, TextDelta):
                for word in re.findall(r"\S+\s*", part.text):
                    await asyncio.sleep(self._word_s)
                    yield TextDelta(word)
            else:
                if isinstance(part, Stop):
                    yield Usage(1_000, 20)
                yield part


class ListingOpenAI(FakeOpenAI):
    """With a list of its models. models: their names."""

    def __init__(self, *args: Any, models: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.models = models

    async def _models(self, asked: Asked) -> Mapping[str, Any]:
        listed = [{"id": name, "object": "model", "created": 1, "owned_by": "fake"} for name in self.models]
        return {"object": "list", "data": listed}


class BrainOpenAI(ListingOpenAI):
    """The brain behind OpenAI's protocol."""

    def __init__(self, brain: Brain, **more: Any) -> None:
        super().__init__(**more)
        self.brain = brain

    def next_answer(self, body: dict[str, Any]) -> tuple[list[Part | Broken | Thought], Usage, str]:
        messages = []
        for each in body["messages"]:
            role, text = each["role"], each["content"] or ""
            if role in ("user", "assistant", "tool"):
                # What a tool of the clinic returns is an object, and an error is a sentence.
                messages.append(Message(role, text, failed=role == "tool" and not text.startswith("{")))
        self.answers = [cast("Any", self.brain.answer(messages))]
        return super().next_answer(body)
