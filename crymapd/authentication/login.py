"""Login, in steps that a service takes one by one.

1. `Authenticator.authenticate`: a user name and a password become an unlocked account.
2. `confine`: the process becomes the owner of the account for good, and sees nothing but the user directory.
3. Opening the store, or whatever else the service wants there, is the service's affair.

A service that only wants to know who speaks takes the first step.  No step reads a user's file with root's rights.
An unknown user costs the same work as a wrong password, gets the same answer, and is slowed down alike.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from crymapd import log
from crymapd.authentication.credentials import Credentials
from crymapd.authentication.gate import Gate
from crymapd.crypto.slots import spend_time
from crymapd.errors import AccountUnavailable, AccountUnusable, BadCredentials, UnsafeName
from crymapd.model.names import canonical_user
from crymapd.store import account
from crymapd.store.account import Unlocked
from crymapd.store.layout import Layout
from crymapd.unix import sandbox, syscalls
from crymapd.unix.owner import Place, UserDirectory

_LONGEST_LOGGED_NAME = 64
_LONGEST_COUNTED_NAME = 128


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who has logged in.

    Attributes:
        name: the canonical name.
        directory: where the mail lies, and whose it is; who does not go on to `confine` closes it.
        unlocked: what the password opened; its paths are good only while acting as the owner (`confine`).
    """

    name: str
    directory: UserDirectory
    unlocked: Unlocked


class Authenticator:
    """Checks the passwords that one client gives.

    Args:
        users: the directory with an entry for each user.
        gate: the way to each check of a password.
        address: the client's.
    """

    def __init__(self, users: Place, gate: Gate, address: str) -> None:
        self._users = users
        self._gate = gate
        self._address = address

    def authenticate(self, credentials: Credentials) -> LoggedIn:
        """Unlock the account of a user with a password. From here on the log names the user.

        Every failure takes the same work, and wrong credentials count against the address and the name. If the account
        cannot be read, the log does not report a failed login, because fail2ban would ban its owner.

        Raises:
            BadCredentials: the user is unknown, the password is wrong, or the account belongs to root.
            AccountUnavailable: the account cannot be read now, so nobody can tell.
            AccountUnusable: the password is right, but the account is damaged.
        """
        user = credentials.user
        try:
            logged_in = self._unlock(credentials)
        except (BadCredentials, AccountUnavailable, AccountUnusable) as error:
            if type(error) is BadCredentials:
                log.login_failed(user[:_LONGEST_LOGGED_NAME], self._address)
            else:
                log.account_unusable(user[:_LONGEST_LOGGED_NAME], str(error))
            raise
        log.extend_prefix(f"user={logged_in.name} ")
        log.login_ok(logged_in.name)
        return logged_in

    def _unlock(self, credentials: Credentials) -> LoggedIn:
        try:
            with self._gate.check(_counted(credentials.user)):
                return self._check(credentials)
        except (OSError, MemoryError) as error:
            raise AccountUnavailable(str(error) or "out of memory") from error

    def _check(self, credentials: Credentials) -> LoggedIn:
        try:
            name, directory = self._locate(credentials.user)
        except (BadCredentials, AccountUnavailable):
            spend_time()
            raise
        try:
            with directory.impersonated() as home:
                return LoggedIn(name, directory, account.unlock(home, credentials.password))
        except BaseException:
            directory.close()
            raise

    def _locate(self, user: str) -> tuple[str, UserDirectory]:
        """Find the canonical name and the directory to which it leads."""
        try:
            name = canonical_user(user)
        except UnsafeName as error:
            raise BadCredentials("wrong user name or password") from error
        entry = self._users.path / name
        try:
            home = entry.resolve(strict=True)
            if not home.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(home))
            directory = UserDirectory.open(self._users.within(home))
            try:
                with directory.impersonated():  # which refuses a directory in which others have a hand
                    return name, directory
            except BaseException:
                directory.close()
                raise
        except AccountUnusable as error:
            raise _OwnedByRoot(str(error)) from error
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks
            if self._is_nobody(entry):
                raise BadCredentials("wrong user name or password") from error
            raise AccountUnavailable(self._users.real_names(str(error))) from error

    def _is_nobody(self, entry: Path) -> bool:
        """Whether there is no such user. There may be one if nobody can look, or if the entry leads nowhere now."""
        try:
            entry.lstat()
        except FileNotFoundError:
            return self._users.path.is_dir()
        except OSError:
            return False
        return False


def _counted(user: str) -> str:
    """The name under which failures are counted: of one account the same, however it is written."""
    try:
        return canonical_user(user)
    except UnsafeName:
        return user[:_LONGEST_COUNTED_NAME]


class _OwnedByRoot(BadCredentials):
    """Such an account is never served. The client is told what a wrong password is told, the log why."""


def confine(logged_in: LoggedIn) -> Unlocked:
    """Become the owner for good, see nothing but the user directory, and return the account as it is reached then.

    Load everything that the process will need before the call.

    Raises:
        AccountUnusable: root's rights could not be dropped.
    """
    try:
        place = logged_in.directory.take(confined=True)
        if os.geteuid() == 0:
            raise AccountUnusable("still root")
    except AccountUnusable as error:
        log.account_unusable(logged_in.name, str(error))
        raise
    log.translate_paths(place.real_names)
    try:
        sandbox.harden()
        if not sandbox.restrict_to(place.path):
            log.not_confined()
        if not syscalls.restrict():
            log.not_restricted()
    except OSError as error:
        log.account_unusable(logged_in.name, str(error))
        raise AccountUnusable(str(error)) from error
    return _reached_by(place.path, logged_in.unlocked)


def _reached_by(home: Path, unlocked: Unlocked) -> Unlocked:
    return Unlocked(Layout(home), unlocked.user, unlocked.master)
