"""`crymapd listen`: hold the sockets of all services, and fork a worker for each connection.

The listener reads nothing from clients.  When descriptors or processes run out, it logs that and waits a moment.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from crymapd import log
from crymapd.config.system import Root, load_root
from crymapd.daemon import service, tls
from crymapd.daemon.certificate import CertificateFiles, CertificateProcess, CertificateSource
from crymapd.daemon.client import Site, peer_address
from crymapd.daemon.launch import Launch
from crymapd.daemon.services import SERVICES, Rehearsal, Service, Tls
from crymapd.daemon.workers import Workers
from crymapd.errors import ConfigError
from crymapd.model.endpoint import Address
from crymapd.unix import activation, listening, memory, signals
from crymapd.unix.pid_file import PidFile

PAUSE_MS = 200
_SAID_EACH_MINUTE = 5
"""How many refused connections of one address are logged in a minute."""


class Listening(NamedTuple):
    """A socket and the service that it is for."""

    service: Service
    socket: socket.socket


def run(root_dir: Path | None, *, detach: bool, pid_path: Path | None) -> None:
    """Listen until SIGTERM or SIGINT.

    Raises:
        ConfigError: the configuration is wrong, or an address cannot be bound.
    """
    os.umask(0o077)
    root = load_root(root_dir)
    with ExitStack() as stack:
        launch = stack.enter_context(Launch())
        registered = stack.enter_context(closing(listening.Registered()))
        pid_file = None if pid_path is None else PidFile(pid_path)
        if pid_file is not None:
            stack.callback(pid_file.remove)
        listener = _ready(root, registered, pid_file, launch if detach else None)
        launch.succeeded()
        listener.run()


def _ready(root: Root, registered: listening.Registered, pid_file: PidFile | None, launch: Launch | None) -> Listener:
    """Do everything that may fail, and go into the background if that is wanted."""
    passed = passed_sockets()
    addresses = {} if passed else _addresses(root)
    services = list({pair.service.name: pair.service for pair in passed}.values()) or [SERVICES[n] for n in addresses]
    files = CertificateFiles(root) if any(each.has_tls for each in services or SERVICES.values()) else None
    contexts = {} if files is None else tls.contexts(root, files.read(), services or SERVICES.values())
    rehearsals = _load(services)
    with signals.put_off():  # so that neither a socket's file nor the rehearsal's account is left behind
        pairs = passed or _bound(root, addresses, registered)
        held = [pair.socket for pair in pairs] + ([] if pid_file is None else [pid_file])
        if launch is not None:
            launch.detach(held)
        if pid_file is not None:
            pid_file.write()
        log.open_log(root.system.diagnostic.log, root.directory)
        for pair in pairs:
            log.listening(pair.service.name, str(listening.address_of(pair.socket)))
        traces = service.trace_directory(root)
        certificate: CertificateSource | None = files
        if files is not None and service.gives_up_root(root):
            certificate = CertificateProcess(files, held)
        users = service.assume_system(root)
        site = Site(root, users, contexts, service.state_directory(root, users), traces)
        for rehearse in rehearsals:
            rehearse()
        _settle_memory()
        return Listener(site, pairs, certificate, pid_file)


def passed_sockets() -> list[Listening]:
    """The sockets that systemd has opened for us, by their names; one whose name is no service's is left alone.

    A socket without a name is for the service that `takes_unnamed`, if no socket is there for another.
    """
    named = activation.passed_sockets(os.environ)
    (usual,) = (service.name for service in SERVICES.values() if service.takes_unnamed)
    is_alone = {name for name, _socket in named if name in SERVICES} <= {usual}
    pairs = [(usual if name == activation.UNNAMED and is_alone else name, sock) for name, sock in named]
    return [Listening(SERVICES[name], sock) for name, sock in pairs if name in SERVICES]


def _addresses(root: Root) -> dict[str, list[Address]]:
    """Find the addresses of each service.

    Raises:
        ConfigError: a name is no service's.
    """
    addresses = root.addresses()
    for name in addresses:
        if name not in SERVICES:
            raise ConfigError(
                f"{root.config_file}: key `listen.{name}`: no such service; the services are {', '.join(SERVICES)}"
            )
    return addresses


def _bound(root: Root, addresses: dict[str, list[Address]], registered: listening.Registered) -> list[Listening]:
    """Bind a socket for each address.

    Raises:
        ConfigError: there is no address, or one cannot be had.
    """
    pairs = []
    for name, entries in addresses.items():
        for address in entries:
            try:
                sock = listening.listen(address)
            except OSError as error:
                raise ConfigError(f"cannot listen for {name} on {address}: {error.strerror or error}") from None
            registered.add(address)
            pairs.append(Listening(SERVICES[name], sock))
    if not pairs:
        usual = next(service for service in SERVICES.values() if service.takes_unnamed)
        raise ConfigError(
            f"{root.config_file}: nothing to listen on; expected a table [listen] with "
            f'{usual.name} = ["ADDRESS:{usual.port}"], or sockets from systemd'
        )
    return pairs


def _load(services: list[Service]) -> list[Rehearsal]:
    """Load what workers need, once for all of them and before a chroot that may not hold it; the rehearsals."""
    for each in services:
        each.load()
    return [each.load_rehearsal() for each in services if each.load_rehearsal is not None]


def _settle_memory() -> None:
    """Have what is loaded lie in pages that workers can share."""
    os.getgrouplist("root", 0)  # loads the C library's modules for users and groups
    memory.share_objects()
    memory.fill_holes()


class Listener:
    """The accepting loop."""

    def __init__(
        self, site: Site, pairs: list[Listening], certificate: CertificateSource | None, pid_file: PidFile | None
    ) -> None:
        self._site = site
        self._pairs = {pair.socket.fileno(): pair for pair in pairs}
        self._certificate = certificate
        self._pid_file = pid_file
        self._workers = Workers(site.root.system.limits, self._become_worker, self._serve)
        self._refusals = _Refusals()
        self._stop = self._hung_up = False
        self._waker = self._listen_to_signals()

    def _listen_to_signals(self) -> tuple[socket.socket, socket.socket]:
        """Have signals wake the loop: a socket that can be read once one has come, and its other end."""
        waker, wake = socket.socketpair()
        wake.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for signum in signals.ENDING:
            signal.signal(signum, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        if not os.isatty(2):  # on a terminal the signal means that it was closed
            signal.signal(signal.SIGHUP, self._on_hang_up)
        return waker, wake

    def run(self) -> None:
        poller = select.poll()
        poller.register(self._waker[0], select.POLLIN)
        for fd, pair in self._pairs.items():
            pair.socket.setblocking(False)
            poller.register(fd, select.POLLIN)
        with suppress(OSError):
            self._workers.fork_spare()
        while not self._stop:
            for fd, _event in poller.poll():
                if fd in self._pairs:
                    self._accept(self._pairs[fd])
                else:
                    self._waker[0].recv(4096)
            if self._hung_up:
                self._go_on()
            self._workers.reap()
        log.stopping(len(self._workers))
        if self._certificate is not None:
            self._certificate.close()
        self._workers.end()

    def _on_stop(self, _signal: int, _frame: object) -> None:
        self._stop = True

    def _on_hang_up(self, _signal: int, _frame: object) -> None:
        self._hung_up = True

    def _go_on(self) -> None:
        """Go on with a new log file and certificate; sessions that are open stay as they are."""
        self._hung_up = False
        try:
            log.reopen_log()
        except OSError as error:
            log.not_reloaded(str(error))
        else:
            log.reloaded()
        self._workers.dismiss()  # the spare one has the former log
        self._reload_certificate()

    def _accept(self, called: Listening) -> None:
        """Take a connection.

        Its worker is forked before it is accepted, so that it is open here and in its worker only.
        """
        self._workers.reap()
        self._reload_certificate()
        try:
            self._workers.fork_spare()
        except OSError as error:
            _pause(str(error.strerror))
            return
        try:
            sock, _address = called.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            _pause(str(error.strerror))
            return
        with sock:
            address = peer_address(sock)
            reason = self._workers.why_not(address)
            if reason:
                self._refusals.note(address, reason)
                _refuse(sock, called.service)
                return
            try:
                self._workers.take(sock, called.service.name, address)
            except OSError as error:
                _pause(str(error.strerror))
        with suppress(OSError):
            self._workers.fork_spare()

    def _become_worker(self) -> None:
        """In a new process: forget what is the listener's."""
        signals.end_as_usual()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `pkill -HUP` reaches all: a connection must not be lost with it
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for held in (*(pair.socket for pair in self._pairs.values()), *self._waker, self._certificate, self._pid_file):
            if held is not None:
                held.close()

    def _serve(self, sock: socket.socket, name: str, line: socket.socket) -> None:
        with line:
            service.serve(sock, SERVICES[name], self._site, line)

    def _reload_certificate(self) -> None:
        if self._certificate is None:
            return
        try:
            pem = self._certificate.read_changed()
            if pem is None:
                return
            contexts = tls.contexts(self._site.root, pem, [SERVICES[name] for name in self._site.contexts])
        except ConfigError as error:
            log.certificate_bad(str(error))
        else:
            self._site = replace(self._site, contexts=contexts)
            self._workers.dismiss()
            log.certificate_reloaded()


class _Refusals:
    """Logs refused connections, of each address a few in a minute, so that a flood does not fill the disk."""

    def __init__(self) -> None:
        self._minute = 0
        self._refused: Counter[str] = Counter()

    def note(self, address: str, reason: str) -> None:
        minute = int(time.monotonic()) // 60
        if minute != self._minute:
            unsaid = sum(max(number - _SAID_EACH_MINUTE, 0) for number in self._refused.values())
            if unsaid:
                log.workers_refused(unsaid)
            self._minute = minute
            self._refused.clear()
        self._refused[address] += 1
        if self._refused[address] <= _SAID_EACH_MINUTE:
            log.worker_refused(address, reason)


def _refuse(sock: socket.socket, called: Service) -> None:
    """Tell a client that there are too many connections, if it can read that without TLS; never wait for it."""
    if called.refusal and called.tls is not Tls.IMPLICIT:
        with suppress(OSError):
            sock.send(called.refusal, socket.MSG_DONTWAIT)


def _pause(reason: str) -> None:
    """Wait for descriptors or processes to come free, instead of spinning."""
    log.resources_short(reason)
    select.poll().poll(PAUSE_MS)
