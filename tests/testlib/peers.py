"""The programs that the tests talk to or work with, and the Debian packages that have them.

This is the only list of them. Tests name a program with `@pytest.mark.peer("mbsync")`, and `tests/testlib/needs.py`
decides what becomes of a test whose peer is missing. `make test`, and so `.ci/run`, runs this module first:

    python3 -m tests.testlib.peers

As root it installs what is missing; as anybody else it does nothing, because the tests themselves say in one line
what is missing. It needs nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable

PACKAGES = {
    "curl": "curl",
    "fetchmail": "fetchmail",
    "getmail": "getmail6",
    "mandoc": "mandoc",
    "mbsync": "isync",
    "mutt": "mutt",
    "neomutt": "neomutt",
    "node": "nodejs",
    "npm": "npm",
    "offlineimap": "offlineimap3",
    "openssl": "openssl",
    "procmail": "procmail",
    "shellcheck": "shellcheck",
    "faketime": "faketime",
    "strace": "strace",
    "thunderbird": "thunderbird",
    "tmux": "tmux",
}
ATTEMPTS = 2  # mirrors have their moments


def missing(programs: Iterable[str] = PACKAGES) -> list[str]:
    """Return those of the programs that are not installed, sorted."""
    return sorted(program for program in programs if shutil.which(program) is None)


def how_to_get(programs: Iterable[str]) -> str:
    """Return the command that installs these programs on Debian."""
    return "apt-get install " + " ".join(sorted({PACKAGES[program] for program in programs}))


def main() -> int:
    """Install every missing peer if this is root on Debian; return 0, or 1 if apt-get fails."""
    wanted = missing()
    if not wanted or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return 0
    return 0 if any(_install(wanted) for _attempt in range(ATTEMPTS)) else 1


def _install(programs: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = [*how_to_get(programs).split(), "-q", "-y", "--no-install-recommends"]
    return all(subprocess.call(command, env=environment) == 0 for command in (["apt-get", "update", "-q"], install))


if __name__ == "__main__":
    sys.exit(main())
