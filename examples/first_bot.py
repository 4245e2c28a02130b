"""The bot of the README. Talk to it: `voiceframe chat examples/first_bot.py`."""

from collections.abc import AsyncIterator

from voiceframe import Agent, Call, Pipeline, Processor, handles
from voiceframe.frames import UserTurnFrame


class Polite(Processor):  # a processor names the frames that it takes; all others pass it by
    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> UserTurnFrame:
        return frame.replace(text=frame.text.removeprefix("hey, "))


class Echo(Agent):
    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        yield f"You said: {turn.text}"


def bot(call: Call) -> Pipeline:  # called for every call: calls share nothing
    return Pipeline([call.transport.input(), Polite(), Echo("echo", greeting="Hello!"), call.transport.output()])
