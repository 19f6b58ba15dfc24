"""Known files and what must come of each; its name says it: `ok-...`, `truncated-...`, `wrong_key-...`."""

from __future__ import annotations

from pathlib import Path

import pytest

from crymapd.errors import Damaged, KeyMissing
from tests.crypto.sealed_files import opened
from tests.crypto.vectors.make import LIMIT, MESSAGES, METADATA, large, small, vectors

FILES = sorted((Path(__file__).parent / "vectors").glob("*.sealed"))
OUTCOMES = {
    "ok", "truncated", "wrong_key", "wrong_account", "reordered_chunk", "dropped_chunk", "duplicated_chunk",
    "foreign_chunk", "flipped_bit", "appended_bytes", "unknown_version", "unknown_codec", "malformed", "bomb",
}  # fmt: skip


def test_every_outcome_has_a_vector() -> None:
    assert {path.stem.partition("-")[0] for path in FILES} == OUTCOMES


def test_the_script_still_makes_them() -> None:
    assert {path.stem for path in FILES} == set(vectors())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_vector(path: Path) -> None:
    outcome, _dash, what = path.stem.partition("-")
    file = path.read_bytes()
    if outcome == "ok":
        metadata, pieces = opened(file)
        assert metadata == METADATA
        assert b"".join(pieces) == MESSAGES[what]
        return
    got = b""
    with pytest.raises((Damaged, KeyMissing)) as caught:
        for piece in opened(file)[1]:
            got += piece
    assert caught.type is (KeyMissing if path.stem in ("wrong_key-other_name", "flipped_bit-key_name") else Damaged)
    assert len(got) <= LIMIT
    originals = (large(), small(), bytes(LIMIT), b"ab")
    assert any(original.startswith(got) for original in originals), "wrong data"


def test_a_bomb_costs_no_memory() -> None:
    """What is over the limit is not even made: expansion stops within a piece of it."""
    file = (Path(__file__).parent / "vectors" / "bomb-brotli.sealed").read_bytes()
    got = 0
    with pytest.raises(Damaged, match="longer"):
        for piece in opened(file, limit=300_000)[1]:
            assert len(piece) <= 1 << 19
            got += len(piece)
    assert got <= 300_000
