"""The context: the conversation as it was heard, with the tools that were called, as messages for a model.

What every vendor takes is kept whatever happens in the call: see `messages`. What is too long loses its oldest turns,
and never the last two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from ...llm import Message, ToolSpec
from .entries import Answer, Called, Entry, Note, Turn, View
from .messages import caller_last, groups_of, merged, messages_of, shortened, tokens_of, tokens_of_spec

__all__ = ["Answer", "Called", "Conversation", "Note", "Turn", "View", "tokens_of"]

#: Turns that are kept whatever they cost.
_LAST: Final = 2
_SUMMARY: Final = "(Summary of the conversation until here: {text})"


class Conversation:
    """The turns and answers of one call, in order.

    live: whether a reply (by its number) is still being spoken, and not interrupted.
    """

    def __init__(self, live: Callable[[int], bool], *, result_chars: int = 8_000) -> None:
        self._live = live
        self._result_chars = result_chars
        self.entries: list[Entry] = []
        self._answers: dict[int, Answer] = {}
        #: Of an agent that is alone.
        self.view = View()

    # -- what happens

    def turn(self, turn: int, text: str) -> None:
        """The caller has said something."""
        self.entries.append(Turn(turn, text))

    def answer(self, reply: int) -> Answer:
        """The entry of a reply; made where there is none."""
        found = self._answers.get(reply)
        if found is None:
            found = self._answers[reply] = Answer(reply)
            self.entries.append(found)
        return found

    def heard(self, reply: int, text: str) -> None:
        """The caller has heard more of a reply."""
        if text:
            self.answer(reply).heard += text

    def note(self, note: Note) -> None:
        """A program tells something: it is in all requests from now on."""
        self.entries.append(note)

    def seen(self, view: View) -> None:
        """A model is asked with all that this view has."""
        for entry in self.entries[view.first :]:
            if isinstance(entry, Note) and view.shows(entry):
                entry.seen = True

    def result(self, called: Called, text: str, *, failed: bool = False) -> None:
        """A tool has returned, whenever that is."""
        if len(text) > self._result_chars:
            text = f"{text[: self._result_chars]} (cut: {len(text)} characters)"
        called.text, called.failed = text.strip() or "Done.", failed

    def ids(self) -> set[str]:
        """The ids of all calls of tools."""
        return {called.id for answer in self._answers.values() for part in answer.parts for called in part.calls}

    # -- as messages

    def messages(self, who: str = "") -> tuple[Message, ...]:
        """All of it, as it was heard; who: as this agent sees it."""
        return tuple(messages_of(self.entries, lambda answer: True, View(who)))

    def made(self, view: View) -> tuple[Message, ...]:
        """All that this view has, with what is being said as it was made."""
        return (*self._before(view), *messages_of(self.entries[view.first :], self._was_heard, view))

    def request(
        self,
        system: str,
        tools: Sequence[ToolSpec] = (),
        *,
        budget: int,
        extra: str = "",
        view: View | None = None,
    ) -> tuple[Message, ...]:
        """What a model is asked: instructions, and as much of the conversation as `budget` tokens hold.

        extra: a turn that is not committed yet.
        """
        view = view or self.view
        entries = self.entries[view.first :]
        if extra.strip():
            entries = [*entries, Turn(0, extra)]
        head = [Message("system", system)] if system else []
        before = self._before(view)
        room = budget - sum(map(tokens_of, (*head, *before))) - sum(map(tokens_of_spec, tools))
        groups = groups_of(entries)
        made = [messages_of(group, self._was_heard, view) for group in groups]
        costs = [sum(map(tokens_of, group)) for group in made]
        first = 0
        while sum(costs[first:]) > room and len(groups) - first > _LAST:
            first += 1
        kept = caller_last(merged([*before, *(message for group in made[first:] for message in group)]))
        if sum(map(tokens_of, kept)) > room:
            kept = shortened(kept, room)
        return (*head, *kept)

    def _before(self, view: View) -> list[Message]:
        """What stands in the place of entries that are not seen."""
        return [*view.head, Message("user", _SUMMARY.format(text=view.summary))] if view.summary else [*view.head]

    def _was_heard(self, answer: Answer) -> bool:
        # What others say is known only as it is heard.
        return not answer.said or not self._live(answer.reply)

    # -- summarizing

    def size(self, view: View | None = None) -> int:
        """What the part that is not summarized costs, in tokens."""
        view = view or self.view
        entries = messages_of(self.entries[view.first :], self._was_heard, view)
        return sum(map(tokens_of, (*view.head, *entries)))

    def old(self, keep_turns: int, view: View | None = None) -> tuple[int, str]:
        """What can be summarized: how many entries are over then, and their text with the summary so far."""
        view = view or self.view
        groups = groups_of(self.entries[view.first :])
        old = [entry for group in groups[: -max(keep_turns, _LAST)] for entry in group]
        # A tool that still runs belongs to the present, and so does what comes after it.
        for index, entry in enumerate(old):
            if isinstance(entry, Answer) and (
                self._live(entry.reply) or any(called.text is None for part in entry.parts for called in part.calls)
            ):
                old = old[:index]
                break
        lines = [f"Summary so far: {view.summary}"] if view.summary and old else []
        for message in (*(view.head if old else ()), *messages_of(old, lambda answer: True, view)):
            who = {"user": "Caller", "assistant": "You", "tool": "Result", "system": "Note"}[message.role]
            if message.text:
                lines.append(f"{who}: {message.text}")
            lines += [f"You called {call.name} with {json.dumps(dict(call.arguments))}" for call in message.tool_calls]
        return view.first + len(old), "\n".join(lines)

    def summarize(self, until: int, summary: str, view: View | None = None) -> None:
        """The entries before `until` are in this summary, and so is what stood in the place of others."""
        view = view or self.view
        if until > view.first:
            view.first, view.summary, view.head, view.cut = until, summary, (), None
