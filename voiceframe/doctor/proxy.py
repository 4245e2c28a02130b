"""The proxy: whether a signed request arrives as it was sent."""

from __future__ import annotations

import base64
import json
from typing import Final

from ..checks import Check
from ..probe import PROBE
from .asking import FORM, Answer, Unreachable
from .questions import Found, ids, judged, not_asked
from .visit import Visit

__all__ = ["proxy"]

#: Everything that a proxy likes to write in its own way: escapes, their case, a plus, empty values, order.
_QUERY: Final = "b=%c3%A9+%2F&a=1&a=2&empty=&c=x%20y"
_BODY: Final = b"Caller=%2B14155550101&Speech=caf%C3%a9+au+lait%21&Digits=&Digits=1&From=%2b14155550101"


async def proxy(visit: Visit) -> list[Found]:
    """How a signed request arrives."""
    path = f"{PROBE}/{visit.signer.ticket()}"
    url = f"{visit.public}{path}?{_QUERY}"
    sent = {"Content-Type": FORM, **visit.signer.headers(url, _BODY, FORM)}
    try:
        answer = await visit.get(visit.public, f"{path}?{_QUERY}", sent, body=_BODY)
        found = json.loads(answer.body) if answer.status == 200 else {}
    except (Unreachable, ValueError) as error:
        answer, found = Answer(0, {}, str(error).encode()), {}
    if not isinstance(found, dict) or "body" not in found:
        said = f"A POST was answered with {answer.status or answer.body.decode('utf-8', 'replace')}, a GET well."
        fix = f"Let the proxy pass on requests with the method `POST` to `{PROBE}` and to the webhook."
        check = judged("proxy.path", "fail", said, fix)
        return [check, *not_asked("the POST did not reach the gateway", ids("proxy")[1:])]

    def same(id: str, sent: str, came: str, fix: str) -> Check:
        if sent == came:
            return judged(id, "pass", [f"{sent} came as it was sent."])
        return judged(id, "fail", [f"Sent: {sent}", f"Came: {came}"], fix)

    headers = {name.lower(): value for name, value in dict(found.get("headers", {})).items()}
    lost = [name for name, value in sent.items() if headers.get(name.lower()) != value]
    came = base64.b64decode(str(found["body"])).decode("latin-1")
    code = str(found.get("signature", ""))
    right = "Let the proxy pass on path and query as they came: nginx does if `proxy_pass` has no path of its own."
    shown = f"{PROBE}/…"
    ticket = path.rpartition("/")[2]
    return [
        same("proxy.path", shown, str(found.get("path", "")).replace(ticket, "…"), right),
        same("proxy.query", _QUERY, str(found.get("query", "")), right),
        judged(
            "proxy.headers",
            "fail" if lost else "pass",
            [f"{name} {'was lost or changed.' if name in lost else 'came.'}" for name in sent],
            f"Let the proxy pass on {', '.join(f'`{name}`' for name in lost)}.",
        ),
        same(
            "proxy.body",
            _BODY.decode("ascii"),
            came,
            "Let nothing between here and the carrier read and write bodies anew, such as a firewall for web "
            "applications or a function that parses forms.",
        ),
        judged(
            "proxy.signature",
            "fail" if code else "pass",
            f"The gateway has refused it: {code}." if code else "The gateway has verified it.",
            "Mend what is red above, then see that the gateway has the same `VOICEFRAME_PUBLIC_URL` as the "
            "doctor: it verifies the URL that is set, and not the one that is asked.",
        ),
    ]
