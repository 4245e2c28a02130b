"""What a flow says of its own accord, and what it understands everywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["UNIVERSALS", "Wording"]

#: What can be said in every state. Each has a long form that is not taken for something else.
UNIVERSALS: dict[str, tuple[str, ...]] = {
    "person": (
        "operator",
        "speak to a person",
        "talk to a person",
        "a real person",
        "speak to someone",
        "receptionist",
    ),
    "help": ("help", "help me", "what can i say"),
    "repeat": ("repeat", "repeat that", "say that again", "pardon"),
    "back": ("go back",),
    "restart": ("start over",),
    "goodbye": ("goodbye", "cancel the call"),
}


@dataclass(frozen=True)
class Wording:
    """The sentences that a flow adds to those of its states. Texts in braces are filled in."""

    not_understood: tuple[str, ...] = ("Sorry, I did not get that.", "Sorry, I still did not get that.")
    no_input: tuple[str, ...] = ("I did not hear anything.", "I still cannot hear you.")
    again: str = "All right."
    heard_again: str = "I heard {value} again, but you said that is wrong."
    which: str = "What should I change: {labels}?"
    which_keys: str = "Or press {keys}."
    confirm_value: str = "{value}. Is that right?"
    perhaps: str = "{value}, perhaps?"
    yes_or_no: str = "Please say yes or no."
    yes_or_no_keys: str = "Or press one for yes, two for no."
    can_say: str = "You can say {phrases}."
    keys: str = "Or {keys}."
    person_hint: str = "For a person, say operator, or press zero."
    person: str = "I will put you through to someone. One moment, please."
    give_up: str = "I am sorry that I could not help you."
    wait: str = "One moment, please."
    goodbye: str = "Goodbye."
    universals: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(UNIVERSALS))
