"""The real server for tests: its root directory, accounts, the process that listens, deliveries and clients.

When the tests run as root, as in CI, accounts belong to another UNIX user, which workers become.  When they run as
anybody else, this is the black-box deployment.
"""

from __future__ import annotations

import imaplib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from crymapd.daemon.services import SERVICES, Tls
from tests.testlib.addresses import Address, Tcp, free_port
from tests.testlib.certificate import write_certificate
from tests.testlib.client import Client
from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.process import children

NOBODY = 65534
PASSWORD = "correct horse"
CRYMAPD: list[str | Path] = [sys.executable, "-m", "crymapd"]
DELIVER: list[str | Path] = [sys.executable, "-m", "crymapd.cli.deliver"]
IMPLICIT_TLS = frozenset(service.name for service in SERVICES.values() if service.tls is Tls.IMPLICIT)
"""The services whose connections begin with the TLS handshake."""
# Settings of `Server.slot`: what a password costs. 64 MiB and three passes are for tests whose subject that is.
CHEAP_SLOT = "crymapd.crypto.slots.CURRENT=Argon2(8,1,1)"
REAL_SLOT = ""
UNMEASURED = {"PYTHONPATH": ""}
"""The environment of a process that is looked at so closely that measuring its coverage would be seen."""
_SET_LIMITS = """
import importlib, sys
for setting in sys.argv.pop(1).split():
    name, value = setting.split("=", 1)
    module, constant = name.rsplit(".", 1)
    assert hasattr(importlib.import_module(module), constant), setting
    setattr(importlib.import_module(module), constant, eval(value, vars(importlib.import_module(module))))
"""
_ADD_USERS = f"""{_SET_LIMITS}
import pathlib
from crymapd.cli import user_add
root, uid, *names = sys.argv[1:]
for name in names:
    user_add.run(pathlib.Path(root), name, None, uid=int(uid) if uid else None, stdin=True, prompt=False)
"""
_WITH_LIMITS = f"""{_SET_LIMITS}
from crymapd.cli.crymapd import main
main()
"""
_ENDED = re.compile(r" disconnected in=| refused: ")
_LISTENING = re.compile(r"listening for (\S+) on ")


def _imaps_only() -> dict[str, Sequence[Address]]:
    return {"imaps": (Tcp(free_port()),)}


@dataclass
class Server:
    """A root directory and, between `start` and `stop`, the process that listens.

    Attributes:
        root: the root directory, which `prepare` creates.
        config: the text of `crymap.toml` after the tables `[tls]`, `[listen]` and `[diagnostic]`, which are ours.
        listen: the addresses of each service, by its name; by default imaps on one free port.
        process: what listens, while it runs.
        environment: variables that it runs with, besides ours.
        limits: constants of modules that it runs with, as in `crymapd.channel.WRITE_TIMEOUT=1`.
        slot: what a password costs, `CHEAP_SLOT` or `REAL_SLOT`.
    """

    root: Path
    config: str = ""
    listen: Mapping[str, Sequence[Address]] = field(default_factory=_imaps_only)
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    limits: str = ""
    slot: str = CHEAP_SLOT

    @property
    def program(self) -> list[str | Path]:
        """The command `crymapd`, with the limits and the slot of this server."""
        limits = f"{self.slot} {self.limits}".strip()
        return [sys.executable, "-c", _WITH_LIMITS, limits] if limits else CRYMAPD

    def prepare(self) -> None:
        """Create the root directory with a certificate and the configuration."""
        (self.root / "users").mkdir(parents=True)
        self.root.chmod(0o755)
        (self.root / "users").chmod(0o755)
        write_certificate(self.root / "key.pem", self.root / "cert.pem")
        self.write_config()

    def write_config(self) -> None:
        listen = "".join(
            f"{service} = {json.dumps([str(address) for address in addresses])}\n"
            for service, addresses in self.listen.items()
        )
        text = (
            '[tls]\nprivate_key = "key.pem"\ncertificate_chain = "cert.pem"\n'
            f'[listen]\n{listen}[diagnostic]\nlog = "log"\n'
        )
        (self.root / "crymap.toml").write_text(text + self.config)

    def add_user(self, name: str = "alice", password: str = PASSWORD, uid: int = NOBODY) -> Path:
        """Create an account and return its directory."""
        owner: list[str | Path] = ["--uid", str(uid)] if os.geteuid() == 0 else []
        command = [*self.program, "--root", self.root, "user", "add", *owner, "--password-stdin", name]
        subprocess.run(command, input=password.encode() + b"\n", check=True, timeout=PATIENCE_SECONDS)
        return self.root / "users" / name

    def add_users(self, names: list[str], password: str = PASSWORD) -> None:
        """Create many accounts, with one process for each core."""
        uid = str(NOBODY) if os.geteuid() == 0 else ""
        shares = [names[at :: os.cpu_count() or 1] for at in range(os.cpu_count() or 1)]
        command: list[str | Path] = [sys.executable, "-c", _ADD_USERS, self.slot, self.root, uid]
        started = [(subprocess.Popen([*command, *share], stdin=subprocess.PIPE), share) for share in shares]
        for process, share in started:
            process.communicate(f"{password}\n".encode() * len(share), timeout=300)
            assert process.returncode == 0

    def start(self) -> None:
        """Start the process that listens, and wait until it does so at every address."""
        before = len(self.log())
        command = [*self.program, "--root", self.root, "listen"]
        self.process = subprocess.Popen(command, env={**os.environ, **self.environment})
        for addresses in self.listen.values():
            for address in addresses:
                until(lambda address=address: self._accepts(address), what=self.log)  # type: ignore[misc]
        # The kernel accepts connections a moment before the log says so.
        announced = Counter({service: len(addresses) for service, addresses in self.listen.items()})
        until(lambda: announced <= Counter(_LISTENING.findall(self.log()[before:])), what=self.log)
        # The connections that were tried count until the listener has noticed that their workers ended.
        tried = announced.total()
        until(lambda: len(_ENDED.findall(self.log()[before:])) >= tried, what=self.log)
        until(self._is_at_rest, what=self.log)

    def spare(self) -> int:
        """The process that waits for the next connection, once no other is there."""
        assert self.process is not None
        until(self._is_at_rest, what=self.log)
        return max(children(self.process.pid))

    def _is_at_rest(self) -> bool:
        """Whether the listener has no processes but the spare one and, in a two-step black box, that for the certificate.

        Their number alone does not tell: for a moment after a connection its process is there, and no spare one yet.
        """
        assert self.process is not None
        processes, log = children(self.process.pid), self.log()
        resting = 2 if os.geteuid() == 0 and "system_user" in self.config else 1
        return len(processes) == resting and not any(f"crymapd[{each}]" in log for each in processes)

    def _accepts(self, address: Address) -> bool:
        """Whether somebody accepts connections there; fails when our process has ended."""
        assert self.process is not None and self.process.poll() is None, self.log()
        try:
            address.connect(0.01).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=PATIENCE_SECONDS)
            self.process = None

    def log(self) -> str:
        path = self.root / "log"
        return path.read_text() if path.exists() else ""

    def deliver(self, message: bytes, user: str = "alice", *options: str) -> None:
        """Deliver a message with the real program, which must succeed."""
        done = self.try_deliver(message, user, *options)
        assert done.returncode == 0, done.stderr.decode()

    def try_deliver(self, message: bytes, user: str = "alice", *options: str) -> subprocess.CompletedProcess[bytes]:
        command = [*DELIVER, "--root", self.root, "--user", user, *options]
        return subprocess.run(command, input=message, capture_output=True, timeout=PATIENCE_SECONDS)

    def deliver_files(self, messages: list[bytes], user: str = "alice") -> None:
        """Deliver many messages with one process, from files that the account's owner can read."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            folder = Path(name)
            folder.chmod(0o755)
            files = [folder / f"{number:05}" for number in range(len(messages))]
            for path, message in zip(files, messages, strict=True):
                path.write_bytes(message)
            subprocess.run([*DELIVER, "--root", self.root, "--user", user, *files], check=True, timeout=600)

    # Connections

    def address(self, service: str) -> Address:
        """The first address at which the service listens."""
        return self.listen[service][0]

    def port(self, service: str) -> int:
        """The first TCP port at which the service listens."""
        return next(address.port for address in self.listen[service] if isinstance(address, Tcp))

    def connect(self, service: str, timeout: float = PATIENCE_SECONDS) -> socket.socket:
        """A connection on which the service speaks next: TLS is done where its connections begin with that."""
        return (self.tls_socket if service in IMPLICIT_TLS else self.plain_socket)(service, timeout)

    def plain_socket(self, service: str, timeout: float = PATIENCE_SECONDS) -> socket.socket:
        """A connection on which nothing was sent or read, not even where the service expects TLS."""
        return self.address(service).connect(timeout)

    def tls_socket(self, service: str, timeout: float = PATIENCE_SECONDS) -> ssl.SSLSocket:
        """A connection on which the TLS handshake is done and nothing else was sent or read."""
        return trusting().wrap_socket(self.plain_socket(service, timeout))

    def client(self, user: str | None = "alice", password: str = PASSWORD) -> Client:
        """Our strict IMAP client, logged in unless the user is None."""
        client = Client.from_socket(self.connect("imaps"))
        if user is not None:
            client.login(user, password)
        return client

    def imaplib(self, user: str = "alice", password: str = PASSWORD) -> imaplib.IMAP4_SSL:
        """The IMAP client of the standard library, logged in."""
        client = imaplib.IMAP4_SSL("127.0.0.1", self.port("imaps"), ssl_context=trusting())
        client.login(user, password)
        return client


def trusting() -> ssl.SSLContext:
    """A TLS client that accepts any certificate, because the one of the tests is self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def running(
    root: Path,
    config: str = "",
    users: tuple[str, ...] = ("alice",),
    *,
    listen: Mapping[str, Sequence[Address]] | None = None,
    limits: str = "",
    slot: str = CHEAP_SLOT,
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """A server with these accounts, which listens until the end of the `with` block; see `Server` for the rest."""
    server = Server(root, config, listen or _imaps_only(), environment=environment or {}, limits=limits, slot=slot)
    server.prepare()
    for user in users:
        server.add_user(user)
    server.start()
    try:
        yield server
    finally:
        server.stop()
