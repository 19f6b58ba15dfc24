"""`crymap-deliver`: the mail delivery agent for procmail, .forward and an MTA's pipe.

Exit statuses are those of sysexits(3) and honest: 0 only when every message is on stable storage, 67 when there is no
such user, 65 when the message can never be accepted, 75 for whatever may pass.

It uses argparse and not click, which takes longer to load: an MTA starts this program for each message.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from crymapd import __version__
from crymapd.cli.failure import Statuses, fail, reported
from crymapd.config.system import Limits, load_root
from crymapd.errors import ConfigError, NoSuchUser
from crymapd.model.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, canonical_flag
from crymapd.model.names import canonical_user
from crymapd.store.inbox import deliver
from crymapd.unix import sandbox, sysexits
from crymapd.unix.owner import Place, UserDirectory

PROGRAM = "crymap-deliver"
_PIECE = 64 * 1024
_FROM = b"From "
_BARE_LF = re.compile(rb"(?<!\r)\n")
MAX_FLAGS = 100
_MAILDIR_FLAGS = {"D": DRAFT, "F": FLAGGED, "R": ANSWERED, "S": SEEN, "T": DELETED, "P": "$Forwarded"}
STATUSES: Statuses = {ConfigError: sysexits.TEMPFAIL, Exception: sysexits.TEMPFAIL}
"""What is wrong with the installation may be mended: the MTA must keep the mail, not bounce it."""
_MAILDIR_INFO = re.compile(r":2,([A-Za-z]*)\Z")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fail(PROGRAM, f"{message} (see {PROGRAM} --help)", sysexits.USAGE)


def main() -> None:
    """Run the program."""
    arguments = _arguments(sys.argv[1:])
    with reported(PROGRAM, STATUSES):
        _deliver(arguments)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(prog=PROGRAM, description="Deliver messages, each sealed for its owner; see crymap-deliver(1).")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the directory with crymap.toml")
    parser.add_argument("-u", "--user", metavar="NAME", help="whose mail it is (default: whoever runs this)")
    parser.add_argument("-m", "--mailbox", metavar="NAME", default="INBOX", help="where to file it (default: INBOX)")
    parser.add_argument("-f", "--flag", metavar="FLAG", action="append", default=[], type=_flag, help="a flag to set")
    parser.add_argument("--maildir-flags", action="store_true", help="also flags from names that end in :2,FLAGS")
    parser.add_argument("files", nargs="*", metavar="FILE", help="one message each (default: standard input)")
    return parser.parse_args(argv)


def _flag(text: str) -> str:
    try:
        return canonical_flag(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _deliver(arguments: argparse.Namespace) -> None:
    root = load_root(arguments.root)
    name = canonical_user(arguments.user or _own_name())
    sources = [source if source == "-" else os.path.abspath(source) for source in arguments.files or ["-"]]
    place = UserDirectory.open(Place.of(_home(root.users, name))).take(confined=False)
    sandbox.harden()
    with place.translating():
        for source in sources:
            _deliver_source(source, arguments, place.path, root.system.limits)


def _deliver_source(source: str, arguments: argparse.Namespace, home: Path, limits: Limits) -> None:
    """Deliver what one file, or standard input, holds."""
    flags = frozenset(arguments.flag[:MAX_FLAGS])
    if arguments.maildir_flags:
        flags |= _maildir_flags(source)
    with (
        _opened(source) as file,
        deliver(home, arguments.mailbox, flags, limits.max_message_size, limits.max_storage) as delivery,
    ):
        size = 0
        for piece in message_octets(file):
            delivery.write(piece)
            size += len(piece)
        if not size:
            # Nobody sends nothing: a filter before us has failed, and 0 would make its message vanish.
            fail(PROGRAM, f"{'standard input' if source == '-' else source}: the message is empty", sysexits.DATAERR)
        delivery.commit()


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise NoSuchUser(f"no user name for uid {os.getuid()}; use --user NAME") from None


def _home(users: Path, name: str) -> Path:
    """Follow the user's entry to the user directory. Where a right is missing on the way, that may be mended."""
    try:
        home = (users / name).resolve(strict=True)
        if home.is_dir():
            return home
        raise _Temporary(f"{home}: not a directory")
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks
        raise _Temporary(f"{users / name}: {error}") from None
    raise NoSuchUser(f"no user {name} in {users}")


class _Temporary(OSError):
    """A temporary reason whose text is written here."""


def _opened(source: str) -> BinaryIO:
    if source == "-":
        return os.fdopen(os.dup(0), "rb", buffering=0)
    try:
        return open(source, "rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        fail(PROGRAM, f"{source}: {error.strerror}", sysexits.NOINPUT)


def _maildir_flags(source: str) -> frozenset[str]:
    info = _MAILDIR_INFO.search(source)
    return frozenset(_MAILDIR_FLAGS[letter] for letter in info[1] if letter in _MAILDIR_FLAGS) if info else frozenset()


def message_octets(file: BinaryIO) -> Iterator[bytes]:
    """Give a message as it is kept: without an mbox `From ` line, and with CRLF line ends if it came with bare LF.

    The first line end decides. If it is CRLF, everything stays as it is, binary parts included; if it is a bare LF,
    every bare LF becomes CRLF.
    """
    before, bare = b"", None
    for piece in _without_from_line(iter(lambda: file.read(_PIECE), b"")):
        if bare is None and b"\n" in piece:
            at = piece.index(b"\n")
            bare = (piece[at - 1 : at] if at else before) != b"\r"
        if not bare:
            yield piece
        elif before == b"\r" and piece.startswith(b"\n"):
            yield b"\n" + _BARE_LF.sub(b"\r\n", piece[1:])
        else:
            yield _BARE_LF.sub(b"\r\n", piece)
        before = piece[-1:]


def _without_from_line(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Take off a first line `From ...` of up to 64 KiB; a longer one is no mbox separator."""
    head = b""
    for piece in pieces:
        head += piece
        decided = b"\n" in head or len(head) > _PIECE or not (head.startswith(_FROM) or _FROM.startswith(head))
        if decided:
            break
    if head.startswith(_FROM) and b"\n" in head:
        head = head.partition(b"\n")[2]
    if head:
        yield head
    yield from pieces
