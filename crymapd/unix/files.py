"""Files that appear complete or not at all, and that survive a power cut as soon as a function here returns.

The rule: the data is fsynced before the file gets its name, and the directory afterwards.  Everything
that writes a file of an account goes through this module, so it is also the one place where the crash
tests kill the process (`checkpoint`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700
_POLL = 0.01
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def _nothing(_step: str) -> None:
    """Do nothing at a step, as in service."""


checkpoint: Callable[[str], None] = _nothing
"""Called before each step that changes the disk; the crash tests replace it."""


def fsync_dir(path: Path) -> None:
    """Put the names in a directory on stable storage."""
    checkpoint(f"fsync_dir {path.name}")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dir(path: Path, mode: int = PRIVATE_DIR) -> bool:
    """Create a directory durably, and return False if it exists already."""
    try:
        checkpoint(f"mkdir {path.name}")
        os.mkdir(path, mode)
    except FileExistsError:
        return False
    os.chmod(path, mode)
    fsync_dir(path.parent)
    return True


def open_regular(path: Path | str) -> int:
    """Open a regular file for reading. Raises OSError for a symlink, a FIFO or a directory in its place."""
    fd = os.open(path, _READING)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd


def read_small(path: Path, limit: int = 1 << 20) -> bytes:
    """Read a regular file of at most `limit` octets. Raises OSError, EFBIG for a larger file."""
    fd = open_regular(path)
    with os.fdopen(fd, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return data


class Staged:
    """A new file in a staging directory that gets its real name only when it is complete.

    It is a context manager: leaving it without `publish` removes the staging file.
    """

    def __init__(self, tmp: Path, mode: int = PRIVATE_FILE) -> None:
        checkpoint("create")
        self.path = tmp / f"stage-{os.getpid()}-{secrets.token_hex(8)}"
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        self.file = os.fdopen(fd, "w+b", buffering=1 << 16)
        self._pending = True

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def settle(self) -> int:
        """Let the kernel begin to store a file that is completely written; return its length in octets."""
        checkpoint("write")
        self.file.flush()
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # starts writing, waits for nothing
        return self.file.tell()

    def sync(self) -> None:
        """Put the contents on stable storage; the name comes with `name`."""
        checkpoint("write")
        self.file.flush()
        checkpoint("fsync")
        os.fsync(self.file.fileno())

    def publish(self, target: Path, *, replace: bool = False) -> None:
        """Sync the file, give it its name, sync the directory.

        Raises:
            FileExistsError: the name is taken and `replace` is not set; the existing file is kept.
        """
        publish_together([(self, target)], replace=replace)

    def name(self, target: Path, *, replace: bool) -> None:
        """Give a synced file its name; syncing the directory is left to the caller. Raises as `publish` does."""
        self.file.close()
        checkpoint("rename")
        if replace:
            os.rename(self.path, target)
        else:
            os.link(self.path, target)
            os.unlink(self.path)
        self._pending = False

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, *_exc: object) -> None:
        try:
            self.file.close()
        except OSError:
            if not self._pending:
                raise
            # The disk may be full, but this file is removed anyway.
        finally:
            if self._pending:
                remove(self.path)


def publish_together(batch: Sequence[tuple[Staged, Path]], *, replace: bool = False) -> None:
    """Publish several files: sync all contents before the first name appears, and each directory once at the end."""
    for staged, _target in batch:
        staged.sync()
    for staged, target in batch:
        staged.name(target, replace=replace)
    for directory in dict.fromkeys(target.parent for _staged, target in batch):
        fsync_dir(directory)


def write_atomic(tmp: Path, target: Path, data: bytes, *, replace: bool, mode: int = PRIVATE_FILE) -> None:
    """Write a small file in one durable step. Raises FileExistsError if it exists and `replace` is not set."""
    with Staged(tmp, mode) as staged:
        staged.write(data)
        staged.publish(target, replace=replace)


def move(source: Path, target: Path) -> bool:
    """Rename a file, and return False if somebody else has moved or removed it already.

    The directory of the target is created if it is missing; neither directory is synced.
    """
    checkpoint("rename")
    try:
        os.rename(source, target)
    except FileNotFoundError:
        if not target.parent.is_dir():
            make_dir(target.parent)
            return move(source, target)
        return False
    return True


def remove(path: Path) -> bool:
    """Remove a file, and return False if it was gone already."""
    checkpoint("unlink")
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def take_lock(fd: int, wait: float, *, shared: bool = False) -> bool:
    """Take a lock on an open file; False if another process still holds it after `wait` seconds.

    Args:
        fd: the file.
        wait: how many seconds to wait.
        shared: whether others may have the same lock, which then excludes those who want it for themselves.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        else:
            return True


@contextmanager
def locked(path: Path, *, wait: float, shared: bool = False) -> Iterator[bool]:
    """Hold a lock on a file, which is created if it is missing.

    Args:
        path: the file.
        wait: how many seconds to wait for another process that holds the lock.
        shared: whether others may have the same lock, which then excludes those who want it for themselves.

    Yields:
        True; False if the other process still holds the lock after that time.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        yield take_lock(fd, wait, shared=shared)
    finally:
        os.close(fd)
