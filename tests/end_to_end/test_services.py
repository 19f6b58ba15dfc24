"""Two services in one listener, over TCP and UNIX sockets, each connection in the process that waited for it."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.testlib.client import Client
from tests.testlib.patience import until
from tests.testlib.process import children
from tests.testlib.server import NOBODY, PASSWORD, Server, free_port, trusting

ECHO = [sys.executable, "-m", "tests.testlib.echo"]


@dataclass
class Two:
    """A server of two services."""

    server: Server
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def spare(self) -> int:
        """The process that waits for the next connection."""
        until(lambda: len(children(self.process.pid)) == 1)
        return children(self.process.pid)[0]

    def served_by(self, worker: int, prefix: str) -> bool:
        """Whether the log says that a process had such a connection."""
        until(lambda: f"crymapd[{worker}]: {prefix} disconnected" in self.server.log(), what=self.server.log)
        return True

    def local(self, name: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(str(self.folder / f"{name}.sock"))
        return sock


def command(server: Server) -> list[str | Path]:
    return [*ECHO, "--root", server.root, "listen"]


def prepared(root: Path, folder: Path, config: str = "") -> tuple[Server, int]:
    server = Server(root, config)
    server.prepare()
    port = free_port()
    text = (server.root / "crymap.toml").read_text()
    listen = (
        f'[listen]\nimaps = ["127.0.0.1:{server.port}", "{folder}/imaps.sock"]\n'
        f'echo = ["127.0.0.1:{port}", "{folder}/echo.sock"]\n'
    )
    (server.root / "crymap.toml").write_text(re.sub(r"\[listen\]\nimaps = .*\n", listen, text))
    return server, port


@contextmanager
def two_services(tmp_path: Path, config: str = "") -> Iterator[Two]:
    server, port = prepared(tmp_path / "root", tmp_path, config)
    server.add_user()
    process = subprocess.Popen(command(server))
    try:
        until(lambda: server.log().count("listening for") == 4 and children(process.pid), what=server.log)
        yield Two(server, port, tmp_path, process)
    finally:
        process.terminate()
        process.wait(30)


def say(sock: socket.socket, line: bytes) -> bytes:
    sock.sendall(line)
    return sock.recv(1000)


def read_mail(sock: socket.socket) -> None:
    with Client.from_socket(trusting().wrap_socket(sock)) as client:
        client.login("alice", PASSWORD)
        client.ok("SELECT INBOX")
        client.logout()


def test_two_services(tmp_path: Path) -> None:
    with two_services(tmp_path) as two:
        worker = two.spare()
        with socket.create_connection(("127.0.0.1", two.port), 20) as sock:
            assert sock.recv(100) == b"hello 127.0.0.1\r\n"
            assert say(sock, b"one\r\n") == b"echo 127.0.0.1 one\r\n"
        assert two.served_by(worker, "echo from=127.0.0.1")

        worker = two.spare()
        with two.local("echo") as sock:
            assert sock.recv(100) == b"hello local\r\n"
            assert say(sock, b"two\r\n") == b"echo local two\r\n"
        assert two.served_by(worker, "echo from=local")

        worker = two.spare()
        read_mail(two.local("imaps"))
        assert two.served_by(worker, "imaps from=local user=alice")

        worker = two.spare()
        read_mail(socket.create_connection(("127.0.0.1", two.server.port), 20))
        assert two.served_by(worker, "imaps from=127.0.0.1 user=alice")


def test_last_words_and_refusals_are_the_service_s(tmp_path: Path) -> None:
    with two_services(tmp_path, "[limits]\nmax_workers_per_address = 1\n") as two:
        with two.local("echo") as sock:
            assert sock.recv(100) == b"hello local\r\n"
            with two.local("echo") as refused:
                assert refused.recv(100) == b"too many\r\n"
            assert say(sock, b"crash\r\n") == b"sorry\r\n"
        until(lambda: "BUG ZeroDivisionError" in two.server.log())


def test_a_socket_s_file(tmp_path: Path) -> None:
    """Whoever reaches the directory may connect; the file goes with the listener."""
    with two_services(tmp_path) as two:
        for name in ("imaps", "echo"):
            mode = (two.folder / f"{name}.sock").stat().st_mode
            assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o666
    assert not list(tmp_path.glob("*.sock"))


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with two_services(tmp_path) as two:
        two.process.kill()
        two.process.wait(30)
        assert (tmp_path / "echo.sock").exists()
        (two.server.root / "log").unlink()
        again = subprocess.Popen(command(two.server))
        try:
            until(lambda: two.server.log().count("listening for") == 4, what=two.server.log)
            with two.local("echo") as sock:
                assert sock.recv(100) == b"hello local\r\n"
        finally:
            again.terminate()
            again.wait(30)
    assert not list(tmp_path.glob("*.sock"))


@pytest.mark.parametrize("there", ["a listener", "a file"])
def test_what_is_in_use_is_left_alone(tmp_path: Path, there: str) -> None:
    """The other listener goes on, and what this one has bound before is removed."""
    server, _port = prepared(tmp_path / "root", tmp_path)
    path = tmp_path / "echo.sock"
    with socket.socket(socket.AF_UNIX) as other:
        if there == "a file":
            path.touch()
        else:
            other.bind(str(path))
            other.listen()
        before = path.lstat()
        done = subprocess.run(command(server), capture_output=True, text=True, timeout=60)
        assert done.returncode == 78 and len(done.stderr.splitlines()) == 1
        assert f"cannot listen for echo on {path}: " in done.stderr
        assert path.lstat().st_ino == before.st_ino and not (tmp_path / "imaps.sock").exists()


def test_systemd_s_sockets_go_by_their_names(tmp_path: Path) -> None:
    server, _port = prepared(tmp_path / "root", tmp_path)
    server.add_user()
    with socket.socket() as imaps, socket.socket(socket.AF_UNIX) as echo:
        imaps.bind(("127.0.0.1", 0))
        echo.bind(str(tmp_path / "passed"))
        for sock in (imaps, echo):
            sock.listen()
        start = f'exec 3<&{echo.fileno()} 4<&{imaps.fileno()}; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=echo:imaps exec "$@"'
        fds = (echo.fileno(), imaps.fileno())
        process = subprocess.Popen(["bash", "-c", start, "bash", *command(server)], pass_fds=fds)
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(20)
                sock.connect(str(tmp_path / "passed"))
                assert sock.recv(100) == b"hello local\r\n"
            read_mail(socket.create_connection(imaps.getsockname(), 20))
        finally:
            process.terminate()
            process.wait(30)
    assert (tmp_path / "passed").exists(), "systemd's file is systemd's to remove"


# The dialogue of a connection in a file


def trace_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir(mode=0o700)
    return folder


def test_a_trace(tmp_path: Path) -> None:
    """What was said, inside TLS and deflate, with no password in whatever form it was given."""
    folder = trace_folder(tmp_path)
    with two_services(tmp_path, f'trace = "{folder}"\n') as two:
        with Client.from_socket(trusting().wrap_socket(two.local("imaps"))) as client:
            assert client.command("LOGIN alice wrong-secret").status == "NO"
            client.login("alice", PASSWORD)
            client.ok('CREATE "seen in clear"')
            client.logout()
        until(lambda: "user=alice disconnected" in two.server.log())
        with two.local("echo") as sock:
            sock.recv(100)
            say(sock, b"one\r\n")
        until(lambda: "echo from=local disconnected" in two.server.log())
        text = next(folder.glob("*-imaps-*")).read_text()
        echo = next(folder.glob("*-echo-*")).read_text()
    assert "secret" not in text and PASSWORD not in text and "correct" not in text
    assert re.search(r"^\d+\.\d{3} S: \* OK \[CAPABILITY .*\\r\\n$", text, re.MULTILINE)
    assert re.search(r"^\d+\.\d{3} # \d+ octets from the client$", text, re.MULTILINE)
    assert re.search(r'^\d+\.\d{3} C: \S+ CREATE "seen in clear"\\r\\n$', text, re.MULTILINE)
    assert re.search(r"^\d+\.\d{3} C: one\\r\\n$", echo, re.MULTILINE)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_no_trace_unless_asked_for(tmp_path: Path) -> None:
    with two_services(tmp_path) as two, two.local("echo") as sock:
        assert sock.recv(100) == b"hello local\r\n"
    assert {path.name for path in tmp_path.iterdir()} == {"root"}


def test_a_trace_follows_no_symlink(tmp_path: Path) -> None:
    server, _port = prepared(tmp_path / "root", tmp_path, f'trace = "{tmp_path}/link"\n')
    (tmp_path / "link").symlink_to(tmp_path)
    done = subprocess.run(command(server), capture_output=True, text=True, timeout=60)
    assert done.returncode == 78 and "key `diagnostic.trace`" in done.stderr


def test_where_a_trace_cannot_be_written_the_client_is_served(tmp_path: Path) -> None:
    folder = trace_folder(tmp_path)
    with two_services(tmp_path, f'trace = "{folder}"\n[security]\nsystem_user = "nobody"\n') as two:
        os.chown(two.server.root / "users", NOBODY, NOBODY)
        with two.local("echo") as sock:
            assert sock.recv(100) == b"hello local\r\n"
        until(lambda: "the dialogue is not written: Permission denied" in two.server.log(), what=two.server.log)
    assert not list(folder.iterdir())
