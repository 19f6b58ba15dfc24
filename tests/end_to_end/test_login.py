"""Logins: one answer whatever is wrong, the same work, and failures that slow the guesser only."""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crymapd.authentication import gate
from crymapd.unix import sysexits
from tests.testlib.client import Client
from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.process import cpu, workers
from tests.testlib.server import NOBODY, PASSWORD, REAL_SLOT, Server, running, trusting

NAMES = ("alice", "nobody-here", "..", "a/b", "-rf", "%n", "x" * 5000, "\u202ealice", "аlice")


def refusal(server: Server, user: str, password: str) -> tuple[str, float]:
    """Return the answer to a login without its tag, and the seconds of processor time that it cost the worker."""
    with server.client(None) as client:
        worker = only_worker(server)
        before = cpu([worker])
        result = client.command("LOGIN {} {}", user.encode()[:4000], password.encode())
        return f"{result.status} {result.code} {result.text}", cpu([worker]) - before


def only_worker(server: Server) -> int:
    """Wait until earlier connections have ended; return the process of the one that is left."""
    assert server.process is not None
    listener = server.process.pid
    until(lambda: len(workers(listener)) == 1)
    return workers(listener)[0]


def test_one_answer_for_every_failure(server: Server) -> None:
    answers = {refusal(server, name, "wrong")[0] for name in NAMES}
    assert len(answers) == 1 and "AUTHENTICATIONFAILED" in answers.pop()
    assert "BUG" not in server.log()


FORGED = "login failed user='bob' from=192.0.2.9"


@pytest.mark.parametrize(
    "command", [f'ID ("name" "{FORGED}" "version" "{FORGED}")', f'LOGIN "{FORGED}" x', f'NOOP "{FORGED}"', FORGED]
)
def test_nobody_is_banned_for_a_stranger_s_words(server: Server, command: str) -> None:
    """What crymapd(8) tells fail2ban to look for, even without its anchor, is found only with the client's address."""
    with server.client(None) as client:
        client.command(command)
    until(lambda: " disconnected " in server.log().splitlines()[-1])
    assert "192.0.2.9" not in re.findall(r"login failed user=.*? from=([0-9.]+)", server.log())


def test_unknown_users_cost_the_same_work(tmp_path: Path) -> None:
    """Known and unknown users in turn: the processor time of one and the other is that of one hash."""
    with running(tmp_path / "root", slot=REAL_SLOT) as server:
        rounds = [[refusal(server, name, "wrong")[1] for name in NAMES[:2]] for _round in range(7)]
    known, unknown = zip(*rounds, strict=True)
    assert min(known) > 0.05, "the hash can be seen"
    assert 0.5 < statistics.median(known) / statistics.median(unknown) < 2.0, (known, unknown)


def unlink_both(home: Path) -> None:
    (home / "user.toml").unlink()
    (home / "backup" / "user.toml").unlink()


def spoil_both(home: Path) -> None:
    for path in (home / "user.toml", home / "backup" / "user.toml"):
        path.write_text("[[slot]\n")


def forge_both(line: str) -> Callable[[Path], object]:
    """Replace a line of the only slot, so that no password opens it."""

    def forge(home: Path) -> None:
        key = line.partition(" ")[0]
        for path in (home / "user.toml", home / "backup" / "user.toml"):
            path.write_text(re.sub(rf"(?m)^{key} = .*$", line, path.read_text()))

    return forge


BROKEN: dict[str, Callable[[Path], object]] = {
    "the directory cannot be read": lambda home: home.chmod(0),
    "the disk is not mounted": lambda home: home.rename(home.with_name("elsewhere")),
    "links in a circle": lambda home: home.rename(home.with_name("elsewhere")).with_name("home").symlink_to(home),
    "a file stands in its place": lambda home: home.rename(home.with_name("elsewhere")).with_name("home").touch(),
    "user.toml and its copy are gone": unlink_both,
    "user.toml and its copy are damaged": spoil_both,
    "too much memory": forge_both("memory_kib = 2000000"),
    "no passes": forge_both("passes = 0"),
    "a short salt": forge_both('salt = "AAAA"'),
    "a short key": forge_both('wrapped = "AAAA"'),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_account_is_no_wrong_password(tmp_path: Path, what: str) -> None:
    """fail2ban must not ban its owner, whose client must not ask for another password; strangers learn no password."""
    with running(tmp_path / "root") as server:
        home, users = tmp_path / "home", server.root / "users"
        (users / "alice").rename(home)
        (users / "alice").symlink_to(home)
        BROKEN[what](home)
        answers = {refusal(server, "alice", password)[0] for password in (PASSWORD, "wrong")}
        assert len(answers) == 1 and "UNAVAILABLE" in answers.pop()
        assert "login failed" not in server.log() and "Traceback" not in server.log()
        assert server.log().count("account user='alice' cannot be served: ") == 2
        if home.is_dir():
            home.chmod(0o700)


SPELLINGS = ("schlu\u0308ssel e\u0301 1", "schl\u00fcssel \u00e9 1", "schl\u00fcssel\u00a0\u00e9\u30001")
"""Of one password: decomposed as macOS has it, composed, and with other spaces."""


@pytest.mark.parametrize("typed", SPELLINGS)
def test_a_password_in_another_normal_form(server: Server, typed: str) -> None:
    """Whoever sets it, its owner logs in from every device, and with every command (RFC 8265)."""
    name = f"spelling-{SPELLINGS.index(typed)}"
    server.add_user(name, typed)
    for spelling in SPELLINGS:
        with server.client(None) as client:
            client.ok("LOGIN {} {}", name.encode(), spelling.encode())
            client.logout()
        with server.client(None) as client:
            client.authenticate("PLAIN", b"\0" + name.encode() + b"\0" + spelling.encode())
            client.logout()
        command = [*server.program, "--root", server.root, "user", "hide", "--password-stdin", name]
        subprocess.run(command, input=spelling.encode() + b"\n", check=True, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("password", [b"", b"tab\there", b"\xfcber", b"x" * 1025])
def test_what_is_no_password_makes_no_account(tmp_path: Path, password: bytes) -> None:
    server = Server(tmp_path / "root")
    server.prepare()
    owner = ["--uid", str(NOBODY)] if os.geteuid() == 0 else []
    command = [*server.program, "--root", server.root, "user", "add", *owner, "--password-stdin", "alice"]
    ended = subprocess.run(command, input=password + b"\n", capture_output=True, check=False, timeout=PATIENCE_SECONDS)
    assert ended.returncode in (sysexits.DATAERR, sysexits.NOINPUT) and b"Traceback" not in ended.stderr
    assert ended.stderr.startswith(b"crymapd: the password ") and not list((server.root / "users").iterdir())


def test_case_of_the_name_is_one_account(server: Server) -> None:
    with server.client("ALICE") as client:
        client.logout()


def from_address(server: Server, source: str) -> Client:
    sock = socket.create_connection(
        ("127.0.0.1", server.port("imaps")), source_address=(source, 0), timeout=PATIENCE_SECONDS
    )
    return Client.from_socket(trusting().wrap_socket(sock))


SOON = 3.5
"""Seconds: less than whoever has failed seven times must wait, and enough for a login on a busy machine."""


def failed_login(server: Server, source: str, name: str = "alice") -> float:
    """The seconds that a wrong password takes to be refused."""
    with from_address(server, source) as client:
        start = time.perf_counter()
        assert client.command(f"LOGIN {name} wrong").status == "NO"
        return time.perf_counter() - start


def right_login(server: Server, source: str) -> float:
    with from_address(server, source) as client:
        start = time.perf_counter()
        client.login("alice", PASSWORD)
        return time.perf_counter() - start


def test_an_address_that_has_failed_waits_before_its_next_check(tmp_path: Path) -> None:
    """However it spells the name, and even if its password is right; the owner elsewhere, or known, does not wait."""
    with running(tmp_path / "root") as server:
        right_login(server, "127.0.0.3")
        for name in ("alice", "Alice", "ALICE", "aLICE", "nobody-here", "alice", "alice"):
            failed_login(server, "127.0.0.2", name)
        known = server.root / "state"
        assert {path.name for path in known.iterdir() if not path.name.startswith("seen-")} == {
            "accounts",
            "addresses",
            "known",
            "logins",
        }
        assert right_login(server, "127.0.0.2") >= gate.delay(6.9)
        assert right_login(server, "127.0.0.2") < SOON, "known by now, and nobody has failed for it since"
        assert right_login(server, "127.0.0.4") < SOON, "has not failed"
        failed_login(server, "127.0.0.3", "nobody-here")
        failed_login(server, "127.0.0.3", "bob")
        for _time in range(5):
            failed_login(server, "127.0.0.3", "carol")
        assert right_login(server, "127.0.0.3") < SOON, "somebody else at a known address has failed"
        for _time in range(3):
            assert failed_login(server, "127.0.0.3") < SOON, "known still"
        assert failed_login(server, "127.0.0.3") >= gate.delay(9.9), "known no more"


def test_guesses_at_once_are_checked_one_after_the_other(tmp_path: Path) -> None:
    """Many connections of one address are no way around the delay, and whoever hangs up is forgotten at once."""
    with running(tmp_path / "root") as server:
        clients = [from_address(server, "127.0.0.2") for _each in range(12)]
        for client in clients:
            client.send("LOGIN alice wrong")
        until(lambda: server.log().count("login failed") >= 5)
        time.sleep(1)
        assert server.log().count("login failed") <= 8, "each waits longer than the one before"
        assert right_login(server, "127.0.0.3") < SOON
        for client in clients:
            client.close()
        assert server.process is not None
        listener = server.process.pid
        until(lambda: not workers(listener))


def test_no_login_is_served_without_counting(tmp_path: Path) -> None:
    server = Server(tmp_path / "root")
    server.prepare()
    (server.root / "state").touch()
    command = [*server.program, "--root", server.root, "listen"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert ended.returncode == sysexits.CONFIG and "state: " in ended.stderr and "install -d" in ended.stderr
    assert "Traceback" not in ended.stderr
