"""Sealed files: written and read back; cut and flipped everywhere, never wrong data."""

from __future__ import annotations

import hashlib
import pickle
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crymapd.crypto import stream
from crymapd.crypto.packing import padme
from crymapd.crypto.secret import Secret
from crymapd.crypto.stream import CHUNK, Recipient, SealedWriter, new_metadata
from crymapd.errors import Damaged, KeyMissing
from tests.crypto.sealed_files import opened
from tests.crypto.vectors.make import ACCOUNT, OTHER_ACCOUNT, flipped, key, sealed, small

FLAGS = st.lists(st.sampled_from(("\\Seen", "$One", "$Two", "\\Deleted")), unique=True).map(tuple)


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.binary(max_size=3000), max_size=8),
    mailbox=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    flags=FLAGS,
    received=st.integers(-62_000_000_000, 250_000_000_000),
    zone=st.integers(-1439, 1439),
)
def test_round_trip(pieces: list[bytes], mailbox: str, flags: tuple[str, ...], received: int, zone: int) -> None:
    """However the octets came, and whatever the metadata says."""
    metadata = new_metadata(received, zone, mailbox, flags)
    out = bytearray()
    writer = SealedWriter(out.extend, Recipient("vector", key("vector").public, ACCOUNT), metadata)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    read, octets = opened(bytes(out))
    assert read == metadata
    assert b"".join(octets) == b"".join(pieces)
    assert writer.name == hashlib.sha3_256(out).hexdigest()
    assert writer.clear_length == sum(map(len, pieces))


@pytest.mark.parametrize("around", [0, 1, 2])
@pytest.mark.parametrize("more", range(-12, 13, 3))
def test_lengths_around_whole_chunks(around: int, more: int) -> None:
    """Padding and the counters of chunks at their edges."""
    message = hashlib.shake_256(b"edge").digest(max(0, around * (CHUNK - 4) + more))
    assert b"".join(opened(sealed(message))[1]) == message


def test_every_truncation() -> None:
    file, message = sealed(small()), small()
    for length in range(len(file)):
        with pytest.raises(Damaged):
            _read(file[:length], message)


def test_every_bit() -> None:
    file, message = sealed(small()), small()
    for at in range(len(file)):
        for bit in range(8):
            octets = bytearray(file)
            octets[at] ^= 1 << bit
            with pytest.raises((Damaged, KeyMissing)):
                _read(bytes(octets), message)


def _read(file: bytes, message: bytes) -> None:
    got = b""
    try:
        for piece in opened(file)[1]:
            got += piece
    finally:
        assert message.startswith(got), "wrong data"


def test_another_account() -> None:
    with pytest.raises(Damaged):
        opened(sealed(small()), OTHER_ACCOUNT)


def test_stopping_early_reads_no_further() -> None:
    """The first chunk is served although the last is damaged."""
    message = hashlib.shake_256(b"early").digest(3 * CHUNK)
    file = sealed(message)
    pieces = opened(flipped(file, len(file) - 9))[1]
    assert message.startswith(first := next(pieces)) and first


def test_length_is_hidden() -> None:
    """Messages of nearly the same length make files of the same length."""
    lengths = {len(sealed(hashlib.shake_256(b"l").digest(10_000 + more))) for more in range(0, 200, 20)}
    assert len(lengths) <= 2


@given(st.integers(0, 1 << 40))
def test_padme(length: int) -> None:
    padded = padme(length)
    assert length <= padded <= length * 1.12 + 1
    assert padme(padded) == padded


@given(st.integers(2, 1 << 40))
def test_padme_leaves_few_lengths(length: int) -> None:
    """PURBs section 4: as many bits are free as it takes to write the exponent."""
    exponent = length.bit_length() - 1
    assert padme(length) % (1 << exponent - exponent.bit_length()) == 0


def test_padme_is_monotonous() -> None:
    assert all(padme(one) <= padme(two) for one, two in pairwise(range(5000)))


def test_too_much_metadata() -> None:
    metadata = new_metadata(0, 0, "x" * 70_000)
    with pytest.raises(ValueError, match="metadata"):
        SealedWriter(bytes, Recipient("vector", key("vector").public, ACCOUNT), metadata)


@pytest.mark.parametrize(
    "change",
    [{"body_key": b"short"}, {"email_id": b""}, {"received": 2**63}, {"received": -(2**63)}, {"zone": 100_000}],
    ids=str,
)
def test_metadata_that_no_store_can_keep(change: dict[str, object]) -> None:
    """Whoever has the public key can seal it: damage, or a date that is none, but no crash of the filing process."""
    metadata = msgspec.structs.replace(new_metadata(0, 0, "INBOX"), **change)
    prefix = stream._prefix(Recipient("vector", key("vector").public, ACCOUNT), metadata)
    if {"received", "zone"} & set(change):
        read = opened(prefix + bytes(100))[0]
        assert (read.received, read.zone) == (0, 0)
        return
    with pytest.raises(Damaged):
        opened(prefix + bytes(100))


def test_secrets_do_not_show() -> None:
    secret = Secret(b"hidden octets")
    assert "hidden" not in f"{secret} {secret!r}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
