"""SASL mechanisms (RFC 4422) as IMAP's AUTHENTICATE and SMTP's AUTH lead them; nothing here opens anything.

An `Exchange` gives challenges and takes responses, both decoded, until it has the client's credentials.
A mechanism is a row of `_MECHANISMS`: what the server says, and how the responses are read.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crymapd.authentication.credentials import Credentials


class SaslError(Exception):
    """The exchange has failed; the text is for the client."""


class UnknownMechanism(SaslError):
    """The client asked for a mechanism that is not offered."""


class Cancelled(SaslError):
    """The client gave up (`*`)."""


class MalformedResponse(SaslError):
    """A response is not base64, or not what its mechanism wants."""


class NotAuthorized(SaslError):
    """The client wants to act as somebody else than it authenticates as."""


class Exchange:
    """One authentication in progress: answer each `challenge` by `respond` until there is none, then `credentials`."""

    def __init__(self, mechanism: str) -> None:
        """Begin it. Raises UnknownMechanism."""
        try:
            self._mechanism = _MECHANISMS[mechanism.upper()]
        except KeyError:
            raise UnknownMechanism(f"the mechanisms are {' and '.join(_MECHANISMS)}") from None
        self._responses: list[bytes] = []

    @property
    def challenge(self) -> bytes | None:
        """What the server says next; None when every response is there."""
        prompts = self._mechanism.prompts
        return prompts[len(self._responses)] if len(self._responses) < len(prompts) else None

    def respond(self, response: bytes) -> None:
        """Take the client's response to `challenge`, or before any challenge its initial response."""
        self._responses.append(response)

    def credentials(self) -> Credentials:
        """What the client has said. Raises MalformedResponse, NotAuthorized."""
        return self._mechanism.read(self._responses)


def decode_response(line: bytes) -> bytes:
    """A client's line in clear: base64, where `*` cancels and `=` is an empty initial response (RFC 4959, RFC 4954).

    Raises:
        Cancelled, MalformedResponse.
    """
    if line == b"*":
        raise Cancelled("cancelled")
    if line == b"=":
        return b""
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise MalformedResponse("expected base64") from None


@dataclass(frozen=True, slots=True)
class _Mechanism:
    prompts: tuple[bytes, ...]
    read: Callable[[Sequence[bytes]], Credentials]


def _read_plain(responses: Sequence[bytes]) -> Credentials:
    """RFC 4616 section 2."""
    pieces = responses[0].split(b"\0")
    if len(pieces) != 3:
        raise MalformedResponse("expected authzid NUL authcid NUL password")
    authorized, authenticated, password = pieces
    if authorized not in (b"", authenticated):
        raise NotAuthorized("one user cannot log in as another")
    return Credentials.from_octets(authenticated, password)


def _read_login(responses: Sequence[bytes]) -> Credentials:
    return Credentials.from_octets(responses[0], responses[1])


_MECHANISMS = {
    "PLAIN": _Mechanism((b"",), _read_plain),
    # draft-murchison-sasl-login-00: some clients insist on these prompts.
    "LOGIN": _Mechanism((b"Username:", b"Password:"), _read_login),
}
