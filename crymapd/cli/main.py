"""`crymapd`, the command: a worker of inetd starts at once, everything else through `cli.crymapd`.

The library for command lines takes longer to load than a client should wait for a greeting.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crymapd.daemon.services import SERVICES

PROGRAM = "crymapd"


def main() -> None:
    """Run the command; `serve-NAME` without the library for command lines."""
    asked = _to_serve(sys.argv[1:])
    if asked is None:
        from crymapd.cli.crymapd import main as command_line

        command_line()
    else:
        serve(*asked)


def _to_serve(arguments: list[str]) -> tuple[str, Path | None] | None:
    """Read `[--root DIR] serve-NAME`: the name of a service, and the root; None for any other command."""
    match arguments:
        case [command]:
            root = None
        case ["--root", folder, command]:
            root = Path(folder)
        case [option, command] if option.startswith("--root="):
            root = Path(option.removeprefix("--root="))
        case _:
            return None
    name = command.removeprefix("serve-")
    return (name, root) if command != name and name in SERVICES else None


def serve(name: str, root: Path | None) -> None:
    """Serve the one connection for which this process was started."""
    from crymapd.cli.failure import reported

    with reported(PROGRAM):
        from crymapd.daemon import service

        service.serve_descriptor(SERVICES[name], root)
