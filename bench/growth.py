"""What operations cost as a mailbox grows: `python -m bench.growth [SIZE...]`.

One mailbox of each size, made by COPY from a few messages, and a real client on loopback. What is said to
cost the same in a mailbox of any size, or in proportion to what changed, must show it here.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.testlib.client import Client
from tests.testlib.process import children, pss
from tests.testlib.server import Server, running

SIZES = (1_000, 10_000, 100_000)
ROUNDS = 15
SEED = 500


def fill(client: Client, mailbox: str, size: int) -> None:
    """Some messages, then copies of them all, again and again."""
    client.ok(f"CREATE {mailbox}")
    for number in range(SEED):
        text = f"Subject: message {number}\r\nFrom: a@example.org\r\n\r\nword{number} and more\r\n"
        client.ok(f"APPEND {mailbox} {{+}}", text.encode())
    client.ok(f"SELECT {mailbox}")
    there = SEED
    while there < size:
        more = min(there, size - there)
        client.ok(f"UID COPY 1:{more} {mailbox}")
        there += more
    client.ok("UNSELECT")


def median(action: Callable[[], object]) -> float:
    """Milliseconds."""
    times = []
    for _round in range(ROUNDS):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def resync(server: Server, client: Client, mailbox: str, changes: int) -> float:
    """SELECT (QRESYNC ...) after so many changes."""
    codes = client.ok(f"SELECT {mailbox}").codes()
    known = f"{codes['UIDVALIDITY'].value} {codes['HIGHESTMODSEQ'].value}"
    half = changes // 2
    client.ok(f"UID STORE 1:{half} +FLAGS.SILENT (\\Flagged)")
    client.ok(f"UID STORE {half + 1}:{changes} +FLAGS.SILENT (\\Deleted)")
    client.ok("EXPUNGE")
    client.ok("UNSELECT")
    again = server.client()
    again.ok("ENABLE QRESYNC")
    found = median(lambda: again.ok(f"SELECT {mailbox} (QRESYNC ({known}))"))
    again.close()
    return found


def measure(server: Server, size: int) -> dict[str, float]:
    """Milliseconds by operation, and the memory of the session in MiB."""
    mailbox = f"box{size}"
    client = server.client()
    fill(client, mailbox, size)
    listener = server.process
    worker = max(children(listener.pid)) if listener is not None else 0
    found = {
        "SELECT": median(lambda: client.ok(f"SELECT {mailbox}")),
        "STATUS": median(
            lambda: client.ok(f"STATUS {mailbox} (MESSAGES RECENT UNSEEN UIDNEXT HIGHESTMODSEQ SIZE DELETED)")
        ),
        "NOOP": median(lambda: client.ok("NOOP")),
        "APPEND": median(lambda: client.ok(f"APPEND {mailbox} {{+}}", b"Subject: new\r\n\r\nnew\r\n")),
        "UID STORE of one": median(lambda: client.ok("UID STORE 7 FLAGS.SILENT (\\Seen)")),
        "UID SEARCH BODY, no hit": median(lambda: client.ok("UID SEARCH BODY nowhere")),
    }
    found["session, MiB PSS"] = pss(worker) / 1024
    client.ok("UNSELECT")
    for changes in (100, 400):
        found[f"QRESYNC, {changes} changes"] = resync(server, client, mailbox, changes)
    client.close()
    return found


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, running(Path(folder) / "root") as server:
        columns = [measure(server, size) for size in sizes]
    print("ms, medians".ljust(28) + "".join(f"{size:>12,}" for size in sizes))
    for name in columns[0]:
        print(name.ljust(28) + "".join(f"{column[name]:12.2f}" for column in columns))


if __name__ == "__main__":
    main()
