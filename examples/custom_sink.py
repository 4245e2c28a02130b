"""A sink of your own: the events of all calls are posted to a webhook, in batches, as lines of JSON.

    EVENTS_URL=http://127.0.0.1:9000/events voiceframe run examples/custom_sink.py

It serves the bakery's line of `twilio_bot.py`: `docs/twilio.md` says what else to set, `docs/events.md` what events
there are. The store stays where it is: a sink is besides.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from voiceframe import App
from voiceframe.events import LoggedEvent
from voiceframe.sinks import SinkFeed
from voiceframe.transports.twilio import Twilio

#: Answers that say of the events themselves that they cannot be taken. All others may be different the next time.
REFUSED = (400, 413, 422)


class WebhookSink:
    """Posts each batch, and is done with it when that was answered with 2xx.

    A sink is plain and blocking: a `SinkFeed` calls it on a thread of its own, gives it a batch again until it returns,
    and bounds and counts what waits. So a batch may come twice: whoever receives it goes by the `id` of each event.
    """

    name = "webhook"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the URL of a webhook, such as https://example.com/events: {url!r}")
        self._connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def write(self, batch: Sequence[LoggedEvent]) -> None:
        """Raises `ValueError` for events that will never be taken: each is then offered alone, and counted as lost if
        it is refused again. Whatever else it raises means "not now"."""
        # What belongs to a person stays in the store of this machine, where it can be erased.
        body = "".join(replace(event, personal=None).to_json() + "\n" for event in batch).encode()
        with closing(self._connection(self._host, self._port, timeout=5)) as connection:
            connection.request("POST", self._target, body, {"Content-Type": "application/x-ndjson"})
            status = connection.getresponse().status
        if status in REFUSED:
            raise ValueError(f"the webhook refuses the events with {status}")
        if not 200 <= status < 300:
            raise ConnectionError(f"the webhook answered with {status}")

    def close(self) -> None:
        """Nothing is left open between two batches."""


app = App(
    str(Path(__file__).with_name("twilio_bot.py")),
    Twilio(),
    sinks=[SinkFeed(WebhookSink(os.environ.get("EVENTS_URL", "http://127.0.0.1:9000/events")))],
)
