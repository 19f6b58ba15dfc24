"""The private key of TLS is in the memory of the listener only: no worker has it once its client is there."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.testlib.certificate import Key, write_certificate
from tests.testlib.process import workers
from tests.testlib.server import Server

KEYS: dict[str, Callable[[], Key]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def secrets_of(key: Key) -> dict[str, bytes]:
    """What would give the key away, in the forms in which libraries hold it."""
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    match key:
        case rsa.RSAPrivateKey():
            numbers = key.private_numbers()
            values = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dmp1": numbers.dmp1}
        case ec.EllipticCurvePrivateKey():
            values = {"scalar": key.private_numbers().private_value}
        case _:
            raw = key.private_bytes_raw()
            values = {"seed": int.from_bytes(raw, "big")}
    text = base64.b64encode(der)
    found = {"PEM": text[len(text) // 2 :][:32]}
    for name, value in values.items():
        octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
        found[f"{name}, big endian"] = octets[:24]
        found[f"{name}, little endian"] = octets[::-1][:24]
    return found


def memory(pid: int) -> bytes:
    """All that a process may write."""
    found = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            mapping = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if mapping is not None and "[v" not in line:
                start, end = (int(each, 16) for each in mapping.groups())
                file.seek(start)
                found += file.read(end - start)
    return found


@pytest.mark.root
@pytest.mark.parametrize("kind", KEYS)
def test_no_worker_has_the_key(tmp_path: Path, kind: str) -> None:
    key = KEYS[kind]()
    server = Server(tmp_path / "root")
    server.prepare()
    write_certificate(server.root / "key.pem", server.root / "cert.pem", key=key)
    server.add_user()
    server.start()
    try:
        assert server.process is not None
        listener = memory(server.process.pid)
        hidden = secrets_of(key)
        assert any(secret in listener for name, secret in hidden.items() if "endian" in name), "it has the key"
        left = [name for name, secret in hidden.items() if not name.endswith("little endian") and secret in listener]
        assert not left or (kind == "Ed25519" and left == ["seed, big endian"]), "copies are left of what was read"
        with server.tls_socket("imaps") as before, server.client() as after:
            assert before.recv(1000).startswith(b"* OK")
            after.ok("SELECT INBOX")
            for pid in workers(server.process.pid):
                found = memory(pid)
                assert b"OK" in found
                assert not [name for name, secret in hidden.items() if secret in found]
            after.ok("NOOP")
    finally:
        server.stop()
