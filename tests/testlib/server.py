"""The real server for tests: a root directory, accounts, the listener process, delivery, clients.

Started as root (as in CI) accounts belong to another UNIX user and workers change to it; started as
anybody else it is the black-box deployment.
"""

from __future__ import annotations

import imaplib
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.testlib.certificate import write_certificate
from tests.testlib.client import Client
from tests.testlib.patience import until

NOBODY = 65534
PASSWORD = "correct horse"
CRYMAPD: list[str | Path] = [sys.executable, "-m", "crymapd"]
DELIVER: list[str | Path] = [sys.executable, "-m", "crymapd.cli.deliver"]
_ADD_USERS = """
import pathlib, sys
from crymapd.cli import user_add
root, uid, *names = sys.argv[1:]
for name in names:
    user_add.run(pathlib.Path(root), name, None, uid=int(uid) if uid else None, stdin=True, prompt=False)
"""
_WITH_LIMITS = """
import importlib, sys
for setting in sys.argv.pop(1).split():
    name, value = setting.split("=", 1)
    module, constant = name.rsplit(".", 1)
    assert hasattr(importlib.import_module(module), constant), setting
    setattr(importlib.import_module(module), constant, eval(value, vars(importlib.import_module(module))))
from crymapd.cli.crymapd import main
main()
"""
_LISTENING = re.compile(r"listening for imaps on 127\.0\.0\.1 port (\d+)")


@dataclass
class Server:
    """A root directory and, between `start` and `stop`, its listener.

    `limits` are constants of modules to run it with: `crymapd.channel.WRITE_TIMEOUT=1`.
    """

    root: Path
    config: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    limits: str = ""

    @property
    def _program(self) -> list[str | Path]:
        return [sys.executable, "-c", _WITH_LIMITS, self.limits] if self.limits else CRYMAPD

    def prepare(self) -> None:
        """Certificate and configuration."""
        (self.root / "users").mkdir(parents=True)
        self.root.chmod(0o755)
        (self.root / "users").chmod(0o755)
        write_certificate(self.root / "key.pem", self.root / "cert.pem")
        self.port = free_port()
        self.write_config()

    def write_config(self) -> None:
        text = (
            '[tls]\nprivate_key = "key.pem"\ncertificate_chain = "cert.pem"\n'
            f'[listen]\nimaps = ["127.0.0.1:{self.port}"]\n[diagnostic]\nlog = "log"\n'
        )
        (self.root / "crymap.toml").write_text(text + self.config)

    def add_user(self, name: str = "alice", password: str = PASSWORD, uid: int = NOBODY) -> Path:
        """Create an account; its directory."""
        owner: list[str | Path] = ["--uid", str(uid)] if os.geteuid() == 0 else []
        command = [*self._program, "--root", self.root, "user", "add", *owner, "--password-stdin", name]
        subprocess.run(command, input=password.encode() + b"\n", check=True, timeout=60)
        return self.root / "users" / name

    def add_users(self, names: list[str], password: str = PASSWORD) -> None:
        """Create many accounts with one process for each core."""
        uid = str(NOBODY) if os.geteuid() == 0 else ""
        shares = [names[at :: os.cpu_count() or 1] for at in range(os.cpu_count() or 1)]
        started = [
            (subprocess.Popen([sys.executable, "-c", _ADD_USERS, self.root, uid, *share], stdin=subprocess.PIPE), share)
            for share in shares
        ]
        for process, share in started:
            process.communicate(f"{password}\n".encode() * len(share), timeout=300)
            assert process.returncode == 0

    def start(self) -> None:
        """Run the listener until it says that it listens."""
        log = self.root / "log"
        before = len(log.read_bytes()) if log.exists() else 0
        command = [*self._program, "--root", self.root, "listen"]
        self.process = subprocess.Popen(command, env={**os.environ, **self.environment})
        self.wait_for_port()
        # Connections are accepted by the kernel a moment before the listener says so.
        until(lambda: _LISTENING.search(self.log()[before:]), what=self.log)

    def wait_for_port(self) -> None:
        """Connect until somebody accepts, at most 30 seconds."""
        for _attempt in range(3000):
            assert self.process is not None and self.process.poll() is None, self.log()
            with socket.socket() as probe:
                probe.settimeout(0.01)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
                _pause()
        raise AssertionError("the listener does not listen")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)
            self.process = None

    def log(self) -> str:
        path = self.root / "log"
        return path.read_text() if path.exists() else ""

    def deliver(self, message: bytes, user: str = "alice", *options: str) -> None:
        """Through the real program; it must succeed."""
        done = self.try_deliver(message, user, *options)
        assert done.returncode == 0, done.stderr.decode()

    def try_deliver(self, message: bytes, user: str = "alice", *options: str) -> subprocess.CompletedProcess[bytes]:
        command = [*DELIVER, "--root", self.root, "--user", user, *options]
        return subprocess.run(command, input=message, capture_output=True, timeout=60)

    def deliver_files(self, messages: list[bytes], user: str = "alice") -> None:
        """Many messages with one process, as files that the account's owner can read."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            folder = Path(name)
            folder.chmod(0o755)
            files = [folder / f"{number:05}" for number in range(len(messages))]
            for path, message in zip(files, messages, strict=True):
                path.write_bytes(message)
            subprocess.run([*DELIVER, "--root", self.root, "--user", user, *files], check=True, timeout=600)

    def client(self, user: str | None = "alice", password: str = PASSWORD) -> Client:
        """Our strict client, logged in."""
        client = Client.connect("127.0.0.1", self.port)
        if user is not None:
            client.login(user, password)
        return client

    def imaplib(self, user: str = "alice", password: str = PASSWORD) -> imaplib.IMAP4_SSL:
        client = imaplib.IMAP4_SSL("127.0.0.1", self.port, ssl_context=trusting())
        client.login(user, password)
        return client

    def tls_socket(self) -> ssl.SSLSocket:
        """A connected TLS socket, nothing read."""
        return trusting().wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=20))


def _pause() -> None:
    """Ten milliseconds, for a process that is starting."""
    select.select([], [], [], 0.01)


def trusting() -> ssl.SSLContext:
    """A context for self-signed certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(root: Path, config: str = "", users: tuple[str, ...] = ("alice",), *, limits: str = "") -> Iterator[Server]:
    """A prepared, started server with accounts; stopped at the end."""
    server = Server(root, config, limits=limits)
    server.prepare()
    for user in users:
        server.add_user(user)
    server.start()
    try:
        yield server
    finally:
        server.stop()
