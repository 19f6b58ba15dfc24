"""However the octets are cut, the lines are the same; one that is too long is told and not held."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crymapd.protocol.lines import KEPT, LineBuffer, LongLine
from tests.testlib.linear import assert_linear

LIMIT = 400
Line = bytes | LongLine


def lines(pieces: Iterable[bytes], limit: int = LIMIT) -> list[Line]:
    """Every line, taken as soon as it is there."""
    buffer = LineBuffer()
    taken: list[Line] = []
    for piece in pieces:
        buffer.feed(piece)
        while (line := buffer.take_line(limit)) is not None:
            taken.append(line)
    return taken


def octets(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


LONG = bytes(range(32, 127)) * 6
CASES: dict[str, tuple[bytes, list[Line]]] = {
    "a line": (b"EHLO there\r\n", [b"EHLO there"]),
    "a bare LF": (b"EHLO there\n", [b"EHLO there"]),
    "empty lines": (b"\r\n\n\r\n", [b"", b"", b""]),
    "CR inside and doubled": (b"a\rb\r\r\n\r\r\n", [b"a\rb\r", b"\r"]),
    "as long as it may be": (b"x" * (LIMIT - 1) + b"\r\n", [b"x" * (LIMIT - 1)]),
    "as long as it may be, with a bare LF": (b"x" * LIMIT + b"\n", [b"x" * LIMIT]),
    "one octet too long": (b"x" * LIMIT + b"\r\n", [LongLine(b"x" * KEPT, b"x" * (KEPT - 1))]),
    "much too long": (LONG + b"\r\nNOOP\r\n", [LongLine(LONG[:KEPT], LONG[1 - KEPT :]), b"NOOP"]),
    "two that are too long": (
        (b"a" * 900 + b"\n") + (b"b" * 900 + b"\n"),
        [LongLine(b"a" * KEPT, b"a" * KEPT), LongLine(b"b" * KEPT, b"b" * KEPT)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_whole(name: str) -> None:
    data, expected = CASES[name]
    assert lines([data]) == expected


@pytest.mark.parametrize("name", CASES)
def test_octet_by_octet(name: str) -> None:
    data, expected = CASES[name]
    assert lines(octets(data)) == expected


@pytest.mark.parametrize("name", CASES)
def test_with_trailing_data(name: str) -> None:
    data, expected = CASES[name]
    assert lines([data + b"RSET\r\nQU"]) == [*expected, b"RSET"]


_PIECES = st.sampled_from((b"\r\n", b"\n", b"\r", b"a" * 60, b"{3+}")) | st.binary(max_size=5)


@given(st.lists(_PIECES, max_size=40).map(b"".join), st.integers(0, 500), st.data())
def test_the_cuts_do_not_matter(data: bytes, limit: int, choose: st.DataObject) -> None:
    cuts = sorted(choose.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert lines(pieces, limit) == lines([data], limit) == lines(octets(data), limit) == _split(data, limit)


def _split(data: bytes, limit: int) -> list[Line]:
    """The same in the plainest way."""
    return [
        line.removesuffix(b"\r") if len(line) <= limit else LongLine(line[:KEPT], line[-KEPT:].removesuffix(b"\r"))
        for line in data.split(b"\n")[:-1]
    ]


@given(st.binary(max_size=100), st.binary(max_size=100), st.lists(st.integers(1, 20), max_size=30))
def test_octets_between_lines(run: bytes, rest: bytes, sizes: list[int]) -> None:
    """A run of octets may look like lines; afterwards lines are found as ever."""
    buffer = LineBuffer()
    buffer.feed(b"BDAT\r\n" + run)
    assert buffer.take_line(LIMIT) == b"BDAT"
    taken = b""
    for size in sizes:
        taken += buffer.take_octets(min(size, len(run) - len(taken)))
    assert run.startswith(taken) and len(buffer) == len(run) - len(taken)
    taken += buffer.take_octets(len(run))
    assert taken == run and not buffer
    buffer.feed(rest + b"\n")
    assert buffer.take_line(LIMIT) == rest.partition(b"\n")[0].removesuffix(b"\r")


def test_octets_that_have_not_come() -> None:
    buffer = LineBuffer()
    assert buffer.take_octets(10) == b""
    buffer.feed(b"abc")
    assert buffer.take_octets(0) == b"" and buffer.take_octets(10) == b"abc"


@pytest.mark.parametrize("piece", [1, 100, 64 * 1024])
def test_an_endless_line_takes_no_memory(piece: int) -> None:
    buffer = LineBuffer()
    for _ in range(2000):
        buffer.feed(b"x" * piece)
        assert buffer.take_line(LIMIT) is None
        assert len(buffer) <= LIMIT


def test_octets_that_come_one_by_one_are_searched_once() -> None:
    assert_linear(lambda size: size, lambda size: lines([b"x"] * size, size), 10_000, 1_000_000)


def test_many_lines_at_once_take_linear_time() -> None:
    assert_linear(lambda size: b"NOOP\r\n" * size, lambda data: lines([data]), 2_000, 200_000)
