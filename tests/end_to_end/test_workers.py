"""A process for each connection, and one that waits for the next: nothing is left open or running."""

from __future__ import annotations

import contextlib
import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.process import children, has_connection, state_of, straced, workers
from tests.testlib.server import Server, running, trusting


def listener(server: Server) -> int:
    assert server.process is not None
    return server.process.pid


def test_a_connection_is_open_in_its_worker_only(tmp_path: Path) -> None:
    """The listener keeps none, and the next spare process has none."""
    with running(tmp_path / "root") as server:
        first = server.spare()
        with server.client() as one, server.client() as two:
            assert len(workers(listener(server))) == 2 and first in workers(listener(server))
            assert not has_connection(listener(server))
            one.logout()
            until(lambda: first not in children(listener(server)))
            two.ok("NOOP")
            two.logout()
        assert server.spare() != first and not has_connection(server.spare())


def test_a_spare_process_that_is_ended(tmp_path: Path) -> None:
    """Another takes its place; nobody's connection is lost with it once that is known."""
    with running(tmp_path / "root") as server:
        gone = server.spare()
        os.kill(gone, signal.SIGKILL)
        until(lambda: gone not in children(listener(server)))
        with server.client() as client:
            client.ok("NOOP")


def test_a_spare_process_is_not_hung_up(tmp_path: Path) -> None:
    """`pkill -HUP crymapd` reaches it as well, perhaps at the moment when it is given a connection."""
    with running(tmp_path / "root") as server:
        one = server.spare()
        os.kill(one, signal.SIGHUP)
        with server.client() as client:
            assert workers(listener(server)) == [one]
            client.logout()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left(tmp_path: Path, ending: signal.Signals) -> None:
    """The spare process ends with its listener, however that ends."""
    with running(tmp_path / "root") as server:
        left = server.spare()
        os.kill(listener(server), ending)
        until(lambda: not Path(f"/proc/{left}").exists())


def test_refused_connections_cost_no_process(tmp_path: Path) -> None:
    with running(tmp_path / "root", "[limits]\nmax_workers_per_address = 1\n") as server:
        assert server.spare()
        with server.tls_socket("imaps") as only:
            assert only.recv(100).startswith(b"* OK")
            until(lambda: len(children(listener(server))) == 2)
            before = children(listener(server))
            for _time in range(3):
                with server.plain_socket("imaps") as refused:
                    assert refused.recv(1) == b""
            assert children(listener(server)) == before


def test_a_spare_process_that_ended_unnoticed(tmp_path: Path) -> None:
    """The listener was busy: the next connection gets another one."""
    with running(tmp_path / "root") as server:
        gone = server.spare()
        os.kill(listener(server), signal.SIGSTOP)
        os.kill(gone, signal.SIGKILL)
        until(lambda: state_of(gone) == "Z")
        waiting = server.plain_socket("imaps")
        os.kill(listener(server), signal.SIGCONT)
        with trusting().wrap_socket(waiting) as served:
            assert served.recv(100).startswith(b"* OK")


def injected(process: int, what: str, *options: str) -> AbstractContextManager[None]:
    """Into the system calls of a process."""
    call = what.partition(":")[0]
    return straced(process, *options, "-e", f"trace={call}", "-e", f"inject={what}", "-o", "/dev/null")


@pytest.mark.peer("strace")
@pytest.mark.parametrize(("failures", "is_served"), [("1", True), ("1..2", False)])
def test_a_connection_that_cannot_be_given(tmp_path: Path, failures: str, is_served: bool) -> None:
    """Too many are on their way, or there is no memory: another process is tried, and the listener goes on."""
    with running(tmp_path / "root") as server:
        server.spare()
        failing = injected(listener(server), f"sendmsg:error=ENOBUFS:when={failures}")
        outcome = contextlib.nullcontext() if is_served else pytest.raises(OSError)
        with failing, outcome, server.tls_socket("imaps") as served:
            assert served.recv(100).startswith(b"* OK")
        assert ("cannot accept connections for now: No buffer space" in server.log()) is not is_served
        with server.client() as client:
            client.ok("NOOP")


@pytest.mark.peer("strace")
def test_told_to_end_before_it_has_settled(tmp_path: Path) -> None:
    """A worker that has not run yet, on a busy machine, ends with the others."""
    with running(tmp_path / "root") as server:
        server.spare()
        assert server.process is not None
        slowly = injected(listener(server), "getrandom:delay_enter=2000000", "-f")
        with slowly, server.tls_socket("imaps"), server.plain_socket("imaps"):
            until(lambda: len(children(listener(server))) == 3)
            server.process.terminate()
            assert server.process.wait(PATIENCE_SECONDS) == 0


def test_told_to_end_while_it_starts(tmp_path: Path) -> None:
    """Nothing of its rehearsal is left in the place for temporary files."""
    place = tmp_path / "place"
    place.mkdir()
    server = Server(tmp_path / "root", limits=f"crymapd.daemon.rehearsal._PLACES=('{place}',)")
    server.prepare()
    server.start()
    assert server.process is not None
    server.process.terminate()
    assert server.process.wait(PATIENCE_SECONDS) == 0
    assert "stopping" in server.log() and not list(place.iterdir())
