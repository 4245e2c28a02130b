"""Tools for the call itself: hang up, press keys, and collect what a model mishears.

    Agent("shop", "...", llm, tools=[hang_up, collect_spelled_name, collect_card_number])

The collecting ones ask the caller in small dialogs of their own, understand corrections and keys, and have the answer
confirmed; the model gets the value, or why there is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timezone
from typing import Final, Literal, TypeVar

from ..flow import Date, Digits, Number
from ..frames import OutputDTMFFrame
from .asking import Agree, AskDigits, AskSlot, AskText, Question
from .context import ToolContext
from .spelled import Card, Spelled
from .tool import Tool, tool

__all__ = [
    "card_collector",
    "collect_address",
    "collect_card_number",
    "collect_date",
    "collect_digits",
    "collect_number",
    "collect_spelled_name",
    "collect_yes_or_no",
    "end_task",
    "hang_up",
    "send_dtmf",
]

T = TypeVar("T")

#: A dialog is bounded by its own attempts; this is for a caller who has put the telephone down beside it.
_DIALOG_MS: Final = 300_000
_KEYS: Final = frozenset("0123456789*#ABCDabcd")


@tool(on_duplicate="allow", ends_reply=True)
async def hang_up(ctx: ToolContext, goodbye: str = "") -> None:
    """End the call, when the caller has all they want or asks for it.

    goodbye: your last words to the caller, unless you have said them just before.
    """
    _say_goodbye(ctx, goodbye)
    ctx.call.end("completed")


@tool(on_duplicate="allow", ends_reply=True)
async def end_task(
    ctx: ToolContext,
    outcome: Literal["completed", "failed", "cancelled"],
    summary: str,
    goodbye: str = "",
) -> None:
    """Note what the call has come to, and end it.

    outcome: whether the caller got what they wanted.
    summary: what was agreed, in a sentence, for the record.
    goodbye: your last words to the caller, unless you have said them just before.
    """
    ctx.call.data["outcome"] = outcome
    ctx.call.data["summary"] = summary
    _say_goodbye(ctx, goodbye)
    ctx.call.end("completed")


def _say_goodbye(ctx: ToolContext, goodbye: str) -> None:
    if goodbye.strip():
        ctx.say(goodbye.strip())
    elif ctx.floor is None or not ctx.floor.spoken:
        ctx.say("Goodbye.")


@tool(on_duplicate="allow")
async def send_dtmf(ctx: ToolContext, digits: str) -> None:
    """Press keys, to get through the menu of another machine.

    digits: what to press: 0-9, *, #, A-D.
    """
    keys = digits.replace(" ", "")
    if not keys or not _KEYS.issuperset(keys):
        ctx.refuse(f"{digits!r} are not keys of a telephone: use 0-9, *, #, A-D")
    ctx.call.send(OutputDTMFFrame(keys.upper()))


@tool(side_effects=False, on_interrupt="finish", timeout_ms=_DIALOG_MS)
async def collect_date(
    ctx: ToolContext, question: str, earliest: date | None = None, latest: date | None = None
) -> date:
    """Ask the caller for a day, and have it understood for certain ("Thursday week", "the third", keys).

    question: what the caller is asked.
    earliest: the first day that can be taken; today, if left out.
    latest: the last day that can be taken; 360 days from today, if left out.
    """
    today = _today(ctx)
    first = (earliest - today).days if earliest else 0 if not latest or latest >= today else -36_500
    # Within 360 days no year has to be said, or keyed in.
    last = (latest - today).days if latest else 360 if first < 360 else first + 360
    if last < first:
        ctx.refuse(f"the latest day, {latest}, is before the earliest")
    slot = Date("day", earliest_days=first, latest_days=last)
    return await _ask(ctx, AskSlot(slot, question, confirm="{day}. Is that right?"))


@tool(side_effects=False, on_interrupt="finish", timeout_ms=_DIALOG_MS)
async def collect_number(ctx: ToolContext, question: str, low: int = 0, high: int = 100) -> int:
    """Ask the caller for a whole number: how many, how old, which floor.

    question: what the caller is asked.
    low: the least that can be taken.
    high: the most that can be taken, up to 999999.
    """
    if not 0 <= low <= high <= 999_999:
        ctx.refuse("low and high must be from 0 to 999999, and low not above high")
    slot = Number("number", low=low, high=high)
    return await _ask(ctx, AskSlot(slot, question, confirm="{number}. Is that right?"))


@tool(side_effects=False, on_interrupt="finish", timeout_ms=_DIALOG_MS)
async def collect_digits(ctx: ToolContext, question: str, shortest: int = 1, longest: int = 20) -> str:
    """Ask the caller for digits that are no quantity: a telephone number, an order, a customer number.

    question: what the caller is asked.
    shortest: how many digits it has at least.
    longest: how many digits it has at most, up to 40.
    """
    if not 1 <= shortest <= longest <= 40:
        ctx.refuse("shortest and longest must be from 1 to 40, and shortest not above longest")
    slot = Digits("digits", length=longest, shortest=shortest, label="number")
    return await _ask(ctx, AskDigits(slot, question, confirm="{digits}. Is that right?"))


@tool(side_effects=False, on_interrupt="finish", timeout_ms=_DIALOG_MS)
async def collect_spelled_name(ctx: ToolContext, question: str = "Could you spell your last name for me?") -> str:
    """Have the caller spell a name letter by letter, and confirm it.

    question: what the caller is asked.
    """
    return await _ask(ctx, AskSlot(Spelled("name"), question, confirm="{name}. Is that right?"))


@tool(side_effects=False, on_interrupt="finish", timeout_ms=_DIALOG_MS)
async def collect_address(ctx: ToolContext, question: str = "What is the address, with street and town?") -> str:
    """Ask the caller for a postal address, and have it confirmed word by word.

    question: what the caller is asked.
    """
    return await _ask(ctx, AskText(question, label="address", check=_check_address))


@tool(side_effects=False, on_interrupt="finish", timeout_ms=_DIALOG_MS)
async def collect_yes_or_no(ctx: ToolContext, question: str) -> bool:
    """Ask the caller something that is answered with yes or no, and must not be misunderstood.

    question: what the caller is asked.
    """
    return await _ask(ctx, Agree(question))


def card_collector(
    tokenize: Callable[[str], Awaitable[str]] | None = None, *, name: str = "collect_card_number"
) -> Tool[..., str]:
    """A tool that asks for the number of a payment card, by voice or keys, and keeps it from everybody else.

    While it asks the call is `private()`: no events, context or recording hold a digit. The model gets the last four
    digits, or what `tokenize` makes of the number (your payment provider's token, say): it is the only one who sees it.
    """

    async def collect(
        ctx: ToolContext, question: str = "Please say or type the number of your card, then the pound key."
    ) -> str:
        with ctx.call.private():
            asked = AskDigits(Card("card"), question, confirm="I have {card}. Is that right?")
            number = await _ask(ctx, asked, private=True)
            if tokenize is None:
                return f"the card ending in {number[-4:]}"
            try:
                return await tokenize(number)
            except Exception as error:
                # What it raised may have the number in it, and must not get into the log.
                return ctx.refuse(f"the card could not be taken ({type(error).__name__})")

    collect.__doc__ = """Ask the caller for the number of their payment card. You never see it, only that it is there.

    question: what the caller is asked.
    """
    return Tool(
        collect, name=name, side_effects=False, on_interrupt="finish", on_duplicate="allow", timeout_ms=_DIALOG_MS
    )


collect_card_number = card_collector()


async def _ask(ctx: ToolContext, question: Question[T], *, private: bool = False) -> T:
    question.private = private
    return await ctx.ask(question)


def _today(ctx: ToolContext) -> date:
    zone = ctx.floor.zone if ctx.floor is not None else timezone.utc  # noqa: UP017
    return datetime.fromtimestamp(ctx.call.clock.wall_ms() / 1000, zone).date()


def _check_address(text: str) -> str | None:
    if len(text.split()) < 2 or not any(char.isdigit() for char in text):
        return "I need the street with its number, and the town."
    return None
