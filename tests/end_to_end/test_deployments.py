"""The ways to be started: inetd, systemd's sockets, two-step black box; and what the listener survives."""

from __future__ import annotations

import os
import re
import resource
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.testlib.certificate import write_certificate
from tests.testlib.client import Client
from tests.testlib.corpus import sample
from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.process import straced
from tests.testlib.server import NOBODY, PASSWORD, UNMEASURED, Server, running, trusting

MESSAGE = b"Subject: x\r\n\r\ny\r\n"


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection: ours, and the worker's."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        near = socket.create_connection(listening.getsockname())
        far, _address = listening.accept()
        with near, far:
            yield near, far


def converse(near: socket.socket) -> None:
    """Log in, read, log out."""
    with Client.from_socket(trusting().wrap_socket(near.dup())) as client:
        client.login("alice", PASSWORD)
        client.ok("SELECT INBOX")
        assert client.ok("FETCH 1 (BODY.PEEK[])").untagged
        client.logout()


TWO_STEP = '[security]\nsystem_user = "nobody"\nchroot_system = true\n'


@pytest.mark.parametrize(
    "config", [pytest.param("", id="one step"), pytest.param(TWO_STEP, id="two steps", marks=pytest.mark.root)]
)
def test_inetd(tmp_path: Path, config: str) -> None:
    """inetd: the connection is descriptors 0, 1 and 2; nothing but IMAP may be written to it."""
    server = Server(tmp_path / "root", config)
    server.prepare()
    server.add_user()
    if config:
        os.chown(server.root / "users", NOBODY, NOBODY)
    server.deliver(MESSAGE)
    with pair() as (near, far):
        command = [*server.program, "--root", server.root, "serve-imaps"]
        process = subprocess.Popen(command, stdin=far.fileno(), stdout=far.fileno(), stderr=far.fileno())
        far.close()
        converse(near)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0


def test_inetd_with_a_wrong_configuration_says_nothing_to_the_client(tmp_path: Path) -> None:
    server = Server(tmp_path / "root", "[nonsense]\n")
    server.prepare()
    with pair() as (near, far):
        command = [*server.program, "--root", server.root, "serve-imaps"]
        process = subprocess.Popen(command, stdin=far.fileno(), stdout=far.fileno(), stderr=far.fileno())
        far.close()
        assert near.recv(1000) == b""
        assert process.wait(timeout=PATIENCE_SECONDS) == 78


def test_serve_without_a_connection(server: Server) -> None:
    command = [*server.program, "--root", server.root, "serve-imaps"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 78 and "not a socket" in done.stderr and len(done.stderr.splitlines()) == 1


def test_systemd_socket(tmp_path: Path) -> None:
    """LISTEN_FDS: the listener takes the passed socket and binds none of its own."""
    server = Server(tmp_path / "root")
    server.prepare()
    server.add_user()
    server.deliver(MESSAGE)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        start = 'exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=imaps exec "$@"'
        command = ["sh", "-c", start, "sh", *server.program, "--root", server.root, "listen"]
        process = subprocess.Popen(command, stdin=listening.fileno())
        try:
            with socket.create_connection(listening.getsockname(), timeout=PATIENCE_SECONDS) as near:
                converse(near)
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", server.port("imaps"))) != 0
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_SECONDS)


@pytest.mark.root
def test_two_step_black_box(tmp_path: Path) -> None:
    """Root reads the TLS key, then everything is the system user's, before a client is heard."""
    server = Server(tmp_path / "root", TWO_STEP)
    server.prepare()
    server.add_user(uid=NOBODY)
    os.chown(server.root / "users", NOBODY, NOBODY)
    server.deliver(MESSAGE)
    server.start()
    try:
        assert server.process is not None
        with server.client(user=None) as client:
            assert client.command("LOGIN alice wrong").status == "NO"
            client.login("alice", PASSWORD)
            client.ok("SELECT INBOX")
            assert client.ok("FETCH 1 (BODY.PEEK[])").untagged
            client.logout()
        # The limits hold in the chroot, and an older database would be noticed.
        made = {path.name.partition("-")[0] for path in (server.root / "users" / ".state").iterdir()}
        assert made == {"accounts", "addresses", "known", "logins", "seen"} and "state/" not in server.log()
        descriptors = [os.readlink(each) for each in Path(f"/proc/{server.process.pid}/fd").iterdir()]
        directories = [Path(path) for path in descriptors if path.startswith("/") and Path(path).is_dir()]
        users = server.root / "users"
        assert all(path.is_relative_to(users) for path in directories), "a way out of the chroot"
        before = serial(server)
        write_certificate(server.root / "key.pem", server.root / "cert.pem")
        assert serial(server) != before, "a renewed certificate is read by the process that still can"
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status
        assert os.readlink(f"/proc/{server.process.pid}/root") == str(server.root / "users")
    finally:
        server.stop()


def serial(server: Server) -> str:
    """The serial number of the certificate that a new connection gets."""
    with server.tls_socket("imaps") as sock:
        octets = sock.getpeercert(binary_form=True)
    assert octets
    return ssl.DER_cert_to_PEM_cert(octets)


def test_a_new_certificate_is_used(tmp_path: Path) -> None:
    with running(tmp_path / "root", users=()) as server:
        before = serial(server)
        write_certificate(server.root / "key.pem", server.root / "cert.pem")
        assert serial(server) != before
        (server.root / "cert.pem").write_text("nonsense")
        kept = serial(server)
        assert "cannot be used" in server.log() and kept != before


@pytest.mark.peer("openssl")
def test_tls_is_current(server: Server) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with server.plain_socket("imaps") as sock, context.wrap_socket(sock) as tls:
        assert tls.version() == "TLSv1.2"
    foreign = trusting()
    foreign.set_alpn_protocols(["http/1.1"])
    with server.plain_socket("imaps") as sock:
        try:
            foreign.wrap_socket(sock)
            raise AssertionError("a foreign protocol was accepted")
        except ssl.SSLError as error:
            assert "NO_APPLICATION_PROTOCOL" in str(error) or "alert" in str(error).lower()
    groups = subprocess.run(
        ["openssl", "s_client", "-connect", str(server.address("imaps")), "-tls1_1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    assert b"Cipher is (NONE)" in groups.stdout


def test_caps_and_full_tables(tmp_path: Path) -> None:
    """Too many from one address are turned away; without descriptors the listener waits and goes on."""
    with running(tmp_path / "root", "[limits]\nmax_workers_per_address = 3\n") as server, ExitStack() as stack:
        for _number in range(3):
            stack.enter_context(server.tls_socket("imaps")).recv(100)
        with server.plain_socket("imaps") as refused:
            assert refused.recv(10) == b""
        assert "max_workers_per_address" in server.log()
        stack.close()
        assert server.process is not None
        pid = server.process.pid
        server.spare()  # until the connections of before are forgotten
        _soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        lowest = next(number for number in range(len(used) + 1) if number not in used)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, hard))
        with server.plain_socket("imaps") as waiting:
            waiting.settimeout(0.5)
            with suppress(TimeoutError):
                assert waiting.recv(10) == b"never"
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            waiting.settimeout(PATIENCE_SECONDS)
            with trusting().wrap_socket(waiting.dup()) as tls:
                assert tls.recv(100).startswith(b"* OK")
        assert "cannot accept connections for now" in server.log()


WHOLE_SESSION = (
    "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[] PREVIEW)",
    'SEARCH TEXT "nothing" FROM "x" SUBJECT "y"',
    "SORT (SUBJECT) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL",
    "STORE 1 +FLAGS (\\Flagged keyword)",
    "CREATE a",
    "COPY 1 a",
    "STATUS a (MESSAGES)",
    "DELETE a",
)
LIFE = re.compile(r"^\d+ +(execve|open|openat|openat2)\((.*)\) += (\S+)", re.M)


@pytest.mark.root
@pytest.mark.peer("strace")
@pytest.mark.parametrize("deployment", ["listen", "inetd"])
def test_nothing_is_run_or_loaded_once_a_worker_is_confined(tmp_path: Path, deployment: str) -> None:
    """A user could put what he likes where libraries look for programs and modules: they are inside his directory."""
    record = tmp_path / "record"
    calls = ("-f", "-e", "trace=execve,open,openat,openat2,chroot", "-o", str(record))
    with running(tmp_path / "root", environment=UNMEASURED) as server, ExitStack() as stack:
        assert server.process is not None
        home = server.root / "users" / "alice"
        if deployment == "listen":
            stack.enter_context(straced(server.spare(), *calls))
            client = stack.enter_context(server.client(None))
        else:
            near, far = stack.enter_context(pair())
            environment = {**os.environ, **UNMEASURED}
            command = ["strace", *calls, *server.program, "--root", server.root, "serve-imaps"]
            stack.enter_context(
                subprocess.Popen(command, stdin=far.fileno(), stdout=far.fileno(), stderr=far.fileno(), env=environment)
            )
            far.close()
            client = stack.enter_context(Client.from_socket(trusting().wrap_socket(near.dup())))
        client.login("alice", PASSWORD)
        client.ok("APPEND INBOX {}", sample("attachments"))
        client.ok("SELECT INBOX")
        for line in WHOLE_SESSION:
            client.ok(line)
        with client.idle():
            server.deliver(sample("welcome"))
        client.logout()
        until(lambda: (home / "maintained").exists())
    before, chroot, life = record.read_text().partition(" chroot(")
    assert chroot, before
    seen = 0
    for call, arguments, result in LIFE.findall(life):
        seen += call == "openat" and result != "-1"
        assert call != "execve", arguments
        assert "/lib" not in arguments and "python" not in arguments and ".so" not in arguments, arguments
    assert seen > 20
