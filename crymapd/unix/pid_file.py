"""The file with the id of a running process.

It is locked for as long as the process lives, however that ends: a file that a crash left behind stops nobody, though
its number may by then be that of another process.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from crymapd.errors import ConfigError

_MODE = 0o644


class PidFile:
    """The locked file. A process that is forked from this one holds the lock as well until it calls `close`."""

    def __init__(self, path: Path) -> None:
        """Lock the file, and make it if it is missing.

        Raises:
            ConfigError: a running process has locked it, or it cannot be written.
        """
        self._path = path.absolute()
        try:
            self._fd = self._locked()
        except BlockingIOError:
            raise ConfigError(f"{self._path}: process {self._content()} is running already") from None
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from None

    def _locked(self) -> int:
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), os.stat(self._path)):
                    return fd
            except FileNotFoundError:
                pass  # its former owner has just removed it
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _content(self) -> str:
        return self._path.read_text(errors="replace").strip() or "?"

    def fileno(self) -> int:
        return self._fd

    def write(self) -> None:
        """Write the id of this process."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Let go of the lock, in a process that was forked."""
        os.close(self._fd)

    def remove(self) -> None:
        """Remove the file; where that needs a right that was given up, it is left empty."""
        os.ftruncate(self._fd, 0)
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._fd), os.stat(self._path)):
                os.unlink(self._path)
        self.close()
