"""`crymapd listen`: hold the sockets, fork a worker for each connection.

The listener reads nothing from clients.  It never dies of a full descriptor or process table: it
says so and waits a moment.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path

from OpenSSL import SSL

from crymapd import log
from crymapd.config.system import Root, load_root
from crymapd.daemon import conversation, service, tls
from crymapd.daemon.rehearsal import rehearse
from crymapd.daemon.workers import Workers
from crymapd.errors import ConfigError
from crymapd.mime.charsets import preload
from crymapd.unix import activation, memory, signals

BACKLOG = 512
PAUSE_MS = 200


def run(root_dir: Path | None, *, detach: bool, pid_file: Path | None) -> None:
    """Listen until SIGTERM or SIGINT.

    Raises:
        ConfigError, and OSError when an address cannot be bound.
    """
    os.umask(0o077)
    root = load_root(root_dir)
    context = tls.context(root, service.PROTOCOL)
    listeners = _listeners(root)
    if detach:
        _detach([sock.fileno() for sock in listeners], pid_file)
    elif pid_file is not None:
        pid_file.write_text(f"{os.getpid()}\n")
    log.open_log(root.system.diagnostic.log, root.directory)
    for sock in listeners:
        log.listening("imaps", "{} port {}".format(*sock.getsockname()[:2]))
    watched = root.tls_files()
    users = service.assume_system(root)
    with signals.put_off():
        rehearse()
        _settle_memory()
        listener = Listener(root, listeners, context, watched, users)
    listener.run()


def _listeners(root: Root) -> list[socket.socket]:
    """systemd's sockets if there are any, else those of `[listen]`."""
    passed = [sock for name, sock in activation.passed_sockets(os.environ) if name in ("imaps", "unknown")]
    if passed:
        return passed
    addresses = root.addresses()
    if not addresses:
        raise ConfigError(
            f'{root.config_file}: nothing to listen on; expected a table [listen] with imaps = ["ADDRESS:993"],'
            " or sockets from systemd"
        )
    found = []
    for name, host, port in addresses:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            raise ConfigError(f"cannot listen for {name} on {host} port {port}: {error.strerror}") from None
        sock.listen(BACKLOG)
        found.append(sock)
    return found


def _detach(kept: list[int], pid_file: Path | None) -> None:
    """Into the background, the standard way."""
    import daemon
    from daemon.pidfile import TimeoutPIDLockFile

    lock = TimeoutPIDLockFile(str(pid_file.absolute()), 0) if pid_file is not None else None
    daemon.DaemonContext(files_preserve=kept, pidfile=lock, umask=0o077, detach_process=True).open()


def _settle_memory() -> None:
    """After the imports: what is loaded stays shared between forks."""
    assert conversation  # loaded here, once for all workers
    preload()
    os.getgrouplist("root", 0)  # loads the C library's modules for users and groups
    memory.share_objects()
    memory.fill_holes()


class Listener:
    """The accepting loop."""

    def __init__(
        self,
        root: Root,
        sockets: list[socket.socket],
        context: SSL.Context,
        certificate: tuple[Path, Path],
        users: Path,
    ) -> None:
        self._root = root
        self._sockets = {sock.fileno(): sock for sock in sockets}
        self._context = context
        self._certificate = certificate
        self._certificate_times = tls.changed(certificate, ()) or ()
        self._users = users
        self._workers = Workers(root.system.limits, self._become_worker, self._serve)
        self._stop = False
        self._waker = self._listen_to_signals()

    def _listen_to_signals(self) -> tuple[socket.socket, socket.socket]:
        """What can be read from when one has come, and its other end."""
        waker, wake = socket.socketpair()
        wake.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in signals.ENDING:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return waker, wake

    def run(self) -> None:
        poller = select.poll()
        poller.register(self._waker[0], select.POLLIN)
        for fd, sock in self._sockets.items():
            sock.setblocking(False)
            poller.register(fd, select.POLLIN)
        with suppress(OSError):
            self._workers.prepare()
        while not self._stop:
            for fd, _event in poller.poll():
                if fd in self._sockets:
                    self._accept(self._sockets[fd])
                else:
                    self._waker[0].recv(4096)
            self._workers.reap()
        log.stopping(len(self._workers))
        self._workers.end()

    def _on_stop(self, _number: int, _frame: object) -> None:
        self._stop = True

    def _accept(self, listening: socket.socket) -> None:
        """The worker is there before the connection, which so is open here and in its worker only."""
        self._workers.reap()
        self._reload_certificate()
        try:
            self._workers.prepare()
        except OSError as error:
            _pause(str(error.strerror))
            return
        try:
            sock, _address = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            _pause(str(error.strerror))
            return
        with sock:
            address = service.peer_address(sock)
            reason = self._workers.why_not(address)
            if reason:
                log.worker_refused(address, reason)
                return
            try:
                self._workers.take(sock, address)
            except OSError as error:
                _pause(str(error.strerror))
        with suppress(OSError):
            self._workers.prepare()

    def _become_worker(self) -> None:
        """Forget what is the listener's."""
        signal.set_wakeup_fd(-1)
        for number in (*signals.ENDING, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for sock in (*self._sockets.values(), *self._waker):
            sock.close()

    def _serve(self, sock: socket.socket) -> None:
        service.serve(sock, self._root, self._context, self._users)

    def _reload_certificate(self) -> None:
        times = tls.changed(self._certificate, self._certificate_times)
        if times is None:
            return
        self._certificate_times = times
        try:
            self._context = tls.context(self._root, service.PROTOCOL)
        except ConfigError as error:
            log.certificate_bad(str(error))
        else:
            self._workers.dismiss()
            log.certificate_reloaded()


def _pause(reason: str) -> None:
    """Out of descriptors or processes: wait for some to come free, do not spin."""
    log.resources_short(reason)
    select.poll().poll(PAUSE_MS)
