"""A shop's line with OpenAI Realtime, which hears and speaks itself. Twilio's µ-law goes straight through.

pip install 'voiceframe[openai,telephony]'
export OPENAI_API_KEY=sk-...
voiceframe check examples/openai_realtime_twilio.py    # has this machine all that it needs?
voiceframe run examples/openai_realtime_twilio.py      # take the calls of a number: docs/twilio.md
"""

from voiceframe import Call, Pipeline
from voiceframe.processors import OpenAIRealtime, OpenAIRealtimeSettings
from voiceframe.tools import ToolContext, hang_up, tool

INSTRUCTIONS = """\
You answer the telephone of a bicycle shop. You tell whether a repair is done: ask for its number, four digits, and read
it back digit by digit. Be brief and friendly. When the caller has all they want, say goodbye and hang up.
"""

REPAIRS = {"4711": "done, forty pounds", "4712": "waiting for a part, done on Friday"}  # in place of your own system


@tool(side_effects=False, timeout_ms=3_000)
async def repair(ctx: ToolContext, number: str) -> str:
    """Look up how far a repair is.

    number: its four digits.
    """
    if number not in REPAIRS:
        ctx.refuse("there is no such repair: ask for the number again")
    return REPAIRS[number]


def bot(call: Call) -> Pipeline:
    model = OpenAIRealtime(
        INSTRUCTIONS,
        tools=[repair, hang_up],
        greeting="Bicycle shop, hello! What is the number of your repair?",
        options=OpenAIRealtimeSettings(voice="cedar", eagerness="high", language="en"),
    )
    return Pipeline([call.transport.input(), model, call.transport.output()])
