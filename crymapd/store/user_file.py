"""`user.toml`: an account's identity, key slots and preferences, under a MAC.

The MAC is HMAC-SHA256 over the canonical JSON of everything else (sorted keys, no white space),
under a key derived from the master key; it is checked as soon as a slot has opened.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import tomli_w

from crymapd.config.load import parse
from crymapd.crypto import secret
from crymapd.crypto.secret import Secret
from crymapd.errors import ConfigError, Damaged

FILE = "user.toml"
FORMAT = 1
MAX_BYTES = 256 * 1024
_MAC_LABEL = "user.toml mac"


class KeyPatterns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """strftime patterns, expanded with the UTC time at login: a new name makes a new key pair."""

    internal_pattern: str = "internal-%Y-%m"
    external_pattern: str = "external-%Y-%m"


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner has chosen.

    Attributes:
        hidden_capabilities: those that are not announced, because a client of this account misuses them.
    """

    hidden_capabilities: tuple[str, ...] = ()


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key slot as it is written, with octets in base64; `account` opens it.

    This module does not, so that delivery, which opens nothing, need not load Argon2.
    """

    kind: str
    label: str
    created: str
    changed: str
    salt: bytes
    memory_kib: int
    passes: int
    lanes: int
    wrapped: bytes


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; `id` is the account's 16 octets in hexadecimal."""

    version: int
    id: str
    slot: Annotated[tuple[Slot, ...], msgspec.Meta(min_length=1, max_length=64)]
    keys: KeyPatterns = KeyPatterns()
    preferences: Preferences = Preferences()
    mac: bytes = b""

    @property
    def account_id(self) -> bytes:
        return bytes.fromhex(self.id)

    def signed(self, master: Secret) -> User:
        """The same with a MAC that is right for it."""
        return msgspec.structs.replace(self, mac=secret.mac(master, _MAC_LABEL, self._canonical()))

    def check(self, master: Secret) -> None:
        """Raises Damaged when anything but the MAC itself was changed behind the user's back."""
        if not secret.mac_matches(master, _MAC_LABEL, self._canonical(), self.mac):
            raise Damaged(f"{FILE} was altered by somebody who does not know the password")

    def _canonical(self) -> bytes:
        fields = msgspec.to_builtins(msgspec.structs.replace(self, mac=b""))
        if self.preferences == Preferences():
            del fields["preferences"]  # as in files from before there were any
        return msgspec.json.encode(fields, order="sorted")


def parse_user(text: bytes) -> User:
    """Raises Damaged for anything that is not a user.toml of a version we know."""
    try:
        user = parse(text, User, FILE)
        if user.version != FORMAT or len(user.account_id) != 16:
            raise ConfigError(f"{FILE}: version {user.version} or id is not known to this program")
    except (ConfigError, ValueError) as error:
        raise Damaged(str(error)) from None
    return user


def format_user(user: User) -> bytes:
    """The octets of the file."""
    return tomli_w.dumps(msgspec.to_builtins(user)).encode()
