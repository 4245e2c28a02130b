"""Four ways to subclass: words that are changed, slow work, work that must be finished, and a built-in with changes.

    voiceframe chat examples/subclass_processor.py

Say "My card is 4111 1111 1111 1111" and "I complain about that damn noise", and speak into the greeting. What a handler
may rely on is in `docs/processors.md`.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

from voiceframe import Agent, Call, Pipeline, Processor, handles, observes
from voiceframe.frames import Frame, HeardFrame, InterimTranscriptionFrame, TextFrame, TranscriptionFrame, UserTurnFrame

NOTICE = "This call is recorded."


class Redact(Processor):
    """Card numbers are seen by nobody behind it. With sound it stands before `Turns`, so that no log has them either.

    A typed turn has no transcription and is in the log before it comes here; only the agent does not see its numbers.
    """

    @handles(InterimTranscriptionFrame, UserTurnFrame)
    def on_words(self, frame: InterimTranscriptionFrame | UserTurnFrame) -> Frame:
        return frame.replace(text=redacted(frame.text))

    @handles(TranscriptionFrame)
    def on_transcription(self, frame: TranscriptionFrame) -> TranscriptionFrame:
        # Made anew: the words with their times, and what else it may have been, hold the number as well.
        return TranscriptionFrame(redacted(frame.text), frame.language, frame.confidence, at_ms=frame.at_ms)


class Decent(Processor):
    """Looks at what the bot is about to say, with something that blocks: a model on the CPU, say, or a database."""

    @handles(TextFrame)  # a frame of a reply: when that is interrupted, the handler that works on it is cancelled
    async def on_text(self, frame: TextFrame) -> TextFrame:
        # In a thread, so that no call waits for it. On virtual time it runs inline and takes 30 ms.
        return frame.replace(text=await self.offload(decent, frame.text, virtual_ms=30))


class Complaints(Processor):
    """Writes complaints down. No frame waits for that, and neither an interruption nor a hang-up undoes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @observes(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        if "complain" in frame.text.lower():
            self.spawn(self.write(frame.text))  # the end of the call waits for it

    async def write(self, text: str) -> None:
        await self.offload(append, self.path, f"{self.call.id}: {text}\n")


class Clerk(Agent):
    """Says that the call is recorded, and says it again to a caller who did not let it finish."""

    told = False

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        if not self.told:
            yield f"{NOTICE} "
        yield f"I have noted: {turn.text}. What else?"

    def on_heard(self, frame: HeardFrame) -> Frame:  # an override keeps the declaration of what it overrides
        self.told = self.told or frame.complete  # until it is heard, every reply begins with the notice
        return super().on_heard(frame)


def redacted(text: str) -> str:
    return re.sub(r"\b\d(?:[ -]?\d){12,18}\b", "[card]", text)


def decent(text: str) -> str:
    return re.sub(r"\bdamn\b", "[beep]", text, flags=re.IGNORECASE)


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def bot(call: Call) -> Pipeline:
    return Pipeline(
        [
            call.transport.input(),
            Redact(),
            Complaints(Path("complaints.txt")),
            Clerk("clerk", greeting=f"City council. {NOTICE} What can I do for you?"),
            Decent(),
            call.transport.output(),
        ]
    )
