"""From a user name and a password to an opened store in a confined process.

In order: the name's canonical form, the directory's owner, the password (as the owner, if we are
root), then ids for good, confinement, and only then the store.  An unknown user costs the same work
as a wrong password.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from crymapd import log
from crymapd.authentication.credentials import Credentials
from crymapd.config.system import Limits
from crymapd.crypto.slots import spend_time
from crymapd.daemon.throttle import Throttle
from crymapd.errors import AccountUnusable, BadCredentials, CrymapError, UnsafeName
from crymapd.imap.prepared import prepare
from crymapd.mime.charsets import preload
from crymapd.model.names import canonical_user
from crymapd.store import account, maintenance
from crymapd.store.account import Unlocked
from crymapd.store.layout import Layout
from crymapd.store.store import Store
from crymapd.unix import privileges, sandbox
from crymapd.unix.lockpool import LockPool


class Login:
    """What `imap.session` calls to authenticate."""

    def __init__(
        self,
        users: Path,
        limits: Limits,
        pool: LockPool,
        throttle: Throttle,
        peer: str,
        address: str,
        client: int,
    ) -> None:
        self._users = users
        self._limits = limits
        self._pool = pool
        self._throttle = throttle
        self._peer = peer
        self._address = address
        self._client = client

    def __call__(self, credentials: Credentials) -> Store:
        """Raises BadCredentials, AccountUnusable, and what opening a store raises."""
        user, password = credentials.user, credentials.password
        try:
            name, home = self._find(user)
            owner = None
            if privileges.is_root():
                home, owner = privileges.enter(home)
            unlocked = self._unlock(home, password, owner)
        except BadCredentials:
            log.login_failed(user[:64], self._address)
            time.sleep(self._throttle.failed(self._address, user[:128]))
            raise
        except AccountUnusable as error:
            log.account_unusable(user[:64], str(error))
            raise
        log.set_prefix(f"{self._peer} user={name} ")
        log.login_ok(name)
        unlocked = self._settle(unlocked, owner)
        try:
            size = self._limits.max_message_size
            maintenance.in_child(unlocked, close=(self._client,))
            return Store(unlocked, prepare, size, self._limits.max_storage)
        except (CrymapError, OSError) as error:
            log.account_unusable(name, str(error))
            raise AccountUnusable(str(error)) from error

    def _find(self, user: str) -> tuple[str, Path]:
        """The canonical name and the directory it leads to."""
        try:
            name = canonical_user(user)
            home = (self._users / name).resolve(strict=True)
            if home.is_dir():
                return name, home
        except (UnsafeName, OSError, RuntimeError):  # RuntimeError: a loop of symlinks
            pass
        with self._pool.one():
            spend_time("nobody")
        raise BadCredentials("wrong user name or password")

    def _unlock(self, home: Path, password: str, owner: privileges.Owner | None) -> Unlocked:
        as_owner: AbstractContextManager[None] = nullcontext() if owner is None else privileges.Impersonation(owner)
        with self._pool.one(), as_owner:
            return account.unlock(home, password)

    def _settle(self, unlocked: Unlocked, owner: privileges.Owner | None) -> Unlocked:
        """Become the owner for good and see nothing but the user directory."""
        preload()
        home = unlocked.layout.home
        if owner is not None:
            privileges.confine_root(home)
            privileges.become(owner)
            home = Path("/")
            unlocked = Unlocked(Layout(home), unlocked.user, unlocked.master)
        elif os.geteuid() == 0:
            raise AccountUnusable("still root")
        sandbox.harden()
        if not sandbox.confine(home):
            log.not_confined()
        return unlocked
