"""`python -m bench.own`: what is not compared with another server: workers of inetd, delivery and large messages.

The real server is started on loopback, with a root directory of its own under /var/tmp, and ended here.
"""

from __future__ import annotations

import base64
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.servers import end_when_told
from tests.testlib.corpus import varied
from tests.testlib.process import children, peak, reset_peak
from tests.testlib.server import CRYMAPD, PASSWORD, REAL_SLOT, Server, running, trusting

ROUNDS = 20
IDLE = 100


def row(what: str, value: str) -> None:
    print(f"{what:<58} {value}", flush=True)


def spread(times: list[float]) -> str:
    ordered = sorted(times)
    middle, high = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"p50 {middle * 1000:.1f} ms, p99 {high * 1000:.1f} ms"


def timed(action: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    times = []
    for _round in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def inetd(server: Server) -> Iterator[socket.socket]:
    """A connection, after TLS, to a worker that is started for it as inetd would."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        near = socket.create_connection(listening.getsockname())
        far, _address = listening.accept()
    command = [*CRYMAPD, "--root", server.root, "serve-imaps"]
    with far, subprocess.Popen(command, stdin=far.fileno()) as process, trusting().wrap_socket(near) as sock:
        yield sock
        sock.close()
        process.wait(timeout=30)


def inetd_greeting(server: Server) -> float:
    """Seconds from the connection to the greeting of a worker that inetd starts."""
    start = time.perf_counter()
    with inetd(server) as sock:
        sock.recv(1024)
        return time.perf_counter() - start


def tls_library() -> None:
    subprocess.run([sys.executable, "-c", "import OpenSSL.SSL"], check=True)


def inetd_login(server: Server) -> None:
    with inetd(server) as sock:
        sock.recv(1024)
        sock.sendall(f'a LOGIN alice "{PASSWORD}"\r\nb LOGOUT\r\n'.encode())
        while sock.recv(4096):
            pass


def measure_inetd(server: Server) -> None:
    greetings, library = [], []
    for _round in range(ROUNDS):
        greetings.append(inetd_greeting(server))
        library += timed(tls_library, 1)
    row("connect to greeting, inetd", spread(greetings))
    row("a process that imports the TLS library and ends", spread(library))
    ratio = statistics.median(greetings) / statistics.median(library)
    row("ratio of the two", f"{ratio:.2f}")
    row("connect, login, logout and end, inetd", spread(timed(lambda: inetd_login(server))))


def measure_delivery(server: Server) -> None:
    messages = list(varied(1000, seed=3))
    start = time.perf_counter()
    server.deliver_files(messages)
    row("delivery, one process, 1,000 messages, fsync each", f"{1000 / (time.perf_counter() - start):.0f}/s")
    times = timed(lambda: server.deliver(messages[0], "bob"), 30)
    row("crymap-deliver, one process a message", f"{1 / statistics.median(times):.1f}/s, {spread(times)}")
    client = server.client()
    start = time.perf_counter()
    client.ok("SELECT INBOX")
    row("filing 1,000 delivered messages (first SELECT)", f"{time.perf_counter() - start:.2f} s")
    client.close()
    home = server.root / "users" / "alice"
    places = [*(home / "messages").rglob("*"), *(home / "new").iterdir()]  # not all has been filed
    sealed = sum(path.stat().st_size for path in places if path.is_file())
    everything = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    clear = sum(map(len, messages))
    row("octets on disk per octet of mail, messages alone", f"{sealed / clear:.3f}")
    row("octets on disk per octet of mail, everything", f"{everything / clear:.3f}")


def measure_pieces(server: Server) -> None:
    """Commands that a client writes in two pieces, as imaplib does at APPEND and Ruby's net-imap always.

    Its kernel holds back the second until the first is acknowledged (Nagle's algorithm), which ours would put off for
    40 ms if we let it.  The other measurements write in one piece.
    """
    client = server.imaplib("bob")

    def noop(*pieces: bytes) -> None:
        for piece in pieces:
            client.sock.sendall(piece)
        while not client.readline().startswith(b"x OK"):
            pass

    for name, pieces in (("one piece", (b"x NOOP\r\n",)), ("two pieces", (b"x NOOP", b"\r\n"))):
        row(f"NOOP in {name}", spread(timed(lambda pieces=pieces: noop(*pieces), 100)))  # type: ignore[misc]
    message = b"Subject: s\r\n\r\nx\r\n"
    row("APPEND of imaplib (two pieces)", spread(timed(lambda: client.append("Drafts", "", "", message), 50)))
    with server.client("bob") as whole:
        row("APPEND in one piece", spread(timed(lambda: whole.ok("APPEND Drafts {+}", message), 50)))
    client.logout()


def measure_large(server: Server) -> None:
    """Memory that delivery, APPEND and FETCH of a message of 64 MiB need, beyond what a small one needs."""
    line = os.urandom(57)
    encoded = base64.b64encode(line) + b"\r\n"
    header = b"Subject: large\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    message = header + encoded * ((64 * 1024 * 1024 - len(header)) // len(encoded))
    peaks = [deliver_peak(server, body) for body in (b"Subject: s\r\n\r\n", message)]
    row("crymap-deliver, 64 MiB: peak above a small message", f"{(peaks[1] - peaks[0]) / 1024:.1f} MiB")
    client = server.client("bob")
    if server.process is None:
        return
    worker = max(children(server.process.pid))
    client.ok("SELECT Drafts")
    client.ok("APPEND Drafts {+}", b"Subject: s\r\n\r\n")
    before = reset_peak(worker)
    start = time.perf_counter()
    client.ok("APPEND Drafts {+}", message)
    row(
        "APPEND of 64 MiB: peak above idle",
        f"{(peak(worker) - before) / 1024:.1f} MiB, {time.perf_counter() - start:.1f} s",
    )
    client.close()
    client = server.client("bob")
    worker = max(children(server.process.pid))
    client.ok("SELECT Drafts")
    client.ok("FETCH 1 (BODY.PEEK[])")
    before = reset_peak(worker)
    start = time.perf_counter()
    client.ok("FETCH 2 (BODY.PEEK[])")
    row(
        "FETCH of 64 MiB: peak above idle",
        f"{(peak(worker) - before) / 1024:.1f} MiB, {time.perf_counter() - start:.1f} s",
    )
    client.close()


def deliver_peak(server: Server, message: bytes) -> int:
    """The peak resident size in KiB of one crymap-deliver, which is looked at until it ends."""
    with tempfile.TemporaryFile() as file:
        file.write(message)
        file.seek(0)
        command = [sys.executable, "-m", "crymapd.cli.deliver", "--root", str(server.root), "--user", "bob"]
        process = subprocess.Popen(command, stdin=file)
        highest = 0
        while process.poll() is None:
            with suppress(OSError, StopIteration):  # it is just ending
                highest = max(highest, peak(process.pid))
            time.sleep(0.001)
        return highest


def main() -> None:
    end_when_told()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        config = "[limits]\nmax_workers_per_address = 500\n"
        with running(Path(folder) / "root", config, users=("alice", "bob"), slot=REAL_SLOT) as server:
            for measure in (
                measure_delivery,
                measure_inetd,
                measure_pieces,
                measure_large,
            ):
                measure(server)


if __name__ == "__main__":
    main()
