"""Daily maintenance: a list of steps, each harmless to repeat, run in a child under a lock.

The day is stamped only when every step has succeeded, so a failed run is tried again at the next
login.  Nothing here is ever done in front of a client.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from crymapd import log
from crymapd.errors import CrymapError, MessageUnavailable
from crymapd.store.account import Unlocked
from crymapd.store.layout import Layout
from crymapd.store.meta import backups
from crymapd.store.store import Store
from crymapd.unix import files

DAY = 24 * 3600
GRACE = DAY
"""How long an expunged message's file stays for sessions that have not been told."""
_KEPT_BACKUPS = 7
_SAMPLE = 20
_HEX = re.compile(r"[0-9a-f]+")


def is_due(layout: Layout, now: float) -> bool:
    """Whether the last complete run was more than a day ago (or, after a clock jump, in the future)."""
    try:
        return not 0 <= now - layout.maintained.stat().st_mtime < DAY
    except FileNotFoundError:
        return True


def run(store: Store, now: float, *, force: bool = False) -> bool:
    """Every step; True when all succeeded. False also when it is not due or a sibling is at it."""
    with files.locked(store.layout.tmp / "maintenance.lock", wait=0) as mine:
        if not mine or not (force or is_due(store.layout, now)):
            return False
        failed = [name for name, step in STEPS if not _attempt(name, step, store, now)]
        if not failed:
            files.write_atomic(store.layout.tmp, store.layout.maintained, b"", replace=True)
            os.utime(store.layout.maintained, (now, now))
        return not failed


def _attempt(name: str, step: Callable[[Store, float], None], store: Store, now: float) -> bool:
    try:
        step(store, now)
    except (CrymapError, OSError) as error:
        log.maintenance_failed(name, str(error))
        return False
    return True


def finish_moves(store: Store, _now: float) -> None:
    """Files whose rows were committed but which a crash left in `new/` or `tmp/`."""
    store.filing.finish_interrupted()
    store.file_arrivals(DAY)


def recover_orphans(store: Store, _now: float) -> None:
    """Files under `messages/` without a row."""
    store.filing.recover_orphans()


def in_child(account: Unlocked, max_message_size: int, close: tuple[int, ...] = ()) -> None:
    """Run in a grandchild of ours when due, with databases of its own: SQLite must not cross a fork.

    Call it before the caller opens its `Store`; `close` are descriptors that are the caller's alone.
    """
    if not is_due(account.layout, time.time()):
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            for fd in close:
                os.close(fd)
            os.nice(10)
            store = Store(account, max_message_size)
            run(store, time.time())
            store.close()
    except (CrymapError, OSError) as error:
        log.maintenance_failed("start", str(error))
    finally:
        os._exit(0)


def purge_expunged(store: Store, now: float) -> None:
    """Remove files that no mailbox has referred to for a day; file first, so that no crash leaves an orphan."""
    released = dict(store.entries.released_before(int(now) - GRACE))
    for file in released.values():
        for path in store.layout.places(bytes(file).hex()):
            files.remove(path)
    store.index.forget(store.entries.forget(released))
    store.entries.prune_expunges()


def back_up(store: Store, now: float) -> None:
    """Today's copy of meta.db, complete and openable where it lies."""
    target = store.layout.backup / time.strftime("meta.db.%Y-%m-%d", time.gmtime(now))
    if not target.exists():
        with files.Staged(store.layout.tmp) as staged:
            store.meta.copy_to(staged.path)
            staged.publish(target, replace=True)
    for old in backups(store.layout)[_KEPT_BACKUPS:]:
        files.remove(old)


def sweep(store: Store, now: float) -> None:
    """Staging files of processes that died, a day old; a file that a row refers to is kept."""
    with os.scandir(store.layout.tmp) as entries:
        for entry in entries:
            if entry.name.endswith(".lock") or not entry.is_file(follow_symlinks=False):
                continue
            if now - entry.stat(follow_symlinks=False).st_mtime > DAY and not _referred(store, entry.name):
                files.remove(Path(entry.path))


def _referred(store: Store, name: str) -> bool:
    return len(name) == 64 and bool(_HEX.fullmatch(name)) and store.entries.message_id(bytes.fromhex(name)) is not None


def check_sample(store: Store, _now: float) -> None:
    """Read a few messages through, so that bad disks are heard of before they are needed."""
    names = store.filing.message_files()
    for file in random.sample(names, min(_SAMPLE, len(names))):  # noqa: S311  # no secret hangs on the choice
        number = store.entries.message_id(file)
        if number is not None:
            with contextlib.suppress(MessageUnavailable), store.read(number) as message:
                for _piece in message.pieces():
                    pass
    if not store.meta.db.intact():
        store.meta.mark_damaged()


STEPS: tuple[tuple[str, Callable[[Store, float], None]], ...] = (
    ("finishing moves", finish_moves),
    ("recovering files without rows", recover_orphans),
    ("removing expunged messages", purge_expunged),
    ("backing up meta.db", back_up),
    ("sweeping tmp", sweep),
    ("checking a sample", check_sample),
)
