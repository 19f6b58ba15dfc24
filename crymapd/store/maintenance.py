"""Daily maintenance: a list of steps, each harmless to repeat, that a process of its own takes under a lock.

The file `maintained` is touched only when every step has succeeded, so the next login tries again what
failed.  No client ever waits for any of this.
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
from crymapd.errors import CrymapError, MessageGone, MessageUnavailable
from crymapd.mime.header import Header
from crymapd.mime.references import references as references_of
from crymapd.model.numbers import MessageId
from crymapd.store.account import Unlocked
from crymapd.store.components import Components, open_components
from crymapd.store.epoch import EpochFile
from crymapd.store.filing import ignore
from crymapd.store.layout import Layout
from crymapd.store.reserve import Reserve
from crymapd.store.restoring import backups
from crymapd.store.threads import References
from crymapd.unix import files, signals

DAY = 24 * 3600
GRACE = DAY
"""Seconds for which the file of an expunged message is kept, for sessions that have not been told of it."""
_KEPT_BACKUPS = 7
_SAMPLE = 20
_MESSAGES_AT_ONCE = 500
_HEX = re.compile(r"[0-9a-f]+")


def is_due(layout: Layout, now: float) -> bool:
    """Whether the last complete run was more than a day ago, or seems to lie in the future after a clock jump."""
    try:
        return not 0 <= now - layout.maintained.stat().st_mtime < DAY
    except FileNotFoundError:
        return True


def run(components: Components, now: float, *, force: bool = False) -> bool:
    """Take every step; return whether all succeeded.

    It returns False also if maintenance is not due, unless `force` is set, or if another process is at it.
    """
    with files.locked(components.layout.tmp / "maintenance.lock", wait=0) as has_lock:
        if not has_lock or not (force or is_due(components.layout, now)):
            return False
        failed = [name for name, step in STEPS if not _attempt(name, step, components, now)]
        if not failed:
            files.write_atomic(components.layout.tmp, components.layout.maintained, b"", replace=True)
            os.utime(components.layout.maintained, (now, now))
        return not failed


def _attempt(name: str, step: Callable[[Components, float], None], components: Components, now: float) -> bool:
    try:
        step(components, now)
    except (CrymapError, OSError) as error:
        log.maintenance_failed(name, str(error))
        return False
    return True


def finish_moves(components: Components, _now: float) -> None:
    """Place files whose rows were committed before a crash, then file what has arrived."""
    components.filing.finish_interrupted()
    components.filing.file_arrivals(DAY, ignore)


def recover_orphans(components: Components, _now: float) -> None:
    """File orphans into INBOX."""
    components.filing.recover_orphans(ignore)


def in_child(unlocked: Unlocked, close: tuple[int, ...] = (), witness: EpochFile | None = None) -> None:
    """Run maintenance, if it is due, in a grandchild process that opens the databases itself.

    Call it before a `Store` is opened, since an SQLite connection must not be carried across a fork.

    Args:
        unlocked: the account to maintain.
        close: descriptors of this process that the grandchild must not keep open.
        witness: the file outside the user directory that is passed to `Meta`.
    """
    if not is_due(unlocked.layout, time.time()):
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            signals.end_as_usual()
            for fd in close:
                os.close(fd)
            os.nice(10)
            components = open_components(unlocked, witness)
            components.finish_interrupted()
            run(components, time.time())
            components.close()
    except (CrymapError, OSError) as error:
        log.maintenance_failed("start", str(error))
    finally:
        os._exit(0)


def purge_expunged(components: Components, now: float) -> None:
    """Purge messages that have been in no mailbox for a day: files before rows, so that no crash leaves an orphan."""
    released = dict(components.entries.released_before(int(now) - GRACE))
    for file in released.values():
        for path in components.layout.places(bytes(file).hex()):
            files.remove(path)
    components.index.forget(components.entries.forget(released))
    components.entries.prune_expunges()


def back_up(components: Components, now: float) -> None:
    """Write today's backup of meta.db, and remove the oldest backups beyond seven."""
    target = components.layout.backup / time.strftime("meta.db.%Y-%m-%d", time.gmtime(now))
    if not target.exists():
        with files.Staged(components.layout.tmp) as staged:
            components.meta.copy_to(staged.path)
            staged.publish(target, replace=True)
    for old in backups(components.layout)[_KEPT_BACKUPS:]:
        files.remove(old)


def sweep(components: Components, now: float) -> None:
    """Remove files in `tmp/` that are a day old, but never one that a row refers to.

    While anybody writes messages, nothing is removed: they are in `tmp/` before they have rows, and a clock that was
    set forward makes them old.
    """
    with files.locked(components.layout.staging_lock, wait=0) as is_alone:
        if is_alone:
            _sweep_alone(components, now)


def _sweep_alone(components: Components, now: float) -> None:
    with os.scandir(components.layout.tmp) as entries:
        for entry in entries:
            if entry.name.endswith(".lock") or not entry.is_file(follow_symlinks=False):
                continue
            if now - entry.stat(follow_symlinks=False).st_mtime > DAY and not _has_row(components, entry.name):
                files.remove(Path(entry.path))


def _has_row(components: Components, name: str) -> bool:
    return (
        len(name) == 64
        and bool(_HEX.fullmatch(name))
        and components.entries.message_id(bytes.fromhex(name)) is not None
    )


def check_sample(components: Components, _now: float) -> None:
    """Read a few messages through and check meta.db, so that a failing disk is noticed before its data is needed."""
    names = components.filing.message_files()
    for file in random.sample(names, min(_SAMPLE, len(names))):  # noqa: S311  # no secret depends on the choice
        message = components.entries.message_id(file)
        if message is not None:
            with contextlib.suppress(MessageUnavailable), components.reader.read(message) as opened:
                for _piece in opened.pieces():
                    pass
    if not components.meta.db.intact():
        components.meta.mark_damaged()


def forget_keywords(components: Components, _now: float) -> None:
    """Forget keywords that no message has any more."""
    with components.meta.change():
        components.meta.flagsets.recount()


def divide_threads(components: Components, _now: float) -> None:
    """Divide the threads that joined strangers when `<yes>` and the like still counted as Message-IDs."""
    threads = components.meta.threads
    while messages := threads.undivided(_MESSAGES_AT_ONCE):
        headers = components.index.headers(messages)
        references = {message: _references(components, message, headers.get(message)) for message in messages}
        with components.meta.change():
            threads.divide(references)


def _references(components: Components, message: MessageId, header: bytes | None) -> References | None:
    """Return the references of a message, which is opened if the index does not have its header."""
    if header is None:
        try:
            with components.reader.read(message) as opened:
                header = opened.octets(0, opened.root.body)
        except (MessageGone, MessageUnavailable):
            return None
    return references_of(Header(header))


def keep_room(components: Components, _now: float) -> None:
    """Make the reserve if it is missing."""
    Reserve(components.layout.reserve).provide()


STEPS: tuple[tuple[str, Callable[[Components, float], None]], ...] = (
    ("finishing moves", finish_moves),
    ("recovering files without rows", recover_orphans),
    ("removing expunged messages", purge_expunged),
    ("forgetting unused keywords", forget_keywords),
    ("dividing threads", divide_threads),
    ("backing up meta.db", back_up),
    ("sweeping tmp", sweep),
    ("keeping room for a full disk", keep_room),
    ("checking a sample", check_sample),
)
