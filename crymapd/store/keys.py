"""The key store: sealing key pairs in `keys/`, one file each, and their rotation.

A key file is TOML: name, created (seconds since 1970), wrapped (the private half under the account's
key), for external pairs `public`, a MAC over name, creation and public half, and a checksum of all that.
Delivery, which has no secret, picks the newest external pair whose checksum is right: mail sealed for a
public half with a flipped bit could never be opened.  Login checks every MAC and sets aside what was
exchanged behind the user's back.  Every file has a copy in `backup/keys`.
"""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import msgspec
import tomli_w

from crymapd import log
from crymapd.config.load import parse
from crymapd.config.user import KeyPatterns
from crymapd.crypto import sealing
from crymapd.crypto.sealing import OpeningKey, SealingKey
from crymapd.crypto.secret import Secret, derive, mac, mac_matches, unwrap, wrap
from crymapd.crypto.stream import Recipient
from crymapd.errors import ConfigError, Damaged, KeyMissing, NoDeliveryKey
from crymapd.store.layout import Layout
from crymapd.unix import files

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
_MAX_BYTES = 64 * 1024
_FUTURE = 24 * 3600


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file in `keys/` says; octets are base64."""

    name: str
    created: int
    wrapped: bytes
    mac: bytes
    checksum: bytes
    public: bytes = b""

    @property
    def authenticated(self) -> bytes:
        return b"\0".join((self.name.encode(), str(self.created).encode(), self.public))

    def summed(self) -> bytes:
        """SHA-256 of everything else: no protection from people, but from disks."""
        return hashlib.sha256(b"\0".join((self.authenticated, self.wrapped, self.mac))).digest()


def key_name(pattern: str, now: float) -> str:
    """A pattern expanded with the UTC time. Raises ValueError unless it gives a plain file name."""
    name = time.strftime(pattern, time.gmtime(now))
    if not _NAME.fullmatch(name):
        raise ValueError(f"the key pattern {pattern!r} gives {name!r}, which is no safe file name")
    return name


class KeyStore:
    """The key pairs of an unlocked account."""

    def __init__(self, layout: Layout, master: Secret, account_id: bytes) -> None:
        self._layout = layout
        self._master = master
        self._wrapping = derive(master, "private key wrapping")
        self._account_id = account_id
        self._opened: dict[str, OpeningKey] = {}
        self._internal = ""

    def rotate(self, patterns: KeyPatterns, now: float) -> None:
        """Check every file, then make today's pairs if they are not there (external first)."""
        self._check_all()
        external, internal = key_name(patterns.external_pattern, now), key_name(patterns.internal_pattern, now)
        for name, public in ((external, True), (internal, False)):
            if not (self._layout.keys / name).exists():
                self._make(name, public, int(now))
        self._internal = internal

    def own_recipient(self) -> Recipient:
        """For what we seal ourselves: the internal pair, whose public half nobody else can read."""
        return Recipient(self._internal, self.opening(self._internal).public, self._account_id)

    def opening(self, name: str) -> OpeningKey:
        """The private half of a pair. Raises KeyMissing; a damaged file is repaired from its copy first."""
        if name not in self._opened:
            if not _NAME.fullmatch(name):
                raise KeyMissing("the message names an impossible key")
            self._opened[name] = OpeningKey(self._private(name))
        return self._opened[name]

    def _private(self, name: str) -> Secret:
        try:
            return self._trusted(self._layout.keys / name)
        except (OSError, Damaged) as error:
            try:
                raw = self._trusted(self._layout.keys_copy / name)
            except (OSError, Damaged):
                raise KeyMissing(f"key {name} is missing or damaged") from error
            self._restore(name)
            return raw

    def _restore(self, name: str) -> None:
        path = self._layout.keys / name
        if path.exists():
            self._layout.put_aside(path, str(int(time.time())))
        content = files.read_small(self._layout.keys_copy / name, _MAX_BYTES)
        files.write_atomic(self._layout.tmp, path, content, replace=True)
        log.key_restored(name)

    def _trusted(self, path: Path) -> Secret:
        """The private half in a file that is what we wrote. Raises Damaged or OSError."""
        key = read_key_file(path)
        if key.name != path.name or not mac_matches(self._master, "key file mac", key.authenticated, key.mac):
            raise Damaged("it is not what this account wrote (altered or exchanged)")
        return unwrap(self._wrapping, key.wrapped, key.name.encode())

    def _check_all(self) -> None:
        """Every file is ours and has a copy; a stranger's is set aside, a lost one comes back."""
        names = {path.name for path in self._layout.keys.iterdir()}
        names |= {path.name for path in self._layout.keys_copy.iterdir()}
        for name in sorted(names):
            try:
                self._private(name)
                self._copy(name)
            except KeyMissing as error:
                log.key_rejected(name, str(error.__cause__ or error))
                if (self._layout.keys / name).exists():
                    self._layout.put_aside(self._layout.keys / name, str(int(time.time())))

    def _copy(self, name: str) -> None:
        content = files.read_small(self._layout.keys / name, _MAX_BYTES)
        copy = self._layout.keys_copy / name
        try:
            same = files.read_small(copy, _MAX_BYTES) == content
        except OSError:
            same = False
        if not same:
            files.write_atomic(self._layout.tmp, copy, content, replace=True)

    def _make(self, name: str, public: bool, created: int) -> None:
        raw = sealing.generate()
        half = OpeningKey(raw).public.raw if public else b""
        key = KeyFile(name, created, wrap(self._wrapping, raw, name.encode()), b"", b"", half)
        key = msgspec.structs.replace(key, mac=mac(self._master, "key file mac", key.authenticated))
        key = msgspec.structs.replace(key, checksum=key.summed())
        text = tomli_w.dumps(msgspec.to_builtins(key)).encode()
        try:
            files.write_atomic(self._layout.tmp, self._layout.keys / name, text, replace=False)
        except FileExistsError:
            return  # a sibling was first
        self._copy(name)


def read_key_file(path: Path) -> KeyFile:
    """Raises Damaged or OSError."""
    try:
        key = parse(files.read_small(path, _MAX_BYTES), KeyFile, f"keys/{path.name}")
    except ConfigError as error:
        raise Damaged(str(error)) from None
    if key.checksum != key.summed():
        raise Damaged("its checksum is wrong")
    return key


def delivery_recipient(layout: Layout, account_id: bytes, now: float) -> Recipient:
    """The newest external public half, without any secret.

    A half-written, damaged or stale file never stops delivery: the next newest serves, first of
    `keys/`, then of its copy.

    Raises:
        NoDeliveryKey: there is none at all.
    """
    for directory in (layout.keys, layout.keys_copy):
        candidates = []
        try:
            paths = list(directory.iterdir())
        except OSError:
            continue
        for path in paths:
            try:
                key = read_key_file(path)
            except (Damaged, OSError):
                continue
            if key.public and key.name == path.name and key.created <= now + _FUTURE:
                candidates.append(key)
        for key in sorted(candidates, key=lambda k: (k.created, k.name), reverse=True):
            try:
                return Recipient(key.name, SealingKey(key.public), account_id)
            except Damaged:
                continue
    raise NoDeliveryKey("no readable external key; the owner must log in once to make one", path=layout.keys)
