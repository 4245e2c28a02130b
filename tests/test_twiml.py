"""TwiML: the documents are those of Twilio's own library, whatever text goes into them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twilio.twiml.voice_response import Connect, VoiceResponse  # type: ignore[import-untyped]

from voiceframe.errors import TwiMLError
from voiceframe.transports.twilio.twiml import CONTENT_TYPE, MAX_PARAMETER, MAX_SAID, connect, hang_up, reject, say

URL = "wss://example.com/twilio/media"
#: What XML can hold.
SOUND = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r<>&\"']")
)
ANY = st.text(st.characters(exclude_categories=[]))


def same(document: str, theirs: VoiceResponse) -> bool:
    return ElementTree.canonicalize(document) == ElementTree.canonicalize(str(theirs))


# -- as the library writes them


def test_the_documents() -> None:
    head = '<?xml version="1.0" encoding="UTF-8"?><Response>'
    assert connect(URL, {"token": "a<b"}) == (
        f'{head}<Connect><Stream url="{URL}"><Parameter name="token" value="a&lt;b"/></Stream></Connect></Response>'
    )
    assert reject() == f'{head}<Reject reason="busy"/></Response>'
    assert say("We are closed.") == f"{head}<Say>We are closed.</Say><Hangup/></Response>"
    assert hang_up() == f"{head}<Hangup/></Response>"
    assert CONTENT_TYPE.startswith("text/xml")


@given(
    st.dictionaries(
        SOUND.filter(lambda name: 0 < len(name) < 100), SOUND.filter(lambda value: len(value) < 100), max_size=4
    )
)
@example({"a&b": "\"'<>&\t\r\n]]> \u2028\U0001f600"})
@example({})
def test_connect_is_what_the_library_writes(parameters: dict[str, str]) -> None:
    theirs, verb = VoiceResponse(), Connect()
    stream = verb.stream(url=URL)
    for name, value in parameters.items():
        stream.parameter(name=name, value=value)
    theirs.append(verb)
    document = connect(URL, parameters)
    if "\r" not in "".join(parameters) + "".join(parameters.values()):  # which the library of this Python may lose
        assert same(document, theirs)
    found = ElementTree.fromstring(document.encode()).iterfind("./Connect/Stream/Parameter")
    assert [(entry.get("name"), entry.get("value")) for entry in found] == list(parameters.items())


@given(SOUND.filter(str.strip), st.sampled_from(["", "en-GB", "vi-VN"]), st.sampled_from(["", "alice", 'Polly.<"&>']))
def test_say_is_what_the_library_writes(text: str, language: str, voice: str) -> None:
    theirs = VoiceResponse()
    theirs.say(text.strip(), language=language or None, voice=voice or None)
    theirs.hangup()
    document = say(text, language=language, voice=voice)
    if "\r" not in text:
        assert same(document, theirs)
    response = ElementTree.fromstring(document.encode())
    assert [child.tag for child in response] == ["Say", "Hangup"]
    assert response[0].text == text.strip()


def test_reject_and_hang_up_are_what_the_library_writes() -> None:
    for reason in ("busy", "rejected"):
        theirs = VoiceResponse()
        theirs.reject(reason=reason)
        assert same(reject(reason), theirs)
    theirs = VoiceResponse()
    theirs.hangup()
    assert same(hang_up(), theirs)


# -- any text


@given(ANY, ANY, ANY)
@example("\0\ud800\ufffe", "", "")
@example("</Say><Dial>+1</Dial>", "", 'x"><Dial/>')
def test_no_text_breaks_out_or_makes_it_no_xml(text: str, language: str, voice: str) -> None:
    response = ElementTree.fromstring(say(text, language=language, voice=voice).encode())
    assert [child.tag for child in response] in (["Say", "Hangup"], ["Hangup"])
    assert all(len(child) == 0 for child in response)


@given(ANY, ANY)
def test_a_parameter_comes_out_as_it_went_in_or_is_refused(name: str, value: str) -> None:
    impossible = re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", name + value)
    if impossible or not name or len(name + value) >= MAX_PARAMETER:
        with pytest.raises(TwiMLError):
            connect(URL, {name: value})
        return
    document = connect(URL, {name: value})
    (found,) = ElementTree.fromstring(document.encode()).iterfind("./Connect/Stream/Parameter")
    assert (found.get("name"), found.get("value")) == (name, value)


def test_a_message_is_cut_where_twilio_cuts_it_and_an_empty_one_is_none() -> None:
    said = ElementTree.fromstring(say("&" * (MAX_SAID + 1)))[0].text
    assert said == "&" * MAX_SAID
    for nothing in ("", " \n", "\0", "\ud800 "):
        assert say(nothing) == hang_up()


def test_what_is_asked_when_the_stream_is_over() -> None:
    for action in ("https://example.com/twilio/voice?a=1&b=<>", "/twilio/voice", "http://127.0.0.1:80/x"):
        theirs, verb = VoiceResponse(), Connect(action=action)
        verb.stream(url=URL).parameter(name="a", value="b")
        theirs.append(verb)
        assert same(connect(URL, {"a": "b"}, action=action), theirs)


# -- what is refused


@pytest.mark.parametrize(
    "action", ["wss://example.com", "x", "https://example.com/\n", "/\0", "/é", "javascript:/x", "/a b"]
)
def test_what_cannot_be_asked_is_refused(action: str) -> None:
    with pytest.raises(TwiMLError) as raised:
        connect(URL, action=action)
    assert raised.value.code == "twiml.action"
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"), [("", "x"), ("a", "x" * 499), ("a" * 500, ""), ("a", "\0"), ("\x1b", ""), ("a", "\ud800")]
)
def test_a_parameter_that_twilio_would_not_take_is_refused(name: str, value: str) -> None:
    with pytest.raises(TwiMLError) as raised:
        connect(URL, {name: value})
    assert raised.value.code == "twiml.parameter"
    assert "x" * 9 not in str(raised.value)  # it may be a secret
    assert "\x1b" not in str(raised.value)


def test_the_longest_parameter_is_taken() -> None:
    assert "y" * 498 in connect(URL, {"a": "y" * 498})


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/media",
        "ws://example.com/media",
        "ws://10.0.0.1/media",
        "ws://127.0.0.1.example.com/media",
        "WSS//example.com",
        "wss://",
        "wss:///media",
        "wss://[::1/media",
        "wss://example.com:99999/media",
        "wss://example.com/media?token=hunter2",
        "wss://example.com/media?",
        "wss://example.com/media#hunter2",
        "wss://example.com/a b",
        "wss://example.com/é",
        "wss://example.com/\n",
        "",
        "\ud800",
    ],
)
def test_an_address_that_twilio_would_not_open_is_refused(url: str) -> None:
    with pytest.raises(TwiMLError) as raised:
        connect(url)
    assert raised.value.code == "twiml.url"
    assert "?" not in str(raised.value).replace("`", "")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "wss://example.com:8443/a%20b",
        "wss://[2001:db8::1]/a",
        "ws://127.0.0.1:8000/a",
        "ws://[::1]/a",
        "ws://localhost/a",
    ],
)
def test_an_address_that_can_be_opened_is_taken(url: str) -> None:
    stream = ElementTree.fromstring(connect(url)).find("./Connect/Stream")
    assert stream is not None
    assert stream.get("url") == url
