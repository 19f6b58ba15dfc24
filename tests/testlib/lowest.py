"""`python -m tests.testlib.lowest`: the oldest versions with which crymapd may be installed, as pip's requirements.

`make test LOWEST=yes` installs them, so that the lower bounds in setup.cfg are versions that were tried.
"""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BOUND = re.compile(r"[\w.-]+>=[\d.]+")


def lowest() -> list[str]:
    """Every dependency with its lower bound as the version.

    Raises:
        ValueError: a dependency has no lower bound, or more than that.
    """
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    bounds = settings["options"]["install_requires"].split()
    for bound in bounds:
        if not _BOUND.fullmatch(bound):
            raise ValueError(f"setup.cfg: expected a lower bound such as click>=8.1, got {bound}")
    return [bound.replace(">=", "==") for bound in bounds]


if __name__ == "__main__":
    print(*lowest(), sep="\n")
