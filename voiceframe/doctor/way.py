"""The way to this machine: the name of the public URL, and its certificate."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

from ..checks import Check, Missing
from .asking import TIMEOUT_S, trusting, words
from .questions import DAYS, Found, judged
from .visit import Visit

__all__ = ["dns", "tls"]

#: By the code of OpenSSL (X509_V_ERR_*).
_CERTIFICATE_FIXES: Final = (
    ((10,), "Renew the certificate: it has expired. See why `caddy` or `certbot renew` has not done it."),
    ((9,), "The certificate is not valid yet: set the clock of this machine, `timedatectl set-ntp true`."),
    ((62, 64), "Get a certificate for the very name in `VOICEFRAME_PUBLIC_URL`, or set that to a name which it has."),
    ((18, 19), "Get a certificate of a public authority, such as Let's Encrypt: Twilio trusts no other."),
    ((2, 20, 21), "Serve the whole chain (`fullchain.pem`), with a certificate of a public authority."),
    ((), "Get a certificate of a public authority, such as Let's Encrypt, and serve its whole chain."),
)


async def dns(visit: Visit) -> Check:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(visit.host, visit.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return judged(
            "dns",
            "fail",
            f"{visit.host}: {error.strerror or error}",
            f"Add an A record (and AAAA, if it has IPv6) for `{visit.host}`, or mend `VOICEFRAME_PUBLIC_URL`.",
        )
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    visit.far = any(ipaddress.ip_address(each.partition("%")[0]).is_global for each in addresses)
    said = f"{visit.host}: {', '.join(addresses)}"
    if visit.far:
        return judged("dns", "pass", said)
    return judged(
        "dns",
        "warn",
        [said, "From here that leads into a private network, where no carrier is."],
        "Ask the public DNS, such as `dig @1.1.1.1 NAME`; if it says the same, set `VOICEFRAME_PUBLIC_URL` to "
        "a name that everybody can reach.",
    )


async def tls(visit: Visit) -> list[Found]:
    if not visit.secure:
        fix = "Put a proxy with a certificate in front, or serve one by `VOICEFRAME_SERVER_TLS_CERTIFICATE`, and "
        fix += "let `VOICEFRAME_PUBLIC_URL` begin with `https://`: Twilio opens streams by `wss://` only."
        said = "The public URL begins with http://."
        check = judged("tls.certificate", "warn" if visit.loopback else "fail", said, fix)
        return [check, Missing("tls.days", "there is no TLS")]
    assert visit.trust is not None
    try:
        certificate, version = await _handshake(visit, visit.trust)
    except ssl.SSLCertVerificationError as error:
        code, said = error.verify_code, error.verify_message
        # The rest is asked without trust, so that one run finds all that is wrong; nothing secret goes that way.
        visit.trust = trusting()
        visit.private = visit.loopback
        fix = next((fix for codes, fix in _CERTIFICATE_FIXES if code in codes), _CERTIFICATE_FIXES[-1][1])
        check = judged("tls.certificate", "fail", f"{visit.host}:{visit.port}: {said}", fix)
        return [check, Missing("tls.days", "the certificate is not trusted")]
    except (OSError, asyncio.IncompleteReadError) as error:
        fix = f"See that something serves TLS at `{visit.host}:{visit.port}`, and that no firewall stands between."
        said = f"{visit.host}:{visit.port}: {words(error)}"
        check = judged("tls.certificate", "fail", said, fix)
        return [check, Missing("tls.days", "there was no TLS handshake")]
    until = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = (until - time.time()) / 86_400
    names = ", ".join(str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS")
    facts = [f"{version}, for {names or visit.host}", f"Issued by {_issuer(certificate)}"]
    lasting = f"It ends on {certificate['notAfter']}, in {days:.0f} days."
    fix = "Renew the certificate: see why what renews it (`caddy`, `certbot renew`) has not."
    return [
        judged("tls.certificate", "pass", facts),
        judged("tls.days", "pass" if days >= DAYS else "warn", lasting, fix),
    ]


async def _handshake(visit: Visit, trust: ssl.SSLContext) -> tuple[Mapping[str, Any], str]:
    async with asyncio.timeout(TIMEOUT_S):
        _, writer = await asyncio.open_connection(visit.host, visit.port, ssl=trust)
    try:
        tls = writer.get_extra_info("ssl_object")
        return writer.get_extra_info("peercert") or {}, tls.version() or "TLS"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _issuer(certificate: Mapping[str, Any]) -> str:
    names = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    return str(names.get("organizationName") or names.get("commonName") or "somebody without a name")
