"""The listener's children: a process for each connection, and a spare one for the next.

The spare is forked before its client comes, so that nobody waits for that: it takes a twentieth of a short session.
It has read nothing from anybody.  It waits for the name of a service with a connection to it, and ends if there will
be none.
"""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn

from crymapd.config.system import Limits
from crymapd.unix import signals

_LONGEST_NAME = 255


class _Spare(NamedTuple):
    pid: int
    line: socket.socket


class Workers:
    """Processes by their client's address.

    Args:
        limits: how many there may be.
        settle: called in a new process, to forget what is the listener's.
        work: called there with its connection and the name of the service that it is for.
    """

    def __init__(self, limits: Limits, settle: Callable[[], None], work: Callable[[socket.socket, str], None]) -> None:
        self._limits = limits
        self._settle = settle
        self._work = work
        self._addresses: dict[int, str] = {}
        self._per_address: Counter[str] = Counter()
        self._spare: _Spare | None = None

    def __len__(self) -> int:
        """Count the processes that have a connection."""
        return len(self._addresses)

    def why_not(self, address: str) -> str:
        """Name the limit that forbids another connection from an address; empty if none does."""
        if len(self) >= self._limits.max_workers:
            return f"[limits] max_workers = {self._limits.max_workers}"
        if self._per_address[address] >= self._limits.max_workers_per_address:
            return f"[limits] max_workers_per_address = {self._limits.max_workers_per_address}"
        return ""

    def fork_spare(self) -> None:
        """Fork the spare process, where there is none.

        Raises:
            OSError: there are no more processes or descriptors to be had.
        """
        if self._spare is None:
            self._spare = self._fork()

    def take(self, sock: socket.socket, service: str, address: str) -> None:
        """Give a connection to the spare process or, if that cannot take it any more, to another one.

        A connection is lost without an error only if somebody ends the process at the very moment it is given it.

        Raises:
            OSError: the other process could not take it either.
        """
        try:
            pid = self._given(sock, service)
        except OSError:
            pid = self._given(sock, service)
        self._addresses[pid] = address
        self._per_address[address] += 1

    def _given(self, sock: socket.socket, service: str) -> int:
        """Send a connection to the spare process, whose id is returned: from now on there is no spare one."""
        self.fork_spare()
        assert self._spare is not None
        pid, line = self._spare
        self._spare = None
        with line:
            socket.send_fds(line, [service.encode("ascii")], [sock.fileno()])
        return pid

    def dismiss(self) -> None:
        """End the spare process, as what it was forked with has changed."""
        if self._spare is not None:
            self._spare.line.close()
            self._spare = None

    def _fork(self) -> _Spare:
        line, far = socket.socketpair()
        with far:
            try:
                with signals.put_off():  # until the new process has handlers of its own
                    pid = os.fork()
                    if not pid:
                        self._serve(line, far)
            except OSError:
                line.close()
                raise
        return _Spare(pid, line)

    def _serve(self, line: socket.socket, far: socket.socket) -> NoReturn:
        status = 1
        try:
            line.close()
            self._settle()
            signals.let_through()
            with far:
                service, received, _flags, _sender = socket.recv_fds(far, _LONGEST_NAME, 1)
            for fd in received:
                os.set_inheritable(fd, False)
                self._work(socket.socket(fileno=fd), service.decode("ascii"))
            status = 0
        finally:
            os._exit(status)

    def reap(self) -> None:
        """Forget the processes that have ended."""
        while True:
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if self._spare is not None and pid == self._spare.pid:
                self.dismiss()
            address = self._addresses.pop(pid, None)
            if address is not None:
                self._per_address[address] -= 1
                if not self._per_address[address]:
                    del self._per_address[address]

    def end(self) -> None:
        """Tell all processes to end, and wait until they have."""
        self.dismiss()
        for pid in self._addresses:
            os.kill(pid, signal.SIGTERM)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
