"""A few seconds of what `make fuzz` does for hours, the same octets every time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import targets, words

SOUP = st.lists(
    st.sampled_from(words.WORDS) | st.sampled_from((b" ", b"\r\n", b"(", b")")) | st.binary(max_size=4), max_size=30
)


def octets(name: str) -> st.SearchStrategy[bytes]:
    """Words in any order, alone and behind whole examples."""
    whole = st.sampled_from([seed[:1000] for seed in words.SEEDS[name]()])
    return st.one_of(SOUP.map(b"".join), st.builds(lambda seed, more, cut: seed[:cut] + b"".join(more) + seed[cut:],
                                                   whole, SOUP, st.integers(0, 1000)))  # fmt: skip


@pytest.mark.parametrize("name", targets.TARGETS)
def test_it_holds(name: str) -> None:
    """Whole or octet by octet the same events; grammatical refusals, ENVELOPEs, BODYSTRUCTUREs and answers."""

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(octets(name))
    def check(data: bytes) -> None:
        targets.TARGETS[name](data)

    check()


@pytest.mark.parametrize("name", targets.TARGETS)
def test_it_holds_for_the_examples(name: str) -> None:
    for seed in words.SEEDS[name]():
        targets.TARGETS[name](seed)


def test_every_command_is_among_the_words() -> None:
    from crymapd.imap.state import COMMANDS

    assert {name.removeprefix(b"UID ") for name in COMMANDS} <= set(words.COMMANDS)


def test_every_target_has_examples() -> None:
    assert targets.TARGETS.keys() == words.SEEDS.keys()
