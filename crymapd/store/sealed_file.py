"""Sealed files: writing them while a message arrives, placing them, reading them from wherever they are.

A file is staged in `tmp/`.  Its hash becomes its name, there (APPEND) or in `new/` (delivery).  It gets its
row, and only then moves to `messages/`; at login, files that have rows and have not moved yet are moved.  So
a crash at any step loses nothing, and no client sees half a message.
"""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from crymapd.crypto.secret import Secret
from crymapd.crypto.stream import MAX_HEAD, Head, Metadata, Recipient, SealedWriter, read_body, read_head, read_whole
from crymapd.errors import MessageGone, TooBig
from crymapd.mime.content import slices
from crymapd.store.layout import Layout
from crymapd.store.reserve import refuse_if_full
from crymapd.unix import files

UNKNOWN_KEY = bytes(32)
"""The body key in the row of a file whose sealed head could not be opened at filing."""
UNLIMITED = 1 << 62
DEFAULT_LARGEST = 64 * 1024 * 1024
"""Octets of a message that is filed in any case: a lower limit may be newer than the message."""
SWEEP_SECONDS = 20.0
"""How long to wait until another process has swept `tmp/`."""


def local_zone(moment: float) -> int:
    """Return this host's time zone at a moment, minutes east of UTC, so that INTERNALDATE has the day of its users."""
    return time.localtime(moment).tm_gmtoff // 60


class Sealing:
    """A message that is being sealed into `tmp/`: a context manager, which removes the file unless it was published."""

    def __init__(self, layout: Layout, recipient: Recipient, metadata: Metadata, limit: int) -> None:
        self._layout = layout
        self._limit = limit
        self.metadata = metadata
        refuse_if_full(layout.home)
        self._staged = files.Staged(layout.tmp)
        self._writer: SealedWriter | None = SealedWriter(self._staged.write, recipient, metadata)
        self.size = 0
        """Octets of the message so far."""
        self.octets = 0
        """Octets of the sealed file, once it is complete."""
        self._name = ""

    def write(self, data: bytes) -> None:
        """Take the next octets of the message. Raises TooBig beyond the limit."""
        if self.size + len(data) > self._limit:
            raise TooBig(self._limit)
        if self._writer is not None:
            refuse_if_full(self._layout.home)
            self._writer.write(data)
        self.size += len(data)

    def finish(self) -> bytes:
        """End the message; return the 32 octets of the name that `publish` gives to its file."""
        if self._writer is not None:
            self._writer.finish()
            self._name = self._writer.name
            self._writer = None  # frees its buffers, as this file may have to wait until many others are complete
            self.octets = self._staged.settle()
        return bytes.fromhex(self._name)

    def target(self, directory: Path) -> tuple[files.Staged, Path]:
        """Return the staged file and its final path in a directory, as `files.publish_together` takes them."""
        return self._staged, directory / self._name

    def __enter__(self) -> Sealing:
        return self

    def __exit__(self, *exc: object) -> None:
        self._staged.__exit__(*exc)


@contextmanager
def staging(layout: Layout) -> Iterator[None]:
    """Keep what the block writes into `tmp/` from being swept, however old the clock makes it look.

    Raises:
        TimeoutError: somebody sweeps, and does not come to an end.
    """
    with files.locked(layout.staging_lock, wait=SWEEP_SECONDS, shared=True) as has_lock:
        if not has_lock:
            raise TimeoutError(errno.ETIMEDOUT, "another process sweeps it", str(layout.tmp))
        yield


def publish(messages: Sequence[Sealing], directory: Path) -> None:
    """Put complete files durably into a directory, each under its hash."""
    files.publish_together([message.target(directory) for message in messages], replace=True)


def place(layout: Layout, file: bytes) -> bool:
    """Move a file with a committed row to its final place; False if it is in none of its places."""
    name = file.hex()
    final, *earlier = layout.places(name)
    return any(files.move(path, final) for path in reversed(earlier) if path.exists()) or final.exists()


class OpenedFile:
    """A sealed file that was opened and can be read again and again. A small one is held in memory, not kept open."""

    __slots__ = ("_beginning", "_file", "head")

    def __init__(self, layout: Layout, file: bytes) -> None:
        """Open the file, in whichever of its places it is.

        Raises:
            MessageGone: it is in none of its places.
            Damaged: it is not a sealed file.
            OSError: it cannot be read now.
        """
        fd = _open(layout, file)
        try:
            self._beginning = _beginning(fd)
            self.head: Head = read_head(self._beginning)
            self._file: BinaryIO | None = None
            if len(self._beginning) == MAX_HEAD:
                self._file = os.fdopen(os.dup(fd), "rb")
        finally:
            os.close(fd)

    @property
    def octets(self) -> int:
        """The length of the file."""
        return len(self._beginning) if self._file is None else os.fstat(self._file.fileno()).st_size

    def whole(self, body_key: Secret) -> bytes:
        """Return all octets of the message. Raises Damaged."""
        if self._file is None:
            return read_whole(self._beginning, self.head, body_key, UNLIMITED)
        return b"".join(self.pieces(body_key))

    def pieces(self, body_key: Secret, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the octets of the message from `start` to `end`, reading no further than necessary. Raises Damaged."""
        file = io.BytesIO(self._beginning) if self._file is None else self._file
        clear = read_body(file, self.head, body_key, UNLIMITED)
        return slices(clear, start, end) if start or end is not None else clear

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> OpenedFile:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _open(layout: Layout, file: bytes) -> int:
    for path in layout.search_order(file.hex()):
        try:
            return files.open_regular(path)
        except FileNotFoundError:
            continue
    raise MessageGone(f"no file for message {file.hex()[:16]}")


def _beginning(fd: int) -> bytes:
    """Read the first MAX_HEAD octets of a file, or all; some file systems return fewer at once."""
    octets = os.read(fd, MAX_HEAD)
    while 0 < len(octets) < MAX_HEAD and (more := os.read(fd, MAX_HEAD - len(octets))):
        octets += more
    return octets
