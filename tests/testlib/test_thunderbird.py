"""A picture counts as blank when its rows look alike."""

from __future__ import annotations

from tests.testlib.building import png
from tests.testlib.thunderbird import is_blank


def test_is_blank() -> None:
    one_letter = bytes(range(64)) + bytes(64 * 63)
    assert is_blank(png(64, 64, bytes(64 * 64))) and is_blank(png(64, 64, one_letter))
    assert not is_blank(png(64, 64, bytes((x * y) % 256 for y in range(64) for x in range(64))))
