"""Logins: one answer whatever is wrong, the same work, and failures that slow the guesser only."""

from __future__ import annotations

import socket
import statistics
import time
from pathlib import Path

from crymapd.authentication import throttle
from tests.testlib.client import Client
from tests.testlib.server import PASSWORD, Server, running, trusting

NAMES = ("alice", "nobody-here", "..", "a/b", "-rf", "%n", "x" * 5000, "\u202ealice", "аlice")


def refusal(server: Server, user: str, password: str) -> tuple[str, float]:
    """The answer to a login, without its tag, and how long it took."""
    with server.client(None) as client:
        start = time.perf_counter()
        result = client.command("LOGIN {} {}", user.encode()[:4000], password.encode())
        return f"{result.status} {result.code} {result.text}", time.perf_counter() - start


def test_one_answer_for_every_failure(server: Server) -> None:
    answers = {refusal(server, name, "wrong")[0] for name in NAMES}
    assert len(answers) == 1 and "AUTHENTICATIONFAILED" in answers.pop()
    assert "BUG" not in server.log()


def test_unknown_users_cost_the_same_work(server: Server) -> None:
    """Medians of known and unknown users do not differ by more than the noise of one hash."""
    known = [refusal(server, "alice", "wrong")[1] for _round in range(7)]
    unknown = [refusal(server, "nobody-here", "wrong")[1] for _round in range(7)]
    ratio = statistics.median(known) / statistics.median(unknown)
    assert 0.5 < ratio < 2.0, (known, unknown)


def test_case_of_the_name_is_one_account(server: Server) -> None:
    with server.client("ALICE") as client:
        client.logout()


def from_address(server: Server, source: str) -> Client:
    sock = socket.create_connection(("127.0.0.1", server.port), source_address=(source, 0), timeout=30)
    return Client.from_socket(trusting().wrap_socket(sock))


def test_failures_slow_the_guesser_not_the_owner(tmp_path: Path) -> None:
    with running(tmp_path / "root") as server:
        times = []
        for _round in range(3):
            with from_address(server, "127.0.0.2") as client:
                for _guess in range(2):
                    start = time.perf_counter()
                    client.command("LOGIN alice wrong")
                    times.append(time.perf_counter() - start)
        assert max(times[:3]) < times[4] < times[5] and times[5] > 1.5
        start = time.perf_counter()
        with from_address(server, "127.0.0.2") as client:
            client.login("alice", PASSWORD)
            client.logout()
        assert time.perf_counter() - start < times[5]


def test_the_delay_is_bounded() -> None:
    assert throttle.delay(throttle.FREE) == 0
    assert throttle.delay(1000) == throttle.LONGEST_SECONDS
