"""Makes the vectors beside it, once: `python -m tests.crypto.vectors.make`.

The keys are fixed (`KEYS`); HPKE and secretstream draw random octets, so that running it again makes other
files of equal meaning.  A vector's name is its expected outcome, a dash, and what it is.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import brotli
from nacl import bindings as sodium

from crymapd.crypto import stream
from crymapd.crypto.packing import varint
from crymapd.crypto.sealing import OpeningKey
from crymapd.crypto.secret import Secret
from crymapd.crypto.stream import Metadata, Recipient, SealedWriter

HERE = Path(__file__).parent
ACCOUNT, OTHER_ACCOUNT = bytes(range(16)), bytes(range(1, 17))
BODY_KEY = hashlib.sha256(b"body key of the vectors").digest()
METADATA = Metadata(BODY_KEY, bytes(16), 1_780_000_000, 120, None, "Lists/imap", ("\\Seen", "$Label"))
LIMIT = 1 << 20
_CHUNK = 64 * 1024 + 17


def key(name: str) -> OpeningKey:
    """A fixed key pair: ML-KEM seed and X25519 scalar are SHAKE-256 of its name."""
    return OpeningKey(Secret(hashlib.shake_256(name.encode()).digest(96)))


def small() -> bytes:
    return b"Subject: vector\r\n\r\n" + b"".join(b"Line %d of the vector.\r\n" % number for number in range(20))


def attached() -> bytes:
    """Base64 in lines of 76, as mail has it."""
    data = base64.encodebytes(hashlib.shake_256(b"attachment").digest(5000)).replace(b"\n", b"\r\n")
    return b"Content-Transfer-Encoding: base64\r\n\r\n" + data


def large() -> bytes:
    """Three chunks of what cannot be compressed."""
    return hashlib.shake_256(b"large").digest(132_000)


MESSAGES = {"empty": b"", "small": small(), "base64": attached(), "large": large()}


def sealed(message: bytes, key_name: str = "vector", account: bytes = ACCOUNT) -> bytes:
    out = bytearray()
    recipient = Recipient(key_name, key(key_name).public, account)
    writer = SealedWriter(out.extend, recipient, METADATA)
    writer.write(message)
    writer.finish()
    return bytes(out)


def forged(packed: bytes) -> bytes:
    """A well-formed file whose packed octets are ours to choose."""
    recipient = Recipient("vector", key("vector").public, ACCOUNT)
    prefix = stream._prefix(recipient, METADATA)
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    out = prefix + sodium.crypto_secretstream_xchacha20poly1305_init_push(state, BODY_KEY)
    clear = len(packed).to_bytes(4, "big") + packed
    final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
    bound = hashlib.sha256(prefix).digest()
    return out + sodium.crypto_secretstream_xchacha20poly1305_push(state, clear, bound, final)


def chunks(file: bytes) -> tuple[bytes, list[bytes]]:
    """The file up to the first chunk, and the chunks."""
    name_end = len(stream.MAGIC) + 1 + file[len(stream.MAGIC)]
    begin = name_end + 2 + int.from_bytes(file[name_end : name_end + 2], "big") + 24
    return file[:begin], [file[at : at + _CHUNK] for at in range(begin, len(file), _CHUNK)]


def flipped(file: bytes, at: int) -> bytes:
    return file[:at] + bytes((file[at] ^ 0x10,)) + file[at + 1 :]


def bomb() -> bytes:
    """A few kilobytes that would become a hundred megabytes."""
    length = 100 << 20
    compressor = brotli.Compressor(quality=5)
    out = compressor.process(b"\x00" + varint(length))
    for _ in range(100):
        out += compressor.process(bytes(1 << 20))
    return b"\x01" + bytes(out) + bytes(compressor.process(b"\xff" + varint(length)) + compressor.finish())


def vectors() -> dict[str, bytes]:
    """Name -> octets. Only `ok` files may be read to their end."""
    plain, long = sealed(small()), sealed(large())
    head, (one, two, three) = chunks(long)
    found = {f"ok-{name}": sealed(message) for name, message in MESSAGES.items()}
    return found | {
        "truncated-in-head": plain[:700],
        "truncated-in-chunk": plain[:-1],
        "truncated-after-chunk": head + one + two,
        "truncated-before-chunk": head,
        "wrong_key-other_name": sealed(small(), key_name="another"),
        "wrong_key-same_name": sealed(small(), key_name="another").replace(b"\x07another", b"\x06vector"),
        "wrong_account-head": sealed(small(), account=OTHER_ACCOUNT),
        "reordered_chunk-first_two": head + two + one + three,
        "dropped_chunk-first": head + two + three,
        "dropped_chunk-middle": head + one + three,
        "duplicated_chunk-first": head + one + one + two + three,
        "foreign_chunk-of_a_sibling": head + one + chunks(sealed(large()))[1][1] + three,
        "flipped_bit-magic": flipped(plain, 2),
        "flipped_bit-key_name": flipped(plain, 9),
        "flipped_bit-sealed_head": flipped(plain, 600),
        "flipped_bit-stream_header": flipped(head + one + two + three, len(head) - 5),
        "flipped_bit-chunk": flipped(plain, len(plain) - 40),
        "appended_bytes-one": plain + b"\0",
        "appended_bytes-a_chunk": plain + chunks(plain)[1][0],
        "unknown_version-2": plain[:7] + b"\x02" + plain[8:],
        "unknown_codec-2": forged(b"\x02" + b"\xff\x00"),
        "malformed-record": forged(b"\x00" + b"\x07\x01x"),
        "malformed-length": forged(b"\x00" + b"\x00\x02ab\xff\x03"),
        "malformed-no_end": forged(b"\x00" + b"\x00\x02ab"),
        "malformed-after_end": forged(b"\x00" + b"\x00\x02ab\xff\x02\x00\x01c"),
        "malformed-base64_width": forged(b"\x00" + b"\x01\x05\x00\x01abc\xff\x00"),
        "malformed-varint": forged(b"\x00" + b"\x00" + b"\xff" * 12),
        "malformed-brotli": forged(b"\x01" + b"no brotli at all"),
        "bomb-brotli": forged(bomb()),
    }


def main() -> None:
    for old in HERE.glob("*.sealed"):
        old.unlink()
    for name, octets in vectors().items():
        (HERE / f"{name}.sealed").write_bytes(octets)


if __name__ == "__main__":
    main()
