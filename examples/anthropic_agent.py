"""A library's line with Claude: it finds books, several at once, and renews loans. Cards are given by keys.

pip install 'voiceframe[anthropic]'
export ANTHROPIC_API_KEY=sk-ant-...
voiceframe chat examples/anthropic_agent.py
"""

from datetime import date, timedelta

from voiceframe import Agent, Call, Pipeline
from voiceframe.processors.agents import Generated
from voiceframe.providers import Anthropic
from voiceframe.tools import ToolContext, collect_digits, hang_up, tool

INSTRUCTIONS = """\
You answer the telephone of the town library. It is {{ weekday }}, {{ date }}. You tell whether a book is there, and
renew loans; for that you need the number of the card, six digits: let collect_digits ask for it. What you write is read
aloud: one or two short sentences, no lists. When the caller has all they want, say goodbye and hang up.
"""

SHELVES = {"middlemarch": 2, "dracula": 0, "emma": 1}  # in place of your own catalogue
LOANS = {"204711": {"Dracula": date(2026, 12, 1), "Emma": date(2026, 12, 4)}}


@tool(side_effects=False, timeout_ms=3_000)
async def find_book(title: str) -> str:
    """See whether a book can be fetched. Call it for each book, all at once.

    title: the title, without the author.
    """
    copies = SHELVES.get(title.strip().lower())
    return "we do not have that book" if copies is None else f"{copies} on the shelf"


@tool(timeout_ms=3_000, secret=("card",))  # no event has the number of a card
async def renew(ctx: ToolContext, card: str, title: str) -> str:
    """Renew a loan by four weeks.

    card: the number of the card, six digits.
    title: the book.
    """
    loans = LOANS.get(card)
    if loans is None:
        ctx.refuse("there is no such card")
    found = next((loan for loan in loans if loan.lower() == title.strip().lower()), None)
    if found is None:
        ctx.refuse(f"on this card are {', '.join(loans)}")
    loans[found] += timedelta(weeks=4)
    return f"until {loans[found]:%A, %d %B}"


model = Anthropic("claude-haiku-4-5")  # made once: it serves all calls; what was said before is cached


def bot(call: Call) -> Pipeline:
    agent = Agent(
        "librarian",
        INSTRUCTIONS,
        model,
        tools=[find_book, renew, collect_digits, hang_up],
        greeting=Generated(
            "Greet the caller by the time of day, which is {{ time }}.", fallback="Town library, hello!"
        ),
    )
    return Pipeline([call.transport.input(), agent, call.transport.output()])
