"""`crymapd`, the command: a worker of inetd starts at once, everything else through `cli.crymapd`.

The library for command lines takes longer to load than a client should wait for a greeting.
"""

from __future__ import annotations

import sys
from pathlib import Path

PROGRAM = "crymapd"


def main() -> None:
    root = _to_serve(sys.argv[1:])
    if root is None:
        from crymapd.cli.crymapd import main as command_line

        command_line()
    else:
        serve(*root)


def _to_serve(arguments: list[str]) -> tuple[Path | None] | None:
    """The root of `[--root DIR] serve-imaps`; None for any other command."""
    match arguments:
        case ["serve-imaps"]:
            return (None,)
        case ["--root", folder, "serve-imaps"]:
            return (Path(folder),)
        case [option, "serve-imaps"] if option.startswith("--root="):
            return (Path(option.removeprefix("--root=")),)
    return None


def serve(root: Path | None) -> None:
    """Serve the one connection this process was started for."""
    from crymapd.cli.failure import reported
    from crymapd.daemon import service

    with reported(PROGRAM):
        service.serve_descriptor(root)
