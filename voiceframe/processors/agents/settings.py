"""How agents, squads and routers talk, and how long their parts may take."""

from __future__ import annotations

from ...settings import Settings, setting

__all__ = ["AgentSettings", "RouterSettings", "SquadSettings"]


class AgentSettings(Settings, prefix="AGENT"):
    """How an agent asks its model, keeps its context and runs its tools."""

    # -- the model
    temperature: float | None = setting(default=None, doc="of the model; none for the vendor's own", ge=0, le=2)
    max_tokens: int | None = setting(default=None, doc="of one answer; none for the vendor's own", ge=1)
    apology: str = setting(
        default="",
        doc="what is said when the model fails before it has said a word; empty for the call's reprompt",
    )
    eager: bool = setting(default=True, doc="ask the model when turn taking announces a probable end of the turn")
    # -- the context
    context_tokens: int = setting(
        default=16_000, doc="size of what the model is sent, estimated; older turns are left out beyond it", ge=500
    )
    summarize: bool = setting(default=True, doc="have the model summarize old turns, in the background")
    summarize_at: float = setting(
        default=0.7, doc="share of context_tokens from which old turns are summarized", ge=0, le=1
    )
    keep_turns: int = setting(default=4, doc="turns that are never summarized", ge=2)
    result_chars: int = setting(default=8_000, doc="length beyond which the result of a tool is cut", ge=200)
    unrecognized: str = setting(default="(not understood)", doc="what stands in the context for speech without words")
    zone: str = setting(default="UTC", doc="time zone of dates in instructions and questions, such as Europe/Berlin")
    # -- the greeting
    greeting_interruptible: bool = setting(default=True, doc="whether the caller may interrupt the greeting")
    greeting_ms: int = setting(default=4_000, doc="time in which a greeting of the model must be there", ge=100)
    # -- tools
    tool_rounds: int = setting(default=5, doc="rounds of tools in one turn, after which the model has to answer", ge=0)
    parallel_tools: bool = setting(default=True, doc="whether the model may call several tools at once")
    duplicate_ms: int = setting(
        default=60_000, doc="time for which a call of a tool with the same arguments is a duplicate", ge=0
    )
    approval_ms: int = setting(default=60_000, doc="time in which an operator must approve a tool", ge=1)


class SquadSettings(Settings, prefix="SQUAD"):
    """How far the specialists of a squad may go in one turn of the caller."""

    max_handoffs: int = setting(default=2, doc="how often a turn may be given on to another specialist", ge=0)
    max_tool_rounds: int = setting(
        default=5, doc="rounds of tools in one turn, of all specialists together, after which one has to answer", ge=0
    )
    policy_ms: int = setting(
        default=2_000, doc="time in which the handoff policy, and the context policy, must have answered", ge=1
    )


class RouterSettings(Settings, prefix="ROUTER"):
    """How long a router may think, and how often."""

    budget_ms: int = setting(default=1_500, doc="time in which the classifier must have answered", ge=1)
    turns: int = setting(
        default=1, doc="turns of the caller that are classified until a target fits; the fallback answers them", ge=1
    )
