"""Who is talked to, and where: what a conversation is given."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from OpenSSL import SSL

from crymapd import log
from crymapd.channel import Channel
from crymapd.config.system import Root
from crymapd.daemon import tls
from crymapd.unix.owner import Place

HANDSHAKE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Site:
    """What all clients of this server have in common.

    Attributes:
        root: the configuration.
        users: the directory with an entry for each user.
        contexts: for TLS, by the name of the service.
        state: a descriptor of the directory for what all workers count together.
        traces: a descriptor of the directory for the dialogues of connections; None where they are not written.
    """

    root: Root
    users: Place
    contexts: dict[str, SSL.Context]
    state: int
    traces: int | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """One client.

    Attributes:
        channel: what it says and is told.
        service: the name of the service that it called.
        address: its address without port; `local` on a UNIX socket.
        site: the server that it called.
        newcomer: what the conversation closes when the client has logged in, where somebody counts those who have not.
    """

    channel: Channel
    service: str
    address: str
    site: Site
    newcomer: socket.socket | None = None

    def has_logged_in(self) -> None:
        """Tell the listener that this client is no newcomer any more."""
        if self.newcomer is not None:
            self.newcomer.close()

    @property
    def prefix(self) -> str:
        """The prefix of every log line about this client."""
        return f"{self.service} from={self.address} "

    def start_tls(self) -> None:
        """Do the server's side of the handshake.

        Raises:
            Disconnected, TimedOut: the client went away, or speaks no TLS.
            ForeignProtocol: it wants another protocol.
        """
        context = self.site.contexts[self.service]
        log.connected(self.channel.start_tls(context, HANDSHAKE_SECONDS))
        tls.forget_keys(self.channel, self.site.contexts.values())


def peer_address(sock: socket.socket) -> str:
    """A client's address without port, `local` on a UNIX socket; IPv4 in its own form."""
    try:
        name = sock.getpeername()
    except OSError:
        return "unknown"
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "local"
    return str(name[0]).removeprefix("::ffff:")
