"""Where calls come from: secrets, packages, the public URL, the certificate."""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ..app import App, Limits
from ..checks import Check, Fact, Missing
from ..errors import ConfigurationError, MissingExtra, Reject, VoiceframeError
from ..server import Gateway, ServerSettings, WebEndpoint
from ..settings import Settings
from ..transports.twilio import Twilio, twiml
from .questions import failure, judged
from .subject import Subject

__all__ = ["endpoints"]


def endpoints(subject: Subject) -> Iterator[Check | Missing]:
    try:
        found = subject.endpoints
        settings = ServerSettings.load()
    except VoiceframeError as error:
        yield failure("endpoints", error)
        return
    if not found:
        yield Missing("endpoints", "the app has no endpoint, so nobody can call it")
        return
    web = [endpoint for endpoint in found if isinstance(endpoint, WebEndpoint)]
    seen: dict[str, int] = {}
    for endpoint in found:
        name = type(endpoint).__name__.lower()
        seen[name] = seen.get(name, 0) + 1
        id = name if seen[name] == 1 else f"{name}-{seen[name]}"
        yield from _secrets(endpoint, f"endpoint.{id}", insecure=settings.insecure)
    if web:
        yield _telephony()
        yield _public_url(web, settings)
    if settings.insecure:
        yield judged(
            "server.insecure",
            "warn",
            "VOICEFRAME_SERVER_INSECURE is set: requests from this machine are taken without a signature.",
            "Unset `VOICEFRAME_SERVER_INSECURE` where real calls come.",
        )
    yield _tls(settings.tls_certificate, settings.tls_key)


def _secrets(endpoint: Any, id: str, *, insecure: bool) -> Iterator[Check | Missing]:
    """Whether what it needs to know its carrier is set; of secrets only that."""
    title = f"{type(endpoint).__name__} has its secrets"
    settings = getattr(endpoint, "settings", None)
    if not isinstance(settings, Settings):
        yield Missing(id, f"{type(endpoint).__name__} does not say what it needs")
        return
    secret = {name for name, field in settings._settings.items() if field.secret}
    facts: list[Fact] = [
        {"setting": each.name, "set": bool(each.value), "from": each.source if each.value else None}
        for each in settings.describe()
        if each.name in secret or (each.source != "default" and each.name == "account_sid")
    ]
    if not isinstance(endpoint, Twilio):
        if facts:
            yield judged(id, "pass", facts, title=title)
        elif isinstance(endpoint, WebEndpoint):
            fix = f"Give the settings of `{type(endpoint).__name__}` a field with `secret=True`, and check it."
            yield judged(id, "warn", "It has no secret, so anybody can ask it.", fix, title=title)
        else:  # nothing comes to it from outside
            yield judged(id, "pass", "Nobody reaches it from outside, so that it needs none.", title=title)
        return
    if not endpoint.settings.auth_token and not endpoint.settings.signing_keys and not insecure:
        error = ConfigurationError.of("server.no-secret", carrier="Twilio", setting="TWILIO_AUTH_TOKEN")
        yield failure(id, error, title)
        return
    if not endpoint.settings.account_sid:
        facts.append("TWILIO_ACCOUNT_SID is not set: calls end with their stream, and are not hung up by REST.")
    yield judged(id, "pass", facts, title=title)


#: What the gateway and Twilio's endpoint import when they are used.
_TELEPHONY: Final = ("starlette", "uvicorn", "websockets", "msgspec", "aiohttp", "twilio")


def _telephony() -> Check:
    missing = [name for name in _TELEPHONY if importlib.util.find_spec(name) is None]
    if missing:
        error = MissingExtra.of("extra.missing", what="The gateway", package=", ".join(missing), extra="telephony")
        return failure("endpoint.packages", error)
    return judged("endpoint.packages", "pass", f"{', '.join(_TELEPHONY)}.")


async def _nobody(call: object) -> Any:
    raise Reject("busy")


def _public_url(web: list[Any], settings: ServerSettings) -> Check | Missing:
    try:
        # The gateway says itself what is wrong with its URL; of the bot's own endpoints that needs none.
        public = Gateway(App(_nobody, limits=Limits(), store=None), settings).public_url
        if not public:
            carrier = type(web[0]).__name__
            raise ConfigurationError.of("server.no-public-url", carrier=carrier, port=settings.port)
        said = [f"Public URL: {public}"]
        for endpoint in web:
            if isinstance(endpoint, Twilio):
                twiml.connect("ws" + public.removeprefix("http") + endpoint.settings.media_path)
                said.append(f"At Twilio, A call comes in: Webhook, {public}{endpoint.settings.webhook_path}, HTTP POST")
    except MissingExtra:
        return Missing("server.public-url", "the gateway cannot be made without its packages")
    except VoiceframeError as error:
        return failure("server.public-url", error)
    return judged("server.public-url", "pass", said)


def _tls(certificate: str, key: str) -> Check | Missing:
    if not certificate and not key:
        return Missing("server.tls", "no certificate is set: TLS is the matter of a proxy")
    if not certificate:
        return judged(
            "server.tls",
            "fail",
            "VOICEFRAME_SERVER_TLS_KEY is set, and VOICEFRAME_SERVER_TLS_CERTIFICATE is not.",
            "Set `VOICEFRAME_SERVER_TLS_CERTIFICATE` to the file with the certificate chain.",
        )
    try:
        for path in filter(None, (certificate, key)):
            with Path(path).open("rb"):
                pass
        # Neither prompts for a passphrase: nobody is there to type one when the service starts.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        return judged(
            "server.tls",
            "fail",
            f"{certificate}, {key or 'no key'}: {error}",
            "Let `VOICEFRAME_SERVER_TLS_CERTIFICATE` and `VOICEFRAME_SERVER_TLS_KEY` name PEM files that belong "
            "together, have no passphrase, and can be read by the user that runs the gateway.",
        )
    return judged("server.tls", "pass", f"{certificate} and {key or certificate} fit.")
