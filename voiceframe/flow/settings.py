"""How a declared dialog takes what was heard."""

from __future__ import annotations

from ..settings import Settings, setting

__all__ = ["FlowSettings"]


class FlowSettings(Settings, prefix="FLOW"):
    """How a declared dialog takes what was heard."""

    reject_below: float = setting(default=0.2, doc="confidence under which speech counts as not understood", ge=0, le=1)
    confirm_below: float = setting(
        default=0.6,
        doc="confidence under which a value is confirmed by a question of its own, and a goodbye counts as not "
        "understood",
        ge=0,
        le=1,
    )
    echo: bool = setting(default=True, doc="say what was understood before the next question")
    attempts: int = setting(default=3, doc="times in a row that one question may fail before a person takes over", ge=1)
    most_failures: int = setting(
        default=10, doc="failures, and commands such as help, in a call before a person takes over", ge=1
    )
    patience_ms: int = setting(default=1_500, doc="time after which the caller is told that a tool takes a while", ge=0)
    key_pause_ms: int = setting(
        default=2_500,
        doc="pause after a key that ends an answer by keys, where the pipeline has no turn taking (a call of text); "
        "where it has, its keys_wait_ms holds",
        ge=100,
    )
