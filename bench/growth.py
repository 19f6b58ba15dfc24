"""What operations cost as a mailbox grows: `python -m bench.growth [--plot FILE] [SIZE...]`.

There is one mailbox of each size, and a real client on loopback.  The messages consist of rows and indexed texts but
have no files, because nothing that is measured here opens one, and a million files would tell more about the file
system than about us.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from bench.client import Imap, number
from bench.servers import end_when_told
from crymapd.imap.prepared import prepare
from crymapd.model.numbers import MessageId
from crymapd.store import account
from crymapd.store.entries import NewMessage
from crymapd.store.store import Store
from crymapd.store.summary import summarize
from tests.testlib.addresses import Address
from tests.testlib.process import pss, workers
from tests.testlib.server import PASSWORD, REAL_SLOT, Server, running

SIZES = (1_000, 10_000, 100_000)
ROUNDS = 15
BATCH = 10_000
LINEAR = ("FLAGS of all",)
"""Commands that answer for every message, and so may cost in proportion to them; no other command may."""


def fill(home: Path, mailbox: str, size: int) -> None:
    """Put so many messages into a new mailbox, each with a word of its own, in a process of the account's owner."""
    child = os.fork()
    if not child:
        status = 1
        try:
            owner = home.stat()
            if os.geteuid() == 0:
                os.setgid(owner.st_gid)
                os.setuid(owner.st_uid)
            _fill(Store(account.unlock(home, PASSWORD), prepare, 1 << 20), mailbox, size)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def _fill(store: Store, mailbox: str, size: int) -> None:
    store.mailboxes.create(mailbox)
    target = store.mailboxes.get(mailbox).id
    for start in range(0, size, BATCH):
        texts = [_text(at) for at in range(start, min(start + BATCH, size))]
        rows = [_row(mailbox, at, text) for at, text in enumerate(texts, start)]
        store.components.entries.append(target, rows)
        numbers = [store.components.entries.message_id(row.file) or MessageId(0) for row in rows]
        store.components.entries.placed(numbers)
        summaries = [(at, summarize(text, prepare)) for at, text in zip(numbers, texts, strict=True)]
        store.components.index.put(summaries)
        store.components.index.put_texts((at, summary.texts) for at, summary in summaries if summary.texts is not None)
        store.components.index.set_complete(numbers[-1], (), store.components.index.incarnation())
    store.components.entries.flush_placed()
    store.close()


def _text(at: int) -> bytes:
    return b"Subject: message %d\r\nFrom: a@example.org\r\n\r\nthe word of this one is w%dq\r\n" % (at, at)


def _row(mailbox: str, at: int, text: bytes) -> NewMessage:
    name = hashlib.sha256(f"{mailbox} {at}".encode()).digest()
    return NewMessage(name, name[:16], bytes(32), len(text), 1_700_000_000 + at, 0, frozenset(("\\Seen",)))


def median(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median of the milliseconds that the action takes."""
    times = []
    for _round in range(rounds):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def resync(address: Address, mailbox: bytes) -> float:
    """Milliseconds of SELECT (QRESYNC ...) after 100 changes."""
    client = Imap(address).login("alice", PASSWORD)
    answer = client.command(b"SELECT " + mailbox)
    known = b"%d %d" % (number(answer, b"UIDVALIDITY"), number(answer, b"HIGHESTMODSEQ"))
    client.command(b"UID STORE 1:100 +FLAGS.SILENT (\\Flagged)")
    client.logout()
    client = Imap(address).login("alice", PASSWORD)
    client.command(b"ENABLE QRESYNC")
    found = median(lambda: client.command(b"SELECT %b (QRESYNC (%b))" % (mailbox, known)))
    client.logout()
    return found


def delivery(server: Server, client: Imap) -> float:
    """Milliseconds of the NOOP that files a delivered message and tells of it, while INBOX is selected."""
    times = []
    for turn in range(5):
        server.deliver(b"Subject: new %d\r\n\r\nnew\r\n" % turn)
        times.append(median(lambda: client.command(b"NOOP"), 1))
    return statistics.median(times)


def measure(server: Server, size: int) -> dict[str, float]:
    """The milliseconds of each operation, and the memory of the session in MiB."""
    name = f"box{size}"
    box = name.encode()
    fill(server.root / "users" / "alice", name, size)
    client = Imap(server.address("imaps")).login("alice", PASSWORD)
    listener = server.process
    worker = max(workers(listener.pid)) if listener is not None else 0
    found = {"SELECT": median(lambda: client.command(b"SELECT " + box))}
    time.sleep(2)
    found["PSS of the session, MiB"] = pss(worker) / 1024
    status = b"STATUS %b (MESSAGES RECENT UNSEEN DELETED SIZE UIDNEXT HIGHESTMODSEQ)" % box
    work = {
        "STATUS, seven items": status,
        "NOOP": b"NOOP",
        "UID FETCH of 100, FLAGS": b"UID FETCH 501:600 (FLAGS)",
        "UID FETCH of 100, ENVELOPE": b"UID FETCH 501:600 (ENVELOPE)",
        "UID STORE of one": b"UID STORE 7 FLAGS.SILENT (\\Seen k%d)",
        "UID SEARCH BODY, one hit": b"UID SEARCH BODY w501q",
        "UID SEARCH BODY, no hit": b"UID SEARCH BODY nowhere",
        "FLAGS of all": b"UID FETCH 1:* (FLAGS)",
    }
    for what, command in work.items():
        turns = iter(range(1000))
        found[what] = median(
            lambda command=command, turns=turns: client.command(  # type: ignore[misc]
                command % (next(turns) % 2) if b"%d" in command else command, keep=False
            )
        )
    text = _text(0)
    found["APPEND"] = median(lambda: client.append(box, text))
    client.command(b"SELECT INBOX")
    found["NOOP that files a delivery"] = delivery(server, client)
    client.logout()
    found["SELECT (QRESYNC), 100 changes"] = resync(server.address("imaps"), box)
    return found


def plot(target: Path, sizes: list[int], rows: dict[str, list[float]]) -> None:
    """Draw the figures, if matplotlib is installed."""
    try:
        from matplotlib import pyplot
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, axes = pyplot.subplots(figsize=(9, 6))
    for name, values in rows.items():
        axes.plot(sizes, values, marker="o", label=name, linestyle=":" if name in LINEAR else "-")
    axes.set(xscale="log", yscale="log", xlabel="messages in the mailbox", ylabel="ms (memory: MiB)")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(target)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="an SVG or PNG")
    parser.add_argument("size", nargs="*", type=int, default=list(SIZES))
    options = parser.parse_args()
    end_when_told()
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        running(Path(folder) / "root", slot=REAL_SLOT) as server,
    ):
        Path(folder).chmod(0o755)  # the account's owner fills it
        columns = []
        for size in options.size:
            columns.append(measure(server, size))
            print(f"{size:,} measured", flush=True)
    rows = {name: [column[name] for column in columns] for name in columns[0]}
    print("| ms, medians | " + " | ".join(f"{size:,}" for size in options.size) + " |")
    print("|---|" + "---|" * len(options.size))
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    if options.plot:
        plot(options.plot, options.size, rows)


if __name__ == "__main__":
    main()
