#!/usr/bin/env python3
"""Decrypt all mail of a crymapd account without crymapd, as docs/store.md describes the store.

This shares no code with the server: it shows that the document is complete, and opens old mail when nothing else does.
Each message becomes NAME.eml, where NAME is the 64 digits that identify its sealed file. Run it on a copy of the user
directory, or while nobody is logged in, so that no file moves meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import hashlib
import hmac
import json
import os
import re
import struct
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import brotli
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.poly1305 import Poly1305

MALFORMED = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)  # Of odd values in TOML.


class Failure(Exception):
    """Something cannot be opened; the text says why."""


@dataclass
class Reader:
    """Octets that are read from the front."""

    octets: bytes
    position: int = 0

    def left(self) -> int:
        return len(self.octets) - self.position

    def take(self, count: int) -> bytes:
        if count > self.left():
            raise Failure("it is cut off")
        self.position += count
        return self.octets[self.position - count : self.position]

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            octet = self.number(1)
            value |= (octet & 0x7F) << shift
            if octet < 0x80:
                return value
        raise Failure("one of its numbers is too long")


def mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def expand(key: bytes, info: bytes) -> bytes:
    """The first 32 octets of HKDF-Expand with SHA-256 (RFC 5869); HKDF-Extract is `mac`."""
    return mac(key, info + b"\x01")


def derive(master: bytes, label: bytes) -> bytes:
    """The key of this label."""
    return expand(mac(b"", master), b"crymapd/1 " + label)


def unwrap(key: bytes, wrapped: str, context: bytes) -> bytes:
    octets = base64.b64decode(wrapped)
    return AESGCM(key).decrypt(octets[:12], octets[12:], context)


def copies(directory: Path, name: str) -> Iterator[dict[str, Any]]:
    """The TOML file of this name and its copy, as far as they can be read."""
    for path in (directory / name, directory / "backup" / name):
        try:
            yield tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue


@dataclass(frozen=True)
class Account:
    """A user directory that is open: what user.toml, or else its copy, holds for whoever has the password."""

    directory: Path
    id: bytes
    master: bytes

    @classmethod
    def open(cls, directory: Path, password: str) -> Account:
        """Raise Failure when neither user.toml nor its copy opens with the password."""
        spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
        secret, reason = unicodedata.normalize("NFC", spaced).encode(), "no user.toml can be read"
        for content in copies(directory, "user.toml"):
            try:
                account = cls(directory, bytes.fromhex(content["id"]), open_slot(content, secret))
                if account.mac(content) == base64.b64decode(content["mac"]):
                    return account
                reason = "the MAC of user.toml is wrong"
            except InvalidTag:
                reason = "the password is wrong"
            except MALFORMED as error:
                reason = f"user.toml is malformed: {error!r}"
        raise Failure(reason)

    def mac(self, content: dict[str, Any]) -> bytes:
        """The MAC that user.toml should have; it does not cover a table of preferences where none is set."""
        covered = content | {"mac": ""}
        if not content.get("preferences", {}).get("hidden_capabilities"):
            covered.pop("preferences", None)
        text = json.dumps(covered, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return mac(derive(self.master, b"user.toml mac"), text.encode())


def open_slot(content: dict[str, Any], secret: bytes) -> bytes:
    """The master key, from the first slot that the password opens; raise InvalidTag where none does."""
    for slot in content["slot"]:
        costs = {"iterations": slot["passes"], "lanes": slot["lanes"], "memory_cost": slot["memory_kib"]}
        key = Argon2id(salt=base64.b64decode(slot["salt"]), length=32, **costs).derive(secret)
        try:
            return unwrap(key, slot["wrapped"], bytes.fromhex(content["id"]))
        except InvalidTag:
            continue
    raise InvalidTag


@dataclass(frozen=True)
class KeyPair:
    """A sealing key pair: an HPKE recipient (RFC 9180) whose KEM is MLKEM768-X25519, also known as X-Wing."""

    mlkem: MLKEM768PrivateKey
    x25519: X25519PrivateKey

    def open(self, message: bytes, info: bytes) -> bytes:
        """Open a message of HPKE's base mode that has no associated data."""
        version = b"HPKE-v1" + b"HPKE" + bytes.fromhex("647a 0001 0002")  # The KEM, HKDF-SHA256, AES-256-GCM.
        context = b"\0" + mac(b"", version + b"psk_id_hash") + mac(b"", version + b"info_hash" + info)
        secret = mac(self.decapsulate(message[:1120]), version + b"secret")
        key = expand(secret, b"\0\x20" + version + b"key" + context)
        nonce = expand(secret, b"\0\x0c" + version + b"base_nonce" + context)[:12]
        return AESGCM(key).decrypt(nonce, message[1120:], b"")

    def decapsulate(self, encapsulation: bytes) -> bytes:
        """The shared secret: those of ML-KEM and of X25519, combined as X-Wing does."""
        quantum, curve = encapsulation[:1088], encapsulation[1088:]
        secrets = self.mlkem.decapsulate(quantum) + self.x25519.exchange(X25519PublicKey.from_public_bytes(curve))
        public = self.x25519.public_key().public_bytes_raw()
        return hashlib.sha3_256(secrets + curve + public + b"\\.//^\\").digest()


@cache
def key_pair(account: Account, name: str) -> KeyPair:
    """What the key file of this name holds, or else its copy."""
    for content in copies(account.directory, f"keys/{name}"):
        try:
            private = unwrap(derive(account.master, b"private key wrapping"), content["wrapped"], name.encode())
            covered = b"%b\0%d\0%b" % (name.encode(), content["created"], base64.b64decode(content["public"]))
            if mac(derive(account.master, b"key file mac"), covered) == base64.b64decode(content["mac"]):
                x25519 = X25519PrivateKey.from_private_bytes(private[64:])
                return KeyPair(MLKEM768PrivateKey.from_seed_bytes(private[:64]), x25519)
        except (InvalidTag, *MALFORMED):
            continue
    raise Failure(f"neither the key file {name!r} nor its copy can be used")


def open_message(sealed: bytes, account: Account) -> bytes:
    """The message in a sealed file."""
    reader = Reader(sealed)
    if reader.take(8) != b"crymapM\x01":
        raise Failure("it is not a sealed message of version 1")
    name = reader.take(reader.number(1)).decode("ascii", "replace")
    info = sealed[: reader.position] + account.id
    head = reader.take(reader.number(2))
    prefix = sealed[: reader.position]
    try:
        metadata = Reader(key_pair(account, name).open(head, info))
    except (InvalidTag, ValueError) as error:
        raise Failure("its head does not open") from error
    # The rest of the MessagePack array (the mailbox, flags and times) is for the server; we want the body key.
    if metadata.take(5)[2:] != b"\x97\xc4\x20":
        raise Failure("its metadata is malformed")
    return unpack(b"".join(open_chunks(reader, metadata.take(32), hashlib.sha256(prefix).digest())))


def open_chunks(reader: Reader, key: bytes, associated: bytes) -> Iterator[bytes]:
    """What the chunks hold without their padding: a secretstream of libsodium, made of its parts."""
    key, nonce = hchacha20(key, reader.take(16)), reader.take(8)
    for number in range(1, 2**32):
        chunk = reader.take(min(max(17, reader.left()), 65536 + 17))
        tag, body, authenticator = chunk[:1], chunk[1:-16], chunk[-16:]
        cipher = Cipher(ChaCha20(key, bytes(4) + number.to_bytes(4, "little") + nonce), None).encryptor()
        poly1305_key, block = cipher.update(bytes(64))[:32], cipher.update(tag + bytes(63))
        covered = associated + tag + block[1:] + body
        covered += bytes(len(body) % 16)  # Libsodium does so, where filling the last 16 octets was meant.
        covered += len(associated).to_bytes(8, "little") + (64 + len(body)).to_bytes(8, "little")
        try:
            Poly1305.verify_tag(poly1305_key, covered, authenticator)
        except InvalidSignature as error:
            raise Failure(f"its chunk {number} does not open") from error
        if block[0] != (0 if reader.left() else 3):
            raise Failure(f"its chunk {number} should be the last" if reader.left() else "it is cut off")
        clear = Reader(cipher.update(body))
        yield clear.take(clear.number(4))
        if not reader.left():
            return
        nonce = bytes(a ^ b for a, b in zip(nonce, authenticator, strict=False))


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """HChaCha20: a block of ChaCha20, from half of which we take away again what ChaCha20 adds at the end."""
    block, added = Cipher(ChaCha20(key, nonce), None).encryptor().update(bytes(64)), b"expand 32-byte k" + nonce
    words = zip(struct.unpack("<8I", block[:16] + block[48:]), struct.unpack("<8I", added), strict=True)
    return struct.pack("<8I", *((word - other) % 2**32 for word, other in words))


def unpack(packed: bytes) -> bytes:
    """Undo the packing: a codec, then records."""
    if packed[:1] not in (b"\0", b"\1"):
        raise Failure("its codec is unknown")
    try:
        reader = Reader(brotli.decompress(packed[1:]) if packed[0] else packed[1:])
    except brotli.error as error:
        raise Failure("its compressed octets are malformed") from error
    message = bytearray()
    while (kind := reader.number(1)) != 0xFF:
        if kind == 0:
            message += reader.take(reader.varint())
        elif kind == 1:
            width, end = reader.number(1), b"\n" if reader.number(1) else b"\r\n"
            for _line in range(reader.varint()):
                message += base64.b64encode(reader.take(width * 3 // 4)) + end
        else:
            raise Failure("one of its records is unknown")
    if reader.varint() != len(message) or reader.left():
        raise Failure("its length is wrong")
    return bytes(message)


def sealed_files(user: Path) -> Iterator[tuple[str, Path]]:
    """Name and path of what was delivered, of what was appended and not placed yet, and of what is filed."""
    for path in (*user.glob("new/*"), *user.glob("tmp/*"), *user.glob("messages/??/*")):
        name = "".join(path.relative_to(user).parts[1:])
        if re.fullmatch("[0-9a-f]{64}", name):
            yield name, path


def decrypt(user: Path, output: Path, password: str) -> Iterator[str]:
    """Write all messages; yield what could not be opened, and why."""
    try:
        account = Account.open(user, password)
        output.mkdir(parents=True, exist_ok=True)
    except (Failure, OSError) as error:
        yield f"{user}: {error}"
        return
    for name, path in sealed_files(user):
        try:
            (output / f"{name}.eml").write_bytes(open_message(path.read_bytes(), account))
        except (Failure, OSError) as error:
            yield f"{path}: {error}"


def main() -> int:
    """Read arguments and password, decrypt, and return the exit status."""
    parser = argparse.ArgumentParser(description="Decrypt all mail of a crymapd account.")
    parser.add_argument("user", type=Path, metavar="USER_DIRECTORY", help="the directory that holds user.toml")
    parser.add_argument("output", type=Path, metavar="OUTPUT_DIRECTORY", help="where to write the messages")
    arguments = parser.parse_args()
    os.umask(0o077)
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().removesuffix("\n")
    status = 0
    for trouble in decrypt(arguments.user, arguments.output, password):
        print(trouble, file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
