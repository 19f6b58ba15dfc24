"""Going into the background: whoever started the program hears whether it listens, or why not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol, Self

from crymapd.errors import ConfigError
from crymapd.unix import signals

_LISTENS = b"\0"
_LONGEST = 4096


class HasDescriptor(Protocol):
    """Anything that has a descriptor."""

    def fileno(self) -> int: ...


class NotLaunched(ConfigError):
    """The process in the background ended before it listened; the text is its reason."""


class Launch:
    """Starts a process, in the foreground until `detach` is called.

    An exception that leaves the `with` block is reported to the process that was called.
    """

    def __init__(self) -> None:
        self._report: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self._say(str(error).encode(errors="replace"))

    def detach(self, kept: Iterable[HasDescriptor]) -> None:
        """Go on in the background, the standard way.

        The process that was called never returns from here: it ends with 0 once `succeeded` is called.

        Args:
            kept: what stays open.

        Raises:
            NotLaunched: in the process that was called, when the other one fails or ends.
        """
        import daemon

        reading, writing = os.pipe()
        if os.fork():
            os.close(writing)
            signals.end_as_usual()  # so that whoever waits here can be ended, and leaves the other process its files
            signals.let_through()
            report = os.read(reading, _LONGEST)  # once, as others may keep the pipe open
            if report == _LISTENS:
                os._exit(0)
            raise NotLaunched(report.decode(errors="replace") or "it ended before it listened; the log may say why")
        os.close(reading)
        self._report = writing
        files = [each.fileno() for each in kept]
        daemon.DaemonContext(files_preserve=[*files, writing], umask=0o077, detach_process=True).open()

    def succeeded(self) -> None:
        """Say that the program listens."""
        self._say(_LISTENS)

    def _say(self, text: bytes) -> None:
        if self._report is not None:
            os.write(self._report, text)
            os.close(self._report)
            self._report = None
