"""BINARY of parts too large to be held (RFC 3516): decoded in pieces, the length announced is the length sent."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from crymapd.imap import dispatch
from crymapd.imap.session import Session
from tests.testlib.answers import Fetch
from tests.testlib.grammar import parse
from tests.testlib.stores import StoreOpener, append

ATTACHED = random.Random(1).randbytes(700_001)
ALL_BUT_NUL = ATTACHED.replace(b"\0", b"x")
LINES = b"some text\n" * 60_000


def message(*parts: bytes) -> bytes:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def encoded(kind: bytes, octets: bytes) -> bytes:
    text = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    return b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + text


@pytest.fixture(scope="module")
def octets() -> bytes:
    kind = b"application/octet-stream"
    return message(encoded(kind, ATTACHED), encoded(kind, ALL_BUT_NUL), encoded(b"text/plain", LINES))


DECODED = {1: ATTACHED, 2: ALL_BUT_NUL, 3: LINES.replace(b"\n", b"\r\n")}


@pytest.mark.parametrize("part", DECODED)
@pytest.mark.parametrize("partial", [None, (0, 100), (1, 400_000), (300_001, 10_000_000), (700_000, 1), (800_000, 5)])
def test_what_is_decoded_is_what_was_encoded(
    home: Path, open_store: StoreOpener, octets: bytes, part: int, partial: tuple[int, int] | None
) -> None:
    store = open_store(home)
    append(store, octets)
    sent: list[bytes] = []
    session = Session(sent.append, lambda _credentials: store, store_or_none=store)
    whole = DECODED[part]
    start, length = partial or (0, len(whole))
    asked, origin = (f"<{start}.{length}>", f"<{start}>") if partial else ("", "")
    for line in (b"S SELECT INBOX", f"F FETCH 1 (BINARY.PEEK[{part}]{asked} BINARY.SIZE[{part}])".encode()):
        sent.clear()
        assert dispatch.perform(session, dispatch.parse([line], session.state)).status == "OK"
    answer = parse(b"".join(sent))
    assert isinstance(answer, Fetch)
    wanted = whole[start : start + length]
    assert answer.octets(f"BINARY[{part}]{origin}") == wanted
    assert answer[f"BINARY.SIZE[{part}]"] == len(whole)
    assert (f"BINARY[{part}]{origin} ~{{".encode() in b"".join(sent)) == (b"\0" in wanted)
