"""Errors between a carrier and us: what it asks, what it is asked, and who may open a stream.

None of them repeats a token, a secret, or what a stranger has sent.
"""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["CarrierError", "SignatureError", "TokenError", "TwiMLError", "WireError"]


class SignatureError(VoiceframeError):
    """A request that does not prove that it comes from the carrier. Answer it with 403 and nothing else."""

    codes = {
        "signature.secret": Explanation(
            "There is no secret to check a request of {carrier} with.",
            "Set `{setting}`; without it nobody can be told from {carrier}.",
        ),
        "signature.missing": Explanation(
            "The request has no header {header}.",
            "If {carrier} sends it by way of a proxy, let that pass `{header}` on.",
        ),
        "signature.key": Explanation(
            "The request is signed with a key that is not known here.",
            "Add it to `VOICEFRAME_TWILIO_SIGNING_KEYS` as `id:secret`.",
        ),
        "signature.algorithm": Explanation(
            "The request is signed in a way that is not known here.",
            "Let {carrier} sign with one of {known}; the header `{header}` names it.",
        ),
        "signature.body": Explanation(
            "The body of the request is not covered by its signature: {reason}.",
            "If {carrier} sends it by way of a proxy, let that pass the body and the query on as they are: see "
            "`voiceframe doctor`.",
        ),
        "signature.wrong": Explanation(
            "The signature of the request is not that of {carrier} for {url}.",
            "Compare that address with the one set at {carrier}, set `VOICEFRAME_PUBLIC_URL` to its beginning, and "
            "`{setting}` to the account's primary token.",
        ),
    }


class TokenError(VoiceframeError):
    """A token that opens no stream: it is wrong, used, too old, or its call is over."""

    codes = {
        "token.unknown": Explanation(
            "The token was never given out, has been used, or has been forgotten.",
            "Give each stream its own by `Tokens.issue(call_id, facts)`; it opens one stream once.",
        ),
        "token.expired": Explanation(
            "The token for call {call} came after more than {lifetime_ms} ms.",
            "If the carrier takes so long to open a stream, raise `Tokens(lifetime_ms=...)`.",
        ),
        "token.call": Explanation(
            "The token for call {call} was presented for another one; it is void now.",
            "Look for who else saw the answer to the carrier; `Tokens.redeem(token, call_id)` takes that call's only.",
        ),
        "token.ended": Explanation(
            "Call {call} had its stream or is over, and gets no other one.",
            "For a call that goes on on a new stream use `Tokens.issue(call_id, facts, again=True)`.",
        ),
    }


class TwiMLError(VoiceframeError):
    """An answer that Twilio would not take."""

    codes = {
        "twiml.url": Explanation(
            "{url} is no address for a stream: {reason}.",
            "Give `connect(url)` one that begins with `wss://`, without a query; values go into `parameters`.",
        ),
        "twiml.action": Explanation(
            "{url} cannot be asked when a stream is over.",
            "Give `connect(url, action=...)` a URL that begins with `https://`, or its path.",
        ),
        "twiml.parameter": Explanation(
            "The stream parameter {name} cannot be sent: {reason}.",
            "Give `connect(url, parameters)` plain text, name and value together under {limit} characters.",
        ),
    }


class CarrierError(VoiceframeError):
    """What the carrier was asked for by its API was not done."""

    codes = {
        "carrier.account": Explanation(
            "{what} needs {missing}.",
            "Set `{missing}`; both are on the first page of {carrier}'s console.",
        ),
        "carrier.key": Explanation(
            "Entry {number} of the signing keys is not an id and a secret.",
            "Write `VOICEFRAME_TWILIO_SIGNING_KEYS` as `id:secret`, separated by commas.",
        ),
        "carrier.call": Explanation(
            "What is to be {what} is no id of a call at {carrier}.",
            "Give the id of a leg, `call.legs[0].id`.",
        ),
        "carrier.credentials": Explanation(
            "{carrier} does not accept the account and its token ({status}).",
            "Compare `{settings}` with {carrier}'s console.",
        ),
        "carrier.refused": Explanation(
            "{carrier} has refused that call {call} be {what} ({status}, error {error}).",
            "See `https://www.twilio.com/docs/api/errors/{error}`.",
        ),
        "carrier.busy": Explanation(
            "{carrier} could not have call {call} {what} in {attempts} attempts or {total_ms} ms ({status}).",
            "Try again; if it lasts, raise `{setting}`, or see {carrier}'s status page.",
        ),
        "carrier.timeout": Explanation(
            "{carrier} has not answered within {waited_ms} ms when call {call} was to be {what}.",
            "See whether the machine reaches {url}; if it is only slow, raise `{setting}`.",
        ),
        "carrier.unreachable": Explanation(
            "{carrier} cannot be reached at {url}: {error}.",
            "See whether the machine reaches it: `curl {url}`; a proxy is set by `HTTPS_PROXY`.",
        ),
        "carrier.answer": Explanation(
            "What has answered at {url} is not {carrier}: {error}.",
            "See what stands between, with `curl {url}`.",
        ),
    }


class WireError(VoiceframeError, ValueError):
    """A message that cannot be read, or cannot be written. It repeats at most 80 characters of what came."""

    codes = {
        "wire.json": Explanation(
            "The message is not JSON: {error}.",
            "See who sends it: `decode(message)` takes one whole text message of the carrier.",
        ),
        "wire.schema": Explanation(
            "The message is not as the carrier documents it: {error}.",
            "See who sends it; if it is the carrier, report the message that `decode(message)` has refused.",
        ),
        "wire.base64": Explanation(
            "The audio of the message is not base64.",
            "See who sends it: `decode(message)` takes the standard alphabet, padded, without line breaks.",
        ),
        "wire.size": Explanation(
            "The message has {size} bytes, and at most {limit} are read.",
            "If the carrier sends such messages, raise `decode(message, limit=...)`.",
        ),
        "wire.format": Explanation(
            "The stream has audio as {found}, and {carrier} has only {expected}.",
            "Ask the carrier for that format, and give it to `outgoing(stream_id, format)`.",
        ),
        "wire.name": Explanation(
            "The name {name} cannot be sent: it has {what} in it.",
            "Give another name to `outgoing(stream_id)` or `mark(name)`.",
        ),
    }
