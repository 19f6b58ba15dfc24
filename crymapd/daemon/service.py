"""One connection's worker: descriptor, configuration, TLS, greeting; then the conversation.

Imports are few: under inetd a client waits for them.
"""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

from OpenSSL import SSL

from crymapd import log
from crymapd.channel import Channel, Disconnected, TimedOut
from crymapd.config.system import Root, load_root
from crymapd.daemon import tls
from crymapd.errors import ConfigError
from crymapd.imap.capability import greeting
from crymapd.unix import activation, privileges

HANDSHAKE_SECONDS = 30.0
PROTOCOL = b"imap"


def serve_descriptor(root_dir: Path | None) -> None:
    """`crymapd serve-imaps`: the connection is a descriptor we were started with."""
    os.umask(0o077)
    try:
        sock = activation.connected_socket()  # first: under inetd standard error is the client
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    try:
        root = load_root(root_dir)
        context = tls.context(root, PROTOCOL)
    except ConfigError as error:
        log.open_log("", Path("/"))
        log.misconfigured(str(error))
        raise
    log.open_log(root.system.diagnostic.log, root.directory)
    if root.system.security.system_user:
        import crymapd.daemon.conversation  # noqa: F401  # the chroot may be too narrow for it
    serve(sock, root, context, assume_system(root))


def assume_system(root: Root) -> Path:
    """Become `security.system_user` before anything is read from the network; where the users are then.

    Raises:
        ConfigError: there is no such user, it is root, or we may not become it.
    """
    security = root.system.security
    users = root.users.resolve()
    if not security.system_user:
        return users
    try:
        entry = pwd.getpwnam(security.system_user)
    except KeyError:
        raise ConfigError(f"{root.config_file}: key `security.system_user`: no such user") from None
    if entry.pw_uid == 0:
        raise ConfigError(f"{root.config_file}: key `security.system_user`: expected a user other than root")
    if not privileges.is_root():
        if os.geteuid() != entry.pw_uid:
            raise ConfigError(f"{root.config_file}: key `security.system_user`: start as root or as that user")
        return users
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    if security.chroot_system:
        privileges.confine_root(users)
        users = Path("/")
    privileges.become(privileges.Owner(entry.pw_uid, entry.pw_gid, groups))
    return users


def serve(sock: socket.socket, root: Root, context: SSL.Context, users: Path) -> None:
    """Talk to one client until it is gone. Never raises: there is nobody above to tell."""
    address = peer_address(sock)
    peer = f"imaps from={address}"
    log.set_prefix(peer + " ")
    channel = Channel(sock)
    try:
        log.connected(channel.start_tls(context, HANDSHAKE_SECONDS))
        channel.write(greeting())
        channel.flush()
        from crymapd.daemon.conversation import converse

        converse(channel, root, users, address, peer)
    except (Disconnected, TimedOut, tls.ForeignProtocol) as error:
        log.handshake_failed(str(error))
    except Exception:
        import traceback

        log.crashed(traceback.format_exc())
        channel.write(b"* BYE [SERVERBUG] internal error; the server's log has it\r\n")
    finally:
        channel.close()
        log.disconnected(channel.octets_in, channel.octets_out)


def peer_address(sock: socket.socket) -> str:
    """The client's address without port; IPv4 in its own form."""
    try:
        name = sock.getpeername()
    except OSError:
        return "unknown"
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "local"
    return str(name[0]).removeprefix("::ffff:")
