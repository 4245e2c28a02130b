"""Twilio's signatures: what the SDK's validator takes is taken, and nothing else; nothing that comes raises."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from voiceframe.errors import CarrierError, SignatureError
from voiceframe.transports.twilio import TwilioSettings
from voiceframe.transports.twilio.signature import (
    ALGORITHMS,
    MAX_BODY,
    MAX_FIELDS,
    check,
    form,
    requested,
    sign,
    verify,
)

TOKEN = "12345"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}
BODY = urlencode(FIELDS).encode()
SHA1 = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
SHA256 = "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s="
BY_KEY = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"


class Fields(dict[str, list[str]]):
    """A form with repeated keys, as the validator takes it from web frameworks."""

    def getall(self, name: str) -> list[str]:
        return self[name]


def refused(
    code: str,
    *,
    url: str = URL,
    body: bytes = BODY,
    content_type: str = FORM,
    signature: str = SHA1,
    token: str = TOKEN,
    settings: str = "",
    keys: Mapping[str, str] | None = None,
) -> str:
    with pytest.raises(SignatureError) as raised:
        check(url, body, content_type, signature, token, settings=settings, keys=keys or {})
    assert not verify(url, body, content_type, signature, token, settings=settings, keys=keys or {})
    assert raised.value.code == code
    return str(raised.value)


# -- vectors


def test_the_vectors() -> None:
    assert verify(URL, BODY, FORM, SHA1, TOKEN)
    assert verify(URL, BODY, FORM, SHA256, "", settings=BY_KEY, keys={"webhooks_sharedkey_1": TOKEN})
    assert verify(URL, BODY, FORM, SHA256, TOKEN, settings="algorithm=HMAC_SHA256")
    assert verify("wss://example.com/stream", b"", "", "KG4JbhDlv15BMlxSTOWKt9btbgg=", TOKEN)
    assert sign(URL, BODY, FORM, TOKEN) == SHA1
    assert sign(URL, BODY, FORM, TOKEN, algorithm="HMAC_SHA256") == SHA256


def test_the_order_of_the_fields_does_not_matter_and_their_encoding_does_not() -> None:
    backwards = urlencode(dict(reversed(FIELDS.items()))).encode()
    escaped = "&".join(f"{key}={''.join(f'%{byte:02x}' for byte in value.encode())}" for key, value in FIELDS.items())
    assert verify(URL, backwards, f"{FORM}; charset=UTF-8", SHA1, TOKEN)
    assert verify(URL, escaped.encode(), FORM.upper(), SHA1, TOKEN)


# -- the SDK as the oracle

HOSTS = st.sampled_from(["example.com", "a-b.example.com", "1.2.3.4"])
# Without a bare "?": the validator loses it, and so does ASGI.
QUERIES = st.text("abc=&%+é", max_size=12).map(lambda text: "?" + quote_plus(text, safe="=&") if text else "")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FORMS = st.lists(
    st.tuples(TEXTS, TEXTS) | st.tuples(st.sampled_from("ab"), st.sampled_from(["", "1", "2"])), max_size=8
)
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(HOSTS, QUERIES, FORMS, SECRETS, st.sampled_from(ALGORITHMS))
@example("example.com", "", [("a", "2"), ("a", "1"), ("a", "2"), ("", ""), ("b", "")], TOKEN, "HMAC_SHA1")
@example("example.com", "", [("a+b %", "é\0 +&=;"), ("\U0001f600", "\uffff")], TOKEN, "HMAC_SHA256")
def test_any_form_is_signed_as_the_sdk_signs_it(
    host: str, query: str, pairs: list[tuple[str, str]], secret: str, algorithm: str
) -> None:
    url = f"https://{host}/voice{query}"
    fields = Fields()
    for key, value in pairs:
        fields.setdefault(key, []).append(value)
    body = urlencode(pairs).encode()
    expected = RequestValidator(secret).compute_signature(url, fields, algorithm)
    assert sign(url, body, FORM, secret, algorithm=algorithm) == expected
    header = f"algorithm={algorithm}"
    assert verify(url, body, FORM, expected, secret, settings=header)
    assert RequestValidator(secret).validate(url, fields, expected, algorithm)
    assert {key: tuple(values) for key, values in fields.items()} == form(body)


@given(
    st.sampled_from(["https", "http"]),
    st.sampled_from(["", ":443", ":80", ":8443"]),
    st.sampled_from(["", ":443", ":80", ":8443"]),
    FORMS,
)
def test_a_port_is_taken_as_the_sdk_takes_it(scheme: str, ours: str, theirs: str, pairs: list[tuple[str, str]]) -> None:
    fields = Fields()
    for key, value in pairs:
        fields.setdefault(key, []).append(value)
    validator = RequestValidator(TOKEN)
    signature = validator.compute_signature(f"{scheme}://example.com{theirs}/voice?a=1", fields)
    url = f"{scheme}://example.com{ours}/voice?a=1"
    assert verify(url, urlencode(pairs).encode(), FORM, signature, TOKEN) == validator.validate(url, fields, signature)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_body_of_another_kind_is_covered_by_its_hash(body: bytes, other: bytes) -> None:
    url = f"https://example.com/events?bodySHA256={hashlib.sha256(body).hexdigest()}&a=1"
    signature = RequestValidator(TOKEN).compute_signature(url, {})
    assert verify(url, body, JSON, signature, TOKEN)
    assert verify(url, other, JSON, signature, TOKEN) == (other == body)
    try:
        text = other.decode()
    except UnicodeDecodeError:
        return  # the SDK takes text only
    assert verify(url, other, JSON, signature, TOKEN) == RequestValidator(TOKEN).validate(url, text, signature)


def test_a_websocket_handshake_and_a_get_have_only_their_url() -> None:
    for url in ("wss://example.com/twilio/media", "https://example.com/twilio/voice?CallSid=CA1"):
        signature = RequestValidator(TOKEN).compute_signature(url, {})
        assert verify(url, b"", "", signature, TOKEN)
        assert not verify(url + "x", b"", "", signature, TOKEN)
        assert not verify(url, b"x", "", signature, TOKEN)


def test_the_default_port_of_a_handshake_is_that_of_tls() -> None:
    url = "wss://example.com:443/twilio/media"
    signature = RequestValidator(TOKEN).compute_signature(url, {})
    assert verify("wss://example.com/twilio/media", b"", "", signature, TOKEN)
    assert verify(url, b"", "", sign("wss://example.com/twilio/media", b"", "", TOKEN), TOKEN)
    assert not verify("wss://example.com/twilio/media", b"", "", sign(url.replace("443", "80"), b"", "", TOKEN), TOKEN)


@pytest.mark.parametrize("host", ["[::1]", "[2001:db8::1]"])
def test_an_address_of_version_6_has_a_port_too(host: str) -> None:
    signature = sign(f"https://{host}:443/a", b"", "", TOKEN)
    assert verify(f"https://{host}/a", b"", "", signature, TOKEN)
    assert verify(f"https://{host}:443/a", b"", "", sign(f"https://{host}/a", b"", "", TOKEN), TOKEN)


# -- what is refused


def test_each_byte_that_is_changed_is_noticed() -> None:
    def changed(text: str) -> list[str]:
        return [text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :] for at in range(len(text))]

    def shorter(text: str) -> list[str]:
        return [text[:at] + text[at + 1 :] for at in range(len(text))]

    for signature in (*changed(SHA1), *shorter(SHA1), SHA1 + "=", f" {SHA1}", SHA1.lower()):
        assert not verify(URL, BODY, FORM, signature, TOKEN), signature
    for url in (*changed(URL), *shorter(URL), f"{URL}/", f"{URL}&"):
        assert not verify(url, BODY, FORM, SHA1, TOKEN), url
    for token in (*changed(TOKEN), *shorter(TOKEN)):
        assert not verify(URL, BODY, FORM, SHA1, token), token
    taken = []
    for body in (*changed(BODY.decode()), *shorter(BODY.decode())):
        fields = Fields({key: list(values) for key, values in form(body.encode()).items()})
        fits = verify(URL, body.encode(), FORM, SHA1, TOKEN)
        assert fits == RequestValidator(TOKEN).validate(URL, fields, SHA1), body
        taken += [body] if fits else []
    # Keys and values are signed without anything between them: that a "=" or "&" is gone may not be seen.
    assert {len(body) for body in taken} <= {len(BODY) - 1}
    assert all(body.count("=") + body.count("&") < 9 for body in taken)


def test_without_a_secret_everything_is_refused() -> None:
    nothing = sign(URL, BODY, FORM, "")
    assert "TWILIO_AUTH_TOKEN" in refused("signature.secret", signature=nothing, token="")
    strong = sign(URL, BODY, FORM, "", algorithm="HMAC_SHA256")
    for header in ("key=,algorithm=HMAC_SHA256", "key=k,algorithm=HMAC_SHA256"):
        refused("signature.key", signature=strong, settings=header, keys={"k": ""})


def test_a_key_is_named_and_known_and_no_other_secret_counts() -> None:
    keys = {"webhooks_sharedkey_1": "one", "webhooks_sharedkey_2": "two"}
    of_one = sign(URL, BODY, FORM, "one", algorithm="HMAC_SHA256")
    check(URL, BODY, FORM, of_one, TOKEN, settings=BY_KEY, keys=keys)
    check(URL, BODY, FORM, of_one, TOKEN, settings=" algorithm = hmac_sha256 , key = webhooks_sharedkey_1 ", keys=keys)
    refused("signature.wrong", signature=of_one, settings=BY_KEY.replace("_1", "_2"), keys=keys)
    refused("signature.key", signature=of_one, settings=BY_KEY.replace("_1", "_3"), keys=keys)
    refused("signature.wrong", signature=SHA256, settings=BY_KEY, keys=keys)  # by the auth token
    refused("signature.wrong", signature=of_one, keys=keys)  # without the header it is the auth token's


@pytest.mark.parametrize(
    "header",
    [
        "algorithm=MD5",
        "algorithm=HMAC_SHA256,algorithm=HMAC_SHA1",
        "key=a,key=b",
        "key=a," * 1_000,
        "algorithm=" + "x" * 2_000,
    ],
)
def test_an_algorithm_that_is_not_known_or_not_clear_is_refused(header: str) -> None:
    refused("signature.algorithm", settings=header, keys={"a": TOKEN, "b": TOKEN})


def test_to_sign_otherwise_is_an_error() -> None:
    with pytest.raises(SignatureError, match="HMAC_SHA256"):
        sign(URL, BODY, FORM, TOKEN, algorithm="MD5")


def test_what_is_wrong_is_said_without_a_secret() -> None:
    assert "X-Twilio-Signature" in refused("signature.missing", signature="")
    said = refused("signature.wrong", token="hunter2", url="https://example.com/voice?password=hunter2\n\x1b[31m")
    assert "https://example.com/voice." in said
    assert "hunter2" not in said
    assert SHA1 not in said
    assert "\x1b" not in refused("signature.wrong", url="https://example.com/\x1b[31m\n")


def test_a_body_that_nothing_covers_is_refused() -> None:
    bare = "https://example.com/events"
    refused("signature.body", url=bare, body=b"{}", content_type=JSON, signature=sign(bare, b"", "", TOKEN))
    # A JSON body whose hash is signed is no form, whatever somebody calls it on the way.
    body = json.dumps({"a": 1}).encode()
    url = f"{bare}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = sign(url, body, JSON, TOKEN)
    check(url, body, JSON, signature, TOKEN)
    refused("signature.wrong", url=url, body=body, content_type=FORM, signature=signature)
    # Nor a form one of another kind.
    refused("signature.body", content_type="multipart/form-data; boundary=x")
    refused("signature.body", content_type="")
    refused("signature.body", url=url, body=b"", content_type="", signature=signature)


# -- bounds


def test_what_is_too_large_is_refused_before_any_work() -> None:
    many = b"&".join([b"a=1"] * (MAX_FIELDS + 1))
    large = b"a=" + b"1" * MAX_BODY
    started = time.process_time()
    for body in (many, large, b"&" * (MAX_BODY - 1), b"%" * MAX_BODY * 2):
        refused("signature.body", body=body)
        refused("signature.body", body=body, content_type=JSON)
    long = "https://example.com/" + "a" * 100_000
    refused("signature.wrong", url=long, signature=sign(long, BODY, FORM, TOKEN))
    refused("signature.body", url="https://example.com/?" + "a&" * 2_000, body=b"x", content_type=JSON)
    refused("signature.wrong", signature="A" * 1_000_000)
    with pytest.raises(SignatureError):
        form(many)
    assert time.process_time() - started < 1
    allowed = b"&".join([b"%61=1"] * MAX_FIELDS)
    assert verify(URL, allowed, FORM, sign(URL, allowed, FORM, TOKEN), TOKEN)
    longest = b"a=" + b"%" * (MAX_BODY - 2)
    assert verify(URL, longest, FORM, sign(URL, longest, FORM, TOKEN), TOKEN)
    assert time.process_time() - started < 2


ANY = st.text(max_size=60)


@settings(max_examples=300)
@given(
    ANY
    | st.sampled_from(
        [URL, "https://", "https://[", "https://[::1", "https://:0/", "https://a:99999999/", "//", "wss://a"]
    ),
    st.binary(max_size=60),
    ANY | st.sampled_from([FORM, JSON, f"{FORM};"]),
    ANY | st.just(SHA1),
    ANY,
    ANY | st.sampled_from([BY_KEY, "key=", "=", ",", "key=a"]),
    st.dictionaries(ANY, ANY, max_size=2),
)
def test_whatever_comes_is_refused_and_does_not_raise(
    url: str, body: bytes, content_type: str, signature: str, token: str, header: str, keys: dict[str, str]
) -> None:
    surrogates = "\ud800" + url + "\udcff"
    assert not verify(url, body, content_type, signature, token, settings=header, keys=keys)
    assert not verify(surrogates, body, content_type, surrogates, token + "\udfff", settings=header, keys=keys)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_text_are_signed_as_they_are(body: bytes) -> None:
    assert verify(URL, body, FORM, sign(URL, body, FORM, TOKEN), TOKEN)
    assert all(isinstance(value, str) for values in form(body).values() for value in values)


# -- the URL


@pytest.mark.parametrize(
    ("public_url", "path", "query", "websocket", "expected"),
    [
        ("https://example.com", b"/twilio/voice", b"", False, "https://example.com/twilio/voice"),
        ("https://example.com/", b"/twilio/voice", b"a=%41&b=+", False, "https://example.com/twilio/voice?a=%41&b=+"),
        ("https://example.com:8443", b"/a%20b", b"", False, "https://example.com:8443/a%20b"),
        ("https://example.com/bots", b"/voice", b"", False, "https://example.com/bots/voice"),
        ("https://example.com", b"/twilio/media", b"", True, "wss://example.com/twilio/media"),
        ("http://127.0.0.1:8000", b"/twilio/media", b"", True, "ws://127.0.0.1:8000/twilio/media"),
    ],
)
def test_the_url_is_that_of_the_public_host_and_of_what_was_asked(
    public_url: str, path: bytes, query: bytes, websocket: bool, expected: str
) -> None:
    assert requested(public_url, path, query, websocket=websocket) == expected


def test_a_path_that_is_no_text_is_signed_as_it_is() -> None:
    path = b"/\xff\xc3\xa9"
    signature = RequestValidator(TOKEN).compute_signature("https://example.com/é", {})
    assert verify(requested("https://example.com", "/é".encode()), b"", "", signature, TOKEN)
    assert not verify(requested("https://example.com", path), b"", "", signature, TOKEN)
    url = requested("https://example.com", path)
    assert verify(url, b"", "", sign(url, b"", "", TOKEN), TOKEN)


# -- settings


def test_the_auth_token_comes_from_where_twilio_says_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "hunter2")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
    monkeypatch.setenv("VOICEFRAME_TWILIO_SIGNING_KEYS", "one:hunter3, two:hunter4:5")
    settings = TwilioSettings.load()
    assert (settings.auth_token, settings.account_sid) == ("hunter2", "AC1")
    assert settings.keys() == {"one": "hunter3", "two": "hunter4:5"}
    assert "hunter" not in repr(settings) + repr(settings.describe())


@pytest.mark.parametrize("entry", ["hunter2", ":hunter2", "hunter2:", " : "])
def test_a_signing_key_is_an_id_and_a_secret(entry: str) -> None:
    with pytest.raises(CarrierError) as raised:
        TwilioSettings(signing_keys=("a:b", entry)).keys()
    assert raised.value.code == "carrier.key"
    assert "Entry 2" in str(raised.value)
    assert "hunter2" not in str(raised.value)
