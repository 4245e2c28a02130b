"""Errors of what is kept of a call, and of the questions that are asked about it."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["CheckError", "EventError", "StoreError"]


class EventError(VoiceframeError):
    """An event that is outside the vocabulary or does not fit it."""

    codes = {
        "event.unregistered": Explanation(
            "{what} is not an event of the vocabulary.",
            'Register your own with `@event("custom.<name>", version=1)` on an `Event` subclass.',
        ),
        "event.name": Explanation(
            "{name!r} cannot be registered: the vocabulary is closed except for custom.*.",
            "Name it `custom.<name>` in `@event(...)`.",
        ),
        "event.registered-twice": Explanation(
            "{name} version {version} is registered by both {first} and {second}.",
            "Give one of them another name or a new `version=` in `@event(...)`.",
        ),
        "event.value": Explanation(
            "{name}.{field} holds {what}, which cannot be kept as JSON.",
            "Use str, int, float, bool, None, lists and dicts of them in an `Event`.",
        ),
        "event.shape": Explanation(
            "{what} does not have the fields of an event: {error}.",
            "Read only what `LoggedEvent.to_json()` wrote, with a Voiceframe that is at least as new.",
        ),
    }


class StoreError(VoiceframeError):
    """A store that cannot be opened or does not fit this version."""

    codes = {
        "store.url": Explanation(
            "{url!r} is not the address of a store.",
            "Use `sqlite:///path/to/voiceframe.db`.",
        ),
        "store.newer": Explanation(
            "{url} has schema version {found}, this Voiceframe knows {known}.",
            "Upgrade with `pip install --upgrade voiceframe`, or use another `store=`.",
        ),
        "store.open": Explanation(
            "The store {url} cannot be opened: {error}.",
            "Check the path and its permissions, or use another `store=`.",
        ),
        "store.conflict": Explanation(
            "Event {writer} {seq} of call {call} is already kept with another id.",
            "Give each `EventLog` of a call a writer of its own: `log.write(event, writer=...)`.",
        ),
        "store.erase": Explanation(
            "Call {call} is erased, but its words may still be in the write-ahead log of {url}: a reader holds it.",
            "End what reads the database, then repeat `store.erase({call!r})`.",
        ),
        "store.closed": Explanation(
            "The store {url} is closed.",
            "Open it again with `open_store(url)`.",
        ),
    }


class CheckError(VoiceframeError):
    """A check that cannot be asked."""

    codes = {
        "check.verdict": Explanation(
            "{verdict!r} is not a verdict.",
            'Use `"pass"`, `"warn"` or `"fail"` in `Check(...)`.',
        ),
        "check.evidence": Explanation(
            "{id!r} passes, but nothing shows it.",
            'Give `Check({id!r}, "pass", evidence)` its evidence, or let `weigh(...)` choose the verdict.',
        ),
        "check.id": Explanation(
            "{id!r} stands in the report twice.",
            "Give each `Check(id, ...)` of a `Report([...])` an id of its own.",
        ),
    }
