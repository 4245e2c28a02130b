"""What a call came to, for assertions."""

from __future__ import annotations

import io
import json
import os
import wave
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TestKitError
from ..events import LoggedEvent
from .deeds import Audible, HandedOff, Line, Ruling, ToolUse
from .matching import fits, shown_call

if TYPE_CHECKING:
    pass

__all__ = ["CallTranscript"]


class CallTranscript:
    """The record of a call: its events, and what follows from them. A `Feed` for the log of a call that is made.

    events: of a call that was, in any order: `CallTranscript(store.events("call_01…"))`.
    """

    def __init__(self, events: Iterable[LoggedEvent] = ()) -> None:
        self.events: list[LoggedEvent] = sorted(events, key=lambda event: (event.at_ms, event.id))
        #: What could be heard, if the call was made over audio.
        self.sound: Audible | None = None

    def put(self, event: LoggedEvent) -> None:
        """Take an event."""
        self.events.append(event)

    async def drained(self, timeout_ms: int = 0) -> bool:
        """Nothing ever waits here."""
        return True

    def of(self, *kinds: str) -> list[LoggedEvent]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]

    # -- words

    @property
    def turns(self) -> list[str]:
        """What the caller has said, turn by turn, also where it became known late."""
        return [line.text or "" for line in self._said()]

    @property
    def heard(self) -> list[str]:
        """What the caller has heard, reply by reply."""
        return [line.text for line in self._replies() if line.text]

    @property
    def transcript(self) -> list[Line]:
        """Words, calls of tools with their results, and handoffs, in the order in which they began."""
        lines = [*self._said(), *self._replies()]
        for use in self.tools:
            lines.append(Line("tool", shown_call(use.name, use.arguments), use.at_ms, None, use.place, use.place))
            if use.returned_ms is not None:
                what = f"failed: {use.error}" if use.failed else _as_json(use.result)
                place = use.returned_place
                lines.append(Line("result", f"{use.name}: {what}", use.returned_ms, None, place, place))
        for one in self.handoffs:
            text = f"{one.source or 'the bot'} to {one.target or one.asked}: {one.status}"
            lines.append(Line("handoff", text, one.at_ms, None, one.place, one.place))
        return sorted(lines, key=lambda line: line.began)

    def _said(self) -> list[Line]:
        late = {event.turn: _personal(event, "text") for event in self.of("turn.transcribed")}
        return [
            Line("caller", late.get(event.turn) or _personal(event, "text"), event.at_ms, event.turn, place, place)
            for place, event in enumerate(self.events)
            if event.kind == "turn.committed"
        ]

    def _replies(self) -> list[Line]:
        """What was heard of each reply, from its first sound on."""
        began: dict[int, tuple[int, LoggedEvent]] = {}
        lines: list[Line] = []
        for place, event in enumerate(self.events):
            if event.kind in ("reply.started", "reply.speaking"):
                began[event.data["reply"]] = (place, event)
            elif event.kind == "reply.heard":
                text = _personal(event, "text")
                if text == "":
                    continue
                first, start = began.get(event.data["reply"], (place, event))
                lines.append(Line("bot", text, start.at_ms, event.turn, first, place))
        return sorted(lines, key=lambda line: line.began)

    # -- deeds

    @property
    def tools(self) -> list[ToolUse]:
        """The calls of tools, in order."""
        back = {event.data["call_id"]: (place, event) for place, event in self._places("tool.returned")}
        found = []
        for place, event in self._places("tool.called"):
            arguments = event.personal.get("arguments") if event.personal is not None else None
            returned_place, returned = back.get(event.data["call_id"], (-1, None))
            personal = (returned.personal if returned is not None else None) or {}
            found.append(
                ToolUse(
                    event.data["name"],
                    arguments,
                    event.data["call_id"],
                    event.at_ms,
                    place,
                    failed=returned.data["failed"] if returned is not None else None,
                    result=personal.get("result"),
                    error=personal.get("error"),
                    returned_ms=returned.at_ms if returned is not None else None,
                    returned_place=returned_place,
                )
            )
        return found

    @property
    def handoffs(self) -> list[HandedOff]:
        """The handoffs, also those that were refused."""
        found = []
        for place, event in self._places("handoff.decided", "handoff.requested"):
            data, personal = event.data, event.personal or {}
            target = str(data.get("target", ""))
            found.append(
                HandedOff(
                    target,
                    str(data.get("asked", target)),
                    str(data.get("status", "requested")),
                    event.at_ms,
                    place,
                    source=str(data.get("source", "")),
                    why=str(data.get("why", "")),
                    number=str(personal.get("number") or ""),
                    reason=personal.get("reason", data.get("reason")),
                    summary=personal.get("summary"),
                    metadata=personal.get("metadata") or {},
                )
            )
        return found

    @property
    def specialists(self) -> list[str]:
        """Which agents of a squad have answered the caller, in order."""
        return [str(event.data["specialist"]) for event in self.of("specialist.changed")]

    @property
    def rulings(self) -> list[Ruling]:
        """What guardrails have found, also where they only warn."""
        return [
            Ruling(
                event.data["stage"],
                event.data["rule"],
                event.data["action"],
                event.data["done"],
                event.at_ms,
                place,
                event.turn,
                event.data.get("subject", ""),
                event.data.get("outcome", "found"),
            )
            for place, event in self._places("guardrail.decided")
        ]

    def _places(self, *kinds: str) -> list[tuple[int, LoggedEvent]]:
        return [(place, event) for place, event in enumerate(self.events) if event.kind in kinds]

    # -- what came of it

    @property
    def outcomes(self) -> dict[int, str]:
        """What became of each turn: `answered`, `unanswered` or `skipped`."""
        return {
            event.turn: event.kind.partition(".")[2]
            for event in self.of("turn.answered", "turn.unanswered", "turn.skipped")
            if event.turn is not None
        }

    @property
    def reason(self) -> str:
        """Why the call ended; empty while it has not."""
        ended = self.of("call.ended")
        return str(ended[-1].data["reason"]) if ended else ""

    @property
    def outcome(self) -> str:
        """What became of the call: `running`, `rejected`, `handed-over` (to a person, a queue or a number), or else the
        reason of its end: `completed` if the bot has ended it, `hangup` if the caller has, and so on."""
        if self.of("call.rejected"):
            return "rejected"
        if not self.of("call.ended"):
            return "running"
        return "handed-over" if self.of("handoff.requested") else self.reason

    # -- assertions

    def tool_called(self, name: str, /, **arguments: Any) -> CallTranscript:
        """Raise `TestKitError` (`test.tool-not-called`) unless the tool was called with (at least) these arguments.

        arguments: values (a date is its ISO text), `...` for any, a compiled pattern, or a function of the value.
        """
        if any(use.name == name and with_arguments(use, arguments) for use in self.tools):
            return self
        raise TestKitError.of(
            "test.tool-not-called", name=shown_call(name, arguments), calls=_listed(self.tools) or "no tool"
        )

    def not_called(self, name: str, /, **arguments: Any) -> CallTranscript:
        """Raise `TestKitError` (`test.tool-called`) if the tool was called with these arguments, or with any if none
        are given. A call whose arguments are not kept may have had them."""
        for use in self.tools:
            if use.name == name and (use.arguments is None or with_arguments(use, arguments)):
                raise TestKitError.of("test.tool-called", name=name, call=_listed([use]), at_ms=use.at_ms)
        return self

    def handed_off_to(self, target: str, *, status: str | None = None) -> CallTranscript:
        """Raise `TestKitError` (`test.not-handed-off`) unless the caller was handed off to `target`: another agent, a
        person, a queue or a number. status: the one it must have, also that of a refusal."""
        if any(one.fits(target, status) for one in self.handoffs):
            return self
        found = "; ".join(f"to {one.target or one.asked} ({one.status})" for one in self.handoffs) or "none"
        raise TestKitError.of("test.not-handed-off", target=target, status=status or "done", found=found)

    def blocked(self, rule: str | None = None, *, stage: str | None = None) -> CallTranscript:
        """Raise `TestKitError` (`test.not-blocked`) unless a guardrail has blocked something, or escalated: by this
        rule, at this stage (`transcript`, `model-input`, `output`, `tool-input`, `tool-output`, `handoff`)."""
        if any(one.blocked and one.fits(rule, stage) for one in self.rulings):
            return self
        found = "; ".join(map(str, self.rulings)) or "nothing"
        raise TestKitError.of("test.not-blocked", rule=rule or "any rule", stage=stage or "any", found=found)

    # -- files

    @property
    def wav(self) -> bytes:
        """Both sides as a WAV file: left the caller, right the bot. Raises `TestKitError` (`test.no-sound`) for a call
        that was not made over audio."""
        if self.sound is None:
            raise TestKitError.of("test.no-sound", what="no recording")
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(self.sound.format.rate)
            file.writeframes(self.sound.recording)
        return out.getvalue()

    def save_wav(self, path: str | os.PathLike[str]) -> None:
        """Write `wav` to a file."""
        Path(path).write_bytes(self.wav)

    def lines(self, *, wall: bool = False) -> str:
        """The events as JSON lines, without wall time unless asked for: the same on every run with the same seed."""
        return "\n".join(event.to_json(wall=wall) for event in self.events)


def with_arguments(use: ToolUse, arguments: Mapping[str, Any]) -> bool:
    """Whether the call has (at least) these arguments. One whose arguments are not kept has none to show."""
    if not arguments:
        return True
    given = use.arguments
    return given is not None and all(name in given and fits(value, given[name]) for name, value in arguments.items())


def _listed(uses: Iterable[ToolUse]) -> str:
    return ", ".join(shown_call(use.name, use.arguments) for use in uses)


def _personal(event: LoggedEvent, name: str) -> str | None:
    return str(event.personal.get(name) or "") if event.personal is not None else None


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
