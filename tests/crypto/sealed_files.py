"""Reading a sealed file as the store does, for the tests beside it."""

from __future__ import annotations

import io
from collections.abc import Iterator

from crymapd.crypto.secret import Secret
from crymapd.crypto.stream import MAX_HEAD, Metadata, read_body, read_head
from crymapd.errors import KeyMissing
from tests.crypto.vectors.make import ACCOUNT, LIMIT, key

_KEYS = {"vector": key("vector")}


def opened(file: bytes, account: bytes = ACCOUNT, limit: int = LIMIT) -> tuple[Metadata, Iterator[bytes]]:
    """Metadata and pieces. Raises KeyMissing, Damaged; the pieces too."""
    stream = io.BytesIO(file)
    head = read_head(file[:MAX_HEAD])
    if head.key_name not in _KEYS:
        raise KeyMissing(f"no key {head.key_name!r}")
    metadata = head.open(_KEYS[head.key_name], account)
    return metadata, read_body(stream, head, Secret(metadata.body_key), limit)
