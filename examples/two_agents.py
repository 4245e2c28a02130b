"""Two agents in one call: a reception, and the billing desk to which it puts callers through.

    voiceframe chat examples/two_agents.py --script examples/two_agents.txt

They stand side by side in a `Parallel`, each behind a `Desk` that lets a turn in only when its agent has the call.
"""

from collections.abc import AsyncIterator

from voiceframe import Agent, Call, Parallel, Pipeline, Processor, handles
from voiceframe.frames import UserTurnFrame


class Desk(Processor):
    """Lets the caller's turns through to the agent behind it while that agent has the call."""

    def __init__(self, agent: str) -> None:
        self.agent = agent

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> UserTurnFrame | None:
        return frame if self.call.data["agent"] == self.agent else None


class Reception(Agent):
    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        if "bill" in turn.text.lower() or "invoice" in turn.text.lower():
            self.call.data["agent"] = "billing"
            yield "I will put you through to billing. Which invoice is it about?"
        elif "bye" in turn.text.lower():
            yield "Thank you for calling. Goodbye!"
            self.call.end()
        else:
            yield "We are open from nine to five. Is there anything else?"


class Billing(Agent):
    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        number = "".join(character for character in turn.text if character.isdigit())
        if number:
            self.call.data["agent"] = "reception"
            yield f"Invoice {number} is paid. I give you back to the reception. Anything else?"
        else:
            yield "Please tell me the number of the invoice."


def bot(call: Call) -> Pipeline:
    call.data["agent"] = "reception"
    return Pipeline(
        [
            call.transport.input(),
            Parallel(
                [Desk("reception"), Reception("reception", greeting="City clinic, reception. How can I help?")],
                [Desk("billing"), Billing("billing")],
            ),
            call.transport.output(),
        ]
    )
