"""A restaurant's line with a model of OpenAI: it looks up free tables, asks before it reserves one, and hangs up.

    pip install 'voiceframe[openai]'
    export OPENAI_API_KEY=sk-...
    voiceframe chat examples/openai_agent.py

With ears and a mouth it takes calls: `examples/cloud_cascade.py`.
"""

from datetime import date, time

from voiceframe import Agent, Call, Pipeline
from voiceframe.processors.agents import AgentSettings
from voiceframe.providers import OpenAI
from voiceframe.tools import ToolContext, hang_up, tool

INSTRUCTIONS = """\
You answer the telephone of the restaurant Da Mario, which is open every day from noon to eleven. It is {{ weekday }},
{{ date }}, {{ time }}. You reserve tables: ask for the day, the time, how many will come, and the name, one at a time.
What you write is read aloud: one or two short sentences, no lists, no digits. When all is done, say goodbye and hang
up.
"""
TABLES = 3  # for every hour, in place of your own reservation system

reserved: dict[tuple[date, int], list[str]] = {}


@tool(side_effects=False, timeout_ms=3_000)
async def free_hours(day: date, people: int) -> list[str]:
    """Look up at which hours there is a table.

    day: the day, as 2026-12-03.
    people: how many will come.
    """
    needed = -(-people // 4)
    return [f"{hour}:00" for hour in range(12, 22) if len(reserved.get((day, hour), ())) + needed <= TABLES]


@tool(confirm="A table for {people} on {day} at {at}, for {name}. Is that right?", say_after_ms=1_000)
async def reserve(ctx: ToolContext, day: date, at: time, people: int, name: str) -> str:
    """Reserve a table. The caller is asked by itself whether all is right.

    day: the day, as 2026-12-03.
    at: on the hour, as 19:00.
    people: how many will come.
    name: for whom.
    """
    needed = -(-people // 4)
    taken = reserved.setdefault((day, at.hour), [])
    if len(taken) + needed > TABLES:
        ctx.refuse("There is no table then: free_hours says when there is")  # the model offers another time
    taken += [name] * needed
    return f"reserved for {name}"


model = OpenAI("gpt-4.1-mini")  # made once: it serves all calls


def bot(call: Call) -> Pipeline:
    agent = Agent(
        "host",
        INSTRUCTIONS,
        model,
        tools=[free_hours, reserve, hang_up],
        greeting="Da Mario, good day! When would you like to come?",
        settings=AgentSettings(zone="Europe/London", temperature=0.3),
    )
    return Pipeline([call.transport.input(), agent, call.transport.output()])
