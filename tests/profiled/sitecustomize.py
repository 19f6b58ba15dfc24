"""Profiles every process that is forked while CRYMAP_PROFILE names a directory: the listener's workers.

    CRYMAP_PROFILE=/tmp/profile PYTHONPATH=tests/profiled make run

A process opens the file DIRECTORY/PID when it is forked, because later it may be confined, and writes its profile
into it when it ends by itself. `python -m pstats` reads it. docs/developing.md shows how.
"""

from __future__ import annotations

import cProfile
import marshal
import os
from pathlib import Path
from typing import Any, NoReturn

VARIABLE = "CRYMAP_PROFILE"


def _profile(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    os.register_at_fork(after_in_child=lambda: _begin(directory))


def _begin(directory: Path) -> None:
    output = os.open(directory / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    profile: Any = cProfile.Profile()
    leave = os._exit

    def leave_with_profile(status: int) -> NoReturn:
        profile.create_stats()
        with open(output, "wb") as file:
            marshal.dump(profile.stats, file)
        leave(status)

    os._exit = leave_with_profile
    profile.enable()


if VARIABLE in os.environ:
    _profile(Path(os.environ[VARIABLE]))
