"""A user name and a password, as a client gave them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client wants to log in with; nothing of it has been checked.

    Attributes:
        user: the name as it was given, which need not be a canonical one.
        password: never shown by `repr`.
    """

    user: str
    password: str = field(repr=False)

    @classmethod
    def from_octets(cls, user: bytes, password: bytes) -> Credentials:
        """Read both as UTF-8. Octets that are no UTF-8 are kept apart from every text, so that they log nobody in."""
        return cls(user.decode("utf-8", "surrogateescape"), password.decode("utf-8", "surrogateescape"))
