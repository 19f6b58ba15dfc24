"""A test whose needs are not met is left out and told in one line, and fails in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testlib.needs import advice

TESTS = Path(__file__).parents[1]
ADVICE = "mbsync (apt-get install isync)"


def run_without_peers(ci: str) -> tuple[int, str]:
    """Run a test that needs mbsync where no program can be found; return the exit status and what was printed."""
    command: list[str | Path] = [sys.executable, "-m", "pytest", TESTS / "end_to_end" / "test_mbsync.py"]
    environment = {**os.environ, "PATH": "/nonexistent", "CI": ci}
    done = subprocess.run(command, env=environment, cwd=TESTS.parent, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_missing_peer_is_told_in_one_line() -> None:
    status, told = run_without_peers(ci="")
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED
    assert told.splitlines().count(f"tests left out: 1, for want of {ADVICE}") == 1


def test_a_missing_peer_fails_ci() -> None:
    status, told = run_without_peers(ci="true")
    assert status == pytest.ExitCode.TESTS_FAILED
    assert ADVICE in told


def test_advice() -> None:
    assert advice(frozenset({"root"})) == "root (make test as root)"
    assert advice(frozenset({"root", "mbsync"})) == "mbsync, root (apt-get install isync; make test as root)"
