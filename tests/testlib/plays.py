"""A fake server for the tests of our own clients: each connection is a play, a function that speaks the server's part."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Peer:
    """The server's end of a socket pair, at which a play says and hears what a server would."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def line(self) -> bytes:
        """The next line of the client, whatever it is."""
        return self.file.readline()

    def hear(self, expected: bytes) -> None:
        """Read exactly these octets from the client."""
        got = self.file.read(len(expected))
        assert got == expected, (got, expected)

    def close(self) -> None:
        self.file.close()
        self.sock.close()


Play = Callable[[Peer], None]


@contextmanager
def serving(*plays: Play) -> Iterator[Callable[[], socket.socket]]:
    """A function that connects to a fake server; each connection is played by the next of these plays.

    Whatever fails in a play, fails at the end of the `with` block.
    """
    failures: list[BaseException] = []
    threads: list[threading.Thread] = []
    left = list(plays)

    def perform(play: Play, peer: Peer) -> None:
        try:
            play(peer)
        except BaseException as failure:
            failures.append(failure)
        finally:
            peer.close()

    def connect() -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.settimeout(10)
        thread = threading.Thread(target=perform, args=(left.pop(0), Peer(theirs)))
        threads.append(thread)
        thread.start()
        return ours

    yield connect
    for thread in threads:
        thread.join(10)
    if failures:
        raise failures[0]
