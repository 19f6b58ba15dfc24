"""Packing: whatever goes in comes out, octet for octet; base64 is undone only where that is lossless."""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crymapd.crypto.packing import WINDOW, Packer, Unpacker, encode_lines, records, varint
from crymapd.errors import Damaged
from tests.testlib.linear import assert_linear

ENDS = st.sampled_from((b"\r\n", b"\n", b"\r", b"\n\r"))


@st.composite
def base64_bodies(draw: st.DrawFn) -> bytes:
    """Base64 as it is in the world: many widths, whole and broken, with and without padding."""
    width = draw(st.one_of(st.integers(36, 80), st.sampled_from((60, 64, 72, 76, 248, 250, 252, 256))))
    data = draw(st.binary(min_size=1, max_size=64)) * draw(st.integers(1, 40))
    text = base64.b64encode(data)
    end = draw(ENDS)
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    body = end.join(lines) + draw(st.sampled_from((b"", end)))
    spoil = draw(st.sampled_from((b"", b"", b"=", b" ", b"*", b"--", b"\0", b"\r", b"\n")))
    at = draw(st.integers(0, len(body)))
    return body[:at] + spoil + body[at:]


MESSAGES = st.lists(
    st.one_of(
        base64_bodies(),
        st.binary(max_size=200),
        st.sampled_from((b"\r\n", b"Subject: x\r\n\r\n", b"--b\r\n", b"text ")),
    ),
    max_size=6,
).map(b"".join)


def packed(pieces: list[bytes]) -> bytes:
    packer = Packer()
    out = b"".join([packer.process(piece) for piece in pieces])
    return out + packer.finish()


def unpacked(data: bytes, step: int, limit: int = 1 << 30) -> bytes:
    unpacker = Unpacker(limit)
    out = [piece for at in range(0, len(data), step) for piece in unpacker.process(data[at : at + step])]
    unpacker.finish()
    return b"".join(out)


@settings(max_examples=300, deadline=None)
@given(MESSAGES, st.integers(1, 3000), st.integers(1, 200))
def test_round_trip(message: bytes, cut: int, step: int) -> None:
    pieces = [message[at : at + cut] for at in range(0, len(message), cut)]
    assert unpacked(packed(pieces), step) == message


@settings(max_examples=8, deadline=None)
@given(MESSAGES.filter(bool), st.integers(1, 40_000))
def test_round_trip_over_several_windows(message: bytes, cut: int) -> None:
    whole = message * (2 * WINDOW // len(message) + 1)
    pieces = [whole[at : at + cut] for at in range(0, len(whole), cut)]
    assert unpacked(packed(pieces), 65536) == whole


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("width", [40, 60, 64, 72, 76, 248])
def test_base64_gets_shorter(width: int, end: bytes) -> None:
    """The reason for it: an attachment that was compressed before takes no more than its own octets."""
    data = hashlib.shake_256(b"attached").digest(width * 300)
    body = encode_lines(data, width, end)
    assert len(packed([body])) < len(data) * 1.01 + 100
    assert any(record[0] == 1 and record[1] == width for record in records(body))


@pytest.mark.parametrize("width", [41, 42, 43, 70, 75, 250])
def test_other_widths_stay_as_they_are(width: int) -> None:
    assert [record[0] for record in records((b"a" * width + b"\r\n") * 50)] == [0]


@given(st.integers(0, 2**60))
def test_varint(number: int) -> None:
    """A record's count is read back."""
    message = b"\x00\x00" + varint(number)
    unpacker = Unpacker(1 << 62)
    assert list(unpacker.process(message)) == []
    assert unpacker._verbatim_left == number


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from((b"", b"\x00", b"\x01", b"\x00\x01\x04\x00", b"\x00\x00\x05")))
def test_garbage_is_damage(garbage: bytes, head: bytes) -> None:
    """Any octets give octets or Damaged, nothing else."""
    with suppress(Damaged):
        unpacked(head + garbage, 50, 100_000)


@pytest.mark.parametrize("codec", [0, 1])
def test_nothing_may_follow_the_end(codec: int) -> None:
    body = b"\x00\x02ab\xff\x02"
    for more in (b"", b"x", b"\x00\x01c"):
        stream = body + more
        data = bytes((codec,)) + (brotli.compress(stream) if codec else stream)
        if not more:
            assert unpacked(data, 1) == b"ab"
            continue
        for step in (1, 1000):
            with pytest.raises(Damaged):
                unpacked(data, step)


def test_nothing_may_follow_the_compressed_stream() -> None:
    data = b"\x01" + brotli.compress(b"\x00\x02ab\xff\x02")
    with pytest.raises(Damaged):
        unpacked(data + b"more", 1000)


def test_limit() -> None:
    data = packed([b"x" * 1000])
    assert unpacked(data, 10, 1000) == b"x" * 1000
    with pytest.raises(Damaged, match="longer"):
        unpacked(data, 10, 999)


LINES = {
    "hexadecimal lines of 70": b"a" * 70 + b"\r\n",
    "lines of 76": b"a" * 76 + b"\r\n",
    "two widths in turn": b"a" * 76 + b"\r\n" + b"a" * 72 + b"\r\n",
    "runs too short": (b"a" * 76 + b"\r\n") * 3 + b"\r\n",
    "one line without end": b"a",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_linear(line: bytes) -> None:
    """A window takes no longer than its length says; lines of 70 once took 2 seconds."""
    assert_linear(lambda size: line * (size // len(line)), lambda data: list(records(data)), WINDOW // 16, WINDOW // 8)
