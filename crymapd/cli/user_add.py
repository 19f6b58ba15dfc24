"""`crymapd user add`: a new account with its keys and mailboxes."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from crymapd.cli import accounts
from crymapd.cli.failure import fail
from crymapd.config.system import load_root
from crymapd.crypto.slots import generate_password
from crymapd.errors import AccountExists, AccountUnusable
from crymapd.model.names import canonical_user
from crymapd.store import account
from crymapd.store.components import open_components
from crymapd.unix import files, sysexits
from crymapd.unix.owner import Owner, Place, UserDirectory, is_root


def run(root_dir: Path | None, name: str, data_dir: Path | None, *, uid: int | None, stdin: bool, prompt: bool) -> None:
    """Create the account, its keys and its mailboxes. When that fails, nothing is left behind."""
    root = load_root(root_dir)
    name = canonical_user(name)
    link = root.users / name
    home = (data_dir or link).absolute()
    if os.path.lexists(link):
        raise AccountExists(f"{link} exists already")
    if os.path.lexists(home):
        raise AccountExists(f"{home} exists already; to use an existing account: ln -s {home} {link}")
    owner = _owner(name, uid)
    if stdin and prompt:
        fail("crymapd", "--password-stdin and --prompt-password exclude each other", sysexits.USAGE)
    generated = not stdin and not prompt
    password = generate_password() if generated else accounts.password(stdin=stdin, confirm=True)
    home.mkdir(mode=files.PRIVATE_DIR)
    try:
        if owner is not None:
            _give(home, owner)
        with UserDirectory.open(Place.of(home)) as directory:
            directory.in_child(lambda inside: open_components(account.create(inside, password)).close())
        files.fsync_dir(home.parent)
        if home != link:
            os.symlink(home, link)
            files.fsync_dir(root.users)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    if generated:
        print(f"Password: {password}")


def _owner(name: str, uid: int | None) -> Owner | None:
    """Return the owner of the new account: for root the UNIX user of that name or uid; else None, for ourselves."""
    if not is_root():
        if uid is not None:
            fail("crymapd", "--uid is for root", sysexits.NOPERM)
        return None
    try:
        entry = pwd.getpwnam(name) if uid is None else pwd.getpwuid(uid)
    except KeyError:
        fail("crymapd", f"no UNIX user {uid or name}: create it first, or name another with --uid", sysexits.NOUSER)
    if entry.pw_uid == 0:
        raise AccountUnusable("an account cannot belong to root")
    return Owner.of_ids(entry.pw_uid, entry.pw_gid)


def _give(home: Path, owner: Owner) -> None:
    """Give the owner the directory that we made, and nothing that was put in its place meanwhile."""
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid != 0:
            raise AccountUnusable(f"{home} was exchanged while the account was made")
        os.fchown(fd, owner.uid, owner.gid)
    finally:
        os.close(fd)
