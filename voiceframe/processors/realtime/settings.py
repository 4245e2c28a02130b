"""The settings of all models that hear and speak themselves."""

from __future__ import annotations

from ...settings import Settings, setting

__all__ = ["RealtimeSettings"]


class RealtimeSettings(Settings, prefix="REALTIME"):
    """What holds for every model that hears and speaks itself."""

    provider: str = setting(default="openai", doc="which one `Realtime.by_name()` makes")
    keep_ms: int = setting(
        default=5_000, doc="sound of the caller that is kept for another connection", ge=0, le=30_000
    )
    lead_ms: int = setting(default=1_000, doc="how much of that while nobody speaks", ge=0)
    warm_ms: int = setting(default=3_000, doc="how long the call waits for the first connection while it rings", ge=0)
    connect_ms: int = setting(default=5_000, doc="time in which a connection must be made", ge=50)
    response_ms: int = setting(
        default=8_000,
        doc="time without anything of an answer that was asked for, after which it is connected anew",
        ge=50,
    )
    transcript_ms: int = setting(
        default=1_500, doc="how long a turn waits for its words before it is logged without them", ge=0
    )
    session_ms: int = setting(
        default=3_300_000, doc="age at which a connection is replaced, in a moment when nobody speaks", ge=1_000
    )
    duplicate_ms: int = setting(
        default=60_000, doc="time for which a call of a tool with the same arguments is a duplicate", ge=0
    )
    approval_ms: int = setting(default=60_000, doc="time in which an operator must approve a tool", ge=1)
    keys_ms: int = setting(default=2_000, doc="pause after a key that ends an entry", ge=100)
