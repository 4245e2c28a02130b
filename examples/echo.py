"""A bot that says back what it hears. Talk to it: `voiceframe chat examples/echo.py`."""

from collections.abc import AsyncIterator

from voiceframe import Agent, Call, Pipeline
from voiceframe.frames import UserTurnFrame


class Echo(Agent):
    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        yield f"You said: {turn.text}"
        if "bye" in turn.text.lower():
            yield ". Goodbye!"
            self.call.end()  # takes effect when the goodbye was heard


def bot(call: Call) -> Pipeline:
    return Pipeline([call.transport.input(), Echo("echo", greeting="Hello, I am an echo."), call.transport.output()])
