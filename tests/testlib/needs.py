"""What a test needs beside Python: a peer, or root. This is a pytest plugin, loaded by `tests/conftest.py`.

A test says what it needs with a marker, or a module for all its tests with `pytestmark`:

    @pytest.mark.peer("mbsync")  programs of the table in `tests/testlib/peers.py`
    @pytest.mark.root  the test makes UNIX users, or changes owners, or traces a process that has changed its uid

On a developer's machine a test whose needs are not met is left out, and the last lines of the run say how many
those are and how to get what they need. In CI (where the environment has `CI`) nothing is left out: such a test
fails and says the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.testlib import peers

ROOT = "root"
_LEFT_OUT = pytest.StashKey[list[frozenset[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "peer(program): the test needs a program of tests/testlib/peers.py")
    config.addinivalue_line("markers", "root: the test needs root's privileges")
    config.stash[_LEFT_OUT] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, unless this is CI."""
    if in_ci():
        return
    left_out = {item: unmet for item in items if (unmet := unmet_needs(item))}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]
    config.stash[_LEFT_OUT] = list(left_out.values())


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test that CI cannot run. Elsewhere it has been left out before."""
    if unmet := unmet_needs(item):
        pytest.fail(f"CI must have everything, but this test needs {advice(unmet)}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash[_LEFT_OUT]:
        needed = frozenset(need for unmet in left_out for need in unmet)
        terminalreporter.write_line(f"tests left out: {len(left_out)}, for want of {advice(needed)}")


def in_ci() -> bool:
    return bool(os.environ.get("CI"))


def unmet_needs(item: pytest.Item) -> frozenset[str]:
    """Return what a test needs and this machine does not offer: names of peers, and `root`."""
    return frozenset(need for need in _needs(item) if not _is_met(need))


def _needs(item: pytest.Item) -> Iterator[str]:
    yield from (ROOT for _marker in item.iter_markers("root"))
    for marker in item.iter_markers("peer"):
        yield from marker.args


def _is_met(need: str) -> bool:
    return os.geteuid() == 0 if need == ROOT else not peers.missing([need])


def advice(unmet: frozenset[str]) -> str:
    """Return what is missing and how to get it, in one line.

    >>> advice(frozenset({"root", "mbsync"}))
    'mbsync, root (apt-get install isync; make test as root)'
    """
    programs = unmet - {ROOT}
    ways = [peers.how_to_get(programs)] if programs else []
    ways += ["make test as root"] if ROOT in unmet else []
    return f"{', '.join(sorted(unmet))} ({'; '.join(ways)})"
