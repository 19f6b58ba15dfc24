"""A process for each connection, and one that waits for the next: nothing is left open or running."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.testlib.patience import until
from tests.testlib.process import children, has_connection, workers
from tests.testlib.server import Server, running


def listener(server: Server) -> int:
    assert server.process is not None
    return server.process.pid


def spare(server: Server) -> int:
    """The process that waits for a connection, when nobody is there; the first was who looked for the port."""
    until(lambda: "disconnected" in server.log() and len(children(listener(server))) == 1)
    return children(listener(server))[0]


def test_a_connection_is_open_in_its_worker_only(tmp_path: Path) -> None:
    """The listener keeps none, and the next spare process has none."""
    with running(tmp_path / "root") as server:
        first = spare(server)
        with server.client() as one, server.client() as two:
            assert len(workers(listener(server))) == 2 and first in workers(listener(server))
            assert not has_connection(listener(server))
            one.logout()
            until(lambda: first not in children(listener(server)))
            two.ok("NOOP")
            two.logout()
        assert spare(server) != first and not has_connection(spare(server))


def test_a_spare_process_that_is_ended(tmp_path: Path) -> None:
    """Another takes its place; nobody's connection is lost with it once that is known."""
    with running(tmp_path / "root") as server:
        gone = spare(server)
        os.kill(gone, signal.SIGKILL)
        until(lambda: gone not in children(listener(server)))
        with server.client() as client:
            client.ok("NOOP")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left(tmp_path: Path, number: signal.Signals) -> None:
    """The spare process ends with its listener, however that ends."""
    with running(tmp_path / "root") as server:
        left = spare(server)
        os.kill(listener(server), number)
        until(lambda: not Path(f"/proc/{left}").exists())


def test_refused_connections_cost_no_process(tmp_path: Path) -> None:
    with running(tmp_path / "root", "[limits]\nmax_workers_per_address = 1\n") as server:
        assert spare(server)
        with server.tls_socket() as only:
            assert only.recv(100).startswith(b"* OK")
            until(lambda: len(children(listener(server))) == 2)
            before = children(listener(server))
            for _time in range(3):
                with socket.create_connection(("127.0.0.1", server.port), 20) as refused:
                    assert refused.recv(1) == b""
            assert children(listener(server)) == before
