"""Counts that fade, in a file that never grows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crymapd.authentication.tally import Tally


@pytest.fixture
def tally(tmp_path: Path) -> Iterator[Tally]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    made = Tally(fd, "counts", 60)
    os.close(fd)
    yield made
    made.close()


def test_counts_fade(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    tally.add("a", 1)
    tally.add("a", 3)
    tally.add("b", 1)
    assert (tally.count("a"), tally.count("b"), tally.count("c")) == (4, 1, 0)
    now += 60
    assert (tally.count("a"), tally.count("b")) == (2, 0.5)
    now -= 3600
    assert tally.count("a") == 4, "a clock that was set back makes nothing of it"
    tally.set("a", 0)
    assert tally.count("a") == 0


def test_the_file_never_grows_and_the_highest_counts_stay(tally: Tally, tmp_path: Path) -> None:
    size = (tmp_path / "counts").stat().st_size
    tally.add("guesser", 50)
    for number in range(60_000):
        tally.add(f"stranger {number}", 1)
    assert tally.count("guesser") > 25
    assert (tmp_path / "counts").stat().st_size == size < 500_000


def test_siblings_lose_no_count(tally: Tally, tmp_path: Path) -> None:
    children = []
    for _child in range(4):
        if not (child := os.fork()):
            fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
            own = Tally(fd, "counts", 1e9)
            for _time in range(300):
                own.add("a", 1)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert tally.count("a") > 1150


def test_a_file_of_another_size_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "counts").write_bytes(b"\xff" * 99)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    made = Tally(fd, "counts", 60)
    made.add("a", 1)
    assert made.count("a") > 0.9
    made.close()
    os.close(fd)


def test_forgetting_what_is_not_there_costs_nobody_a_count(tally: Tally) -> None:
    for number in range(20_000):
        tally.add(f"a{number}", 1)
    before = sum(tally.count(f"a{number}") > 0 for number in range(20_000))
    for number in range(5_000):
        tally.set(f"b{number}", 0)
    assert sum(tally.count(f"a{number}") > 0 for number in range(20_000)) == before


def test_nobody_can_choose_who_shares_a_bucket(tmp_path: Path) -> None:
    """Each file has a key of its own, so the same subjects lie elsewhere."""
    places = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fd = os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY)
        made = Tally(fd, "counts", 60)
        made.add("alice", 1)
        places.append((tmp_path / name / "counts").read_bytes()[32:].find(b"\x3f\xf0"))
        made.close()
        os.close(fd)
    assert places[0] != places[1] and min(places) >= 0
