"""The TLS context: one for the process, and none where there is no TLS."""

from __future__ import annotations

import ssl

from voiceframe.tls import for_socket, tls


def test_there_is_one_context_that_checks_whom_it_talks_to() -> None:
    assert tls() is tls()
    assert tls().verify_mode == ssl.CERT_REQUIRED
    assert tls().check_hostname


def test_only_a_secure_socket_is_given_one() -> None:
    assert for_socket("wss://api.example/v1") == {"ssl": tls()}
    assert for_socket("ws://127.0.0.1:1/v1") == {}
