"""Tools: typed functions that a dialog or an agent calls.

    @tool(timeout_ms=5_000)
    async def book(ctx: ToolContext, day: date, time: time, doctor: str) -> Booked | Taken:
        \"\"\"Book an appointment.

        day: when the patient wants to come.
        \"\"\"

The parameters come from the type hints, their descriptions from the docstring. Arguments are checked and converted
before the function runs, it has a bound in time, and whatever goes wrong is a `ToolError` that a model can make use of.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .calling import call_tool as call_tool
from .context import Floor as Floor
from .context import ToolContext as ToolContext
from .context import ToolResult as ToolResult
from .handoff import Handoff as Handoff
from .parameters import Parameter as Parameter
from .tool import AnyTool as AnyTool
from .tool import Tool as Tool
from .tool import tool as tool
from .values import plain as plain

if TYPE_CHECKING:
    from .asking import Agree as Agree
    from .asking import AskDigits as AskDigits
    from .asking import AskSlot as AskSlot
    from .asking import AskText as AskText
    from .asking import Question as Question
    from .call_tools import card_collector as card_collector
    from .call_tools import collect_address as collect_address
    from .call_tools import collect_card_number as collect_card_number
    from .call_tools import collect_date as collect_date
    from .call_tools import collect_digits as collect_digits
    from .call_tools import collect_number as collect_number
    from .call_tools import collect_spelled_name as collect_spelled_name
    from .call_tools import collect_yes_or_no as collect_yes_or_no
    from .call_tools import end_task as end_task
    from .call_tools import hang_up as hang_up
    from .call_tools import send_dtmf as send_dtmf
    from .calling_out import VoiceCall as VoiceCall
    from .calling_out import voice_call as voice_call
    from .contracts import ToolCase as ToolCase
    from .contracts import check_tool as check_tool
    from .mcp import MCPServer as MCPServer
    from .spelled import Card as Card
    from .spelled import Spelled as Spelled

_HOMES = {
    "Agree": "asking",
    "AskDigits": "asking",
    "AskSlot": "asking",
    "AskText": "asking",
    "Card": "spelled",
    "MCPServer": "mcp",
    "Question": "asking",
    "Spelled": "spelled",
    "ToolCase": "contracts",
    "VoiceCall": "calling_out",
    "card_collector": "call_tools",
    "check_tool": "contracts",
    "collect_address": "call_tools",
    "collect_card_number": "call_tools",
    "collect_date": "call_tools",
    "collect_digits": "call_tools",
    "collect_number": "call_tools",
    "collect_spelled_name": "call_tools",
    "collect_yes_or_no": "call_tools",
    "end_task": "call_tools",
    "hang_up": "call_tools",
    "send_dtmf": "call_tools",
    "voice_call": "calling_out",
}

__all__ = [
    "AnyTool",
    "Floor",
    "Handoff",
    "Parameter",
    "Tool",
    "ToolContext",
    "ToolResult",
    "call_tool",
    "plain",
    "tool",
    *_HOMES,
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
