"""The pool of locks that bounds how many passwords are checked at once."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crymapd.unix import lockpool
from crymapd.unix.lockpool import LockPool


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def held(directory: int, *numbers: int) -> list[int]:
    """Locks that another process holds and does not give back: descriptors of their own count as another's."""
    fds = [os.open(f"login-{number}.lock", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=directory) for number in numbers]
    for fd in fds:
        fcntl.flock(fd, fcntl.LOCK_EX)
    return fds


def test_one_that_stays_held_keeps_nobody_waiting(directory: int) -> None:
    pool = LockPool(directory, 2)
    (first,) = held(directory, 0)
    for _time in range(10):
        with pool.one():
            pass
    os.close(first)


def test_any_that_comes_free_is_taken(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = LockPool(directory, 3)
    fds = held(directory, 0, 1, 2)
    monkeypatch.setattr(time, "sleep", lambda _seconds: os.close(fds.pop()) if len(fds) == 3 else None)
    with pool.one():
        assert len(fds) == 2
    for fd in fds:
        os.close(fd)


def test_waiting_ends(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockpool, "PATIENCE_SECONDS", 0.05)
    pool = LockPool(directory, 2)
    fds = held(directory, 0, 1)
    with pytest.raises(TimeoutError), pool.one():
        pass
    for fd in fds:
        os.close(fd)
