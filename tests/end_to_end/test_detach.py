"""`crymapd listen --detach`, as rc.d calls it: 0 means that it listens, and a crash stops no later start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.server import NOBODY, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server whose processes, which are no children of ours, are ended by the id in their file."""
    server = Server(tmp_path / "root")
    server.prepare()
    server.add_user()
    yield server
    if pid_file(server).exists():
        os.kill(running_id(server), signal.SIGTERM)
        until(lambda: not pid_file(server).exists())


def pid_file(server: Server) -> Path:
    return server.root / "pid"


def running_id(server: Server) -> int:
    return int(pid_file(server).read_text())


def detach(server: Server) -> subprocess.CompletedProcess[str]:
    command = [*server.program, "--root", server.root, "listen", "--detach", "--pid-file", pid_file(server)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def read_mail(server: Server) -> None:
    with server.client() as client:
        client.ok("SELECT INBOX")
        client.logout()


def test_it_listens_when_it_is_said(server: Server) -> None:
    done = detach(server)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    read_mail(server)
    process = running_id(server)
    os.kill(process, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{process}").exists())
    assert not pid_file(server).exists()


def test_a_crash_stops_no_later_start(server: Server) -> None:
    """Not even where the number in the file has become that of another process, such as this one."""
    assert detach(server).returncode == 0
    process = running_id(server)
    os.kill(process, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{process}").exists())
    pid_file(server).write_text(f"{os.getpid()}\n")
    done = detach(server)
    assert (done.returncode, done.stderr) == (0, "")
    assert running_id(server) not in (process, os.getpid())
    read_mail(server)


def test_a_second_one_is_refused(server: Server) -> None:
    assert detach(server).returncode == 0
    first = running_id(server)
    done = detach(server)
    assert done.returncode == 78
    assert done.stderr == f"crymapd: {pid_file(server)}: process {first} is running already\n"
    assert running_id(server) == first
    read_mail(server)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ('[security]\nsystem_user = "no-such-user"\n', "key `security.system_user`: no such user"),
        ('[security]\nsystem_user = "root"\n', "expected a user other than root"),
    ],
)
def test_what_fails_in_the_background_is_told_in_the_foreground(server: Server, config: str, reason: str) -> None:
    server.config = config
    server.write_config()
    done = detach(server)
    assert done.returncode == 78 and reason in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not pid_file(server).exists()


@pytest.mark.root
def test_in_a_two_step_black_box(server: Server) -> None:
    """The process that stays root for the certificate does not keep the caller waiting."""
    server.config = '[security]\nsystem_user = "nobody"\nchroot_system = true\n'
    server.write_config()
    os.chown(server.root / "users", NOBODY, NOBODY)
    done = detach(server)
    assert (done.returncode, done.stderr) == (0, "")
    process = running_id(server)
    read_mail(server)
    os.kill(process, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{process}").exists())
    pid_file(server).unlink()  # it is empty: the system user may not remove it


def test_a_port_that_is_taken(server: Server) -> None:
    with socket.create_server(("127.0.0.1", server.port("imaps"))):
        done = detach(server)
    assert done.returncode == 78 and "cannot listen for imaps" in done.stderr
