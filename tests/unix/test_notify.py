"""Every watcher wakes for the two things it watches, and for nothing else."""

from __future__ import annotations

import os
import select
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crymapd.unix.notify import Inotify, Kqueue, Polling, Watcher, watch


class FakeKqueue:
    """kqueue(2) for two kinds of vnode event, by comparing what fstat says; edge-triggered as EV_CLEAR asks."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, int]] = {}

    def fileno(self) -> int:
        return 99

    def control(self, changes: list[Any] | None, most: int, timeout: float | None) -> list[Any]:
        for change in changes or []:
            assert change.flags == KERNEL.KQ_EV_ADD | KERNEL.KQ_EV_CLEAR and change.filter == KERNEL.KQ_FILTER_VNODE
            self._seen[change.ident] = self._look(change.ident)
        fired = []
        for fd, before in list(self._seen.items()) if most else ():
            self._seen[fd] = self._look(fd)
            if self._seen[fd] != before:
                fired.append(SimpleNamespace(ident=fd))
        assert timeout == 0
        return fired

    def _look(self, fd: int) -> tuple[int, int]:
        status = os.fstat(fd)
        return status.st_mtime_ns, status.st_size

    def close(self) -> None:
        self._seen.clear()


KERNEL = SimpleNamespace(
    kqueue=FakeKqueue,
    kevent=lambda ident, filter, flags, fflags: SimpleNamespace(ident=ident, filter=filter, flags=flags, fflags=fflags),
    KQ_FILTER_VNODE=-4,
    KQ_EV_ADD=1,
    KQ_EV_CLEAR=0x20,
    KQ_NOTE_WRITE=2,
    KQ_NOTE_EXTEND=4,
)
WATCHERS: dict[str, Callable[[Path, Path], Watcher]] = {
    "inotify": Inotify,
    "kqueue": lambda signal, arrivals: Kqueue(signal, arrivals, KERNEL),
    "polling": Polling,
}


@pytest.mark.parametrize("name", WATCHERS)
def test_wakes_for_what_it_watches(name: str, tmp_path: Path) -> None:
    signal, arrivals = tmp_path / "epoch", tmp_path / "new"
    signal.write_bytes(b"1")
    arrivals.mkdir()
    watcher = WATCHERS[name](signal, arrivals)
    try:
        assert not watcher.drain()
        (tmp_path / "other").write_bytes(b"x")
        assert not watcher.drain()
        with open(signal, "r+b") as file:
            file.write(b"22")
        assert watcher.drain()
        assert not watcher.drain()
        (tmp_path / "staged").write_bytes(b"x")
        os.rename(tmp_path / "staged", arrivals / "message")
        assert watcher.drain()
        assert not watcher.drain()
    finally:
        watcher.close()


@pytest.mark.parametrize("leave", [shutil.rmtree, lambda path: path.rename(path.with_name("gone"))])
def test_inotify_finds_the_directory_that_was_made_again(leave: Callable[[Path], None], tmp_path: Path) -> None:
    """Its going is told, so that whoever looks makes it again; what comes into the new one is told too."""
    signal, arrivals = tmp_path / "epoch", tmp_path / "new"
    signal.write_bytes(b"1")
    arrivals.mkdir()
    watcher = Inotify(signal, arrivals)
    try:
        leave(arrivals)
        assert watcher.drain()
        assert watcher.fileno() is not None  # not there yet: no failure
        arrivals.mkdir()
        assert watcher.fileno() is not None
        watcher.drain()
        (arrivals / "message").write_bytes(b"x")
        assert watcher.drain()
        assert not watcher.drain()
    finally:
        watcher.close()


def test_inotify_can_be_polled(tmp_path: Path) -> None:
    signal = tmp_path / "epoch"
    signal.write_bytes(b"1")
    watcher = watch(signal, tmp_path)
    descriptor = watcher.fileno()
    assert descriptor is not None and watcher.interval is None
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    assert not poller.poll(0)
    with open(signal, "r+b") as file:
        file.write(b"2")
    assert poller.poll(1000)
    watcher.close()
