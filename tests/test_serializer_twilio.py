"""Twilio's messages: byte by byte, as they are documented, and there and back."""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.audio import PCM_16K, PCMU_8K
from voiceframe.serializers import (
    MAX_MESSAGE,
    Connected,
    Digit,
    Marked,
    Media,
    Message,
    Serializer,
    Started,
    Stopped,
    Unrecognized,
    WireError,
    twilio,
)
from voiceframe.serializers.base import quoted, shown

STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
CALL = "CAe6e2a1d1d9b64ac1c7b4a2c8a4d2f7c1"
ACCOUNT = "AC3f5f1c0e1a5e4b0b9d3a6b0c7d9e2f11"

#: 20 ms of a voice that says "hello", as µ-law.
SPEECH = bytes.fromhex(
    "6e69686d757dfaf1eae7ebf3ff666de5dbdbed593f3e60d5b7aeafca64f64bd2bddf392f3e3daa9a9b9da6af3fcee22b"
    "231c1a1b3dbabcadc54e3ce7d476e43c2e2f3d5dcebbc6e161575767e8ecf17e706b6d7378f9f5efedf17e706d69e9d8"
    "d8e362493d4fddc0b3b2bf607a5e63bece4b2f3c3ecd9f9d9fa6addb48bf382b221e1d29c9c1b3b6ef4148d375dc6238"
    "31364a6fc2bfcff45a53587ce6e9ec7a"
)
PAYLOAD = base64.b64encode(SPEECH)

#: One call byte by byte: written by the documentation, with the fields in the order in which Twilio sends them.
ONE_CALL: list[tuple[bytes, Message]] = [
    (b'{"event":"connected","protocol":"Call","version":"1.0.0"}', Connected("Call", "1.0.0")),
    (
        b'{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC3f5f1c0e1a5e4b0b9d3a6b0c7d9e2f11",'
        b'"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","callSid":"CAe6e2a1d1d9b64ac1c7b4a2c8a4d2f7c1",'
        b'"tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},'
        b'"customParameters":{"token":"6f1e\\u002f\\u00e9","caller":"+14158675309"}},'
        b'"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}',
        Started(STREAM, CALL, ACCOUNT, PCMU_8K, {"token": "6f1e/é", "caller": "+14158675309"}),
    ),
    (
        b'{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"57",'
        b'"payload":"%b"},"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}' % PAYLOAD,
        Media(SPEECH, 57, 1, "inbound"),
    ),
    (
        b'{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"2","timestamp":"77",'
        b'"payload":"%b"},"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}' % PAYLOAD.replace(b"/", b"\\/"),
        Media(SPEECH, 77, 2, "inbound"),
    ),
    (
        b'{"event":"dtmf","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","sequenceNumber":"4",'
        b'"dtmf":{"track":"inbound_track","digit":"#"}}',
        Digit("#"),
    ),
    (
        b'{"event":"mark","sequenceNumber":"5","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0",'
        b'"mark":{"name":"reply-3:17"}}',
        Marked("reply-3:17"),
    ),
    (
        b'{"event":"stop","sequenceNumber":"6","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0",'
        b'"stop":{"accountSid":"AC3f5f1c0e1a5e4b0b9d3a6b0c7d9e2f11","callSid":"CAe6e2a1d1d9b64ac1c7b4a2c8a4d2f7c1"}}',
        Stopped(CALL),
    ),
]

#: Those of the documentation, with its own ids.
DOCUMENTED_IN: list[tuple[str, Message]] = [
    ('{"event":"connected","protocol":"Call","version":"1.0.0"}', Connected("Call", "1.0.0")),
    (
        """{"event":"start","sequenceNumber":"1","streamSid":"MZ..","start":{"accountSid":"AC..","streamSid":"MZ..","callSid":"CA..",
 "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"k":"v"}}}""",
        Started("MZ..", "CA..", "AC..", PCMU_8K, {"k": "v"}),
    ),
    (
        '{"event":"media","sequenceNumber":"4","streamSid":"MZ..",'
        '"media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"no+JhoaJjpzS"}}',
        Media(bytes.fromhex("9e8f898686898e9cd2"), 5, 2, "inbound"),
    ),
    (
        '{"event":"dtmf","streamSid":"MZ..","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}',
        Digit("1"),
    ),
    ('{"event":"mark","sequenceNumber":"4","streamSid":"MZ..","mark":{"name":"my label"}}', Marked("my label")),
    (
        '{"event":"stop","sequenceNumber":"5","streamSid":"MZ..","stop":{"accountSid":"AC..","callSid":"CA.."}}',
        Stopped("CA.."),
    ),
]


class TwilioSide:
    """The other end of the socket, by the documentation alone and with the standard library's JSON."""

    @staticmethod
    def receive(message: bytes) -> dict[str, Any]:
        """What Twilio reads in a message of ours. It refuses unknown events and fields with error 31922."""
        read: dict[str, Any] = json.loads(message.decode("ascii"))
        wanted: dict[str, dict[str, set[str]]] = {"media": {"media": {"payload"}}, "mark": {"mark": {"name"}}}
        inner = wanted.get(read["event"], {})
        assert read["event"] in {"media", "mark", "clear"}
        assert read.keys() == {"event", "streamSid", *inner}
        assert all(read[name].keys() == fields for name, fields in inner.items())
        return read

    @staticmethod
    def send(message: Message, sequence: int, *, numbers: type = str) -> dict[str, Any]:
        """What Twilio writes."""
        head: dict[str, Any] = {"sequenceNumber": numbers(sequence), "streamSid": STREAM}
        match message:
            case Connected(protocol, version):
                return {"event": "connected", "protocol": protocol, "version": version}
            case Started(stream_id, call_id, account_id, _, custom):
                start = {"accountSid": account_id, "streamSid": stream_id, "callSid": call_id, "tracks": ["inbound"]}
                form = {"encoding": "audio/x-mulaw", "sampleRate": numbers(8000), "channels": numbers(1)}
                body = start | {"mediaFormat": form, "customParameters": dict(custom)}
                return head | {"event": "start", "streamSid": stream_id, "start": body}
            case Media(payload, timestamp_ms, chunk, track):
                body = {"track": track, "chunk": numbers(chunk), "timestamp": numbers(timestamp_ms)}
                return head | {"event": "media", "media": body | {"payload": base64.b64encode(payload).decode("ascii")}}
            case Digit(digit):
                return head | {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": digit}}
            case Marked(name):
                return head | {"event": "mark", "mark": {"name": name}}
            case Stopped(call_id):
                return head | {"event": "stop", "stop": {"accountSid": ACCOUNT, "callSid": call_id}}
            case Unrecognized(event):
                return head | {"event": event, event: {}}


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
IDS = st.from_regex(r"\A[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}\Z")
EVENTS = {"connected", "start", "media", "dtmf", "mark", "stop"}
COUNTS = st.integers(0, 2**31 - 1)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Connected, NAMES, NAMES),
    st.builds(Started, IDS, IDS, IDS, st.just(PCMU_8K), st.dictionaries(NAMES, NAMES)),
    st.builds(Media, st.binary(max_size=4_000), COUNTS, COUNTS, st.sampled_from(["inbound", "outbound"])),
    st.builds(Digit, st.sampled_from("0123456789*#ABCD")),
    st.builds(Marked, NAMES),
    st.builds(Stopped, IDS),
    st.builds(Unrecognized, st.from_regex(r"\A[a-z]{1,80}\Z").filter(lambda name: name not in EVENTS)),
)


def refused(message: str | bytes, code: str) -> WireError:
    with pytest.raises(WireError) as caught:
        twilio.decode(message)
    assert caught.value.code == code, caught.value
    return caught.value


def media(**body: Any) -> bytes:
    whole = {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": "AAAA"} | body
    return json.dumps({"event": "media", "streamSid": STREAM, "media": whole}).encode()


def start(**body: Any) -> bytes:
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    whole = {"accountSid": ACCOUNT, "callSid": CALL, "mediaFormat": form} | body
    return json.dumps({"event": "start", "streamSid": STREAM, "start": whole}).encode()


# -- in


@pytest.mark.parametrize(("message", "meaning"), [*ONE_CALL, *DOCUMENTED_IN], ids=lambda part: type(part).__name__)
def test_a_call_and_what_is_documented(message: str | bytes, meaning: Message) -> None:
    assert twilio.decode(message) == meaning
    again = message.encode() if isinstance(message, str) else message.decode()
    assert twilio.decode(again) == meaning


@given(MESSAGES, st.integers(1, 10**6), st.sampled_from([int, str]), st.booleans(), st.randoms())
def test_what_twilio_says_is_what_is_read(
    message: Message, sequence: int, numbers: type, ascii: bool, rng: Any
) -> None:
    fields = list(TwilioSide.send(message, sequence, numbers=numbers).items())
    rng.shuffle(fields)
    text = json.dumps(dict(fields), ensure_ascii=ascii, indent=rng.choice([None, 2]))
    assert twilio.decode(text) == twilio.decode(text.encode()) == message


def test_fields_that_are_not_used_are_not_looked_at() -> None:
    wrong = b'{"event":"dtmf","sequenceNumber":-1,"streamSid":[null],"dtmf":{"digit":"7","track":{"a":[]}},"new":1e999}'
    assert twilio.decode(wrong) == Digit("7")
    assert twilio.decode(media(sequence="x", more={})) == Media(bytes(3), 5, 2, "inbound")


def test_a_stream_without_parameters_has_none() -> None:
    assert twilio.decode(start()) == Started(STREAM, CALL, ACCOUNT, PCMU_8K, {})


def test_an_unknown_event_is_no_error() -> None:
    assert twilio.decode(b'{"event":"whisper","whisper":{"to":[1,2]}}') == Unrecognized("whisper")
    assert twilio.decode(b'{"event":""}') == Unrecognized("")
    odd = twilio.decode(json.dumps({"event": "a\n\0é" + "x" * 5_000}))
    assert isinstance(odd, Unrecognized)
    assert odd.event.startswith("a\\n\\x00\\xe9xxx")
    assert len(odd.event) == 80


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert twilio.decode(b'{"event":"dtmf","dtmf":{"digit":"1"},"dtmf":{"digit":"2","digit":"3"}}') == Digit("3")
    assert twilio.decode(b'{"event":"dtmf","event":"dtmf","dtmf":{"digit":"1"}}') == Digit("1")


def test_two_events_in_one_message_are_refused() -> None:
    for first, second in (("dtmf", "mark"), ("mark", "dtmf"), ("hum", "dtmf"), ("hum", "media")):
        message = f'{{"event":"{first}","event":"{second}","dtmf":{{"digit":"1"}},"mark":{{"name":"a"}}}}'
        refused(message, "wire.schema")
    refused(media().replace(b'{"event"', b'{"event":"hum","event"'), "wire.schema")


@pytest.mark.parametrize("payload", ["AAA", "AA=A", "=", "AAAA AAAA", "AAAA\n", "AA-_", "AAAé", "<b64>", "AAA=AAA="])
def test_wrong_base64(payload: str) -> None:
    refused(media(payload=payload), "wire.base64")


def test_no_audio_at_all_is_a_piece_without_length() -> None:
    assert twilio.decode(media(payload="")) == Media(b"", 5, 2, "inbound")


@pytest.mark.parametrize("name", ["timestamp", "chunk"])
@pytest.mark.parametrize(
    "number", [-1, "-1", 2**31, "2147483648", 10**30, "9" * 5_000, 5.5, "5.5", "", " 5", "05", "0x5", "٥", "1_0", "NaN"]
)
def test_numbers_that_cannot_be(name: str, number: object) -> None:
    refused(media(**{name: number}), "wire.schema")


@pytest.mark.parametrize(
    "message",
    [
        b"{}",
        b"[]",
        b"null",
        b"7",
        b'"media"',
        b'{"event":null}',
        b'{"event":7}',
        b'{"event":["media"]}',
        b'{"Event":"media"}',
        b'{"event":"media"}',
        b'{"event":"media","media":null}',
        b'{"event":"media","media":[]}',
        b'{"event":"start","streamSid":"MZ1"}',
        b'{"event":"connected"}',
        b'{"event":"mark","mark":{}}',
        b'{"event":"mark","mark":{"name":null}}',
        b'{"event":"stop","stop":{"callSid":7}}',
        media(payload=None),
        media(payload=[]),
        media(payload="AAA", timestamp=-1),
        media(track="sideways"),
        media(timestamp=None),
        media(timestamp=True),
        start(customParameters={"k": 1}),
        start(customParameters=["k"]),
        start(mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 8000}),
        *(
            json.dumps({"event": "dtmf", "dtmf": {"digit": digit}}).encode()
            for digit in ("", "12", "a", "E", "\0", "1\n", 1, "١")
        ),
    ],
)
def test_what_is_not_as_documented(message: bytes) -> None:
    refused(message, "wire.schema")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        "",
        b" ",
        b"\0",
        b"hello",
        b'{"event":"media"',
        b'{"event":"clap"',
        b'{"event":"mark","mark":{"name":"a"}}}',
        b'{"event":"mark","mark":{"name":"a"}}{"event":"mark"}',
        b'{"event":"mark","mark":{"name":"a",}}',
        b"{'event':'mark'}",
        b'{"event":"mark","mark":{"name":"a\nb"}}',
        b'{"event":"mark","mark":{"name":NaN}}',
        b'\xef\xbb\xbf{"event":"mark","mark":{"name":"a"}}',
        '{"event":"mark","mark":{"name":"a"}}'.encode("utf-16"),
        b'{"event":"mark","mark":{"name":"\xff"}}',
        b'{"event":"mark","mark":{"name":"\xed\xa0\x80"}}',
        b'{"event":"mark","mark":{"name":"\xc0\x80"}}',
        b'{"event":"\xff"}',
        b'{"event":"mark","mark":{"name":"\\ud800"}}',
        b'{"event":"mark","mark":{"name":"\\udc00\\ud800"}}',
        '{"event":"mark","mark":{"name":"\ud800"}}',
    ],
)
def test_what_is_not_json(message: str | bytes) -> None:
    refused(message, "wire.json")


@pytest.mark.parametrize("opened", [b"[", b'{"a":', b'[{"a":'])
def test_what_is_nested_too_deep(opened: bytes) -> None:
    deep = opened * (60_000 // len(opened))
    for before in (b'{"event":"mark","new":', b'{"event":"new","new":', b'{"event":"mark","mark":{"name":', b'{"a":'):
        refused(before + deep, "wire.json")


def test_a_message_may_have_64_kilobytes() -> None:
    most = media(payload="A" * 60_000)
    most = most[:-1] + b" " * (MAX_MESSAGE - len(most)) + b"}"
    assert len(most) == MAX_MESSAGE == 65_536
    assert isinstance(twilio.decode(most), Media)
    error = refused(most + b" ", "wire.size")
    assert "65537" in error.message
    assert "65536" in error.message
    assert isinstance(twilio.decode(most + b" ", limit=MAX_MESSAGE + 1), Media)
    with pytest.raises(WireError, match="at most 100"):
        twilio.decode(media(payload="A" * 100), limit=100)
    refused("é" * (MAX_MESSAGE + 1), "wire.size")


@pytest.mark.parametrize(
    "form",
    [
        {"encoding": "audio/x-alaw", "sampleRate": 8000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2},
        {"encoding": "audio/x-mulaw", "sampleRate": -8000, "channels": 10**15},
        {"encoding": "audio/" + "l16" * 2_000, "sampleRate": 8000, "channels": 1},
    ],
)
def test_another_format_is_named(form: dict[str, Any]) -> None:
    error = refused(start(mediaFormat=form), "wire.format")
    assert form["encoding"][:40] in error.message
    if len(form["encoding"]) < 40:
        assert f"{form['sampleRate']} Hz with {form['channels']} channels" in error.message


@pytest.mark.parametrize(
    "bad", ["", " ", "a b", "a/b", "..", "../x", "a\0", "a\n", "\na", "é", "a" * 129, "a%2f", "a'b", '"', 7, None]
)
def test_ids_are_fit_for_a_url(bad: object) -> None:
    refused(start(callSid=bad), "wire.schema")
    refused(start(accountSid=bad), "wire.schema")
    refused(json.dumps({"event": "stop", "stop": {"callSid": bad}}), "wire.schema")
    refused(json.dumps(json.loads(start()) | {"streamSid": bad}), "wire.schema")


def test_no_name_has_nul_in_it() -> None:
    refused(b'{"event":"mark","mark":{"name":"a\\u0000b"}}', "wire.schema")
    refused(start(customParameters={"a\0": "b"}), "wire.schema")
    refused(start(customParameters={"a": "b\0"}), "wire.schema")


@pytest.mark.parametrize("secret", ["5" * 501, "\n\0\x1b[31m" * 100, "é" * 500, "{braces}" * 60])
def test_an_error_repeats_little_and_nothing_that_a_terminal_obeys(secret: str) -> None:
    for message in (
        media(track=secret),
        media(payload=secret),
        media(timestamp=secret),
        start(callSid=secret),
        start(mediaFormat={"encoding": secret, "sampleRate": 8000, "channels": 1}),
        json.dumps({"event": "start", secret: secret, "event ": secret}),
        json.dumps({"event": {secret: secret}}),
        f'{{"event":"media",{secret}',
        secret,
    ):
        with pytest.raises(WireError) as caught:
            twilio.decode(message)
        text = str(caught.value)
        assert text.isascii()
        assert text.isprintable()
        assert len(caught.value.message) < 200
        assert secret[:81] not in text
        # Or a log would print what msgspec repeats.
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_error_says_what_was_wrong_and_what_to_do() -> None:
    error = refused(media(timestamp="x"), "wire.schema")
    assert "$.media.timestamp" in error.message
    assert "`" in error.fix
    assert str(error) == f"{error.message} {error.fix} [wire.schema]"
    assert isinstance(error, ValueError)


# -- out


def test_what_is_sent_is_as_documented() -> None:
    stream = twilio.outgoing("MZ..")
    payload = base64.b64encode(SPEECH).decode("ascii")
    assert stream.audio(SPEECH).decode() == f'{{"event":"media","streamSid":"MZ..","media":{{"payload":"{payload}"}}}}'
    assert stream.mark("my label") == b'{"event":"mark","streamSid":"MZ..","mark":{"name":"my label"}}'
    assert stream.clear() == b'{"event":"clear","streamSid":"MZ.."}'


@given(NAMES, NAMES, st.binary(max_size=4_000))
def test_what_is_sent_is_what_twilio_reads(stream_id: str, name: str, payload: bytes) -> None:
    stream = twilio.outgoing(stream_id)
    read = TwilioSide.receive(stream.audio(payload))
    assert base64.b64decode(read["media"]["payload"], validate=True) == payload
    assert read["event"] == "media"
    mark = TwilioSide.receive(stream.mark(name))
    assert mark["mark"] == {"name": name}
    assert mark["event"] == "mark"
    clear = TwilioSide.receive(stream.clear())
    assert clear["event"] == "clear"
    assert {message["streamSid"] for message in (read, mark, clear)} == {stream_id}


@given(NAMES)
def test_a_mark_comes_back_under_its_name(name: str) -> None:
    sent = TwilioSide.receive(twilio.outgoing(STREAM).mark(name))
    echo = {"event": "mark", "sequenceNumber": "9", "streamSid": sent["streamSid"], "mark": sent["mark"]}
    assert twilio.decode(json.dumps(echo)) == Marked(name)


@pytest.mark.parametrize(
    ("name", "what"), [("a\0b", "NUL"), ("\ud800", "surrogate"), ("x" * 99 + "\udfff", "surrogate")]
)
def test_names_that_cannot_be_sent(name: str, what: str) -> None:
    for send in (twilio.outgoing(STREAM).mark, twilio.outgoing, quoted):
        with pytest.raises(WireError, match=what) as caught:
            send(name)
        assert caught.value.code == "wire.name"
        assert len(caught.value.message) < 160
        assert caught.value.message.isprintable()


def test_only_mu_law_goes_out() -> None:
    assert twilio.outgoing(STREAM, PCMU_8K).clear() == twilio.outgoing(STREAM).clear()
    with pytest.raises(WireError, match="pcm_s16le at 16000 Hz") as caught:
        twilio.outgoing(STREAM, PCM_16K)
    assert caught.value.code == "wire.format"


# -- the contract


def test_the_module_is_a_serializer() -> None:
    serializer: Serializer = twilio  # mypy holds the signatures
    assert serializer.CAPABILITIES.formats == (PCMU_8K,)
    can = dataclasses.asdict(serializer.CAPABILITIES)
    assert {name for name, value in can.items() if value is True} == {
        "stop_message",
        "marks_on_clear",
        "order_guaranteed",
        "close_ends_call",
    }


def test_what_came_cannot_be_changed() -> None:
    for message, _ in ONE_CALL:
        read = twilio.decode(message)
        assert not hasattr(read, "__dict__")
        if not isinstance(read, Media):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(read, dataclasses.fields(read)[0].name, None)


def test_the_beginning_of_what_came() -> None:
    assert shown("plain") == "plain"
    assert shown("x" * 80) == "x" * 80
    assert shown("x" * 81) == "x" * 77 + "..."
    assert shown("\n\ud800é") == "\\n\\ud800\\xe9"
    assert len(shown("\U0001f600" * 80)) == 80


def test_without_the_package_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['msgspec'] = None\n"
        "import voiceframe.serializers\n"
        "from voiceframe.errors import MissingExtra\n"
        "try: import voiceframe.serializers.twilio\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "msgspec" in done.stdout
    assert "pip install 'voiceframe[telephony]'" in done.stdout
