"""A process for each connection, and one that waits for the next: nothing is left open or running."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from crymapd.imap.server import COMMANDS_BEFORE_LOGIN
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
    server = Server(tmp_path / "root", limits=f"crymapd.daemon.rehearsal._FOLDERS=('{place}',)")
    server.prepare()
    server.start()
    assert server.process is not None
    server.process.terminate()
    assert server.process.wait(PATIENCE_SECONDS) == 0
    assert "stopping" in server.log() and not list(place.iterdir())


def test_a_worker_that_its_user_has_stopped_is_ended(tmp_path: Path) -> None:
    """It would take up a place for ever, and keep the listener from ending."""
    with running(tmp_path / "root") as server:
        server.spare()
        with server.tls_socket("imaps") as sock:
            assert sock.recv(100).startswith(b"* OK")
            (worker,) = workers(listener(server))
            os.kill(worker, signal.SIGSTOP)
            until(lambda: worker not in children(listener(server)))
        assert f"process {worker} was stopped by a signal and is ended" in server.log()
        with server.client() as client:
            client.ok("NOOP")


def at(server: Server, source: str) -> ssl.SSLSocket:
    sock = socket.create_connection(
        ("127.0.0.1", server.port("imaps")), source_address=(source, 0), timeout=PATIENCE_SECONDS
    )
    return trusting().wrap_socket(sock)


def test_strangers_who_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    """Those who have not logged in make room, the oldest of the busiest address first; whoever has logged in stays."""
    limits = "[limits]\nmax_before_login = 6\n"
    with running(tmp_path / "root", limits) as server, contextlib.ExitStack() as stack:
        server.spare()
        users = [stack.enter_context(server.client()) for _user in range(8)]
        other = stack.enter_context(at(server, "127.0.0.3"))
        assert other.recv(1000).startswith(b"* OK")
        idle = [stack.enter_context(at(server, "127.0.0.2")) for _stranger in range(5)]
        for sock in idle:
            assert sock.recv(1000).startswith(b"* OK")
        newcomer = stack.enter_context(server.client())
        newcomer.ok("SELECT INBOX")
        assert idle[0].recv(1000).startswith(b"* BYE") and not idle[0].recv(1000)
        assert "a connection from=127.0.0.2 that has not logged in is ended" in server.log()
        for user in users:
            user.ok("NOOP")
        for sock in (other, *idle[1:]):
            sock.sendall(b"A1 NOOP\r\n")
            assert b"A1 OK" in sock.recv(1000)


def test_a_client_that_never_logs_in_may_not_ask_for_much(tmp_path: Path) -> None:
    with running(tmp_path / "root") as server, server.tls_socket("imaps") as sock:
        sock.sendall(b"".join(b"A%d NOOP\r\n" % number for number in range(1000)))
        answers = b"".join(iter(lambda: sock.recv(10_000), b""))
        assert answers.count(b" OK ") <= COMMANDS_BEFORE_LOGIN + 1 and b"* BYE too many commands" in answers


def test_a_flood_of_refused_connections_does_not_fill_the_log(tmp_path: Path) -> None:
    with running(tmp_path / "root", "[limits]\nmax_workers_per_address = 1\n") as server:
        server.spare()
        with server.tls_socket("imaps") as only:
            assert only.recv(100).startswith(b"* OK")
            for _connection in range(60):
                with server.plain_socket("imaps") as refused:
                    assert not refused.recv(10)
        assert server.log().count(" refused: ") <= 2 * 5 + 2
