"""Commands that concern no mailbox (RFC 9051 sections 6.1 to 6.3.1, RFC 2971, RFC 4978, RFC 9208)."""

from __future__ import annotations

from dataclasses import dataclass

from crymapd.imap.wire.reader import BadSyntax, Reader


@dataclass(frozen=True, slots=True)
class Capability:
    pass


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP, CHECK and XYZZY."""


@dataclass(frozen=True, slots=True)
class Logout:
    pass


@dataclass(frozen=True, slots=True)
class Login:
    user: bytes
    password: bytes


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTHENTICATE; `initial` is the initial response (RFC 4959), still in base64, or None."""

    mechanism: bytes
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class Enable:
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Id:
    """ID (RFC 2971), with what the client says about itself as pairs of name and value."""

    fields: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Namespace:
    pass


@dataclass(frozen=True, slots=True)
class Idle:
    pass


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS, which we always refuse, because the connection is in TLS from its first octet."""


@dataclass(frozen=True, slots=True)
class Compress:
    """COMPRESS (RFC 4978)."""


@dataclass(frozen=True, slots=True)
class GetQuota:
    """GETQUOTA (RFC 9208)."""

    root: bytes


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    """GETQUOTAROOT (RFC 9208)."""

    mailbox: str


def compress(reader: Reader) -> Compress:
    reader.space()
    if reader.word() != b"DEFLATE":
        raise BadSyntax("COMPRESS expects DEFLATE")
    return Compress()


def get_quota(reader: Reader) -> GetQuota:
    reader.space()
    return GetQuota(reader.astring())


def get_quota_root(reader: Reader) -> GetQuotaRoot:
    reader.space()
    return GetQuotaRoot(reader.mailbox())


def login(reader: Reader) -> Login:
    reader.space()
    user = reader.astring()
    reader.space()
    return Login(user, reader.astring())


def authenticate(reader: Reader) -> Authenticate:
    reader.space()
    mechanism = reader.word()
    initial = None
    if reader.try_text(b" "):
        initial = reader.rest().rstrip(b" ") or None  # some clients leave blanks at the end
    return Authenticate(mechanism, initial)


def enable(reader: Reader) -> Enable:
    names = []
    while reader.try_text(b" "):
        names.append(reader.word())
    if not names:
        raise BadSyntax("ENABLE expects the names of capabilities")
    return Enable(tuple(names))


def identification(reader: Reader) -> Id:
    """Read `ID (name value ...)` or `ID NIL`; some clients leave out the argument (RFC 2971 section 3.1)."""
    if not reader.try_text(b" ") or reader.at_end() or reader.try_text(b"NIL"):
        return Id(())
    reader.text(b"(")
    fields: list[tuple[bytes, bytes]] = []
    while not reader.try_text(b")"):
        name = reader.string()
        reader.space()
        fields.append((name, reader.nstring() or b""))
        if len(fields) > 30:
            raise BadSyntax("ID expects at most 30 fields")
        if reader.peek() != b")":
            reader.space()
    return Id(tuple(fields))
