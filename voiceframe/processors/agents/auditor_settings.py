"""How an auditor looks on."""

from __future__ import annotations

from typing import Final, Literal

from ...settings import Settings, setting

__all__ = ["LEAST_MS", "AuditorSettings"]

#: Looks that follow each other faster would each correct what the last one has corrected already.
LEAST_MS: Final = 3_000


class AuditorSettings(Settings, prefix="AUDITOR"):
    """When an auditor looks, and how long that may take."""

    look: Literal["turn", "interval"] = setting(
        default="turn", doc="when it looks: at each committed turn of the caller, or at an interval"
    )
    every_ms: int = setting(default=5_000, doc="the interval between two looks", ge=LEAST_MS)
    look_ms: int = setting(default=15_000, doc="time for one look, after which it has failed", ge=100)
    rounds: int = setting(default=5, doc="rounds of tools in one look", ge=1)
    history_tokens: int = setting(
        default=16_000, doc="size of what its model is sent, estimated; older looks are left out beyond it", ge=500
    )
    quiet_ms: int = setting(
        default=1_200, doc='silence of the caller before a correction is spoken unasked, with deliver="now"', ge=0
    )
    abort_wait_ms: int = setting(
        default=3_000, doc="how long a caller who is speaking may go on before an abort speaks over them", ge=0
    )
