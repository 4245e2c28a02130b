"""A caller who says nothing: asked with other words each time, then let go."""

from __future__ import annotations

from ...settings import Settings, setting

__all__ = ["IdleSettings"]


class IdleSettings(Settings, prefix="IDLE"):
    """What is said to a caller who is silent. It takes the place of `TurnSettings.idle_*`."""

    after_ms: int = setting(default=15_000, doc="silence of both after which the caller is asked", ge=100)
    prompts: tuple[str, ...] = setting(
        default=("Are you still there?", "I cannot hear you. Please say something, or press any key."),
        doc="what is asked, one after the other; as many as times that the caller is asked",
    )
    goodbye: str = setting(
        default="I still cannot hear you, so I will hang up now. Goodbye.",
        doc="what is said before the call ends; empty for nothing",
    )
    reason: str = setting(default="idle", doc="the reason with which the call ends then")
