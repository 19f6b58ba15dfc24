"""A renewed certificate is noticed, whenever it is renewed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crymapd.config.system import load_root
from crymapd.daemon import certificate
from crymapd.daemon.certificate import CertificateFiles, CertificateProcess, Pem
from crymapd.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "users").mkdir()
    (tmp_path / "crymap.toml").write_text('[tls]\nprivate_key = "key"\ncertificate_chain = "chain"\n')
    renew(tmp_path, b"1")
    return tmp_path


def renew(folder: Path, octets: bytes) -> None:
    (folder / "key").write_bytes(octets)
    (folder / "chain").write_bytes(octets)


def test_renewed_at_any_moment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while it is being read: then the next connection gets what is new."""
    files = CertificateFiles(load_root(folder))
    read = certificate._read

    def read_and_renew(path: Path) -> bytes:
        octets = read(path)
        renew(folder, b"22")
        return octets

    monkeypatch.setattr(certificate, "_read", read_and_renew)
    first = files.read()
    assert first.key == b"1"
    monkeypatch.undo()
    assert files.read_changed() == Pem(b"22", b"22")
    assert files.read_changed() is None


def test_replaced_within_a_tick_of_the_clock(folder: Path) -> None:
    files = CertificateFiles(load_root(folder))
    files.read()
    before = (folder / "key").stat()
    (folder / "new").write_bytes(b"3")
    os.utime(folder / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "new").rename(folder / "key")
    assert files.read_changed() == Pem(b"3", b"1")


def test_a_file_that_is_gone_is_said_once(folder: Path) -> None:
    files = CertificateFiles(load_root(folder))
    files.read()
    (folder / "key").rename(folder / "old")
    with pytest.raises(ConfigError, match="key: cannot be read: No such file"):
        files.read_changed()
    assert files.read_changed() is None
    (folder / "old").rename(folder / "key")
    assert files.read_changed() == Pem(b"1", b"1")


def test_another_process_reads_them(folder: Path) -> None:
    """It answers for as long as somebody can ask, and that it is gone is said once."""
    files = CertificateFiles(load_root(folder))
    files.read()
    process = CertificateProcess(files, ())
    assert process.read_changed() is None
    renew(folder, b"2" * 50_000)
    assert process.read_changed() == Pem(b"2" * 50_000, b"2" * 50_000)
    (folder / "chain").unlink()
    with pytest.raises(ConfigError, match="chain: cannot be read"):
        process.read_changed()
    process.close()
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0


def test_the_other_process_is_gone(folder: Path) -> None:
    process = CertificateProcess(CertificateFiles(load_root(folder)), ())
    process._line.shutdown(2)
    os.wait()
    with pytest.raises(ConfigError, match="has ended or is stopped; restart"):
        process.read_changed()
    assert process.read_changed() is None
