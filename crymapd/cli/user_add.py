"""`crymapd user add`."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import sys
import traceback
from pathlib import Path

from crymapd.cli.failure import describe, fail
from crymapd.config.system import load_root
from crymapd.crypto.slots import MAX_PASSWORD_BYTES, generate_password
from crymapd.errors import AccountExists, AccountUnusable, CrymapError
from crymapd.model.names import canonical_user
from crymapd.store import account
from crymapd.store.store import Store
from crymapd.unix import files, privileges, sysexits


def run(root_dir: Path | None, name: str, data_dir: Path | None, *, uid: int | None, stdin: bool, prompt: bool) -> None:
    """Create the account, its keys and mailboxes; nothing is left behind when that fails."""
    root = load_root(root_dir)
    name = canonical_user(name)
    link = root.users / name
    home = (data_dir or link).absolute()
    if os.path.lexists(link):
        raise AccountExists(f"{link} exists already")
    if os.path.lexists(home):
        raise AccountExists(f"{home} exists already; to use an existing account: ln -s {home} {link}")
    owner = _owner(name, uid)
    password = _password(stdin=stdin, prompt=prompt)
    home.mkdir(mode=files.PRIVATE_DIR)
    try:
        if owner is not None:
            _give(home, owner)
        _provision(home, password, owner, root.system.limits.max_message_size)
        files.fsync_dir(home.parent)
        if home != link:
            os.symlink(home, link)
            files.fsync_dir(root.users)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    if not stdin and not prompt:
        print(f"Password: {password}")


def _owner(name: str, uid: int | None) -> privileges.Owner | None:
    """Run as root, an account belongs to the UNIX user of the same name, or to the uid that was given."""
    if not privileges.is_root():
        if uid is not None:
            fail("crymapd", "--uid is for root", sysexits.NOPERM)
        return None
    try:
        entry = pwd.getpwnam(name) if uid is None else pwd.getpwuid(uid)
    except KeyError:
        fail("crymapd", f"no UNIX user {uid or name}: create it first, or name another with --uid", sysexits.NOUSER)
    if entry.pw_uid == 0:
        raise AccountUnusable("an account cannot belong to root")
    return privileges.Owner(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid)))


def _give(home: Path, owner: privileges.Owner) -> None:
    """chown the directory that we made, and nothing that was put in its place meanwhile."""
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid != 0:
            raise AccountUnusable(f"{home} was exchanged while the account was made")
        os.fchown(fd, owner.uid, owner.gid)
    finally:
        os.close(fd)


def _provision(home: Path, password: str, owner: privileges.Owner | None, limit: int) -> None:
    """As the owner, in a child when that takes a change of ids."""
    if owner is None:
        Store(account.create(home, password), limit).close()
        return
    child = os.fork()
    if child == 0:
        status = sysexits.SOFTWARE
        try:
            privileges.confine_root(home)
            privileges.become(owner)
            Store(account.create(Path("/"), password), limit).close()
            status = 0
        except (OSError, CrymapError) as error:
            print(f"crymapd: {describe(error)}", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        raise AccountUnusable(f"the account could not be created in {home} as its owner (uid {owner.uid})")


def _password(*, stdin: bool, prompt: bool) -> str:
    if stdin and prompt:
        fail("crymapd", "--password-stdin and --prompt-password exclude each other", sysexits.USAGE)
    if stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif prompt:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Confirm: ") != password:
            fail("crymapd", "the two entries differ", sysexits.DATAERR)
    else:
        return generate_password()
    if not password:
        fail("crymapd", "the password is empty", sysexits.NOINPUT)
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        fail("crymapd", f"the password is longer than {MAX_PASSWORD_BYTES} octets", sysexits.DATAERR)
    return password
