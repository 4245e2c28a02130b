"""The settings of turn taking. `presets.py` has them by the names of situations."""

from __future__ import annotations

from typing import Literal

from ...settings import Settings, setting

__all__ = ["TurnSettings"]


class TurnSettings(Settings, prefix="TURN"):
    """When a turn of the caller is over, and what stops the bot."""

    # -- the end of a turn
    endpointing: Literal["fixed", "adaptive", "provider"] = setting(
        default="adaptive",
        doc="what ends a turn: a fixed silence, one that depends on what was said, or the recognizer, if it has turns",
    )
    silence_ms: int = setting(
        default=700, doc="silence that ends a turn: fixed, or adaptive when the words say neither yes nor no", ge=100
    )
    min_silence_ms: int = setting(default=300, doc="silence after words that are surely complete (adaptive)", ge=100)
    max_silence_ms: int = setting(
        default=3_000,
        doc="silence after words that surely go on (adaptive), or when the recognizer says nothing (provider)",
        ge=100,
    )
    stability_ms: int = setting(default=450, doc="time for which words that are not final must not have changed", ge=0)
    transcript_wait_ms: int = setting(
        default=1_000, doc="time after the end of speech in which its final words must come", ge=0
    )
    unrecognized_min_ms: int = setting(
        default=250,
        doc="speech without words, in the bot's silence, that is a turn all the same: without text",
        ge=0,
    )
    eager_ms: int | None = setting(
        default=None, doc="silence after which a probable end of turn is announced early; none for never", ge=50
    )
    eager_probability: float = setting(default=0.7, doc="how probable the end must be for that", ge=0, le=1)
    # -- interruption
    interrupt_min_ms: int = setting(default=300, doc="speech that holds the bot's reply", ge=0)
    interrupt_min_words: int = setting(default=0, doc="words that stop the bot's reply; 0 and 1 are the same", ge=0)
    interrupt_sure_ms: int = setting(default=1_500, doc="speech that stops the bot's reply also without words", ge=0)
    resume_after_ms: int = setting(
        default=2_000, doc="time after the end of speech in which words must come, or the held reply goes on", ge=0
    )
    backchannels: tuple[str, ...] = setting(
        default=(
            "mm",
            "mhm",
            "mm-hm",
            "uh-huh",
            "uh",
            "hm",
            "ah",
            "oh",
            "yeah",
            "okay",
            "ok",
            "right",
            "sure",
            "i see",
        ),
        doc="what does not stop the bot while it has more than backchannel_rest_ms to say",
    )
    backchannel_rest_ms: int = setting(
        default=1_000, doc="with less than this left to say a backchannel is an answer", ge=0
    )
    echo_ms: int = setting(default=400, doc="time after the bot's speech in which its echo may still be heard", ge=0)
    # -- silence and keys
    idle_ms: int = setting(default=15_000, doc="silence of both after which the caller is asked; 0 for never", ge=0)
    idle_reprompts: int = setting(default=2, doc="times that the caller is asked before the call ends", ge=0)
    idle_prompt: str = setting(
        default="Are you still there?", doc="what is asked then; empty if the dialog handles UserIdleFrame"
    )
    idle_goodbye: str = setting(
        default="I cannot hear you. Goodbye.", doc="what is said before the call ends for silence; empty for nothing"
    )
    keys_wait_ms: int = setting(
        default=2_500,
        doc="pause after a key that ends an entry of keys; without turn taking (text) key_pause_ms of the flow holds",
        ge=100,
    )
