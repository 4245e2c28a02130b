"""Signs of listening, "mm-hm", which are no turn."""

from __future__ import annotations

from collections.abc import Sequence

from ...frames import ExpectFrame

__all__ = ["is_backchannel"]


def is_backchannel(text: str, backchannels: Sequence[str], expect: ExpectFrame | None) -> bool:
    """Whether it is one of these, and not what the dialog expects."""
    plain = " ".join("".join(c if c.isalnum() or c in "-'" else " " for c in text.lower()).split())
    if plain not in backchannels:
        return False
    return expect is None or plain not in {phrase.lower() for phrase in expect.phrases}
