"""What is set of Twilio. For calls that come in, `TWILIO_AUTH_TOKEN` and the public URL suffice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...errors import CarrierError
from ...settings import Settings, setting

__all__ = ["API_URL", "TwilioSettings"]

#: Twilio's REST API (https://www.twilio.com/docs/usage/api).
API_URL: Final = "https://api.twilio.com"


class TwilioSettings(Settings, prefix="TWILIO"):
    """How Twilio's requests are known, where they come to, and how it is asked for something."""

    auth_token: str = setting(
        default="",
        doc="the account's primary auth token: it signs what Twilio sends, and is the password of the REST API",
        secret=True,
        variable="TWILIO_AUTH_TOKEN",
    )
    account_sid: str = setting(
        default="",
        doc="the account's id, `AC...`; only for what Twilio is asked by REST, such as to hang up",
        variable="TWILIO_ACCOUNT_SID",
    )
    signing_keys: tuple[str, ...] = setting(
        default=(),
        doc="the shared keys that webhooks are signed with in place of the auth token, each `id:secret`",
        secret=True,
    )
    webhook_path: str = setting(default="/twilio/voice", doc="where Twilio asks what to do with a call")
    media_path: str = setting(default="/twilio/media", doc="where Twilio opens the stream of a call")
    answer_ms: int = setting(
        default=10_000, doc="time that a bot has to be made before the call is refused; Twilio waits 15 s", ge=100
    )
    token_ms: int = setting(
        default=60_000, doc="time from the answer to a call until its stream must be open", ge=1_000
    )
    tokens: int = setting(
        default=10_000, doc="answered calls whose streams may be awaited; beyond it the oldest is given up", ge=1
    )
    api_url: str = setting(default=API_URL, doc="where the REST API is")
    api_timeout_ms: int = setting(default=5_000, doc="time that one request to the REST API has", ge=100)
    api_attempts: int = setting(
        default=4, doc="how often the REST API is asked while it answers 429 or 5xx", ge=1, le=10
    )
    api_total_ms: int = setting(
        default=20_000, doc="time that a request to the REST API has with all attempts and the pauses between", ge=100
    )

    def keys(self) -> Mapping[str, str]:
        """The signing keys, secret by id. Raises `CarrierError` (`carrier.key`) for one that is not `id:secret`."""
        found: dict[str, str] = {}
        for number, entry in enumerate(self.signing_keys, start=1):
            name, _, secret = entry.partition(":")
            if not (name.strip() and secret.strip()):
                raise CarrierError.of("carrier.key", number=number)
            found[name.strip()] = secret.strip()
        return found
