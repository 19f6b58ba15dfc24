"""`crymap-deliver` killed at real system calls, by strace: zero or one message, and never half of one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from crymapd.store import maintenance
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.stores import StoreOpener, contents, digest, left_in, message

NOBODY = 65534
CALLS = ("write", "fsync", "rename", "link", "unlink", "openat", "mkdir")
MESSAGE = message("killed", 300_000)
_OURS = re.compile(r"user\.toml|\bkeys|\btmp\b|\bnew\b|stage-|\bbackup\b")
_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")


@dataclass(frozen=True, slots=True)
class Root:
    """A root directory with one user."""

    directory: Path

    @property
    def home(self) -> Path:
        return self.directory / "users" / "alice"


@pytest.fixture
def root(tmp_path: Path, home: Path) -> Root:
    """The account of the fixture `home` under a root with an empty configuration; as root it is another user's."""
    made = Root(tmp_path / "root")
    (made.directory / "users").mkdir(parents=True)
    (made.directory / "crymap.toml").touch()
    shutil.copytree(home, made.home)
    if os.geteuid() == 0:
        for path in (made.home, *made.home.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    return made


def deliver(root: Root, tmp_path: Path, *tracing: str) -> tuple[int, str]:
    """Exit status and trace of one delivery."""
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-o", str(trace), "-e", f"trace={','.join(CALLS)}", *tracing, sys.executable]
    command += ["-m", "crymapd.cli.deliver", "--root", str(root.directory), "--user", "alice"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, input=MESSAGE, env=environment, capture_output=True, timeout=PATIENCE_SECONDS)
    assert b"ptrace" not in done.stderr, done.stderr.decode()
    return done.returncode, trace.read_text(errors="replace")


def kills(trace: str) -> list[tuple[str, int]]:
    """(call, n-th of its kind) of every call that has to do with the user directory; descriptors are ours from the first on."""
    counts: dict[str, int] = {}
    found = []
    ours = False
    for line in trace.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, arguments = match.groups()
        counts[name] = counts.get(name, 0) + 1
        mine = bool(_OURS.search(arguments.partition(", O_")[0])) and "site-packages" not in arguments
        ours = ours or ("user.toml" in arguments)
        if ours and (mine or name in ("write", "fsync")):
            found.append((name, counts[name]))
    return found


@pytest.mark.peer("strace")
def test_delivery_killed_at_system_calls(
    root: Root, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    pristine = tmp_path / "pristine"
    _copy(root.home, pristine)
    status, trace = deliver(root, tmp_path)
    assert status == 0
    steps = kills(trace)
    assert {name for name, _n in steps} >= {"write", "fsync", "rename", "openat"}
    assert len(steps) >= 12
    ended = []
    for name, number in steps:
        shutil.rmtree(root.home)
        _copy(pristine, root.home)
        status, trace = deliver(root, tmp_path, "-e", f"inject={name}:signal=SIGKILL:when={number}")
        killed = "killed by SIGKILL" in trace
        assert status == 0 or killed
        ended.append(killed)
        store = open_store(root.home)
        store.file_arrivals()
        got = [held.digest for held in contents(store)["INBOX"].values()]
        assert got == [digest(MESSAGE)] or (not got and status != 0), f"killed at {name} {number}"
        assert maintenance.run(store.components, time.time() + 2 * maintenance.DAY, force=True)
        assert not left_in(store.components.layout.tmp)
        assert [held.digest for held in contents(store)["INBOX"].values()] == got
        store.close()
    assert sum(ended) >= len(steps) - 2, "nearly every step was met"
    assert not event_lines


def _copy(source: Path, target: Path) -> None:
    """With owners, which a worker that is not root needs."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
