"""Figures of this machine, now: memory, greeting, login, delivery, APPEND, disk, notice.

Starts the real server on loopback with a root of its own under the temporary directory, and ends it.
"""

from __future__ import annotations

import base64
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.testlib.corpus import varied
from tests.testlib.process import children, cpu, peak, pss, reset_peak
from tests.testlib.server import CRYMAPD, PASSWORD, Server, running, trusting

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


def greeting(server: Server) -> None:
    with server.tls_socket() as sock:
        sock.recv(1024)


def session(server: Server) -> None:
    client = server.client()
    client.logout()


def measure_connections(server: Server) -> None:
    row("connect to greeting, listener", spread(timed(lambda: greeting(server), 100)))
    row("connect, login (Argon2id 64 MiB x 3), logout, listener", spread(timed(lambda: session(server))))
    listener = server.process
    if listener is None:
        return
    socks = [server.tls_socket() for _number in range(IDLE)]
    for sock in socks:
        sock.recv(1024)
    workers = children(listener.pid)
    row(f"PSS per connection before login, {IDLE} of them", f"{statistics.mean(map(pss, workers)) / 1024:.2f} MiB")
    for sock in socks:
        sock.close()


def measure_idle(server: Server) -> None:
    listener = server.process
    if listener is None:
        return
    clients = [server.client() for _number in range(IDLE)]
    for client in clients:
        client.ok("SELECT INBOX")
        client.send("IDLE")
        client.read_response()
    workers = children(listener.pid)
    row(
        f"PSS per idling session, {IDLE} of them, INBOX of 1,000",
        f"{statistics.mean(map(pss, workers)) / 1024:.2f} MiB",
    )
    before = cpu(workers)
    time.sleep(10)  # noqa: the load is ten seconds of nothing
    row(f"processor time of {IDLE} idling sessions in 10 s", f"{cpu(workers) - before:.2f} s")
    for client in clients:
        client.close()


@contextmanager
def inetd(server: Server) -> Iterator[socket.socket]:
    """A worker started from nothing on one end of a connection."""
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


def inetd_greeting(server: Server) -> None:
    with inetd(server) as sock:
        sock.recv(1024)


def inetd_login(server: Server) -> None:
    with inetd(server) as sock:
        sock.recv(1024)
        sock.sendall(f'a LOGIN alice "{PASSWORD}"\r\nb LOGOUT\r\n'.encode())
        while sock.recv(4096):
            pass


def measure_inetd(server: Server) -> None:
    row("connect to greeting and end, inetd", spread(timed(lambda: inetd_greeting(server))))
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
    sealed = sum(path.stat().st_size for path in (home / "messages").rglob("*") if path.is_file())
    everything = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    clear = sum(map(len, messages))
    row("octets on disk per octet of mail, messages alone", f"{sealed / clear:.3f}")
    row("octets on disk per octet of mail, everything", f"{everything / clear:.3f}")


def measure_append(server: Server) -> None:
    client = server.client("bob")
    message = b"From: a@example.org\r\nSubject: small\r\n\r\n" + b"hello there\r\n" * 50
    times = timed(lambda: client.ok("APPEND Archive {+}", message), 500)
    row("APPEND of a small message, fsync each", f"{1 / statistics.mean(times):.0f}/s, {spread(times)}")
    client.close()


def measure_notice(server: Server) -> None:
    """From the end of an APPEND by one session to the EXISTS of another, and from crymap-deliver's end."""
    idler, writer = server.client("bob"), server.client("bob")
    idler.ok("SELECT INBOX")
    idler.send("IDLE")
    idler.read_response()
    arrived: list[float] = []

    def listen() -> None:
        while len(arrived) < 120:
            if type(idler.read_response(60)).__name__ == "Exists":
                arrived.append(time.perf_counter())

    thread = threading.Thread(target=listen)
    thread.start()
    delays = []
    message = b"Subject: x\r\n\r\nx\r\n"
    for number in range(120):
        if number < 100:
            writer.ok("APPEND INBOX {+}", message)
        else:
            server.deliver(message, "bob")
        ready = time.perf_counter()
        while len(arrived) <= number:
            time.sleep(0.0002)
        delays.append(max(arrived[number] - ready, 0.0))
    thread.join()
    row("IDLE notice after APPEND's OK", spread(delays[:100]))
    row("IDLE notice after crymap-deliver has ended", spread(delays[100:]))
    idler.close()
    writer.close()


def measure_large(server: Server) -> None:
    """64 MiB through delivery, APPEND and FETCH: the peak above what the same process needs for a small one."""
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
    """Peak resident size in KiB of one crymap-deliver, looked at until it ends."""
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
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        config = "[limits]\nmax_workers_per_address = 500\n"
        with running(Path(folder) / "root", config, users=("alice", "bob")) as server:
            for measure in (
                measure_delivery,
                measure_append,
                measure_notice,
                measure_connections,
                measure_idle,
                measure_inetd,
                measure_large,
            ):
                measure(server)


if __name__ == "__main__":
    main()
