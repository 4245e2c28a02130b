"""What Twilio is asked by its REST API, through its own SDK.

    async with TwilioRest(settings) as rest:
        await rest.hang_up(leg.id)

https://www.twilio.com/docs/voice/api/call-resource#update-a-call-resource
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import random
import re
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ...errors import CarrierError
from ...extras import optional
from .settings import API_URL, TwilioSettings

__all__ = ["TwilioRest"]

#: It goes into a URL. Twilio's are `CA` and 32 hex digits; test doubles have others.
_ID: Final = re.compile(r"[0-9A-Za-z]{1,64}")
#: "Invalid call state": the call is over (https://www.twilio.com/docs/api/errors/21220).
_CALL_STATE: Final = 21220
#: Before the second attempt; each further one waits twice as long.
_PAUSE_MS: Final = 250


class TwilioRest:
    """Asks Twilio by REST. It loads the SDK, which takes most of a second: make it before calls come.

    Use it on one event loop, which it never blocks, and close it. `api_url` of the settings takes it elsewhere, such as
    `https://api.dublin.ie1.twilio.com`; where that is not set, `TWILIO_REGION` and `TWILIO_EDGE` count as they do for
    the SDK. A proxy is taken from `HTTPS_PROXY`.

    Raises `CarrierError` (`carrier.account`) without the account or its token, and `MissingExtra`.
    """

    def __init__(self, settings: TwilioSettings) -> None:
        for name in ("account_sid", "auth_token"):
            if not getattr(settings, name):
                raise CarrierError.of(
                    "carrier.account", carrier="Twilio", what="Twilio's REST API", missing=f"TWILIO_{name.upper()}"
                )
        self._settings = settings
        sdk = optional("twilio.rest", extra="telephony", what="Asking Twilio by REST")
        self._aiohttp = optional("aiohttp", extra="telephony", what="Asking Twilio by REST")
        self._errors = optional("twilio.base.exceptions", extra="telephony", what="Asking Twilio by REST")
        self._http = _Http(settings)
        client = sdk.Client(
            settings.account_sid,
            settings.auth_token,
            http_client=self._http,
            # Region and edge would be put into any other address too, which has no place for them.
            environment=os.environ if settings.api_url == API_URL else {"TWILIO_REGION": ""},
        )
        client.api.base_url = settings.api_url  # this loads the better part of it
        self._calls: Callable[[str], Any] = client.calls

    async def hang_up(self, call_id: str) -> bool:
        """End the call with this id at Twilio (`CA...`), whatever it is doing. False if it was over, or never was.

        Asked again after 429 and 5xx, with growing pauses or when Twilio says, all within `api_total_ms`; it does no
        harm to ask twice. Cancelled it stops at once.

        Raises `CarrierError`: `carrier.call`, `carrier.credentials`, `carrier.refused`, `carrier.busy`,
        `carrier.timeout`, `carrier.unreachable`, `carrier.answer`.
        """
        if not _ID.fullmatch(call_id):
            raise CarrierError.of("carrier.call", carrier="Twilio", what="hung up")
        return await self._ask(call_id, "hung up", lambda: self._calls(call_id).update_async(status="completed"))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, call_id: str, what: str, request: Callable[[], Awaitable[object]]) -> bool:
        """Whether it was done; False if the call was over."""
        url = self._settings.api_url
        facts = {"carrier": "Twilio", "call": call_id, "what": what, "url": url}
        # Of what went wrong only numbers and names are told on, and nothing is chained: the words of whoever answered
        # may repeat what he was sent.
        try:
            await request()
        except self._errors.TwilioException as error:
            status, code = getattr(error, "status", 0), getattr(error, "code", 0)
            failure = self._refusal(status, code, facts)
            if failure is None:
                return False
        except TimeoutError:
            waited = self._settings.api_timeout_ms
            failure = CarrierError.of("carrier.timeout", waited_ms=waited, setting=_API_TIMEOUT, **facts)
        except (self._aiohttp.ClientError, OSError) as error:
            failure = CarrierError.of("carrier.unreachable", error=type(error).__name__, **facts)
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
        ) as error:  # the SDK reads whatever has come
            failure = CarrierError.of("carrier.answer", error=type(error).__name__, **facts)
        else:
            return True
        raise failure

    def _refusal(self, status: object, code: object, facts: dict[str, str]) -> CarrierError | None:
        """What an answer above 299 means; None if the call is over."""
        if not isinstance(status, int):
            return CarrierError.of("carrier.answer", error="its error has no status", **facts)
        if status == 404 or (status == 400 and code == _CALL_STATE):
            return None
        if status in (401, 403):
            names = "TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN"
            return CarrierError.of("carrier.credentials", status=status, settings=names, **facts)
        if _transient(status):
            limits = {"attempts": self._settings.api_attempts, "total_ms": self._settings.api_total_ms}
            return CarrierError.of("carrier.busy", status=status, setting=_API_TOTAL, **limits, **facts)
        shown = code if isinstance(code, int) else status
        return CarrierError.of("carrier.refused", status=status, error=shown, **facts)


_API_TIMEOUT: Final = "VOICEFRAME_TWILIO_API_TIMEOUT_MS"
_API_TOTAL: Final = "VOICEFRAME_TWILIO_API_TOTAL_MS"


class _Http:
    """The SDK's client for HTTP, with limits of time and with attempts. The SDK asks for `is_async` and `request`.

    Here and not around the SDK's calls, because only here the header Retry-After is to be seen.
    """

    is_async: Final = True

    def __init__(self, settings: TwilioSettings) -> None:
        self._settings = settings
        sdk = optional("twilio.http.async_http_client", extra="telephony", what="Asking Twilio by REST")
        self._aiohttp = optional("aiohttp", extra="telephony", what="Asking Twilio by REST")
        # What the SDK logs of a request is more than a log needs.
        silent = logging.getLogger("voiceframe.transports.twilio.sdk")
        silent.disabled = True
        self._inner: Any = sdk.AsyncTwilioHttpClient(pool_connections=False, logger=silent)
        self._random = random.Random()
        # Not by the SDK, which has aiohttp do it in a way that is going to be removed.
        credentials = f"{settings.account_sid}:{settings.auth_token}".encode()
        self._authorization = f"Basic {base64.b64encode(credentials).decode('ascii')}"

    async def request(self, method: str, url: str, *, headers: dict[str, str], auth: object = None, **rest: Any) -> Any:
        headers = {**headers, "Authorization": self._authorization}
        settings = self._settings
        loop = asyncio.get_running_loop()
        end = loop.time() + settings.api_total_ms / 1000
        if self._inner.session is None:  # a session belongs to a running loop
            self._inner.session = self._aiohttp.ClientSession(proxy=_proxy(url))
        attempt = 1
        while True:
            async with asyncio.timeout_at(min(end, loop.time() + settings.api_timeout_ms / 1000)):
                response = await self._inner.request(method, url, headers=headers, **rest)
            # Not all at the same time again: half of the pause is by chance.
            pause = _PAUSE_MS / 1000 * 2 ** (attempt - 1) * self._random.uniform(0.5, 1)
            pause = max(pause, _retry_after(response.headers))
            tried = attempt >= settings.api_attempts or loop.time() + pause >= end
            if tried or not _transient(response.status_code):
                return response
            await asyncio.sleep(pause)
            attempt += 1

    async def close(self) -> None:
        if self._inner.session is not None:
            await self._inner.session.close()
            self._inner.session = None


def _proxy(url: str) -> str | None:
    """What the environment says of proxies. aiohttp would read that too, but with it passwords from `~/.netrc`."""
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return None if proxy is None or proxy_bypass(parts.netloc) else proxy


def _transient(status: int) -> bool:
    return status == 429 or 500 <= status <= 599


def _retry_after(headers: Any) -> float:
    """In seconds; 0 if it is not said, or as a date."""
    text = (headers or {}).get("Retry-After", "").strip()
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0.0
