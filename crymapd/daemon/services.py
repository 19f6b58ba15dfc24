"""The services, one row each: whatever starts, listens or logs works from this table.

Names are IANA's, where it has one.  To add a service is to write its conversation and its row, its unit files, and its
places in the manuals, which `tests/daemon/test_services.py` compares with the table.  A new package needs its place in
the layers of setup.cfg.  A conversation without a login says `Client.has_logged_in` itself, once it trusts its client.

A row refers to the modules of its service by functions that load them when they are called: a process of inetd loads
one service only, and greets its client before that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crymapd.daemon.client import Client


class Tls(Enum):
    """When a connection of a service is encrypted."""

    IMPLICIT = "implicit"
    """From the first octet (RFC 8314 section 3)."""
    STARTTLS = "STARTTLS"
    """From the client's command on."""
    NONE = "none"
    """Never: the service is for this host only."""


Conversation = Callable[["Client"], None]
"""What a worker does with a client until one of them ends it."""
Rehearsal = Callable[[], None]
"""A made-up conversation in the listener, so that workers share what a first one leaves in memory."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service, as the daemon sees it.

    Attributes:
        name: IANA's, as in `[listen]`, `serve-NAME`, `FileDescriptorName=` and the log.
        port: IANA's; None for a service that has none.
        tls: when the connection is encrypted.
        load: loads everything that the conversation needs, and gives it; afterwards the program's own files may be out
            of reach.
        alpn: the name of the protocol in TLS (RFC 7301); empty where nothing is negotiated.
        greeting: what the client is told first, before the rest is loaded; None where the conversation greets.
        last_words: what the client is told when the program crashes.
        farewell: what the client is told when the server is stopped.
        refusal: what a client is told when there are too many connections; sent only if it can be read without TLS.
        load_rehearsal: loads and gives the rehearsal; None where there is none.
        takes_unnamed: whether a socket from systemd that has no name is for this service, where no other has one.
    """

    name: str
    port: int | None
    tls: Tls
    load: Callable[[], Conversation]
    alpn: bytes = b""
    greeting: Callable[[Client], bytes] | None = None
    last_words: Callable[[], bytes] | None = None
    farewell: Callable[[], bytes] | None = None
    refusal: bytes = b""
    load_rehearsal: Callable[[], Rehearsal] | None = None
    takes_unnamed: bool = False

    @property
    def has_tls(self) -> bool:
        """Whether it needs a certificate."""
        return self.tls is not Tls.NONE


def _load_imap() -> Conversation:
    from crymapd.daemon.imap import converse
    from crymapd.mime.charsets import preload

    preload()
    return converse


def _greet_imap(_client: Client) -> bytes:
    from crymapd.imap.capability import greeting

    return greeting()


def _last_words_imap() -> bytes:
    from crymapd.imap.capability import last_words  # loaded since the greeting

    return last_words()


def _farewell_imap() -> bytes:
    from crymapd.imap.capability import farewell

    return farewell()


def _load_imap_rehearsal() -> Rehearsal:
    from crymapd.daemon.rehearsal import rehearse

    return rehearse


SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        Service(
            name="imaps",
            port=993,
            tls=Tls.IMPLICIT,
            load=_load_imap,
            alpn=b"imap",
            greeting=_greet_imap,
            last_words=_last_words_imap,
            farewell=_farewell_imap,
            load_rehearsal=_load_imap_rehearsal,
            takes_unnamed=True,
        ),
    )
}
