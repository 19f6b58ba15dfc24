"""`user.toml`: the id, slots and preferences of an account, protected by a MAC.

The MAC is HMAC-SHA256 over the canonical JSON of everything else (sorted keys, no white space),
under a key derived from the master key.  It is checked as soon as a slot has been opened.
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
    """Patterns for strftime, expanded with the UTC time at login. A name that is new makes a new sealing pair."""

    internal_pattern: str = "internal-%Y-%m"
    external_pattern: str = "external-%Y-%m"


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner has chosen.

    Attributes:
        hidden_capabilities: capabilities that are not announced, because a client of this account misuses them.
    """

    hidden_capabilities: tuple[str, ...] = ()


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A slot as it is written, with octets in base64.

    It is opened by the module `account`, not here, so that a delivery, which opens nothing, need not load Argon2.
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
    """The content of the file. `id` is the account id, 16 octets in hexadecimal."""

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
        """Return a copy with the right MAC."""
        return msgspec.structs.replace(self, mac=secret.mac(master, _MAC_LABEL, self._canonical()))

    def check(self, master: Secret) -> None:
        """Check the MAC. Raises Damaged if somebody without the master key has changed anything."""
        if not secret.mac_matches(master, _MAC_LABEL, self._canonical(), self.mac):
            raise Damaged(f"{FILE} was altered by somebody who does not know the password")

    def _canonical(self) -> bytes:
        fields = msgspec.to_builtins(msgspec.structs.replace(self, mac=b""))
        if self.preferences == Preferences():
            del fields["preferences"]  # older files have none, and their MACs must stay valid
        return msgspec.json.encode(fields, order="sorted")


def parse_user(text: bytes) -> User:
    """Parse the octets of the file. Raises Damaged unless they are a user.toml of a version we know."""
    try:
        user = parse(text, User, FILE)
        if user.version != FORMAT or len(user.account_id) != 16:
            raise ConfigError(f"{FILE}: version {user.version} or id is not known to this program")
    except (ConfigError, ValueError) as error:
        raise Damaged(str(error)) from None
    return user


def format_user(user: User) -> bytes:
    """Write the octets of the file."""
    return tomli_w.dumps(msgspec.to_builtins(user)).encode()
