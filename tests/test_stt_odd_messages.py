"""Messages that a vendor's protocol does not have: new ones are ignored, broken ones are typed, and cost no word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.test_stt_conformance import VENDORS
from voiceframe.testing.conformance_stt import converse
from voiceframe.testing.providers.hearing import FakeRecognizer
from voiceframe.testing.providers.server import FakeSocket

SAID = ["one", "two", "three", "four", "five", "six"]
#: How each fake talks, a message that nobody knows, and one that lacks what it must have.
ODD: dict[str, tuple[str, Any, Any]] = {
    "deepgram": ("_nova", {"type": "Surprise", "channel": 7}, {"type": "Results", "is_final": True}),
    "deepgram-flux": ("_flux", {"type": "Surprise"}, {"type": "TurnInfo", "event": "Update"}),
    "openai": ("_realtime", {"type": "rate_limits.updated", "surprise": []}, {"type": "error"}),
    "elevenlabs": ("_realtime", {"message_type": "surprise"}, {"message_type": 7}),
    "cartesia": ("_manual", {"type": "surprise"}, {"type": "transcript", "is_final": True}),
    "cartesia-turns": ("_turns", {"type": "surprise"}, {"type": "turn.end"}),
}


def saying(vendor: str, message: Any, *, once: bool) -> type[FakeRecognizer]:
    """The vendor's server, which says this before all else, on each connection or on the first."""
    base: Any = VENDORS[vendor][1]
    name = ODD[vendor][0]
    told: list[FakeSocket] = []

    async def talk(self: Any, socket: FakeSocket) -> None:
        if not (once and told):
            told.append(socket)
            await socket.send(message)
        await getattr(base, name)(self, socket)

    return type("Odd", (base,), {name: talk})


@pytest.mark.real_time
@pytest.mark.parametrize("vendor", ODD)
async def test_a_message_that_nobody_knows_is_ignored(vendor: str) -> None:
    held = await converse(VENDORS[vendor][0], saying(vendor, ODD[vendor][1], once=False))
    assert (held.said, held.lost, held.errors) == (SAID, [], [])


@pytest.mark.real_time
@pytest.mark.parametrize("vendor", ODD)
async def test_a_broken_message_is_a_typed_error_and_costs_no_word(vendor: str) -> None:
    held = await converse(VENDORS[vendor][0], saying(vendor, ODD[vendor][2], once=True))
    assert (held.said, held.lost, held.errors) == (SAID, ["provider.protocol"], [])
