"""What a call of the demo came to: one object, its times in ms from the first sample of the recording.

What was said is taken from the record, and when it was to be heard from the recording.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..checks import Check, Report, Verdict
from ..events import LoggedEvent
from ..testing.levels import sounds
from ..transports.fades import FADE_MS
from ..transports.loopback import TICK_MS
from .breaking import Break
from .callers import verdict
from .sounding import AGREE_MS, Samples, Stretch, find_starts, recording_began_ms
from .telephoning import RATE, Made

__all__ = ["Result", "digest", "percentile"]

#: By how much the parts of a turn's latency may miss what was to be heard.
SUM_AGREES_MS: Final = 60
#: A bot that goes on for longer is a nuisance.
STOP_MS: Final = 1_000
_TOLD: Final = ("event", "after_ms")
CONFIRMATION: Final = "You have an appointment with"
#: The parts of `turn.latency`, by the names of the table.
PARTS: Final = {"vad": "vad_ms", "stt": "stt_ms", "turn": "endpointing_ms", "agent": "agent_ms", "llm": "agent_ms"}


class Result:
    """Everything about a call, ready to be shown or written. `checks` are those of the script."""

    def __init__(self, made: Made, *, scripted: bool = True, broken: Break | None = None) -> None:
        self.made = made
        caller = made.caller
        self.record = caller.record
        self._scripted = scripted
        self._began_ms = recording_began_ms(caller)
        self._network_ms = caller.phone.conditions.network_ms
        self._heard: Samples = np.frombuffer(caller.received, "<i2")
        self.starts, self._stretches = find_starts(caller, made.mouth)
        self._bot = sounds(caller.received, RATE)
        self._caller = [(self._at(begin), self._at(end)) for begin, end in caller.spoke]
        self.transcript = sorted([*self._caller_lines(), *self._bot_lines()], key=lambda line: float(line["at_ms"]))
        self.barge_in = self._barge_in()
        self.pauses = self._pauses()
        self.turns = self._turns()
        self.tools = self._tools()
        self.model = self._model()
        self.broken = broken.report(self.record.events, self._began_ms) if broken is not None else None
        self.checks = self._checks() if scripted else []

    # -- times and places

    def _at(self, call_ms: float) -> float:
        """That moment of the call, in the recording."""
        return round(call_ms - self._began_ms, 1)

    def _of_reply(self, reply: int) -> list[Stretch]:
        return [stretch for stretch in self._stretches if stretch.reply == reply]

    # -- what was said

    def _caller_lines(self) -> Iterable[dict[str, Any]]:
        spoken = [one for one in self.made.line.spoken if one.kind != "presses"]
        for one, following in zip(spoken, [*spoken[1:], None], strict=False):
            stretches = self._caller[one.first : following.first if following is not None else None]
            if not stretches:
                continue  # the call was over
            begin = stretches[0][0]
            yield {
                "who": "caller",
                "at_ms": begin,
                "end_ms": stretches[-1][1],
                "text": one.text,
                "words": [
                    {"text": word.text.strip(), "start_ms": begin + word.start_ms, "end_ms": begin + word.end_ms}
                    for word in one.words
                ],
                "cut": False,
                "unsaid": "",
            }

    def _bot_lines(self) -> Iterable[dict[str, Any]]:
        heard = {event.data["reply"]: event for event in self.record.of("reply.heard")}
        for reply, event in heard.items():
            stretches = self._of_reply(reply)
            if not stretches:
                continue
            text = str((event.personal or {}).get("text") or "")
            whole = self.made.mouth.text(reply)
            unsaid = whole[len(text) :].strip() if whole.startswith(text) else ""
            yield {
                "who": "bot",
                "at_ms": self._of_sample(stretches[0].first),
                "end_ms": self._of_sample(stretches[-1].last + RATE * FADE_MS // 1000 * (not stretches[-1].whole)),
                "text": text,
                "words": self._heard_words(reply, stretches, text),
                "cut": not event.data["complete"],
                "unsaid": unsaid,
            }

    def _heard_words(self, reply: int, stretches: Sequence[Stretch], text: str) -> list[dict[str, Any]]:
        """The words of the reply, where they are in the recording: the record says how many of them."""
        words, said = [], ""
        for word in self.made.mouth.words(reply):
            if len(said.strip()) >= len(text.strip()):
                break
            said += word.text
            begin, end = self._place(stretches, word.start_ms), self._place(stretches, word.end_ms)
            words.append({"text": word.text.strip(), "start_ms": begin, "end_ms": max(begin, end)})
        return words

    def _place(self, stretches: Sequence[Stretch], sound_ms: float) -> float:
        """Where this moment of a reply's sound is in the recording; where it stopped, if that never came."""
        sample = round(sound_ms * RATE / 1000)
        for stretch in reversed(stretches):
            if sample >= stretch.at or stretch is stretches[0]:
                return self._of_sample(min(stretch.last, stretch.first + sample - stretch.at))
        return 0.0

    @staticmethod
    def _of_sample(sample: int) -> float:
        return round(sample * 1000 / RATE, 1)

    # -- what stopped the bot

    def _barge_in(self) -> dict[str, Any] | None:
        for line in self.transcript:
            if line["who"] != "caller" or not any(
                one.kind == "interrupts" and one.text == line["text"] for one in self.made.line.spoken
            ):
                continue
            began = line["at_ms"]
            for bot in self.transcript:
                if bot["who"] == "bot" and bot["cut"] and bot["at_ms"] <= began < bot["end_ms"]:
                    stopped = next((end for start, end in self._bot if start <= began < end), bot["end_ms"])
                    return {
                        "began_ms": began,
                        "stop_ms": round(stopped - began - 2 * self._network_ms, 1),
                        "stopped_ms": round(stopped, 1),
                        "unsaid": bot["unsaid"],
                    }
        return None

    def _pauses(self) -> list[dict[str, Any]]:
        found = []
        over = self.record.of("resume", "interruption", "call.ended")
        for event in self.record.of("pause"):
            after = next((other for other in over if other.seq > event.seq), None)
            if after is None:
                continue
            begin, end = self._at(event.at_ms), self._at(after.at_ms)
            # By the record so far; by the sound where the reply is to be heard on both sides.
            stretches = self._of_reply(event.data["reply"])
            for stretch, following in zip(stretches, [*stretches[1:], None], strict=False):
                last = self._of_sample(stretch.last + RATE * FADE_MS // 1000)
                if abs(last - begin) <= 300:  # what the carrier had of it already is played
                    begin = last
                    if following is not None and after.kind == "resume":
                        end = self._of_sample(following.first)
            reason = "false alarm" if after.kind == "resume" else "barge-in"
            found.append({"from_ms": begin, "to_ms": max(begin, end), "reason": reason})
        return found

    # -- how long it took

    def _turns(self) -> list[dict[str, Any]]:
        parts = {event.data["turn"]: event.data["parts"] for event in self.record.of("turn.latency")}
        reply_of = {event.data["turn"]: event.data["reply"] for event in self.record.of("reply.started")}
        turns = []
        for event in self.record.of("turn.committed"):
            number = event.data["turn"]
            row: dict[str, Any] = {"turn": number, "text": _text(event)}
            row |= dict.fromkeys(("vad_ms", "endpointing_ms", "stt_ms", "agent_ms", "tts_ms", "sum_ms"))
            spoken = "vad" in parts.get(number, {})
            for part, ms in parts.get(number, {}).items():
                name = PARTS.get(part, "tts_ms")
                row[name] = (row[name] or 0) + ms
                row["sum_ms"] = (row["sum_ms"] or 0) + ms
            row["voice_to_voice_ms"] = self._voice_to_voice(reply_of.get(number)) if spoken else None
            if event.data["source"] == "dtmf":
                row["endpointing_ms"] = None
            turns.append(row)
        return turns

    def _voice_to_voice(self, reply: int | None) -> float | None:
        """From the caller's last sound to the bot's first after it, by the levels of the recording."""
        stretches = self._of_reply(reply) if reply is not None else []
        if not stretches:
            return None
        onset = stretches[0].first * 1000 / RATE
        bot = min((start for start, _ in self._bot), key=lambda start: abs(start - onset), default=None)
        ends = [end for _, end in self._caller if end < onset]
        if bot is None or not ends:
            return None
        return round(bot - ends[-1] - 2 * self._network_ms, 1)

    @property
    def voice_to_voice(self) -> list[float]:
        return [turn["voice_to_voice_ms"] for turn in self.turns if turn["voice_to_voice_ms"] is not None]

    # -- what was done

    def _tools(self) -> list[dict[str, Any]]:
        returned = {event.data["call_id"]: event for event in self.record.of("tool.returned")}
        found = []
        for event in self.record.of("tool.called"):
            after = returned.get(event.data["call_id"])
            personal = (after.personal or {}) if after is not None else {}
            found.append(
                {
                    "at_ms": self._at(event.at_ms),
                    "name": event.data["name"],
                    "arguments": (event.personal or {}).get("arguments"),
                    "result": personal.get("error") or personal.get("result"),
                    "ms": after.at_ms - event.at_ms if after is not None else None,
                }
            )
        return found

    def _model(self) -> dict[str, Any] | None:
        """The language model that has answered, if one has: how soon its words came, and what it was used for."""
        asked = [event.data for event in self.record.of("provider.ttfb") if event.data["service"] == "llm"]
        used = [event.data for event in self.record.of("provider.usage") if event.data["service"] == "llm"]
        if not asked and not used:
            return None
        first = [float(data["ttfb_ms"]) for data in asked]
        costs = [data["cost_usd"] for data in used]
        return {
            "name": "/".join(filter(None, ((asked or used)[0]["vendor"], (asked or used)[0]["model"]))),
            "requests": len(asked),
            "first_word": {"p50_ms": percentile(first, 0.5), "p95_ms": percentile(first, 0.95)},
            "input_tokens": sum(data["input_tokens"] for data in used),
            "cached_tokens": sum(data["cached_tokens"] for data in used),
            "output_tokens": sum(data["output_tokens"] for data in used),
            "cost_usd": None if None in costs or not costs else round(sum(costs), 6),
        }

    @property
    def appointment(self) -> dict[str, Any] | None:
        if not self.made.booked:
            return None
        return dict(zip(("doctor", "day", "time", "patient"), self.made.booked[0], strict=True))

    # -- the verdict

    def _checks(self) -> list[Check]:
        made, record = self.made, self.record
        outcome = str(made.caller.call.data.get("outcome", ""))
        wrong = made.failure or verdict(made.actor, record.reason, outcome, made.booked)
        through = [tool for tool in self.tools if tool["name"] == "book" and "number" in (tool["result"] or ())]
        heard = [line for line in self.transcript if line["who"] == "bot"]
        confirmed = [line for line in heard if line["text"].startswith(CONFIRMATION)]
        whole = bool(confirmed and not confirmed[-1]["cut"] and self._stretches and self._stretches[-1].whole)
        corrected = self._corrected(booked=not wrong)
        alarms = [pause for pause in self.pauses if pause["reason"] == "false alarm"]
        coughs = [line["at_ms"] for line in self.transcript if line["text"] == "(coughs)"]
        # A cough that cost the bot its reply: an interruption in the second and a half from where it began.
        cost = [
            event
            for event in record.of("interruption")
            for at_ms in coughs
            if at_ms <= self._at(event.at_ms) < at_ms + 1_500
        ]
        checks = [
            _check(
                "demo.booked",
                "fail" if wrong or not through else "pass",
                wrong
                or (", ".join(map(str, through[-1]["arguments"].values())) if through else "no tool has booked it"),
            ),
            _check(
                "demo.confirmed",
                "pass" if whole and record.reason == "completed" else "fail",
                f"heard to its end at {confirmed[-1]['end_ms']:.0f} ms"
                if whole
                else "the caller has not heard the confirmation to its end",
            ),
            _check(
                "demo.corrected",
                "pass" if corrected else "fail",
                corrected or "no slot was corrected",
            ),
            _check(
                "demo.cough",
                "fail" if cost else "pass" if alarms and coughs else "warn",
                "the bot gave up its reply"
                if cost
                else f"held at {alarms[-1]['from_ms']:.0f} ms, went on at {alarms[-1]['to_ms']:.0f} ms"
                if alarms
                else "it did not hold the bot",
            ),
            self._check_barge_in(),
            _check(
                "demo.key",
                "pass" if self.keys else "fail",
                f"{self.keys[-1]['digit']} at {self.keys[-1]['at_ms']:.0f} ms" if self.keys else "no key was heard of",
            ),
        ]
        if self.broken is not None:  # what else goes otherwise than usual is what that costs
            return [*checks[:2], self._check_break(self.broken)]
        return [*checks, *self._check_times()]

    def _corrected(self, *, booked: bool) -> str:
        """Which slot has another value than at first, in words; "" if none has. booked: what the caller wanted is."""
        noted = [event for event in self.record.of("flow.filled") if event.data["corrected"]]
        if noted:
            return f"{noted[-1].data['slot']} is now {(noted[-1].personal or {}).get('value')}"
        # A model notes nothing down: that it has understood is seen in what it has booked.
        actor = self.made.actor
        if self.record.of("flow.filled") or not booked or not actor.changed:
            return ""
        return f"{actor.changed} is booked as {actor.goal[actor.changed]}, which the caller wanted in the end"

    @staticmethod
    def _check_break(broken: dict[str, Any]) -> Check:
        if broken["at_ms"] is None:
            return _check("demo.break", "fail", f"{broken['part']} was never killed")
        told = []
        for name in ("noticed", "mended"):
            event = broken[name]
            facts = ", ".join(f"{key} {value}" for key, value in (event or {}).items() if key not in _TOLD)
            told.append(f"{name} after {event['after_ms']} ms: {event['event']} ({facts})" if event else f"not {name}")
        said = f"{broken['part']} was killed at {broken['at_ms']:.0f} ms; {'; '.join(told)}"
        return _check("demo.break", "pass" if broken["noticed"] and broken["mended"] else "fail", said)

    def _check_barge_in(self) -> Check:
        found = self.barge_in
        if found is None:
            return _check("demo.barge-in", "fail", "the bot was not stopped")
        said = f"silent {found['stop_ms']:.0f} ms after the caller began; unsaid: {found['unsaid']!r}"
        return _check("demo.barge-in", "pass" if found["stop_ms"] <= STOP_MS else "warn", said)

    def _check_times(self) -> list[Check]:
        off = [abs(ms) for ms in self.starts.off_ms]
        lost = self.starts.lost
        agree = f"{len(off)} replies, off by {max(off, default=0):.0f} ms at most"
        # Over real sockets, what the output has sent may just have missed a tick of the carrier's.
        allowed = AGREE_MS + self._network_ms + TICK_MS * self.made.real
        missed = [abs(turn["sum_ms"] - turn["voice_to_voice_ms"]) for turn in self.turns if turn["voice_to_voice_ms"]]
        return [
            _check(
                "demo.record",
                "fail" if lost else "pass" if off and max(off) <= allowed else "warn",
                f"replies {lost} are not in the recording" if lost else agree,
            ),
            _check(
                "demo.latency",
                "pass" if missed and max(missed) <= SUM_AGREES_MS else "warn",
                f"the parts are within {max(missed, default=0):.0f} ms of what was to be heard"
                if missed
                else "no answer to something that was said",
            ),
        ]

    @property
    def keys(self) -> list[dict[str, Any]]:
        return [
            {"at_ms": self._at(event.at_ms), "digit": (event.personal or {}).get("digit", "")}
            for event in self.record.of("dtmf.received")
        ]

    @property
    def passed(self) -> bool:
        """Whether nothing has failed: booked, and confirmed to the end."""
        return not self.made.failure and (not self._scripted or Report(self.checks).verdict != "fail")

    # -- written down

    def document(self, recording: Path, events: Path, page: Path) -> dict[str, Any]:
        """The object, with where its files are."""
        spans = [event for event in self.record.of("reply.speaking") if self._of_reply(event.data["reply"])]
        values = self.voice_to_voice
        document = {
            "seed": self.made.seed,
            "transcript": self.transcript,
            "turns": self.turns,
            "latency": {"p50_ms": percentile(values, 0.5), "p95_ms": percentile(values, 0.95)},
            "barge_in": self.barge_in,
            "pauses": self.pauses,
            "tools": self.tools,
            "starts": [
                {
                    "reply": event.data["reply"],
                    "record_ms": self._at(event.at_ms + self._network_ms),
                    "recording_ms": self._of_sample(self._of_reply(event.data["reply"])[0].first),
                }
                for event in spans
            ],
            "keys": self.keys,
            "appointment": self.appointment,
            "recording": str(recording),
            "events": str(events),
            "page": str(page),
            "checks": [
                {"id": check.id, "verdict": check.verdict, "evidence": list(check.evidence)} for check in self.checks
            ],
            "passed": self.passed,
        }
        if self.model is not None:
            document["model"] = self.model
        if self.broken is not None:
            document["break"] = self.broken
        return document


def digest(made: Made) -> str:
    """Of all events and both sides' sound."""
    return hashlib.sha256(made.caller.record.lines().encode() + made.caller.recording).hexdigest()


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of them does not exceed; None of none."""
    if not values:
        return None
    if share == 0.5:
        return round(statistics.median(values), 1)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def _text(event: LoggedEvent) -> str:
    return str((event.personal or {}).get("text") or "")


def _check(id: str, verdict: Verdict, evidence: str) -> Check:
    return Check(id, verdict, (evidence,))
