"""A model without a model: it answers by rules, so that a bot can be tried without key, network or cost.

    model = model_or(
        Rehearsed(
            (r"invoice (\\d+)", call_tool("invoice", number="{1}")),
            (r"^invoice returned: (.*)", "It says: {1}. Is there anything else?"),
            (r"bye|nothing else", call_tool("hang_up", goodbye="Thank you for calling, goodbye!")),
            otherwise="I can look up invoices. What is the number?",
        )
    )

It knows no language: it can do what its rules say, as in a stage play. `voiceframe.talk.model_or()` puts a model that
was asked for in its place.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from .errors import ConfigurationError
from .llm import LLM, LLMRequest, Part, Stop, TextDelta, ToolCall, Usage

__all__ = ["Rehearsed", "call_tool"]

#: What is answered: a text, or parts. `{1}` in a text, or in an argument of a tool, is a group of the rule's pattern.
Answer: TypeAlias = str | Sequence[Part]
Rule: TypeAlias = tuple[str, Answer | Callable[[re.Match[str], LLMRequest], Answer]]
_MOST_TEXTS: Final = 1_000
_GROUP: Final = re.compile(r"\{(\d)\}")
_TAG: Final = re.compile(r"<note [^>]*>Information, not said by the caller: |</note>")


def call_tool(name: str, /, id: str = "tool-1", **arguments: Any) -> list[Part]:
    """An answer that calls a tool: `call_tool("book", day="Thursday")`."""
    return [ToolCall(id, name, arguments), Stop("tools")]


class Rehearsed(LLM):
    """Answers by the first rule whose pattern is found in what was said last. It serves any number of calls.

    One list of rules serves all agents of a squad: a rule is passed over whose tool the agent does not have, or which
    gives the tool a word that is none of those it can be given (`hand_off` to somebody who is no target).

    rules: each a regular expression (case ignored) and an answer: a text, parts (`call_tool()` makes
        them), or a function of the match and the request which returns one of these. `{1}` is the first group of
        the pattern. What is searched is all that has come since the model last spoke, a line for each: the results of
        tools, `<tool> returned: <result>` or `<tool> failed: <error>`, the words of the caller, and notes of other
        programs (who is given a caller by another agent finds the reason there).
    otherwise: the answer where no rule fits.
    delay_ms: until an answer begins. word_ms: between its words.

    Raises `ConfigurationError` (`rehearsed.rule`) for what is no rule.
    """

    name, vendor, model = "rehearsed", "rehearsed", "rules"

    def __init__(self, *rules: Rule, otherwise: Answer, delay_ms: int = 250, word_ms: int = 15) -> None:
        self._rules = []
        for pattern, answer in rules:
            try:
                self._rules.append((re.compile(pattern, re.IGNORECASE | re.MULTILINE), answer))
            except re.error as error:
                raise ConfigurationError.of("rehearsed.rule", pattern=pattern, error=error) from None
        self._otherwise = otherwise
        self._said: dict[str, None] = {}  # its own words, to be told from those of tools that ask the caller
        self._delay_s, self._word_s = delay_ms / 1000, word_ms / 1000

    def answer(self, request: LLMRequest) -> list[Part]:
        """The parts of the answer to this request."""
        said = self._unanswered(request)
        found: Answer = self._otherwise
        match: re.Match[str] | None = None
        for pattern, answer in self._rules:
            match = pattern.search(said)
            if match is not None:
                chosen = answer(match, request) if callable(answer) else answer
                if _possible(chosen, request):
                    found = chosen
                    break
        else:
            match = None
        parts: list[Part] = [TextDelta(found), Stop()] if isinstance(found, str) else list(found)
        taken = {call.id for message in request.messages for call in message.tool_calls}
        types = {tool.name: tool.parameters.get("properties", {}) for tool in request.tools}
        parts = [_filled(part, match, f"tool-{len(taken) + 1}-{n}", types) for n, part in enumerate(parts)]
        text = "".join(part.text for part in parts if isinstance(part, TextDelta)).strip()
        if text:
            self._said[text] = None
            if len(self._said) > _MOST_TEXTS:
                del self._said[next(iter(self._said))]
        return parts

    def _unanswered(self, request: LLMRequest) -> str:
        """What has come since the model last spoke. A tool may have asked the caller something in between."""
        calls = {call.id: call.name for each in request.messages for call in each.tool_calls}
        lines: list[str] = []
        for message in reversed(request.messages):
            if message.role == "system" or message.tool_calls:
                break
            if message.role == "assistant":
                if any(said in message.text or said.startswith(message.text) for said in self._said):
                    break
            elif message.role == "tool":
                came = "failed" if message.failed else "returned"
                lines.append(f"{calls.get(message.call_id or '', 'a tool')} {came}: {message.text}")
            else:
                lines.append(_TAG.sub("", message.text))
        return "\n".join(reversed(lines))

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        await asyncio.sleep(self._delay_s)
        words = 0
        for part in self.answer(request):
            if isinstance(part, TextDelta):
                for word in re.findall(r"\s*\S+\s*", part.text):
                    words += 1
                    await asyncio.sleep(self._word_s)
                    yield TextDelta(word)
                continue
            if isinstance(part, Stop):
                yield Usage(sum(len(message.text.split()) for message in request.messages), words)
            yield part


def _possible(answer: Answer, request: LLMRequest) -> bool:
    """Whether the tools of the answer are there, and take what is chosen of a few words."""
    tools = {tool.name: tool.parameters.get("properties", {}) for tool in request.tools}
    calls = () if isinstance(answer, str) else [part for part in answer if isinstance(part, ToolCall)]
    return all(
        call.name in tools
        and all(value in tools[call.name].get(name, {}).get("enum", [value]) for name, value in call.arguments.items())
        for call in calls
    )


def _filled(part: Part, match: re.Match[str] | None, id: str, types: Mapping[str, Any]) -> Part:
    """The part with the groups of the pattern, and a call of a tool with an id that no other one has."""
    if isinstance(part, TextDelta):
        return TextDelta(_put(part.text, match))
    if isinstance(part, ToolCall):
        wanted = types.get(part.name, {})
        given = {name: _put(value, match) for name, value in part.arguments.items()}
        for name, value in given.items():
            if wanted.get(name, {}).get("type") == "integer" and isinstance(value, str) and value.isdecimal():
                given[name] = int(value)
        return replace(part, id=id, arguments=given)
    return part


def _put(value: Any, match: re.Match[str] | None) -> Any:
    """The value with the groups in place of `{1}`; also in what is nested."""
    if isinstance(value, str) and match is not None:
        return _GROUP.sub(lambda found: _group(match, int(found[1]), found[0]), value)
    if isinstance(value, list | tuple):
        return [_put(each, match) for each in value]
    if isinstance(value, dict):
        return {name: _put(each, match) for name, each in value.items()}
    return value


def _group(match: re.Match[str], number: int, otherwise: str) -> str:
    return (match[number] or "") if number <= (match.re.groups or 0) else otherwise
