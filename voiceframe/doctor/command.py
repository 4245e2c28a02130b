"""The command: all checks, in the order in which a request of a carrier meets what is checked."""

from __future__ import annotations

import asyncio
from typing import Final, TextIO

from ..app import App
from ..bots import load_app
from ..checks import Missing, Report
from ..errors import ConfigurationError, VoiceframeError
from ..report import show
from ..server import ServerSettings
from ..transports.twilio import Twilio, TwilioSettings
from .account import clock, rest, secret
from .endpoints import media, webhook
from .gateway import gateway, identity
from .proxy import proxy
from .questions import Found, failed, ids, not_asked
from .stream import stream
from .visit import Visit
from .way import dns, tls

__all__ = ["doctor", "examine"]

#: The addresses that Twilio itself asks.
_ENDPOINT: Final = ["twilio.webhook", "twilio.stream"]


def doctor(
    where: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    public_url: str | None = None,
    form: str = "text",
    strict: bool = False,
    out: TextIO | None = None,
) -> int:
    """Ask, and show the report. Returns the exit code.

    where: a bot or an app, if its endpoint for Twilio has settings of its own.

    Raises `ConfigurationError`, also when there is no public URL (`server.no-public-url`), and `MissingExtra`.
    """
    settings = ServerSettings.load()
    changes = {"host": host, "port": port, "public_url": public_url}
    settings = settings.replace(**{name: value for name, value in changes.items() if value is not None})
    try:
        found = load_app(where) if where else None
    except Exception as error:
        if isinstance(error, VoiceframeError):
            raise
        raise ConfigurationError.of("bot.not-found", path=where, error=f"{type(error).__name__}: {error}") from error
    endpoints = found.endpoints if isinstance(found, App) else ()
    twilio = next((endpoint.settings for endpoint in endpoints if isinstance(endpoint, Twilio)), None)
    return show(asyncio.run(examine(settings, twilio or TwilioSettings.load(), strict=strict)), form, out)


async def examine(settings: ServerSettings, twilio: TwilioSettings, *, strict: bool = False) -> Report:
    """All checks, in the order in which a request of a carrier meets what is checked."""
    if not settings.public_url:
        raise ConfigurationError.of("server.no-public-url", carrier="Twilio", port=settings.port)
    visit = Visit(settings, twilio)
    checks: list[Found] = [secret(visit)]
    checks.append(await dns(visit))
    if failed(checks[-1]):
        checks += not_asked(
            "the name of the public URL has no address", ids("tls", "gateway", "proxy", "stream") + _ENDPOINT
        )
    else:
        checks += await tls(visit)
        async with gateway(visit) as (local, problem):
            checks.append(local)
            if problem:
                checks += not_asked(problem, ["gateway.identity", *ids("proxy", "stream"), *_ENDPOINT])
            else:
                checks += await _through(visit)
    checks += await rest(visit)
    checks.append(clock(visit))
    return Report(checks, title=f"voiceframe doctor {visit.public}", strict=strict)


async def _through(visit: Visit) -> list[Found]:
    """What is asked through the public URL."""
    who, reached = await identity(visit)
    checks: list[Found] = [who]
    if reached:
        checks += await proxy(visit)
        checks += await stream(visit)
    else:
        checks += not_asked("what answers at the public URL is not the gateway", ids("proxy", "stream"))
    checks.append(await webhook(visit))
    if visit.private:
        checks.append(await media(visit))
    else:
        # The signature of a handshake is always the same: whoever reads this one could open streams with it.
        checks.append(Missing("twilio.stream", "it takes a signature that is not for everybody to read: mend TLS"))
    return checks
