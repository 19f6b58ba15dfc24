"""The sealed file of a message: whose key opens it, the sealed metadata, and the message itself.

    magic       7 octets   "crymapM"
    version     u8         1
    key name    u8 n, n octets (ASCII)
    sealed      u16 n (big endian), n octets: HPKE of the metadata, info = prefix | account id
    stream      24 octets  secretstream header
    chunks      each 65536 clear octets (the last fewer) + 17; the last carries the FINAL tag

A clear chunk is u32 n (big endian), n packed octets (`packing`), then zeros.  The zeros are Padme
padding, which hides the length of the message; they stand at the end of the last chunks.

Everything before the stream header is the prefix; its SHA-256 is the associated data of every
chunk.  So nobody can exchange a chunk, a prefix or a body for another without being noticed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import msgspec
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from crymapd.crypto.packing import Packer, Unpacker, padme
from crymapd.crypto.sealing import OpeningKey, SealingKey
from crymapd.crypto.secret import KEY_BYTES, Secret
from crymapd.errors import Damaged

MAGIC = b"crymapM\x01"
CHUNK = 64 * 1024
MAX_HEAD = len(MAGIC) + 1 + (2**8 - 1) + 2 + (2**16 - 1)
"""The largest prefix in octets. A shorter file has one chunk only, because every prefix has more than 207 octets."""
_COUNT = 4  # octets of the u32 that begins a clear chunk
_ROOM = CHUNK - _COUNT
_State = sodium.crypto_secretstream_xchacha20poly1305_state
_TAG = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
_STREAM_HEADER = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_MESSAGE = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_METADATA_BLOCK = 64
_EMAIL_ID_BYTES = 16
_MAX_ZONE = 24 * 60
_MAX_METADATA = 60_000
_MAX_MOMENT = 250_000_000_000  # seconds since 1970: in the year 9892, which `datetime` can still represent


class Metadata(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed beside the message.

    On disk it is u16 n, a MessagePack array of n octets with these fields in order, and zeros up to a multiple of
    64 octets.

    Attributes:
        body_key: 32 octets, the key of the stream.
        email_id: 16 random octets, the EMAILID that the message keeps for ever (RFC 8474).
        received: INTERNALDATE in seconds since 1970 UTC.
        zone: the time zone of INTERNALDATE in minutes east of UTC.
        size: octets of the message; None if that was not known when the file was begun.
        mailbox: the name of the mailbox to file it in.
        flags: the flags to give it.
    """

    body_key: bytes
    email_id: bytes
    received: int
    zone: int = 0
    size: int | None = None
    mailbox: str = "INBOX"
    flags: tuple[str, ...] = ()


def new_metadata(
    received: int, zone: int, mailbox: str, flags: tuple[str, ...] = (), size: int | None = None
) -> Metadata:
    """Make metadata with a new body key and a new EMAILID."""
    return Metadata(
        secrets.token_bytes(KEY_BYTES), secrets.token_bytes(_EMAIL_ID_BYTES), received, zone, size, mailbox, flags
    )


@dataclass(frozen=True, slots=True)
class Recipient:
    """For whom to seal: a public half, the name of its key pair, and the id of the account."""

    key_name: str
    key: SealingKey
    account_id: bytes


class SealedWriter:
    """Takes the octets of a message and writes a sealed file, in constant memory.

    Attributes:
        name: once `finish` has returned, the name of the file: the lower-case hexadecimal SHA3-256 of its octets.
    """

    def __init__(self, write: Callable[[bytes], object], recipient: Recipient, metadata: Metadata) -> None:
        self._write = write
        self._digest = hashlib.sha3_256()
        self._packer = Packer()
        self._pending = bytearray()
        self._state = _State()
        prefix = _prefix(recipient, metadata)
        self._bound = hashlib.sha256(prefix).digest()
        self._put(prefix + sodium.crypto_secretstream_xchacha20poly1305_init_push(self._state, metadata.body_key))

    def write(self, data: bytes) -> None:
        """Take the next octets of the message, any number of them."""
        self._pending += self._packer.process(data)
        while len(self._pending) > _ROOM:
            self._chunk(_ROOM, 0, _MESSAGE)

    def finish(self) -> None:
        """End the message: write what is pending and the padding, in as many chunks as they take."""
        self._pending += self._packer.finish()
        padding = padme(self._packer.packed_length) - self._packer.packed_length
        while len(self._pending) + padding > _ROOM:
            used = min(len(self._pending), _ROOM)
            self._chunk(used, _ROOM - used, _MESSAGE)
            padding -= _ROOM - used
        self._chunk(len(self._pending), padding, _FINAL)

    @property
    def name(self) -> str:
        return self._digest.hexdigest()

    @property
    def clear_length(self) -> int:
        return self._packer.clear_length

    def _chunk(self, used: int, padding: int, tag: int) -> None:
        clear = used.to_bytes(_COUNT, "big") + self._pending[:used] + bytes(padding)
        del self._pending[:used]
        self._put(sodium.crypto_secretstream_xchacha20poly1305_push(self._state, clear, self._bound, tag))

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._write(data)


def _prefix(recipient: Recipient, metadata: Metadata) -> bytes:
    packed = msgspec.msgpack.encode(metadata)
    if len(packed) > _MAX_METADATA:
        raise ValueError(f"the metadata of a message has at most {_MAX_METADATA} octets")
    encoded = len(packed).to_bytes(2, "big") + packed
    encoded += bytes(-len(encoded) % _METADATA_BLOCK)
    name = recipient.key_name.encode()
    head = MAGIC + bytes((len(name),)) + name
    sealed = recipient.key.seal(encoded, head + recipient.account_id)
    return head + len(sealed).to_bytes(2, "big") + sealed


class Head(msgspec.Struct, frozen=True):
    """The prefix of a sealed file, parsed but not opened.

    Attributes:
        key_name: the sealing pair that opens it.
        sealed: the sealed metadata.
        info_head: the octets before it, which are the beginning of HPKE's info; the account id is the rest.
        bound: SHA-256 of the prefix, the associated data of every chunk.
        length: octets of the prefix; the stream follows.
    """

    key_name: str
    sealed: bytes
    info_head: bytes
    bound: bytes
    length: int

    def open(self, key: OpeningKey, account_id: bytes) -> Metadata:
        """Open the sealed metadata. Raises Damaged unless it was sealed for this key and account."""
        clear = key.open(self.sealed, self.info_head + account_id)
        length = int.from_bytes(clear[:2], "big")
        try:
            metadata = msgspec.msgpack.decode(clear[2 : 2 + length], type=Metadata)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Damaged("the sealed header holds no metadata") from error
        if len(metadata.body_key) != KEY_BYTES or len(metadata.email_id) != _EMAIL_ID_BYTES:
            raise Damaged("the sealed header holds no usable metadata")
        if abs(metadata.received) > _MAX_MOMENT or abs(metadata.zone) > _MAX_ZONE:
            return msgspec.structs.replace(metadata, received=0, zone=0)  # a bad date must not hide the message
        return metadata


def read_head(beginning: bytes) -> Head:
    """Parse the prefix of a sealed file.

    Args:
        beginning: the first MAX_HEAD octets of the file, or all of a shorter one.

    Raises:
        Damaged: this is not the beginning of a sealed file.
    """
    name_at = len(MAGIC) + 1
    if len(beginning) < name_at or not beginning.startswith(MAGIC):
        raise Damaged("not a sealed message of a version we know")
    name_end = name_at + beginning[name_at - 1]
    sealed_at = name_end + 2
    length = sealed_at + int.from_bytes(beginning[name_end:sealed_at], "big")
    name = beginning[name_at:name_end]
    if length > len(beginning) or not name.isascii():
        raise Damaged("the head of the sealed message is malformed or cut short")
    bound = hashlib.sha256(beginning[:length]).digest()
    return Head(name.decode("ascii"), beginning[sealed_at:length], beginning[:name_end], bound, length)


def read_whole(sealed: bytes, head: Head, body_key: Secret, limit: int) -> bytes:
    """Return the whole message of a sealed file that has one chunk only. Raises Damaged."""
    at = head.length + _STREAM_HEADER
    _begin(_shared_state, sealed[head.length : at], body_key)
    clear, is_final = _pull(_shared_state, sealed[at:], head)
    if not is_final:
        raise Damaged("the sealed message is cut short")
    unpacker = Unpacker(limit)
    whole = b"".join(unpacker.process(clear))
    unpacker.finish()
    return whole


def read_body(file: BinaryIO, head: Head, body_key: Secret, limit: int) -> Iterator[bytes]:
    """Yield the message in pieces, each authenticated before it is yielded.

    The position of `file` does not matter.  A caller that stops early causes no further chunk to be read.

    Raises:
        Damaged: as soon as the damage is met; a file that was cut short shows it only at its end.
    """
    file.seek(head.length)
    state = _State()
    _begin(state, file.read(_STREAM_HEADER), body_key)
    unpacker = Unpacker(limit)
    is_final = False
    while not is_final:
        clear, is_final = _pull(state, file.read(CHUNK + _TAG), head)
        yield from unpacker.process(clear)
    if file.read(1):
        raise Damaged("there is something after the end of the sealed message")
    unpacker.finish()


_shared_state = _State()
"""The state that `read_whole` uses again and again: allocating one takes as long as decrypting a small message."""


def _begin(state: _State, header: bytes, body_key: Secret) -> None:
    if len(header) != _STREAM_HEADER:
        raise Damaged("the sealed message is cut short")
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, body_key.reveal())


def _pull(state: _State, sealed: bytes, head: Head) -> tuple[bytes, bool]:
    """Decrypt the next chunk: return its packed octets, and whether it is the last chunk. Raises Damaged."""
    if len(sealed) < _TAG:
        raise Damaged("the sealed message is cut short")
    try:
        clear, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed, head.bound)
    except (CryptoError, RuntimeError, ValueError) as error:
        raise Damaged("a chunk of the sealed message is not what was written") from error
    used = int.from_bytes(clear[:_COUNT], "big")
    if len(clear) < _COUNT + used:
        raise Damaged("a chunk of the sealed message is malformed")
    return clear[_COUNT : _COUNT + used], tag == _FINAL
