"""`voiceframe run`: serve a bot, and say what to paste at the carrier."""

from __future__ import annotations

import sys
from typing import TextIO

from .app import App
from .bots import load_app
from .logs import configure_logging
from .server import Gateway, ServerSettings, run

__all__ = ["app_of", "run_command"]


def app_of(where: str) -> App:
    """The app that `where` names: an `App` called `app`, or the bot, with Twilio's numbers as its endpoint.

    Raises `ConfigurationError` if there is neither.
    """
    found = load_app(where)
    if isinstance(found, App):
        return found
    from .transports.twilio import Twilio

    return App(found, Twilio())


def addresses(app: App, gateway: Gateway) -> list[str]:
    """What to set at the carriers, a line for each."""
    from .transports.twilio import Twilio

    lines = []
    for endpoint in app.endpoints:
        if isinstance(endpoint, Twilio):
            url = gateway.public_url + endpoint.settings.webhook_path
            lines.append(f"Twilio, phone number, Voice Configuration, A call comes in: Webhook, {url}, HTTP POST")
    return lines


def run_command(
    where: str, *, host: str | None, port: int | None, public_url: str | None, out: TextIO | None = None
) -> int:
    """Serve until the process is told to stop. Returns the exit code."""
    out = out or sys.stdout
    settings = ServerSettings.load()
    changes = {"host": host, "port": port, "public_url": public_url}
    settings = settings.replace(**{name: value for name, value in changes.items() if value is not None})
    configure_logging("INFO")
    app = app_of(where)

    def started(gateway: Gateway, port: int) -> None:
        if settings.insecure:
            red = "\x1b[1;31m{}\x1b[0m" if out.isatty() else "{}"
            print(red.format("Signatures are not checked: VOICEFRAME_SERVER_INSECURE is set."), file=out)
        for line in addresses(app, gateway):
            print(line, file=out)
        print(f"Listening on {settings.host}:{port}; /healthz and /readyz answer there. Ctrl-C ends it.", file=out)
        out.flush()

    return run(app, settings=settings, started=started)
