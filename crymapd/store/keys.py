"""The key store: the sealing pairs in `keys/`, one file each, and their rotation.

A key file is TOML.  It has a name, the time it was created (seconds since 1970), the wrapped private half, the
public half of an external pair, a MAC over name, time and public half, and a checksum over all of these.

Delivery, which has no secret, takes the newest external pair whose checksum is right: mail that was sealed for a
public half with a flipped bit could never be opened.  Login checks every MAC, and puts aside what somebody
exchanged behind the owner's back.  Every file has a copy in `backup/keys`.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import tomli_w

from crymapd import log
from crymapd.config.load import parse
from crymapd.crypto import sealing
from crymapd.crypto.sealing import OpeningKey, SealingKey
from crymapd.crypto.secret import Secret, derive, mac, mac_matches, unwrap, wrap
from crymapd.crypto.stream import Recipient
from crymapd.errors import ConfigError, Damaged, KeyMissing, NoDeliveryKey
from crymapd.store.layout import Layout
from crymapd.store.user_file import KeyPatterns
from crymapd.unix import files

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
_MAX_BYTES = 64 * 1024
_FUTURE = 24 * 3600  # seconds by which a clock may have been wrong when a pair was made


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file in `keys/`, where octets are written in base64."""

    name: str
    created: int
    wrapped: bytes
    mac: bytes
    checksum: bytes
    public: bytes = b""

    @property
    def authenticated(self) -> bytes:
        """The octets that the MAC covers."""
        return b"\0".join((self.name.encode(), str(self.created).encode(), self.public))

    def computed_checksum(self) -> bytes:
        """Compute SHA-256 of everything else, which protects against failing disks but not against people."""
        return hashlib.sha256(b"\0".join((self.authenticated, self.wrapped, self.mac))).digest()


def key_name(pattern: str, now: float) -> str:
    """Expand a key pattern with the UTC time. Raises ValueError unless the result is a safe file name."""
    name = time.strftime(pattern, time.gmtime(now))
    if not _NAME.fullmatch(name):
        raise ValueError(f"the key pattern {pattern!r} gives {name!r}, which is not a safe file name")
    return name


class KeyStore:
    """The sealing pairs of an unlocked account."""

    def __init__(self, layout: Layout, master: Secret, account_id: bytes) -> None:
        self._layout = layout
        self._master = master
        self._wrapping = derive(master, "private key wrapping")
        self._account_id = account_id
        self._opened: dict[str, OpeningKey] = {}
        self._internal = ""

    def rotate(self, patterns: KeyPatterns, now: float) -> None:
        """Check every key file, then make the pairs whose names the patterns give today, the external one first.

        Raises:
            ValueError: a pattern does not give a safe file name.
        """
        self._check_all()
        external, internal = key_name(patterns.external_pattern, now), key_name(patterns.internal_pattern, now)
        for name, public in ((external, True), (internal, False)):
            if not (self._layout.keys / name).exists():
                try:
                    self._make(name, public, int(now))
                except OSError as error:  # a full disk must not keep the owner from reading
                    log.sealing_pair_not_made(name, error.strerror or str(error))
        self._internal = internal if (self._layout.keys / internal).exists() else self._newest_internal(internal)

    def _newest_internal(self, otherwise: str) -> str:
        """Return the name of the internal pair that was made last, or `otherwise` if there is none."""
        pairs: list[tuple[int, str]] = []
        for path in _listed(self._layout.keys):
            with suppress(OSError, Damaged):
                key = read_key_file(path)
                if not key.public:
                    pairs.append((key.created, key.name))
        return max(pairs)[1] if pairs else otherwise

    def own_recipient(self) -> Recipient:
        """Return for whom the owner's sessions seal: the internal pair, whose public half nobody else can read."""
        return Recipient(self._internal, self.opening_key(self._internal).public, self._account_id)

    def opening_key(self, name: str) -> OpeningKey:
        """Return the private half of a pair, after restoring its file from the copy if it is damaged.

        Raises:
            KeyMissing: there is no usable file of that name.
        """
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
            try:
                self._restore(name)
            except OSError as reason:
                log.key_not_copied(name, str(reason))
            return raw

    def _restore(self, name: str) -> None:
        path = self._layout.keys / name
        if path.exists():
            self._layout.put_aside(path, str(int(time.time())))
        content = files.read_small(self._layout.keys_copy / name, _MAX_BYTES)
        files.write_atomic(self._layout.tmp, path, content, replace=True)
        log.key_restored(name)

    def _trusted(self, path: Path) -> Secret:
        """Read the private half from a file that is exactly what this account wrote. Raises Damaged, OSError."""
        key = read_key_file(path)
        if key.name != path.name or not mac_matches(self._master, "key file mac", key.authenticated, key.mac):
            raise Damaged("it is not what this account wrote (altered or exchanged)")
        return unwrap(self._wrapping, key.wrapped, key.name.encode())

    def _check_all(self) -> None:
        """Check that every file is ours and has a copy: put strange files aside, restore lost ones."""
        names = {path.name for path in (*_listed(self._layout.keys), *_listed(self._layout.keys_copy))}
        for name in sorted(names):
            try:
                self._check(name)
            except OSError as error:  # a full or read-only disk, or a right that is missing
                log.key_not_copied(name, str(error))

    def _check(self, name: str) -> None:
        try:
            self._private(name)
        except KeyMissing as error:
            log.key_rejected(name, str(error.__cause__ or error))
            if (self._layout.keys / name).exists():
                self._layout.put_aside(self._layout.keys / name, str(int(time.time())))
        else:
            self._copy(name)

    def _copy(self, name: str) -> None:
        content = files.read_small(self._layout.keys / name, _MAX_BYTES)
        copy = self._layout.keys_copy / name
        try:
            is_same = files.read_small(copy, _MAX_BYTES) == content
        except OSError:
            is_same = False
        if not is_same:
            files.write_atomic(self._layout.tmp, copy, content, replace=True)

    def _make(self, name: str, public: bool, created: int) -> None:
        raw = sealing.generate()
        public_half = OpeningKey(raw).public.raw if public else b""
        key = KeyFile(name, created, wrap(self._wrapping, raw, name.encode()), b"", b"", public_half)
        key = msgspec.structs.replace(key, mac=mac(self._master, "key file mac", key.authenticated))
        key = msgspec.structs.replace(key, checksum=key.computed_checksum())
        text = tomli_w.dumps(msgspec.to_builtins(key)).encode()
        try:
            files.write_atomic(self._layout.tmp, self._layout.keys / name, text, replace=False)
        except FileExistsError:
            return  # a sibling has made it meanwhile
        self._copy(name)


def _listed(directory: Path) -> list[Path]:
    """The files of a directory of keys; none if it cannot be listed, which the log says."""
    try:
        return list(directory.iterdir())
    except OSError as error:
        log.keys_not_listed(f"{directory.parent.name}/{directory.name}", error.strerror or str(error))
        return []


def read_key_file(path: Path) -> KeyFile:
    """Read a key file and check its checksum, but not its MAC. Raises Damaged, OSError."""
    try:
        key = parse(files.read_small(path, _MAX_BYTES), KeyFile, f"keys/{path.name}")
    except ConfigError as error:
        raise Damaged(str(error)) from None
    if key.checksum != key.computed_checksum():
        raise Damaged("its checksum is wrong")
    return key


def delivery_recipient(layout: Layout, account_id: bytes, now: float) -> Recipient:
    """Find the newest external public half, for which anybody can seal without a secret.

    A pair from the future is taken only if there is no other: then the clock has been set back.

    A damaged file never stops delivery: the next newest one is taken instead, first from `keys/`, then
    from `backup/keys`.

    Raises:
        NoDeliveryKey: there is no usable external pair at all.
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
            if key.public and key.name == path.name:
                candidates.append(key)
        for key in sorted(candidates, key=lambda k: (k.created <= now + _FUTURE, k.created, k.name), reverse=True):
            try:
                return Recipient(key.name, SealingKey(key.public), account_id)
            except Damaged:
                continue
    raise NoDeliveryKey("no readable external key; the owner must log in once to make one", path=layout.keys)
