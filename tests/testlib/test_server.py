"""Tests of the helper that starts the real server: which services it configures, and how tests connect to them."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testlib.addresses import Tcp, Unix, free_port
from tests.testlib.server import Server, running, trusting


@pytest.fixture
def lmtp(tmp_path: Path) -> Iterator[Unix]:
    """A UNIX socket at which somebody listens."""
    address = Unix(tmp_path / "lmtp")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address.path))
        listening.listen()
        yield address


def test_addresses_are_written_as_the_configuration_has_them(tmp_path: Path) -> None:
    assert str(Tcp(25)) == "127.0.0.1:25" and str(Tcp(25, "::1")) == "[::1]:25"
    assert str(Unix(tmp_path / "lmtp")) == f"{tmp_path}/lmtp"


def test_one_service_unless_others_are_wanted(tmp_path: Path) -> None:
    server = Server(tmp_path / "root")
    server.prepare()
    written = tomllib.loads((server.root / "crymap.toml").read_text())
    assert written["listen"] == {"imaps": [f"127.0.0.1:{server.port('imaps')}"]}


def test_services_at_several_addresses(tmp_path: Path, lmtp: Unix) -> None:
    tcp = Tcp(free_port())
    server = Server(tmp_path / "root", listen={"imaps": (Tcp(1),), "lmtp": (lmtp, tcp)})
    server.prepare()
    written = tomllib.loads((server.root / "crymap.toml").read_text())
    assert written["listen"] == {"imaps": ["127.0.0.1:1"], "lmtp": [str(lmtp), str(tcp)]}
    assert server.address("lmtp") == lmtp and server.port("lmtp") == tcp.port


def test_services_without_tls_are_connected_to_as_they_are(tmp_path: Path, lmtp: Unix) -> None:
    with Server(tmp_path / "root", listen={"lmtp": (lmtp,)}).connect("lmtp", 5) as sock:
        assert sock.family == socket.AF_UNIX and sock.gettimeout() == 5


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Unix(tmp_path / "nobody").connect()
    with pytest.raises(ConnectionRefusedError):
        Tcp(free_port()).connect()


def test_the_server_is_started_when_it_listens_everywhere(tmp_path: Path) -> None:
    addresses = (Tcp(free_port()), Tcp(free_port()))
    with running(tmp_path / "root", users=(), listen={"imaps": addresses}):
        for address in addresses:
            with trusting().wrap_socket(address.connect()) as sock:
                assert sock.recv(100).startswith(b"* OK")
