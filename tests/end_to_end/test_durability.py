"""No OK before the disk has it: what a worker asks of the kernel, seen with strace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.testlib.client import Client
from tests.testlib.process import straced, workers
from tests.testlib.server import Server

pytestmark = [pytest.mark.root, pytest.mark.peer("strace")]
FIRST, SECOND = b"Subject: one\r\n\r\n1\r\n", b"Subject: two\r\n\r\n2\r\n"
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(\d+<([^>]*)>")
_RENAME = re.compile(r'^(?:\d+ +)?rename\w*\(.*"([^"]*)"')


def traced(worker: int, target: Path, action: Callable[[], object]) -> list[str]:
    """What a process did for a command: `sync NAME`, `rename NAME`, `send`, in order.

    What it did before it received anything is not of the command, but of the index.
    """
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,read,write,sendto,sendmsg"
    with straced(worker, "-y", "-e", calls, "-o", str(target)):
        action()
    steps: list[str] = []
    for line in target.read_text().splitlines():
        renamed, called = _RENAME.match(line), _CALL.match(line)
        if renamed:
            step = f"rename {Path(renamed[1]).name}"
        elif called is None:
            continue
        elif called[1] in ("fsync", "fdatasync"):
            step = f"sync {Path(called[2]).name}"
        elif "socket:" in called[2] or "TCP" in called[2]:
            step = "receive" if called[1] == "read" else "send"
        else:
            continue
        steps.append(re.sub(r"stage-.*", "staged", re.sub(r"[0-9a-f]{62,64}", "sealed", step)))
    return [step for step in steps[steps.index("receive") :] if step != "receive"]


@pytest.fixture(scope="module")
def user(server: Server) -> str:
    server.add_user("durable")
    return "durable"


@pytest.fixture
def session(server: Server, user: str) -> Iterator[tuple[Client, int]]:
    """A session and the process that serves it."""
    assert server.process is not None
    others = set(workers(server.process.pid))
    with server.client(user) as client:
        yield client, max(set(workers(server.process.pid)) - others)


def test_append(session: tuple[Client, int], tmp_path: Path) -> None:
    """Each file, then the directory with their names, then the database; then OK."""
    client, worker = session
    announced = b"T APPEND Archive {%d+}\r\n%b {%d+}\r\n%b\r\n" % (len(FIRST), FIRST, len(SECOND), SECOND)

    def append() -> None:
        client.send_raw(announced)
        assert client.finish("T").status == "OK"

    steps = traced(worker, tmp_path / "trace", append)
    before = steps[: steps.index("send")]
    assert before[:5] == ["sync staged", "sync staged", "rename sealed", "rename sealed", "sync tmp"]
    assert "sync meta.db-wal" in before[5:]


@pytest.mark.parametrize(
    "command",
    [
        "STORE 1 FLAGS (\\Flagged)",
        "COPY 1 Archive",
        "STORE 1 FLAGS (\\Deleted)",
        "EXPUNGE",
        "MOVE 1 Archive",
        "CREATE new",
    ],
)
def test_changes(session: tuple[Client, int], tmp_path: Path, command: str) -> None:
    client, worker = session
    client.ok("APPEND INBOX {+}", FIRST)
    client.ok("APPEND INBOX (\\Deleted) {+}", SECOND)
    client.ok("SELECT INBOX")
    steps = traced(worker, tmp_path / "trace", lambda: client.ok(command))
    assert "sync meta.db-wal" in steps[: steps.index("send")]
