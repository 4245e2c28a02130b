"""Errors of providers: recognizers, voices and models that are asked over the network."""

from __future__ import annotations

from typing import Self

from .base import Explanation, VoiceframeError

__all__ = ["ProviderError"]


class ProviderError(VoiceframeError):
    """A provider cannot be asked, or has failed.

    vendor: whose it is, `"deepgram"`. status: of HTTP, 0 if there was none. retryable: whether the same may succeed in
    a moment. retry_after_ms: when it may be tried again at the earliest, if the provider has said so.
    """

    codes = {
        "provider.key": Explanation(
            "There is no API key for {vendor}.",
            "Set `{variable}`, or pass `api_key=` to `{by}`.",
        ),
        "provider.auth": Explanation(
            "{vendor} does not accept the API key (status {status}).",
            "Set `{variable}` to a key that is valid and may use this model.",
        ),
        "provider.rate-limit": Explanation(
            "{vendor} refuses for now: too many requests (status {status}).",
            "Raise the limits of the account, or take fewer calls at a time: `Limits(max_calls=...)`.",
        ),
        "provider.request": Explanation(
            "{vendor} cannot do what was asked (status {status}): {detail}.",
            "Check the model and the settings given to `{by}`.",
        ),
        "provider.server": Explanation(
            "{vendor} has failed (status {status}): {detail}.",
            "It is tried again by itself; `voiceframe doctor` and the vendor's status page say more if it stays so.",
        ),
        "provider.connection": Explanation(
            "The connection to {vendor} could not be made or was lost: {detail}.",
            "It is tried again by itself; check the network, and `url=` if you have set it, in `{by}`.",
        ),
        "provider.protocol": Explanation(
            "{vendor} has sent what cannot be understood: {detail}.",
            "Install the versions that are tested with `pip install --upgrade voiceframe[{extra}]`.",
        ),
        "provider.silent": Explanation(
            "{vendor} has sent nothing for {waited_ms} ms.",
            "It is connected anew by itself; raise `{setting}` if the vendor is known to be slower.",
        ),
        "provider.unsupported": Explanation(
            "{vendor} cannot {what}.",
            "Leave it out of `{by}`, or choose {instead}.",
        ),
        "provider.unknown": Explanation(
            "There is no {kind} called {name}; the nearest is {nearest}.",
            "Use one of {known} in `{by}`.",
        ),
    }

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(code, message, fix)
        self.vendor = ""
        self.status = 0
        self.retryable = code in ("provider.rate-limit", "provider.server", "provider.connection", "provider.silent")
        self.retry_after_ms: int | None = None

    @classmethod
    def of(cls, code: str, **facts: object) -> Self:
        error = super().of(code, **facts)
        error.vendor = str(facts.get("vendor", ""))
        status = facts.get("status", 0)
        error.status = status if isinstance(status, int) else 0
        return error
