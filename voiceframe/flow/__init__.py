"""The declared dialog: states with prompts, what can be said, typed slots, confirmation, help, tools, a person.

    from voiceframe.flow import Date, End, Flow, State

`Flow` is the processor; `docs/flow.md` shows how it is used.
"""

from .branch import Branch as Branch
from .branch import When as When
from .contracts import Workflow as Workflow
from .contracts import WorkflowField as WorkflowField
from .contracts import check_workflow as check_workflow
from .flow import Flow as Flow
from .flow import Transfer as Transfer
from .grammar import Expectation as Expectation
from .host import finish as finish
from .node import AskingOptions as AskingOptions
from .node import SpeakingOptions as SpeakingOptions
from .settings import FlowSettings as FlowSettings
from .slots import Choice as Choice
from .slots import Context as Context
from .slots import Date as Date
from .slots import Digits as Digits
from .slots import Found as Found
from .slots import Name as Name
from .slots import Number as Number
from .slots import Slot as Slot
from .slots import Text as Text
from .slots import Time as Time
from .slots import YesNo as YesNo
from .states import AgentNode as AgentNode
from .states import AgentResult as AgentResult
from .states import AnyState as AnyState
from .states import Do as Do
from .states import End as End
from .states import Handoff as Handoff
from .states import Intent as Intent
from .states import Message as Message
from .states import State as State
from .states import Voicemail as Voicemail
from .wording import Wording as Wording

__all__ = [
    "AgentNode",
    "AgentResult",
    "AnyState",
    "AskingOptions",
    "Branch",
    "Choice",
    "Context",
    "Date",
    "Digits",
    "Do",
    "End",
    "Expectation",
    "Flow",
    "FlowSettings",
    "Found",
    "Handoff",
    "Intent",
    "Message",
    "Name",
    "Number",
    "Slot",
    "SpeakingOptions",
    "State",
    "Text",
    "Time",
    "Transfer",
    "Voicemail",
    "When",
    "Wording",
    "Workflow",
    "WorkflowField",
    "YesNo",
    "check_workflow",
    "finish",
]
