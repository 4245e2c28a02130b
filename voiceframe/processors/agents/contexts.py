"""What a specialist is given of the conversation when it takes over.

Squad([...], context=last_turns(3))
Squad([...], context=lambda given: [given.note, given.turn])
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ...errors import SquadError
from ...llm import Message
from .messages import only_note

if TYPE_CHECKING:
    from ...call import Call

__all__ = ["ContextPolicy", "HandoffContext", "full_history", "last_turns", "summary_only"]


@dataclass(frozen=True, slots=True)
class HandoffContext:
    """What a context policy chooses from, when `source` has given the caller to `target`.

    messages: the conversation as it was heard, up to the turn that is being answered, as `target` would see it: the
        tools of others are told as notes. turn: what the caller has said last. note: who has given the caller away,
        why, and the summary.
    """

    source: str
    target: str
    reason: str
    summary: str
    metadata: Mapping[str, Any]
    messages: tuple[Message, ...]
    turn: Message
    note: Message
    call: Call = field(repr=False)


ContextPolicy: TypeAlias = Callable[[HandoffContext], "Iterable[Message] | Awaitable[Iterable[Message]]"]


def full_history(context: HandoffContext) -> Sequence[Message]:
    """All of the conversation, and the note about the handoff: the default."""
    return (*context.messages, context.note)


def summary_only(context: HandoffContext) -> Sequence[Message]:
    """The note about the handoff, and what the caller has said last; nothing of what was said before."""
    return (context.note, context.turn)


def last_turns(count: int) -> ContextPolicy:
    """The note, and the last turns of the caller with what belongs to them. count: how many, the present one included.

    Raises `SquadError` (`squad.last-turns`) for less than 1.
    """
    if count < 1:
        raise SquadError.of("squad.last-turns", count=count)

    def chosen(context: HandoffContext) -> Sequence[Message]:
        turns = [at for at, message in enumerate(context.messages) if message.role == "user" and not only_note(message)]
        first = turns[-count] if len(turns) >= count else 0
        return (context.note, *itertools.islice(context.messages, first, None))

    return chosen
