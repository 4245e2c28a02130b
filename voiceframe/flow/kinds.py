"""The table of what a flow's file may have: the reader, the schema and the documentation are made of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .fields import (
    Anything,
    Clock,
    Each,
    Either,
    Field,
    Many,
    Number,
    OneOf,
    Real,
    Record,
    Text,
    Truth,
    object_schema,
)
from .validate_nodes import BOUNDS
from .words import WEEKDAYS

__all__ = ["CASE", "FLOW", "MOCK", "NODES", "OPTION", "SETTINGS", "SLOTS", "Kind", "common_fields", "schema"]


class Kind(NamedTuple):
    """A kind of node or of slot: what it does, and its fields."""

    doc: str
    fields: tuple[Field, ...]


_NODE: Final = Text("the name of a node")
_SLOT: Final = Text("the name of a slot")
_PROMPT: Final = Text("a text, in which {{ name }} stands for what is known")
_MS: Final = "milliseconds"


def _bounded(name: str) -> Number:
    low, high = BOUNDS[name]
    assert high is not None
    return Number(low, high)


_SPEAKING: Final = (
    Field("voice", Text(), "The voice that says it, as the TTS behind the flow names it.", default="the TTS's own"),
    Field("language", Text(), 'The language to speak and to hear, such as "en-US".', default="the processors' own"),
    Field("interruptible", Truth(), "Whether the caller may speak over it (barge-in).", default="true"),
)
_ASKING: Final = (
    *_SPEAKING,
    Field("attempts", _bounded("attempts"), "Failures in a row before it gives up.", default="3"),
    Field("give_up", _NODE, "The node that follows then.", default="the person, or the flow's give_up"),
    Field(
        "silence_ms",
        _bounded("silence_ms"),
        f"Silence after what was said that counts as no answer, in {_MS}.",
        default="as turn taking tells",
    ),
    Field("limit_ms", _bounded("limit_ms"), f"How long the node may last, in {_MS}.", default="no limit"),
    Field("limit_to", _NODE, "The node that follows then.", default="as when it gives up"),
    Field("key_count", _bounded("key_count"), "How many keys make an answer.", default="as the slot says"),
    Field("key_end", OneOf("#", "*"), "The key that ends an answer by keys.", default="#"),
    Field(
        "key_pause_ms",
        _bounded("key_pause_ms"),
        f"Pause after a key that ends an answer by keys, in {_MS}.",
        default="2500",
    ),
)
_HEARD: Final = (
    Field("hint", Text(), "What may be said, in a sentence; part of the help.", default="made of what can be said"),
    Field(
        "reprompts", Many(_PROMPT), "Said instead of the usual words the first, second, … time of not understanding."
    ),
)
OPTION: Final = Record(
    "an option",
    (
        Field("name", Text(), "How the log calls it.", required=True),
        Field("say", Many(Text(), single=True, least=1), "Phrases for it, in plain words.", required=True),
        Field("key", Text("a key from 1 to 9", pattern="^[1-9]$"), "The key that says the same."),
        Field("to", _NODE, "The node that follows.", required=True),
        Field("takes", Many(_SLOT), "Slots that may be said in the same breath."),
        Field("label", Text(), "How help offers it.", default="the first phrase"),
    ),
)
CASE: Final = Record(
    "a case",
    (
        Field("value", Text(), "A slot, a result or a field of it, or a fact of the call (`call.from`)."),
        Field("is", Anything(), "It is this."),
        Field("one_of", Many(Anything(), least=1), "It is one of these."),
        Field("at_least", Anything(), "It is this or more: a number, a date or a time."),
        Field("at_most", Anything(), "It is this or less."),
        Field("known", Truth(), "Whether it is known at all."),
        Field(
            "hours",
            Many(Text('hours such as "Mon-Fri 09:00-17:00"'), single=True, least=1),
            "It is now within these hours, in the zone of the flow.",
        ),
        Field("to", _NODE, "The node that follows when all that is given holds.", required=True),
    ),
)

#: The kinds of nodes.
NODES: Final[dict[str, Kind]] = {
    "greet": Kind(
        "Says something and goes on.",
        (
            Field("prompt", _PROMPT, "What is said.", required=True),
            Field("to", _NODE, "The node that follows.", required=True),
            *_SPEAKING,
        ),
    ),
    "listen": Kind(
        "Takes what the caller says in their own words.",
        (
            Field("prompt", _PROMPT, "The question.", required=True),
            Field("save", _SLOT, "The name under which prompts and tools find the answer.", default="the node's name"),
            Field("confirm", _PROMPT, "A question that says the answer back."),
            Field("to", _NODE, "The node that follows.", required=True),
            *_HEARD,
            *_ASKING,
        ),
    ),
    "menu": Kind(
        "Offers options, to be said or pressed.",
        (
            Field("prompt", _PROMPT, "The question.", required=True),
            Field("options", Many(OPTION, least=1), "What may be chosen.", required=True),
            *_HEARD,
            *_ASKING,
        ),
    ),
    "collect": Kind(
        "Asks for slots one after the other, and has them confirmed.",
        (
            Field("prompt", _PROMPT, "Said before the first question."),
            Field(
                "slots", Many(_SLOT, least=1), "What is collected; one that is known is not asked for.", required=True
            ),
            Field("clear", Many(_SLOT), "Slots that are forgotten after the prompt, and so asked for again."),
            Field("confirm", _PROMPT, "A question that says all that was understood.", default="only doubts are asked"),
            Field("options", Many(OPTION), "What may be said instead."),
            Field("to", _NODE, "The node that follows.", required=True),
            *_HEARD,
            *_ASKING,
        ),
    ),
    "branch": Kind(
        "Goes on without a word, by the first case that holds.",
        (
            Field("cases", Many(CASE, least=1), "The cases, in order.", required=True),
            Field("to", _NODE, "The node that follows when none holds.", required=True),
        ),
    ),
    "tool": Kind(
        "Calls a tool with what is known; its result chooses the way.",
        (
            Field("tool", Text("the name of a tool"), "The tool.", required=True),
            Field("prompt", _PROMPT, "Said before it is called.", default='"One moment, please." if it takes a while'),
            Field("exits", Each(_NODE), "The node for each result: a value, or the name of its class."),
            Field("to", _NODE, "The node for all other results."),
            Field("failed", _NODE, "The node when it raises or takes too long.", required=True),
            Field("save", _SLOT, "The name under which prompts find the result.", default="the tool's name"),
            Field("arguments", Each(Anything()), "Arguments that are always the same."),
            *_SPEAKING,
        ),
    ),
    "agent": Kind(
        "Lets an agent talk until it says what its part has come to.",
        (
            Field("agent", Text("the name of an agent"), "The agent.", required=True),
            Field("prompt", _PROMPT, "Said first; without it the agent answers the turn that led here."),
            Field("exits", Each(_NODE, least=1), "The node for each outcome.", required=True),
            Field("done", Text(), "When each outcome is meant, in a sentence for the agent."),
            Field("failed", _NODE, "The node when the agent fails or has no more time.", required=True),
            Field("save", _SLOT, "The name under which prompts find outcome and summary.", default="the node's name"),
            *_ASKING,
        ),
    ),
    "voicemail": Kind(
        "Records what the caller has to say.",
        (
            Field("prompt", _PROMPT, "Said before the beep.", required=True),
            Field("to", _NODE, "The node that follows.", required=True),
            Field("path", Text(), "The WAV file; {call} is the id of the call.", default="voicemail/{call}.wav"),
            Field("empty", _NODE, "The node when nothing was said.", default="the same as to"),
            Field("beep", Truth(), "Whether a tone says when to begin.", default="true"),
            Field(
                "silence_ms",
                _bounded("silence_ms"),
                f"Silence after speech that ends it, in {_MS}; who says nothing is waited for twice as long.",
                default="4000",
            ),
            Field("limit_ms", _bounded("limit_ms"), f"The longest message, in {_MS}.", default="120000"),
            Field("save", _SLOT, "The name under which prompts and tools find it.", default="the node's name"),
            *_SPEAKING,
        ),
    ),
    "transfer": Kind(
        "Gives the caller to a person, a queue or a number.",
        (
            Field("prompt", _PROMPT, "Said before.", required=True),
            Field("target", Text(), "To whom: a name that the transfer knows, or a number (E.164).", required=True),
            Field("target_kind", OneOf("person", "queue", "number"), "What that is.", default="person"),
            Field("reason", Text(), "Why, for the log and for whoever takes over.", default="asked"),
            *_SPEAKING,
        ),
    ),
    "hangup": Kind(
        "Says goodbye and hangs up.",
        (
            Field("prompt", _PROMPT, "The last words.", required=True),
            Field("outcome", Text(), "What the call has come to.", default="completed"),
            *_SPEAKING,
        ),
    ),
}

_SLOT_FIELDS: Final = (
    Field("prompt", _PROMPT, "The question for it.", default="the prompt of its node asks"),
    Field("label", Text(), 'How it is called in "change the day".', default="the name"),
    Field("hint", Text(), "What may be said, in a sentence.", default="each kind has its own"),
)
_OPTIONS: Final = Field(
    "options",
    Either(Each(Many(Text(), single=True)), Many(Text(), least=1)),
    "The options: names, or names with the phrases for them.",
    required=True,
)
_DAYS: Final = Number(-36_500, 36_500)

#: The kinds of slots.
SLOTS: Final[dict[str, Kind]] = {
    "date": Kind(
        "A day.",
        (
            *_SLOT_FIELDS,
            Field("earliest_days", _DAYS, "The first day, counted from today.", default="0"),
            Field("latest_days", _DAYS, "The last day.", default="180"),
            Field("closed", Many(OneOf(*WEEKDAYS)), "Days of the week that are none."),
            Field("keys", OneOf("DDMM", "MMDD"), "The order of day and month in keys.", default="DDMM"),
        ),
    ),
    "time": Kind(
        "A time of the day.",
        (
            *_SLOT_FIELDS,
            Field("earliest", Clock(), "The first.", default="00:00"),
            Field("latest", Clock(), "The last.", default="23:59"),
            Field("step_minutes", Number(1, 60), "Times are this far apart.", default="15"),
        ),
    ),
    "number": Kind(
        "A whole number.",
        (
            *_SLOT_FIELDS,
            Field("low", Number(0, 999_999), "The least.", default="0"),
            Field("high", Number(0, 999_999), "The most.", default="100"),
        ),
    ),
    "digits": Kind(
        "Digits, one by one.",
        (
            *_SLOT_FIELDS,
            Field("length", Number(1, 40), "How many.", required=True),
            Field("shortest", Number(1, 40), "How many at least.", default="as many as length"),
        ),
    ),
    "choice": Kind("One of a list.", (*_SLOT_FIELDS, _OPTIONS)),
    "name": Kind("A person of a list.", (*_SLOT_FIELDS, _OPTIONS)),
    "yes_no": Kind("Yes or no.", _SLOT_FIELDS),
    "text": Kind("Anything, in the caller's own words.", _SLOT_FIELDS),
}

#: What stands for the results of a tool while a flow is walked through without it.
MOCK: Final = Record(
    "a mock",
    (
        Field("takes", Many(_SLOT), "What it needs, by name."),
        Field(
            "results",
            Either(Each(Each(Anything())), Many(Anything(), least=1)),
            "Its results: values, or classes with their fields.",
        ),
    ),
)

#: `FlowSettings` as far as a file may set them.
SETTINGS: Final = Record(
    "settings",
    (
        Field("reject_below", Real(0, 1), "Confidence under which speech counts as not understood."),
        Field("confirm_below", Real(0, 1), "Confidence under which a value is confirmed by a question of its own."),
        Field("echo", Truth(), "Say what was understood before the next question."),
        Field("attempts", _bounded("attempts"), "Failures in a row of one question before it gives up."),
        Field("most_failures", Number(1, 100), "Failures in a call before a person takes over."),
        Field("patience_ms", Number(0, 60_000), "Time after which the caller is told that a tool takes a while."),
        Field("key_pause_ms", _bounded("key_pause_ms"), "Pause that ends an answer by keys, without turn taking."),
    ),
)

#: The file itself, besides its slots and nodes, whose fields depend on their kind.
FLOW: Final = Record(
    "the flow",
    (
        Field("start", _NODE, "The first node.", required=True),
        Field("person", Text(), "To whom a caller goes who asks for a person, or is not understood."),
        Field("give_up", _NODE, "The node for a caller who is not understood, where there is no person."),
        Field(
            "zone",
            Text('a time zone such as "Europe/London"'),
            'The time zone in which "tomorrow" begins.',
            default="UTC",
        ),
        Field("variables", Each(Text()), "Texts that prompts may say."),
        Field("settings", SETTINGS, "How what was heard is taken; over the environment."),
        Field("wording", Each(Text()), "Sentences of the flow's own, by their names in `Wording`."),
        Field("mocks", Each(MOCK), "What tools return when the flow is walked through without them."),
    ),
)


def common_fields() -> tuple[Field, ...]:
    """The settings that nodes of several kinds have."""
    return _ASKING


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a flow's file."""

    def kinds(table: dict[str, Kind], prefix: str) -> dict[str, Any]:
        return {
            f"{prefix}.{name}": {
                "description": kind.doc,
                **object_schema(kind.fields, constants={"kind": name}),
            }
            for name, kind in table.items()
        }

    def any_of(table: dict[str, Kind], prefix: str) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"oneOf": [{"$ref": f"#/$defs/{prefix}.{n}"} for n in table]}}

    whole = FLOW.schema()
    whole["properties"] |= {
        "slots": {**any_of(SLOTS, "slot"), "description": "What can be collected, by name."},
        "nodes": {**any_of(NODES, "node"), "description": "The nodes, by name.", "minProperties": 1},
    }
    whole["required"].append("nodes")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:voiceframe:flow",
        "title": "A declared dialog of Voiceframe",
        **whole,
        "$defs": {**kinds(SLOTS, "slot"), **kinds(NODES, "node")},
    }
