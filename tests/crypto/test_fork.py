"""Siblings that were forked from one warm process draw different nonces, keys and names, whatever library draws them.

The listener plays a session to itself before it forks workers (`daemon/rehearsal.py`), so every source of randomness
has been used, and may keep a state, when the first worker begins.
"""

from __future__ import annotations

import os
import random
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crymapd.crypto.sealing import OpeningKey, SealingKey, generate
from crymapd.crypto.secret import KEY_BYTES, NONCE_BYTES, Secret, random_secret, wrap
from crymapd.crypto.slots import Argon2, new_password_slot
from crymapd.crypto.stream import Recipient, SealedWriter, new_metadata
from crymapd.store.database import Database
from crymapd.unix.files import Staged

KEY = Secret(bytes(KEY_BYTES))
RECIPIENT = SealingKey(OpeningKey(generate()).public.raw)
CHILDREN = 3
"""The parent is one more."""
_RESERVED = 32
"""Octets at the end of each page: the nonce and the tag (docs/store.md section 7)."""


def page_nonces(folder: Path) -> bytes:
    """The nonces of the pages of a new database, in the order in which they were drawn, and the salt in its header."""
    path = folder / f"{os.getpid()}-{time.monotonic_ns()}.db"
    database = Database(path, KEY, "meta", durable=True, busy_seconds=1)
    with database.write():
        database.execute("CREATE TABLE own (text TEXT)")
        database.execute("INSERT INTO own VALUES (?)", (str(os.getpid()) * 1000,))
    database.copy_to(path.with_suffix(".copy"), KEY)
    database.close()
    found = b""
    for file in (path, path.with_suffix(".copy")):
        pages = file.read_bytes()
        found += b"".join(pages[at - _RESERVED : at - _RESERVED + 16] for at in range(4096, len(pages) + 1, 4096))
    return found


def staged_name(folder: Path) -> bytes:
    with Staged(folder) as staged:
        return staged.path.name.rpartition("-")[2].encode()


def temporary_name(_folder: Path) -> bytes:
    return tempfile.mktemp().encode()  # the name alone is of interest


def sealed_message(_folder: Path) -> bytes:
    """A message sealed for the same recipient: the key of its body, which is sealed as well, and its stream's header."""
    sealed = bytearray()
    writer = SealedWriter(sealed.extend, Recipient("x", RECIPIENT, bytes(16)), new_metadata(0, 0, "INBOX"))
    writer.write(b"the same in each")
    writer.finish()
    return bytes(sealed[64:])  # behind what all have in common


SOURCES: dict[str, Callable[[Path], bytes]] = {
    "os": lambda _folder: os.urandom(16),
    "secrets": lambda _folder: secrets.token_bytes(16),
    "random": lambda _folder: random.randbytes(16),  # noqa: S311  # that siblings differ is what is tested
    "a master key": lambda _folder: random_secret().reveal(),
    "AES-GCM": lambda _folder: wrap(KEY, KEY, b"context")[:NONCE_BYTES],
    "a slot": lambda _folder: new_password_slot(KEY, "x", b"", Argon2(8, 1, 1)).salt,
    "a key pair": lambda _folder: generate().reveal(),
    "HPKE": lambda _folder: RECIPIENT.seal(b"clear", b"info"),
    "a sealed message": sealed_message,
    "pages of a database": page_nonces,
    "staging files": staged_name,
    "temporary files": temporary_name,
}


def drawn_by_children(draw: Callable[[Path], bytes], folder: Path) -> list[bytes]:
    """What each of some children draws, all forked from this process in its present state."""
    results = []
    for _child in range(CHILDREN):
        read, write = os.pipe()
        if not (pid := os.fork()):
            try:
                os.write(write, draw(folder))
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            results.append(pipe.read())
        os.waitpid(pid, 0)
    return results


def blocks(drawn: bytes) -> list[bytes]:
    return [drawn[at : at + 16] for at in range(0, len(drawn), 16)]


@pytest.mark.parametrize("source", SOURCES)
def test_siblings_draw_different_values(source: str, tmp_path: Path) -> None:
    draw = SOURCES[source]
    draw(tmp_path)  # the state that is forked
    drawn = [*drawn_by_children(draw, tmp_path), draw(tmp_path)]
    assert all(drawn)
    found = [block for each in drawn for block in blocks(each)]
    assert len(set(found)) == len(found)


def test_a_state_that_survives_fork_is_noticed(tmp_path: Path) -> None:
    """The check can fail: a generator that nobody seeds again gives each child the same."""
    generator = random.Random(1)  # noqa: S311
    drawn = drawn_by_children(lambda _folder: generator.randbytes(16), tmp_path)
    assert len(set(drawn)) == 1
