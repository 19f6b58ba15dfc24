"""The listener's children: a process for each connection, and a spare one for the next.

The spare is forked before its client comes, so that nobody waits for that: it takes a twentieth of a short session.
It has read nothing from anybody.  Over its line to the listener it gets a connection and the name of the service that
it is for; it ends if the line is closed.

A worker closes its line when its client has logged in.  Until then it is a newcomer, and of these there are only so
many: strangers who say nothing must not keep users out.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn

from crymapd import log
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
        work: called there with its connection, the name of the service that it is for, and its line, which it closes
            when its client has logged in.
    """

    def __init__(
        self,
        limits: Limits,
        settle: Callable[[], None],
        work: Callable[[socket.socket, str, socket.socket], None],
    ) -> None:
        self._limits = limits
        self._settle = settle
        self._work = work
        self._addresses: dict[int, str] = {}
        self._per_address: Counter[str] = Counter()
        self._spare: _Spare | None = None
        self._newcomers: dict[int, socket.socket] = {}
        """The lines of the workers whose clients have not logged in, the oldest first."""

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
        self._make_room()
        try:
            pid, line = self._given(sock, service)
        except OSError:
            pid, line = self._given(sock, service)
        self._newcomers[pid] = line
        self._addresses[pid] = address
        self._per_address[address] += 1

    def _given(self, sock: socket.socket, service: str) -> _Spare:
        """Send a connection to the spare process, which is returned: from now on there is no spare one."""
        self.fork_spare()
        assert self._spare is not None
        spare, self._spare = self._spare, None
        try:
            socket.send_fds(spare.line, [service.encode("ascii")], [sock.fileno()])
        except OSError:
            spare.line.close()
            raise
        return spare

    def _make_room(self) -> None:
        """End a newcomer if there are too many: the oldest of the address that has most of them."""
        poller = select.poll()
        pids = {line.fileno(): pid for pid, line in self._newcomers.items()}
        for descriptor in pids:
            poller.register(descriptor, 0)  # a line that was closed at the other end is told in any case
        for descriptor, _event in poller.poll(0):
            self._newcomers.pop(pids[descriptor]).close()
        if len(self._newcomers) < min(self._limits.max_before_login, max(self._limits.max_workers // 2, 1)):
            return
        ((busiest, _number),) = Counter(self._addresses[pid] for pid in self._newcomers).most_common(1)
        oldest = next(pid for pid in self._newcomers if self._addresses[pid] == busiest)
        self._newcomers.pop(oldest).close()
        log.newcomer_ended(busiest)
        os.kill(oldest, signal.SIGTERM)

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
            for held in (line, *self._newcomers.values()):
                held.close()
            self._settle()
            signals.let_through()
            service, received, _flags, _sender = socket.recv_fds(far, _LONGEST_NAME, 1)
            for fd in received:
                os.set_inheritable(fd, False)
                self._work(socket.socket(fileno=fd), service.decode("ascii"), far)
            status = 0
        finally:
            os._exit(status)

    def reap(self) -> None:
        """Forget the processes that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if not pid:
                return
            if os.WIFSTOPPED(status):
                # A user may stop processes of his own, and nothing else would end one that takes up a place.
                log.worker_stopped(pid)
                os.kill(pid, signal.SIGKILL)
                continue
            if self._spare is not None and pid == self._spare.pid:
                self.dismiss()
            if (line := self._newcomers.pop(pid, None)) is not None:
                line.close()
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
            os.kill(pid, signal.SIGCONT)
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WUNTRACED)
                if os.WIFSTOPPED(status):
                    os.kill(pid, signal.SIGKILL)
