"""From root to the owner of a user directory, for good.

Nothing owned by the user is read before `become`; afterwards there is no way back, and that is
checked rather than believed.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from crymapd.errors import AccountUnusable

_ROOT_OWNED = "{0} belongs to root; give it to the account's own UNIX user (chown -R USER {0})"


@dataclass(frozen=True, slots=True)
class Owner:
    """The UNIX user to whom a directory belongs."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def is_root() -> bool:
    return os.geteuid() == 0


def owner_of(directory: Path) -> Owner:
    """Who owns the user directory (a symlink to it is followed).

    Raises:
        AccountUnusable: it is no directory, or root owns it.
    """
    status = os.stat(directory)
    if status.st_uid == 0:
        raise AccountUnusable(_ROOT_OWNED.format(directory))
    try:
        entry = pwd.getpwuid(status.st_uid)
    except KeyError:
        return Owner(status.st_uid, status.st_gid, (status.st_gid,))
    return Owner(status.st_uid, status.st_gid, tuple(os.getgrouplist(entry.pw_name, status.st_gid)))


def enter(directory: Path) -> tuple[Path, Owner]:
    """Make a user directory the working directory, so that its owner needs no way to it; (`.`, owner).

    Raises:
        AccountUnusable: root owns it. OSError: it is not there.
    """
    os.chdir(directory)
    try:
        return Path("."), owner_of(Path("."))
    except AccountUnusable:
        raise AccountUnusable(_ROOT_OWNED.format(directory)) from None


def become(owner: Owner) -> None:
    """Take the owner's ids and prove that root cannot be had back.

    Raises:
        AccountUnusable: the ids did not take.
    """
    os.setgroups(owner.groups)
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    if os.getresuid() != (owner.uid,) * 3 or os.getresgid() != (owner.gid,) * 3 or _can_return():
        raise AccountUnusable("could not drop root privileges")


def _can_return() -> bool:
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True


def confine_root(directory: Path) -> None:
    """chroot into a directory; only root can, and only before `become`."""
    os.chroot(directory)
    os.chdir("/")


class Impersonation:
    """The owner's effective ids for the length of a `with`: how root looks at a file of the user.

    A symlink or a mode bit that the owner could not pass, root does not pass for them.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._groups = os.getgroups()

    def __enter__(self) -> None:
        os.setgroups(self._owner.groups)
        os.setegid(self._owner.gid)
        os.seteuid(self._owner.uid)

    def __exit__(self, *_exc: object) -> None:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(self._groups)
