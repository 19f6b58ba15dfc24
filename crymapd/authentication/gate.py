"""What stands before each check of a password, so that guessing is slow and keeps nobody else out.

- There is one check at a time for each address and for each account, and a bounded number on this host.
- An address that has failed waits before its next check, longer each time, and its clients wait in turn.
- One of the places on this host is kept for addresses that have not failed.
- Where an account's owner has logged in before (at home, at work), only failures for his own account make him wait, not
  those of others at that address.

A client that waits may hang up; then nothing more is done for it.  What is counted is in the directory `state`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import ipaddress
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

from crymapd import log
from crymapd.authentication.tally import Tally
from crymapd.errors import BadCredentials
from crymapd.unix import files
from crymapd.unix.byte_locks import ByteLocks

FREE = 3
"""So many failures cost nothing: people mistype."""
LONGEST_SECONDS = 15.0
HALF_LIFE_SECONDS = 600.0
"""In which a count of failures halves."""
KNOWN_HALF_LIFE_SECONDS = 9 * 86_400.0
"""After the owner of an account has logged in from an address, it is known there for a month (`_FORGOTTEN`)."""
UNCOUNTED_SECONDS = 2.0
"""What each check waits for where failures cannot be counted."""
PATIENCE_SECONDS = 60.0
"""How long a client waits for its turn, without the delay; then it is told to come again later."""
_PAUSE_SECONDS = 0.02
_SPOTLESS = 0.5
"""An address whose failures have faded below this has not failed."""
_FORGOTTEN = 0.1
"""An address that is known this little, after a few failures or much time, is not known."""
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN_HOST = ("127.0.0.1", "::1", "local", "unknown")
_FIRST_ADDRESS, _FIRST_ACCOUNT, _SUBJECTS = 1 << 20, 2 << 20, 1 << 20
"""Where the locks of addresses and of accounts begin in the file, and how many there are; places begin at 0."""


class Gate:
    """The way to a password check, for one client.

    Args:
        state: a descriptor of the directory that all workers share.
        places: how many passwords may be checked at once on this host.
        address: the client's.
        pause: waits so many seconds, and raises if the client is gone.
    """

    def __init__(self, state: int, places: int, address: str, pause: Callable[[float], None]) -> None:
        self._places = places
        self._address = "" if address in _OWN_HOST else network(address)
        self._pause = pause
        self._held: list[int] = []
        self._locks: ByteLocks | None = None
        with ExitStack() as opened:
            try:
                self._addresses = opened.enter_context(closing(Tally(state, "addresses", HALF_LIFE_SECONDS)))
                self._accounts = opened.enter_context(closing(Tally(state, "accounts", HALF_LIFE_SECONDS)))
                self._known = opened.enter_context(closing(Tally(state, "known", KNOWN_HALF_LIFE_SECONDS)))
                self._fd = os.open("logins", _FLAGS, files.PRIVATE_FILE, dir_fd=state)
            except OSError as error:
                log.no_state(f"state/: {error}")
                self._fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=state)
            else:
                opened.pop_all()
                self._locks = ByteLocks(self._fd)

    @contextmanager
    def check(self, account: str) -> Iterator[None]:
        """Wait for the turn to check a password; the block does it. BadCredentials from the block counts as a failure.

        Args:
            account: the canonical name, or what stands in its place.

        Raises:
            TimeoutError: it was not this client's turn for `PATIENCE_SECONDS`.
            Whatever `pause` raises.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            if self._locks is None:
                with self._alone(deadline):
                    yield
                return
            self._wait_turn(account, deadline)
            try:
                yield
            except BadCredentials:
                self._note_failure(account)
                raise
            self._note_success(account)
        finally:
            self._free()

    def close(self) -> None:
        """Close the files, so that whoever takes over this process later cannot hold up other logins."""
        os.close(self._fd)
        if self._locks is not None:
            for tally in (self._addresses, self._accounts, self._known):
                tally.close()

    # Turns

    def _wait_turn(self, account: str, deadline: float) -> None:
        of_account = _FIRST_ACCOUNT + self._number(account)
        of_address = _FIRST_ADDRESS + self._number(self._address)
        while self._is_known(account) or not self._hold(of_address, deadline, unless=lambda: self._is_known(account)):
            self._hold(of_account, deadline)
            if self._is_known(account):
                self._hold_place(deadline, is_spotless=True)
                return
            self._free()  # somebody has failed meanwhile
        failures = self._addresses.count(self._address)
        if failures >= _SPOTLESS:
            seconds = delay(max(failures, self._accounts.count(account)))
            self._pause(seconds)
            deadline += seconds
        self._hold(of_account, deadline)
        self._hold_place(deadline, is_spotless=failures < _SPOTLESS)

    def _is_known(self, account: str) -> bool:
        return not self._address or self._known.count(_pair(self._address, account)) > _FORGOTTEN

    def _number(self, subject: str) -> int:
        digest = hashlib.blake2b(subject.encode(errors="replace"), key=self._known.key).digest()
        return int.from_bytes(digest[:4], "big") % _SUBJECTS

    def _hold(self, number: int, deadline: float, unless: Callable[[], bool] = lambda: False) -> bool:
        return self._hold_any(range(number, number + 1), deadline, unless)

    def _hold_place(self, deadline: float, *, is_spotless: bool) -> None:
        self._hold_any(range(self._places if is_spotless else max(self._places - 1, 1)), deadline)

    def _hold_any(self, numbers: range, deadline: float, unless: Callable[[], bool] = lambda: False) -> bool:
        """Wait for one of some locks; False if there is no need for it any more."""
        assert self._locks is not None
        while not unless():
            for number in numbers:
                if self._locks.take(number):
                    self._held.append(number)
                    return True
            self._pause_until(deadline)
        return False

    def _pause_until(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise TimeoutError(errno.ETIMEDOUT, "as many passwords are being checked as may be at once")
        self._pause(_PAUSE_SECONDS)

    @contextmanager
    def _alone(self, deadline: float) -> Iterator[None]:
        """Where nothing can be counted: one check at a time on this host, after a wait, by a lock on the directory."""
        if self._address:
            self._pause(UNCOUNTED_SECONDS)
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            self._pause_until(deadline)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _free(self) -> None:
        while self._held:
            assert self._locks is not None
            self._locks.free(self._held.pop())

    # Counting

    def _note_failure(self, account: str) -> None:
        try:
            if self._address:
                self._addresses.add(self._address, 1)
                self._accounts.add(account, 1)
                pair = _pair(self._address, account)
                self._known.set(pair, max(self._known.count(pair) - 1 / FREE, 0.0))
        except OSError as error:
            log.no_state(f"state/: {error}")
            self._pause(UNCOUNTED_SECONDS)

    def _note_success(self, account: str) -> None:
        try:
            if self._address:
                self._known.set(_pair(self._address, account), 1)
        except OSError as error:
            log.no_state(f"state/: {error}")


def delay(failures: float) -> float:
    """The seconds that so many failures cost: nothing for the first few, then twice as long each time."""
    excess = min(failures - FREE - 1, 10.0)
    return 0.0 if failures <= FREE else min(0.5 * 2.0**excess, LONGEST_SECONDS)


def network(address: str) -> str:
    """What counts as one address: of IPv6 the 64 bits that one customer has, for which addresses cost nothing."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))


def _pair(address: str, account: str) -> str:
    return f"{address} {account}"
