"""The log: one function for each event, so that the set of lines can be documented and matched.

A line never carries a password, a key, an address from a message, a mailbox name or any other part of mail.
Whatever a stranger can choose (a user name, a client's name for itself) is quoted, so that it cannot pass for
another line or another field.  Nothing is ever written to standard output: under inetd that is the client.

Every layer may call this module; it calls none of them.  Until `open_log` is called, events go nowhere.
"""

from __future__ import annotations

import os
import socket
import syslog
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from functools import partial
from pathlib import Path

_LONGEST = 1000
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_SYSLOG_SOCKETS = ("/dev/log", "/var/run/log")
"""Where syslog(3) connects to, on Linux and on FreeBSD."""


class Severity(IntEnum):
    """How urgent an event is, with the numbers of syslog(3)."""

    ERROR = syslog.LOG_ERR
    """A bug in crymapd: somebody who maintains it should see the line."""
    WARNING = syslog.LOG_WARNING
    """Damage, or a service that could not be given: the postmaster should act."""
    NOTICE = syslog.LOG_NOTICE
    """Normal, but worth finding again: failed logins, repairs, limits that were reached."""
    INFO = syslog.LOG_INFO
    """The ordinary course of connections."""


Sink = Callable[[Severity, str], None]


def _nowhere(_severity: Severity, _line: str) -> None:
    """Before a log is opened."""


def _unchanged(text: str) -> str:
    """Until paths need translating."""
    return text


def _no_file() -> None:
    """Do nothing, because only a log that is a file must be reopened."""


sink: Sink = _nowhere
_reopen: Callable[[], None] = _no_file
_prefix = ""
_real_paths: Callable[[str], str] = _unchanged


def open_log(where: str, root: Path) -> None:
    """Begin to write: to `syslog`, to `stderr`, or to a file whose path is relative to the root.

    An empty `where` means standard error where that is a terminal or the journal, or where nobody listens to syslog,
    as in most containers; and syslog elsewhere.
    """
    global sink, _reopen
    to_journal = _is_journal(2)
    if not where:
        is_kept = to_journal or os.isatty(2) or (_leads_somewhere(2) and not any(map(_is_listened_to, _SYSLOG_SOCKETS)))
        where = "stderr" if is_kept else "syslog"
    if where == "syslog":
        syslog.openlog("crymapd", syslog.LOG_PID | syslog.LOG_NDELAY, syslog.LOG_MAIL)
        sink = syslog.syslog
    elif where == "stderr":
        sink = partial(_to_journal if to_journal else _to_descriptor, 2)
    else:
        fd = os.open(root / where, _APPENDING, 0o640)
        sink = partial(_to_descriptor, fd)
        _reopen = partial(_replace, fd, root / where)


def reopen_log() -> None:
    """Write to a new file if the log's file was renamed, as log rotation does; the processes forked later do as well.

    Raises:
        OSError: it cannot be opened; the former file stays in use.
    """
    _reopen()


def _replace(fd: int, path: Path) -> None:
    new = os.open(path, _APPENDING, 0o640)
    os.dup2(new, fd, inheritable=False)
    os.close(new)


def _leads_somewhere(fd: int) -> bool:
    """Whether a descriptor is open, and not on /dev/null."""
    try:
        return not os.path.samestat(os.fstat(fd), os.stat(os.devnull))
    except OSError:
        return False


def _is_listened_to(path: str) -> bool:
    """Whether somebody listens at a socket, as syslog(3) would connect to it."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind) as probe:
            if probe.connect_ex(path) == 0:
                return True
    return False


def _is_journal(fd: int) -> bool:
    """Whether systemd's journal reads a descriptor: the variable alone may be inherited (systemd.exec(5))."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


_LABELS = {Severity.ERROR: "error: ", Severity.WARNING: "warning: "}


def _to_descriptor(fd: int, severity: Severity, line: str) -> None:
    _write(fd, f"crymapd[{os.getpid()}]: {_LABELS.get(severity, '')}{line}\n")


def _to_journal(fd: int, severity: Severity, line: str) -> None:
    _write(fd, f"<{severity.value}>crymapd[{os.getpid()}]: {line}\n")


def _write(fd: int, text: str) -> None:
    with suppress(OSError):  # there is no other place where this could be said
        os.write(fd, text.encode(errors="backslashreplace"))


def set_prefix(text: str) -> None:
    """Choose what every further line of this process begins with: service, client and user as they become known."""
    global _prefix
    _prefix = text


def extend_prefix(text: str) -> None:
    """Add what has become known to the prefix of every further line."""
    global _prefix
    _prefix += text


def translate_paths(real_paths: Callable[[str], str]) -> None:
    """Have the paths in every further line translated: in a chroot a file has another name than a person knows."""
    global _real_paths
    _real_paths = real_paths


def _line(severity: Severity, text: str) -> None:
    """Write one line; control characters are replaced, so that they cannot begin another."""
    clean = "".join(c if c.isprintable() else "?" for c in _real_paths(text))[:_LONGEST]
    sink(severity, f"{_prefix}{clean}")


_error, _warning, _notice, _info = (partial(_line, severity) for severity in Severity)


# The listener and its workers


def listening(service: str, address: str) -> None:
    _info(f"listening for {service} on {address}")


def misconfigured(reason: str) -> None:
    _warning(f"cannot serve: {reason}")


def worker_refused(address: str, reason: str) -> None:
    _notice(f"connection from={address} refused: {reason}")


def resources_short(reason: str) -> None:
    _warning(f"cannot accept connections for now: {reason}")


def certificate_reloaded() -> None:
    _info("the changed certificate is in use")


def certificate_bad(reason: str) -> None:
    _warning(f"the changed certificate cannot be used: {reason}; the former one stays in use")


def reloaded() -> None:
    _info("SIGHUP: the log was reopened; a changed certificate will be read")


def not_reloaded(reason: str) -> None:
    _warning(f"SIGHUP: the log file cannot be opened: {reason}; the old one stays in use")


def stopping(workers: int) -> None:
    _info(f"stopping and ending {workers} connection(s)")


# A connection


def connected(tls: str) -> None:
    _info(f"connected, {tls}")


def handshake_failed(reason: str) -> None:
    _info(f"TLS handshake failed: {reason}")


def went_away(reason: str) -> None:
    _info(f"the client went away: {reason}")


def told_to_end() -> None:
    _info("told to end")


def not_traced(reason: str) -> None:
    _warning(f"the dialogue is not written: {reason}")


def login_ok(user: str) -> None:
    _info(f"login user={user}")


def login_failed(user: str, address: str) -> None:
    """The line that fail2ban matches."""
    _notice(f"login failed user={user!r} from={address}")


def account_unusable(user: str, reason: str) -> None:
    _warning(f"account user={user!r} cannot be served: {reason}")


def not_confined() -> None:
    _warning("this kernel has no Landlock: the worker is not confined to its user directory")


def client_identified(name: str, version: str) -> None:
    _info(f"client name={name!r} version={version!r}")


_tolerated: set[str] = set()


def tolerated(what: str) -> None:
    """A client did what the grammar does not allow; a process logs each kind only once."""
    if what not in _tolerated:
        _tolerated.add(what)
        _info(f"tolerated {what}")


def command_failed(reason: str) -> None:
    _warning(f"command failed: {reason}")


def not_told(reason: str) -> None:
    _warning(f"a command succeeded, but other changes could not be reported to the client with it: {reason}")


def epoch_not_written(reason: str) -> None:
    _warning(f"the file epoch could not be written: {reason}; other sessions learn of the change later")


def not_settled(reason: str) -> None:
    _warning(f"appended messages were committed, but moving their files failed: {reason}; the next login does it")


def broken_off(reason: str) -> None:
    _warning(f"connection broken off: {reason}")


def disconnected(octets_in: int, octets_out: int) -> None:
    _info(f"disconnected in={octets_in} out={octets_out}")


def crashed(trace: str) -> None:
    """A bug: log its traceback line by line."""
    for part in trace.splitlines():
        _error("BUG " + part)


# A user's mail at rest


def message_damaged(name: str, reason: str) -> None:
    _warning(f"damaged message file {_place(name)}: {reason}; a note stands in its place, put it back from a backup")


def message_missing(name: str) -> None:
    _warning(f"missing message file {_place(name)}; a note stands in its place, put it back from a backup")


def message_unavailable(name: str, reason: str) -> None:
    _warning(f"message file {_place(name)} cannot be read now: {reason}")


def delivery_unreadable(name: str, reason: str) -> None:
    _warning(f"delivered file new/{name[:16]}... cannot be opened: {reason}; a note was put into INBOX")


def not_filed(name: str, reason: str) -> None:
    _warning(f"delivered file new/{name[:16]}... was not filed: {reason}; it stays in new/ and is tried again later")


def not_placed(name: str, reason: str) -> None:
    _warning(f"message file {_place(name)} was not moved out of tmp/: {reason}; the next login does it")


def directory_made_again(name: str) -> None:
    _warning(f"{name}/ was missing and has been made again; what was in it is lost unless a backup has it")


def not_listed(name: str, reason: str) -> None:
    _warning(f"{name}/ cannot be listed: {reason}; until it can be, mail in it is not filed")


def not_a_message(name: str) -> None:
    _warning(f"new/{name[:80]!r} is not a delivered message and was left alone")


def key_rejected(name: str, reason: str) -> None:
    _warning(f"key file keys/{name[:64]!r} was not used: {reason}")


def key_restored(name: str) -> None:
    _warning(f"key file keys/{name} was damaged or missing and has been restored from backup/keys")


def user_restored(reason: str) -> None:
    _warning(f"user.toml was unusable ({reason}) and has been restored from backup/user.toml")


def database_put_aside(name: str, reason: str) -> None:
    _warning(f"{name} is damaged ({reason}); it was moved to damaged/")


def database_restored(source: str) -> None:
    _warning(f"meta.db was rebuilt from {source}; every UIDVALIDITY changes")


def no_state(reason: str) -> None:
    _warning(f"{reason}: failures to log in are not slowed down, and logins at the same time are not limited")


def no_witness(reason: str) -> None:
    _notice(f"{reason}: if the whole user directory is put back from a backup, only clients can notice")


def database_older() -> None:
    _warning("meta.db is older than what clients have seen (a restored backup?); every UIDVALIDITY changes")


def index_rebuilt(reason: str) -> None:
    _notice(f"index.db was unusable ({reason}) and is made anew")


def index_not_used(reason: str) -> None:
    _warning(f"index.db cannot be used now: {reason}; the messages are read instead, which takes longer")


def not_indexed(message: int, reason: str) -> None:
    _error(f"message {message} was not indexed: {reason}, which is a bug in crymapd; each search reads the message")


def no_reserve(reason: str) -> None:
    _notice(f"no space could be kept for the case of a full disk: {reason}")


def reserve_released() -> None:
    _warning("the disk is almost full: the space kept in reserve was released, so that mail can be read and deleted")


def sealing_pair_not_made(name: str, reason: str) -> None:
    _warning(f"sealing pair {name} could not be made: {reason}; an older one is used until it can be")


def orphans_filed(count: int) -> None:
    _warning(f"{count} message file(s) without a row in meta.db were put into INBOX")


def maintenance_failed(step: str, reason: str) -> None:
    _warning(f"daily maintenance: {step} failed: {reason}; it will be tried again")


def _place(name: str) -> str:
    """Abbreviate the place of a sealed file under messages/, given the hexadecimal digits of its name."""
    return f"{name[:2]}/{name[2:16]}..."
