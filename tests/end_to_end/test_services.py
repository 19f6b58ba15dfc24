"""Two services in one listener, over TCP and UNIX sockets, each connection in the process that waited for it."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.testlib.addresses import Tcp, Unix, free_port
from tests.testlib.client import Client
from tests.testlib.echo import ADDED
from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.server import NOBODY, PASSWORD, Server, trusting


class Two(Server):
    """A server of two services, each at a TCP port and at a UNIX socket."""

    def __init__(self, folder: Path, config: str = "") -> None:
        listen = {name: (Tcp(free_port()), Unix(folder / f"{name}.sock")) for name in ("imaps", "echo")}
        super().__init__(folder / "root", config, listen, limits=ADDED)

    def __enter__(self) -> Two:
        self.prepare()
        self.add_user()
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def command(self) -> list[str | Path]:
        return [*self.program, "--root", self.root, "listen"]

    def served_by(self, worker: int, prefix: str) -> bool:
        """Whether the log says that a process had such a connection."""
        until(lambda: f"crymapd[{worker}]: {prefix} disconnected" in self.log(), what=self.log)
        return True

    def tcp(self, service: str) -> socket.socket:
        return self.listen[service][0].connect()

    def local(self, service: str) -> socket.socket:
        return self.listen[service][1].connect()


def say(sock: socket.socket, line: bytes) -> bytes:
    sock.sendall(line)
    return sock.recv(1000)


def read_mail(sock: socket.socket) -> None:
    with Client.from_socket(trusting().wrap_socket(sock)) as client:
        client.login("alice", PASSWORD)
        client.ok("SELECT INBOX")
        client.logout()


def test_two_services(tmp_path: Path) -> None:
    with Two(tmp_path) as two:
        worker = two.spare()
        with two.tcp("echo") as sock:
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
        read_mail(two.tcp("imaps"))
        assert two.served_by(worker, "imaps from=127.0.0.1 user=alice")


def test_last_words_and_refusals_are_the_service_s(tmp_path: Path) -> None:
    with Two(tmp_path, "[limits]\nmax_workers_per_address = 1\n") as two:
        with two.local("echo") as sock:
            assert sock.recv(100) == b"hello local\r\n"
            with two.local("echo") as refused:
                assert refused.recv(100) == b"too many\r\n"
            assert say(sock, b"crash\r\n") == b"sorry\r\n"
        until(lambda: "BUG ZeroDivisionError" in two.log())


def test_a_socket_s_file(tmp_path: Path) -> None:
    """Whoever reaches the directory may connect; the file goes with the listener."""
    with Two(tmp_path):
        for name in ("imaps", "echo"):
            mode = (tmp_path / f"{name}.sock").stat().st_mode
            assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o666
    assert not list(tmp_path.glob("*.sock"))


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with Two(tmp_path) as two:
        assert two.process is not None
        two.process.kill()
        two.process.wait(PATIENCE_SECONDS)
        assert (tmp_path / "echo.sock").exists()
        two.start()
        with two.local("echo") as sock:
            assert sock.recv(100) == b"hello local\r\n"
    assert not list(tmp_path.glob("*.sock"))


@pytest.mark.parametrize("there", ["a listener", "a file"])
def test_what_is_in_use_is_left_alone(tmp_path: Path, there: str) -> None:
    """The other listener goes on, and what this one has bound before is removed."""
    two = Two(tmp_path)
    two.prepare()
    path = tmp_path / "echo.sock"
    with socket.socket(socket.AF_UNIX) as other:
        if there == "a file":
            path.touch()
        else:
            other.bind(str(path))
            other.listen()
        before = path.lstat()
        done = subprocess.run(two.command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert done.returncode == 78 and len(done.stderr.splitlines()) == 1
        assert f"cannot listen for echo on {path}: " in done.stderr
        assert path.lstat().st_ino == before.st_ino and not (tmp_path / "imaps.sock").exists()


def test_systemd_s_sockets_go_by_their_names(tmp_path: Path) -> None:
    two = Two(tmp_path)
    two.prepare()
    two.add_user()
    with socket.socket() as imaps, socket.socket(socket.AF_UNIX) as echo:
        imaps.bind(("127.0.0.1", 0))
        echo.bind(str(tmp_path / "passed"))
        for sock in (imaps, echo):
            sock.listen()
        start = f'exec 3<&{echo.fileno()} 4<&{imaps.fileno()}; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=echo:imaps exec "$@"'
        fds = (echo.fileno(), imaps.fileno())
        process = subprocess.Popen(["bash", "-c", start, "bash", *two.command], pass_fds=fds)
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE_SECONDS)
                sock.connect(str(tmp_path / "passed"))
                assert sock.recv(100) == b"hello local\r\n"
            read_mail(socket.create_connection(imaps.getsockname(), PATIENCE_SECONDS))
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
    assert (tmp_path / "passed").exists(), "systemd's file is systemd's to remove"


# The dialogue of a connection in a file


def trace_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir(mode=0o700)
    return folder


def test_a_trace(tmp_path: Path) -> None:
    """What was said, inside TLS and deflate, with no password in whatever form it was given."""
    folder = trace_folder(tmp_path)
    with Two(tmp_path, f'trace = "{folder}"\n') as two:
        with Client.from_socket(trusting().wrap_socket(two.local("imaps"))) as client:
            assert client.command("LOGIN alice wrong-secret").status == "NO"
            client.login("alice", PASSWORD)
            client.ok('CREATE "seen in clear"')
            client.logout()
        until(lambda: "user=alice disconnected" in two.log())
        with two.local("echo") as sock:
            sock.recv(100)
            say(sock, b"one\r\n")
        until(lambda: "echo from=local disconnected" in two.log())
        texts = {path.name: path.read_text() for path in folder.iterdir()}
    text = next(text for name, text in texts.items() if "-imaps-" in name and "CREATE" in text)
    echo = next(text for name, text in texts.items() if "-echo-" in name and "one" in text)
    assert "secret" not in text and PASSWORD not in text and "correct" not in text
    assert re.search(r"^\d+\.\d{3} S: \* OK \[CAPABILITY .*\\r\\n$", text, re.MULTILINE)
    assert re.search(r"^\d+\.\d{3} # \d+ octets from the client$", text, re.MULTILINE)
    assert re.search(r'^\d+\.\d{3} C: \S+ CREATE "seen in clear"\\r\\n$', text, re.MULTILINE)
    assert re.search(r"^\d+\.\d{3} C: one\\r\\n$", echo, re.MULTILINE)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_no_trace_unless_asked_for(tmp_path: Path) -> None:
    with Two(tmp_path) as two, two.local("echo") as sock:
        assert sock.recv(100) == b"hello local\r\n"
    assert {path.name for path in tmp_path.iterdir()} == {"root"}


def test_a_trace_follows_no_symlink(tmp_path: Path) -> None:
    two = Two(tmp_path, f'trace = "{tmp_path}/link"\n')
    two.prepare()
    (tmp_path / "link").symlink_to(tmp_path)
    done = subprocess.run(two.command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 78 and "key `diagnostic.trace`" in done.stderr


@pytest.mark.root
def test_where_a_trace_cannot_be_written_the_client_is_served(tmp_path: Path) -> None:
    folder = trace_folder(tmp_path)
    with Two(tmp_path, f'trace = "{folder}"\n[security]\nsystem_user = "nobody"\nchroot_system = true\n') as two:
        os.chown(two.root / "users", NOBODY, NOBODY)
        with two.local("echo") as sock:
            assert sock.recv(100) == b"hello local\r\n"
        until(lambda: "the dialogue is not written: Permission denied" in two.log(), what=two.log)
    assert not list(folder.iterdir())
