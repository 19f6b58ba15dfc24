"""A file system without a free block: the owner logs in, reads, sets flags and expunges; new mail is refused."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crymapd.model.flags import StoreMode
from crymapd.store import account, maintenance, reserve
from crymapd.store.components import open_components
from tests.testlib.stores import (
    CHEAP,
    EVERY,
    LIMIT,
    PASSWORD,
    StoreOpener,
    append,
    left_in,
    mailbox_id,
    message,
    put_in,
)

pytestmark = pytest.mark.root  # mounts a file system of its own


@pytest.fixture
def small_disk(tmp_path: Path, cheap_hash: None) -> Iterator[Path]:
    """A user directory on a file system of 40 MiB, with three messages in INBOX."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], check=True)
    try:
        home = disk / "home"
        home.mkdir(mode=0o700)
        open_components(account.create(home, PASSWORD, CHEAP)).close()
        yield home
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(home: Path) -> Path:
    """Take every block that is left."""
    filler = home.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return filler


def test_the_owner_can_make_room(small_disk: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    store = open_store(small_disk)
    for word in ("one", "two", "three"):
        append(store, message(word))
    assert maintenance.run(store.components, time.time(), force=True)
    assert (small_disk / "reserve").stat().st_size == reserve.OCTETS
    store.close()
    fill(small_disk)
    assert not os.statvfs(small_disk).f_bavail
    store = open_store(small_disk)
    view = store.select("INBOX", read_only=False)
    assert view.exists == 3
    assert view.store_flags(EVERY, StoreMode.ADD, frozenset(("\\Deleted",))).changed == [True] * 3
    view.expunge()
    assert not list(store.components.entries.entries(mailbox_id(store, "INBOX"), EVERY))
    assert any("the disk is almost full" in line for line in event_lines)


def test_new_mail_is_refused_and_leaves_nothing(small_disk: Path, open_store: StoreOpener) -> None:
    store = open_store(small_disk)
    append(store, message("one"))
    filler = fill(small_disk)
    for _attempt in range(3):
        with pytest.raises(OSError, match=str(small_disk)) as caught:
            append(store, message("large", 100_000))
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(OSError, match=str(small_disk)):
            put_in(small_disk, message("delivered"))
        assert not left_in(small_disk / "tmp")
    filler.unlink()
    append(store, message("two"))
    put_in(small_disk, message("delivered"))
    assert store.file_arrivals() == 1


def test_a_disk_that_fills_up_in_the_middle_of_a_message(small_disk: Path, open_store: StoreOpener) -> None:
    """What was written of it goes, however often it is tried."""
    store = open_store(small_disk)
    filler = fill(small_disk)
    os.truncate(filler, filler.stat().st_size - (5 << 20))
    free = reserve.free_octets(small_disk)
    octets = b"Subject: x\r\n\r\n" + os.urandom(LIMIT - 100)
    for _attempt in range(2):
        with store.incoming() as incoming, pytest.raises(OSError, match=str(small_disk)):
            incoming.begin("INBOX", frozenset(), None)
            for at in range(0, len(octets), 1 << 16):
                incoming.write(octets[at : at + (1 << 16)])
        assert not left_in(small_disk / "tmp")
        assert reserve.free_octets(small_disk) > free - (1 << 20)
