"""What may be said and pressed at one point of a dialog, in words."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from .slots import Context, Slot
from .states import AnyState, State
from .wording import Wording
from .words import spell, spoken_list

__all__ = ["Focus", "help_text"]

#: What the dialog waits for: an intent, a slot, a yes to one value or to all, what to change; a tool; an agent's part;
#: the end of a message; or nothing more.
Focus: TypeAlias = Literal["state", "slot", "value", "confirm", "which", "busy", "agent", "record", "over"]


def help_text(
    focus: Focus, state: AnyState, slot: Slot[Any] | None, context: Context, wording: Wording, *, person: bool
) -> str:
    """What may be said here, by mouth and by keys."""
    parts: list[str] = []
    if focus in ("value", "confirm"):
        parts += [wording.yes_or_no, wording.yes_or_no_keys]
    elif focus == "which" and isinstance(state, State):
        pairs = [f"{spell(n)} for the {s.label}" for n, s in enumerate(state.slots[:9], 1)]
        parts.append(wording.which_keys.format(keys=spoken_list(pairs)))
    elif focus == "slot" and slot is not None:
        keys = slot.keys_hint(context)
        parts += [slot.hint(context), wording.keys.format(keys=keys) if keys else ""]
    if isinstance(state, State) and state.intents and focus in ("state", "slot"):
        parts.append(state.hint or wording.can_say.format(phrases=spoken_list([i.label for i in state.intents])))
        pairs = [f"{spell(int(i.key))} for {i.label}" for i in state.intents if i.key is not None]
        if pairs:
            parts.append(wording.keys.format(keys=f"press {spoken_list(pairs)}"))
    if person:
        parts.append(wording.person_hint)
    return " ".join(part for part in parts if part)
