"""Errors of manners that cannot work."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["MannersError"]


class MannersError(VoiceframeError):
    """Manners that cannot work where they were put; raised before the call begins."""

    codes = {
        "manners.no-vad": Explanation(
            "{manner} needs to know when the caller speaks, and no VAD stands among {processors}.",
            "Put one into it, as in `Manners(...).around(SileroVAD(), stt, Turns())`.",
        ),
        "manners.no-turns": Explanation(
            "{manner} needs turn taking, and there is none among {processors}.",
            "Put it into it, as in `Manners(...).around(SileroVAD(), stt, Turns())`.",
        ),
        "manners.used-twice": Explanation(
            "These manners belong to a call already.",
            "Make others for each call: `Manners(...)` inside the function that makes the pipeline.",
        ),
        "manners.no-message": Explanation(
            "A message is to be left on answering machines, and there is none.",
            'Give one, `VoicemailSettings(policy="message", message="...")`, or another policy.',
        ),
        "manners.languages": Explanation(
            "The languages {codes} cannot be switched between: {error}.",
            'Name each once, and two at least: `Manners(languages=[Language("en-US"), Language("es", voice="es")])`.',
        ),
        "manners.language": Explanation(
            "{tag!r} is no language: {error}.",
            'Use a BCP 47 tag, and say what callers call it: `Language("gsw", names=("swiss german",))`.',
        ),
        "manners.unknown-language": Explanation(
            "{tag!r} is none of the languages of this call, which are {known}.",
            "Did you mean `{nearest}`? Declare each in `Manners(languages=[...])`.",
        ),
        "manners.one-language": Explanation(
            "{processor} hears one language only.",
            "Put a recognizer that takes a language into `around(...)`, or one that hears them all and say so by "
            "`Language(..., stt=None)`.",
        ),
        "manners.no-voice": Explanation(
            "{processor} has no setting for the language, and {tag} has no voice of its own.",
            "Name one that speaks it: `Language({tag!r}, voice=...)`.",
        ),
        "manners.untranslated": Explanation(
            "In {tag} there are no words for {text!r}.",
            "Say how it is put, by that sentence, in the mapping `Language({tag!r}, says=...)`.",
        ),
    }
