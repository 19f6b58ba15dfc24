"""The log: one function for each event, so that the set of lines can be documented and matched.

A line never carries a password, a key, an address from a message, a mailbox name or any other part of mail.
Whatever comes from elsewhere (a user name, a client's name for itself, a file's name in an error) cannot pass for
another line or another field: it loses control characters, and the equals sign of `user=` becomes `\\x3d`.
Nothing is ever written to standard output: under inetd that is the client.

Every layer may call this module; it calls none of them.  Until `open_log` is called, events go nowhere.
"""

from __future__ import annotations

import os
import re
import socket
import syslog
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from functools import partial
from pathlib import Path

_LONGEST = 1000
_FIELD = re.compile(r"(?<=\w)=")
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
    """Choose the prefix of every further line of this process: service, client and user, as they become known."""
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


def quoted(word: str) -> str:
    """Put a word in quotes that it cannot close."""
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _harmless(word: object) -> str:
    """Take from a word what could begin another line or, by an equals sign, another field of this one."""
    text = "".join(c if c.isprintable() else "?" for c in _real_paths(str(word)))
    return _FIELD.sub(r"\\x3d", text)


def _line(severity: Severity, template: str, *words: object) -> None:
    """Write one line: a template of ours, and in its places words that may come from anywhere."""
    sink(severity, f"{_prefix}{template.format(*map(_harmless, words))}"[:_LONGEST])


_error, _warning, _notice, _info = (partial(_line, severity) for severity in Severity)


# The listener and its workers


def listening(service: str, address: str) -> None:
    _info("listening for {} on {}", service, address)


def misconfigured(reason: str) -> None:
    _warning("cannot serve: {}", reason)


def worker_refused(address: str, reason: str) -> None:
    _notice("connection from={} refused: {}", address, reason)


def workers_refused(count: int) -> None:
    _notice("{} more connections were refused within a minute", count)


def newcomer_ended(address: str) -> None:
    _notice("a connection from={} that has not logged in is ended: [limits] max_before_login", address)


def worker_stopped(pid: int) -> None:
    _notice("process {} was stopped by a signal and is ended", pid)


def resources_short(reason: str) -> None:
    _warning("cannot accept connections for now: {}", reason)


def certificate_reloaded() -> None:
    _info("the changed certificate is in use")


def certificate_bad(reason: str) -> None:
    _warning("the changed certificate cannot be used: {}; the former one stays in use", reason)


def reloaded() -> None:
    _info("SIGHUP: the log was reopened; a changed certificate will be read")


def not_reloaded(reason: str) -> None:
    _warning("SIGHUP: the log file cannot be opened: {}; the old one stays in use", reason)


def stopping(workers: int) -> None:
    _info("stopping and ending {} connection(s)", workers)


# A connection


def connected(tls: str) -> None:
    _info("connected, {}", tls)


def handshake_failed(reason: str) -> None:
    _info("TLS handshake failed: {}", reason)


def went_away(reason: str) -> None:
    _info("the client went away: {}", reason)


def told_to_end() -> None:
    _info("told to end")


def not_traced(reason: str) -> None:
    _warning("the dialogue is not written: {}", reason)


def login_ok(user: str) -> None:
    _info("login user={}", user)


def login_failed(user: str, address: str) -> None:
    """The line that fail2ban matches."""
    _notice("login failed user={} from={}", quoted(user), address)


def account_unusable(user: str, reason: str) -> None:
    _warning("account user={} cannot be served: {}", quoted(user), reason)


def not_confined() -> None:
    _warning("this kernel has no Landlock: the worker is not confined to its user directory")


def not_restricted() -> None:
    _warning(
        "system calls are not filtered: there is no libseccomp.so.2 (apt-get install libseccomp2), or the kernel cannot"
    )


def client_identified(name: str, version: str) -> None:
    _info("client name={} version={}", quoted(name), quoted(version))


_tolerated: set[str] = set()


def tolerated(what: str) -> None:
    """A client did what the grammar does not allow; a process logs each kind only once."""
    if what not in _tolerated:
        _tolerated.add(what)
        _info("tolerated {}", what)


def command_failed(reason: str) -> None:
    _warning("command failed: {}", reason)


def not_told(reason: str) -> None:
    _warning("a command succeeded, but other changes could not be reported to the client with it: {}", reason)


def epoch_not_written(reason: str) -> None:
    _warning("the file epoch could not be written: {}; other sessions learn of the change later", reason)


def not_settled(reason: str) -> None:
    _warning("appended messages were committed, but moving their files failed: {}; the next login does it", reason)


def broken_off(reason: str) -> None:
    _warning("connection broken off: {}", reason)


def disconnected(octets_in: int, octets_out: int) -> None:
    _info("disconnected in={} out={}", octets_in, octets_out)


def crashed(trace: str) -> None:
    """A bug: log its traceback line by line."""
    for part in trace.splitlines():
        _error("BUG {}", part)


# A user's mail at rest


def message_damaged(name: str, reason: str) -> None:
    _warning("damaged message file {}: {}; a note stands in its place, put it back from a backup", _place(name), reason)


def message_missing(name: str) -> None:
    _warning("missing message file {}; a note stands in its place, put it back from a backup", _place(name))


def message_unavailable(name: str, reason: str) -> None:
    _warning("message file {} cannot be read now: {}", _place(name), reason)


def delivery_unreadable(name: str, reason: str) -> None:
    _warning("delivered file new/{}... cannot be opened: {}; a note was put into INBOX", name[:16], reason)


def not_filed(name: str, reason: str) -> None:
    _warning("delivered file new/{}... was not filed: {}; it stays in new/ and is tried again later", name[:16], reason)


def not_placed(name: str, reason: str) -> None:
    _warning("message file {} was not moved out of tmp/: {}; the next login does it", _place(name), reason)


def directory_made_again(name: str) -> None:
    _warning("{}/ was missing and has been made again; what was in it is lost unless a backup has it", name)


def not_listed(name: str, reason: str) -> None:
    _warning("{}/ cannot be listed: {}; until it can be, mail in it is not filed", name, reason)


def not_a_message(name: str) -> None:
    _warning("new/{} is not a delivered message and was left alone", quoted(name[:80]))


def key_rejected(name: str, reason: str) -> None:
    _warning("key file keys/{} was not used: {}", quoted(name[:64]), reason)


def key_restored(name: str) -> None:
    _warning("key file keys/{} was damaged or missing and has been restored from backup/keys", name)


def user_restored(reason: str) -> None:
    _warning("user.toml was unusable ({}) and has been restored from backup/user.toml", reason)


def user_not_saved(reason: str) -> None:
    _warning("user.toml and its copy could not be made equal: {}; the next login tries again", reason)


def keys_not_listed(name: str, reason: str) -> None:
    _warning("{}/ cannot be listed: {}; the keys in the other directory are used", name, reason)


def key_not_copied(name: str, reason: str) -> None:
    _warning("key file keys/{} and its copy could not be made equal: {}; the next login tries again", name, reason)


def epoch_implausible(name: str) -> None:
    _warning("{} counts more changes than could have been made; it was ignored and is written anew", name)


def epoch_not_opened(reason: str) -> None:
    _warning("the file epoch cannot be used: {}; other sessions learn of changes later", reason)


def database_put_aside(name: str, reason: str) -> None:
    _warning("{} is damaged ({}); it was moved to damaged/", name, reason)


def database_restored(source: str) -> None:
    _warning("meta.db was rebuilt from {}; every UIDVALIDITY changes", source)


def encrypted_again() -> None:
    _notice("meta.db and its backups are encrypted anew: an older library may have used the same nonce twice")


def not_encrypted_again(reason: str) -> None:
    _warning("meta.db could not be encrypted anew: {}; the next login tries again", reason)


def no_state(reason: str) -> None:
    _warning("{}: failed logins cannot be counted, so every check of a password waits, one at a time", reason)


def no_witness(reason: str) -> None:
    _notice("{}: if the whole user directory is put back from a backup, only clients can notice", reason)


def database_older() -> None:
    _warning("meta.db is older than what clients have seen (a restored backup?); every UIDVALIDITY changes")


def index_rebuilt(reason: str) -> None:
    _notice("index.db was unusable ({}) and is made anew", reason)


def index_not_used(reason: str) -> None:
    _warning("index.db cannot be used now: {}; the messages are read instead, which takes longer", reason)


def not_indexed(message: int, reason: str) -> None:
    _error("message {} was not indexed: {}, which is a bug in crymapd; each search reads the message", message, reason)


def no_reserve(reason: str) -> None:
    _notice("no space could be kept for the case of a full disk: {}", reason)


def reserve_released() -> None:
    _warning("the disk is almost full: the space kept in reserve was released, so that mail can be read and deleted")


def sealing_pair_not_made(name: str, reason: str) -> None:
    _warning("sealing pair {} could not be made: {}; an older one is used until it can be", name, reason)


def orphans_filed(count: int) -> None:
    _warning("{} message file(s) without a row in meta.db were put into INBOX", count)


def maintenance_failed(step: str, reason: str) -> None:
    _warning("daily maintenance: {} failed: {}; it will be tried again", step, reason)


def _place(name: str) -> str:
    """Abbreviate the place of a sealed file under messages/, given the hexadecimal digits of its name."""
    return f"{name[:2]}/{name[2:16]}..."
