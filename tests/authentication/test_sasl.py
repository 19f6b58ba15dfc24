"""SASL exchanges, without any protocol around them."""

from __future__ import annotations

import pytest

from crymapd.authentication import sasl
from crymapd.authentication.credentials import Credentials


def test_plain_asks_once_for_everything() -> None:
    exchange = sasl.Exchange("plain")
    assert exchange.challenge == b""
    exchange.respond("\0anna\0grün".encode())
    assert exchange.challenge is None
    assert exchange.credentials() == Credentials("anna", "grün")


def test_plain_with_an_initial_response_asks_nothing() -> None:
    exchange = sasl.Exchange("PLAIN")
    exchange.respond(b"anna\0anna\0secret")
    assert exchange.challenge is None
    assert exchange.credentials() == Credentials("anna", "secret")


def test_login_asks_with_the_prompts_that_clients_expect() -> None:
    exchange = sasl.Exchange("LOGIN")
    assert exchange.challenge == b"Username:"
    exchange.respond(b"anna")
    assert exchange.challenge == b"Password:"
    exchange.respond(b"secret")
    assert exchange.credentials() == Credentials("anna", "secret")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"anna\0secret", sasl.MalformedResponse),
        (b"a\0b\0c\0d", sasl.MalformedResponse),
        (b"bert\0anna\0secret", sasl.NotAuthorized),
    ],
)
def test_what_plain_does_not_take(response: bytes, reason: type[sasl.SaslError]) -> None:
    exchange = sasl.Exchange("PLAIN")
    exchange.respond(response)
    with pytest.raises(reason):
        exchange.credentials()


def test_an_unknown_mechanism_is_told_which_there_are() -> None:
    with pytest.raises(sasl.UnknownMechanism, match="PLAIN and LOGIN"):
        sasl.Exchange("CRAM-MD5")


@pytest.mark.parametrize(
    ("line", "response"), [(b"=", b""), (b"", b""), (b"AGFubmEAc2VjcmV0", b"\0anna\0secret"), (b"/w==", b"\xff")]
)
def test_responses_are_base64(line: bytes, response: bytes) -> None:
    assert sasl.decode_response(line) == response


def test_a_star_cancels_and_anything_else_is_malformed() -> None:
    with pytest.raises(sasl.Cancelled):
        sasl.decode_response(b"*")
    for line in (b"not base64!", b"AGE", b"=AA=", b"\xff"):
        with pytest.raises(sasl.MalformedResponse):
            sasl.decode_response(line)


def test_a_password_is_not_shown() -> None:
    given = Credentials.from_octets("é".encode(), "ü".encode())
    assert given == Credentials("é", "ü") and "ü" not in repr(given)
    assert Credentials.from_octets(b"\xff", b"").user == "\udcff"
