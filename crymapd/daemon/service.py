"""One connection's worker: descriptor, configuration, TLS, greeting; then the conversation of its service.

Imports are few: a client of inetd waits for them.
"""

from __future__ import annotations

import os
import pwd
import socket
from contextlib import suppress
from pathlib import Path

from crymapd import log
from crymapd.channel import Channel, Disconnected, TimedOut, ToldToEnd, Trace
from crymapd.config.system import Root, load_root
from crymapd.daemon import tls
from crymapd.daemon.certificate import CertificateFiles
from crymapd.daemon.client import Client, Site, peer_address
from crymapd.daemon.services import Service, Tls
from crymapd.errors import ConfigError
from crymapd.unix import activation, files
from crymapd.unix.owner import Owner, Place, become, change_root, is_root
from crymapd.unix.signals import EndRequest


def serve_descriptor(service: Service, root_dir: Path | None) -> None:
    """`crymapd serve-NAME`: serve the connection with which this process was started."""
    os.umask(0o077)
    try:
        sock = activation.connected_socket()  # first: under inetd standard error is the client
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    try:
        root = load_root(root_dir)
        contexts = tls.contexts(root, CertificateFiles(root).read(), [service]) if service.has_tls else {}
        traces = trace_directory(root)
    except ConfigError as error:
        log.open_log("", Path("/"))
        log.misconfigured(str(error))
        raise
    log.open_log(root.system.diagnostic.log, root.directory)
    if root.system.security.system_user:
        service.load()  # the chroot may be too narrow for it
    users = assume_system(root)
    serve(sock, service, Site(root, users, contexts, state_directory(root, users), traces))


def trace_directory(root: Root) -> int | None:
    """Open the directory for the dialogues of connections, if there is to be one.

    Raises:
        ConfigError: it cannot be opened, or is a symlink.
    """
    name = root.system.diagnostic.trace
    if not name:
        return None
    path = root.directory / name
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{root.config_file}: key `diagnostic.trace`: {path}: {error.strerror}") from None


def gives_up_root(root: Root) -> bool:
    """Whether `assume_system` will give up root, after which files that were read before may be unreadable."""
    return bool(root.system.security.system_user) and is_root()


def assume_system(root: Root) -> Place:
    """Become `security.system_user` before anything is read from the network; return how the users are reached then.

    Raises:
        ConfigError: there is no such user, it is root, or we may not become it.
    """
    security = root.system.security
    users = Place.of(root.users.resolve())
    if not security.system_user:
        return users
    try:
        entry = pwd.getpwnam(security.system_user)
    except KeyError:
        raise ConfigError(f"{root.config_file}: key `security.system_user`: no such user") from None
    if entry.pw_uid == 0:
        raise ConfigError(f"{root.config_file}: key `security.system_user`: expected a user other than root")
    if not is_root():
        if os.geteuid() != entry.pw_uid:
            raise ConfigError(f"{root.config_file}: key `security.system_user`: start as root or as that user")
        return users
    owner = Owner.of_ids(entry.pw_uid, entry.pw_gid)
    _give_state(root, users, owner)
    if security.chroot_system:
        change_root(users.path)
        users = Place(Path("/"), users.called)
    become(owner)
    return users


def _give_state(root: Root, users: Place, owner: Owner) -> None:
    """While this is still root, make the directory for `state_directory` and give it to the system user."""
    path = users.path / ".state" if root.system.security.chroot_system else root.directory / "state"
    with suppress(FileExistsError):
        os.mkdir(path, files.PRIVATE_DIR)
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def state_directory(root: Root, users: Place) -> int:
    """Open the directory for what all workers count together, after `assume_system`; make it if it is missing.

    It is `state` in the root.  In a chroot it is `.state` in the directory of the users, which no user can be called: a
    descriptor of a directory outside would lead out of the chroot.

    Returns:
        A descriptor of the directory.

    Raises:
        ConfigError: it cannot be made or opened. Guesses would be neither counted nor slowed down, so nobody is served.
    """
    is_chroot = users.path == Path("/")
    path = users.path / ".state" if is_chroot else root.directory / "state"
    try:
        files.make_dir(path)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        called = users.called / ".state" if is_chroot else path
        raise ConfigError(
            f"{called}: {error.strerror}; expected a directory that the server may write, for counting failed logins: "
            f"install -d -m 700 -o USER {called}"
        ) from None


def serve(sock: socket.socket, service: Service, site: Site, newcomer: socket.socket | None = None) -> None:
    """Talk to one client until it is gone; `newcomer` is its line to the listener.

    Never raises: there is nobody above who could be told.
    """
    address = peer_address(sock)
    client = Client(Channel(sock, _trace(service, site), EndRequest()), service.name, address, site, newcomer)
    log.set_prefix(client.prefix)
    try:
        if _is_ready(client, service):
            service.load()(client)
    except ConfigError as error:
        log.misconfigured(str(error))
        if service.last_words is not None:
            client.channel.write(service.last_words())
    except (Disconnected, TimedOut, tls.ForeignProtocol) as error:
        log.went_away(str(error))
    except ToldToEnd:
        log.told_to_end()
        if service.farewell is not None:
            client.channel.write(service.farewell())
    except Exception:
        import traceback

        log.crashed(traceback.format_exc())
        if service.last_words is not None:
            client.channel.write(service.last_words())
    finally:
        client.channel.close()
        log.disconnected(client.channel.octets_in, client.channel.octets_out)


def _is_ready(client: Client, service: Service) -> bool:
    """Encrypt the connection, where that is done at once, and greet; False where the client did not get so far."""
    if service.tls is Tls.IMPLICIT:
        try:
            client.start_tls()
        except (Disconnected, TimedOut, tls.ForeignProtocol) as error:
            log.handshake_failed(str(error))
            return False
        except ToldToEnd:
            return False
    else:
        log.connected("no TLS yet" if service.tls is Tls.STARTTLS else "no TLS")
    if service.greeting is not None:
        client.channel.write(service.greeting(client))
        client.channel.flush()
    return True


def _trace(service: Service, site: Site) -> Trace | None:
    """The file for this connection's dialogue, if there is to be one; the worker does not keep its directory."""
    if site.traces is None:
        return None
    try:
        return Trace.create(site.traces, service.name)
    except OSError as error:
        log.not_traced(str(error.strerror))
        return None
    finally:
        os.close(site.traces)
