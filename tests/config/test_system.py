"""A wrong configuration is one clear line: file, key, what was expected; status 78."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from crymapd.config.system import load_root
from crymapd.errors import ConfigError
from crymapd.model.endpoint import TcpAddress, UnixAddress
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.server import CRYMAPD

WRONG = {
    "[tls": "not valid TOML",
    "[tls]\nprivate_key = 1\ncertificate_chain = 'x'": "key `tls.private_key`: Expected `str`, got `int`",
    "[tls]\nprivate_key = 'x'": "missing required field `certificate_chain`",
    "[tls]\nprivate_key = 'x'\ncertificate_chain = 'x'\ncolour = 1": "unknown field `colour`",
    "[colour]": "unknown field `colour`",
    "[limits]\nmax_workers = 0": "key `limits.max_workers`: Expected `int` >= 1",
    "[listen]\nimaps = '127.0.0.1:993'": "key `listen.imaps`: Expected `array`, got `str`",
    "[listen]\nimap = ['127.0.0.1:993']": "key `listen.imap`: no such service; the services are imaps",
    "[listen]\nimaps = [993]": "key `listen.imaps`: Expected `str`, got `int`",
    "[diagnostic]\ntrace = 1": "key `diagnostic.trace`: Expected `str`, got `int`",
    "a = " + "[" * 3_000: "too many brackets, one in another",
    "a = " + "[\n" * 100_000: "too many brackets, one in another",
    "a = " + "9" * 4_301: "expected lines of at most 4096 octets",
    ".".join("a" * 60_000) + " = 1": "expected lines of at most 4096 octets",
    "": "table [tls] with private_key and certificate_chain is required",
    "[tls]\nprivate_key = 'x'\ncertificate_chain = 'x'": "key `tls.private_key`:",
}


@pytest.mark.parametrize("text", WRONG)
def test_one_clear_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "users").mkdir()
    (tmp_path / "crymap.toml").write_text(text)
    done = subprocess.run(
        [*CRYMAPD, "--root", tmp_path, "listen"], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 78, done.stderr
    assert WRONG[text] in done.stderr and str(tmp_path / "crymap.toml") in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout


@pytest.mark.parametrize("entry", ["993", "host", ":993", "127.0.0.1:0", "127.0.0.1:99999", "[::1]:x", "imaps.sock"])
def test_listen_addresses(entry: str, tmp_path: Path) -> None:
    (tmp_path / "users").mkdir()
    (tmp_path / "crymap.toml").write_text(f'[listen]\nimaps = ["{entry}"]\n')
    with pytest.raises(ConfigError, match="expected ADDRESS:PORT"):
        load_root(tmp_path).addresses()


def test_good_addresses(tmp_path: Path) -> None:
    (tmp_path / "users").mkdir()
    (tmp_path / "crymap.toml").write_text(
        '[listen]\nimaps = ["127.0.0.1:1993", "[::1]:1993", "/run/crymap/imaps.sock"]\n'
    )
    assert load_root(tmp_path).addresses() == {
        "imaps": [TcpAddress("127.0.0.1", 1993), TcpAddress("::1", 1993), UnixAddress(Path("/run/crymap/imaps.sock"))]
    }


def test_missing_users_directory(tmp_path: Path) -> None:
    (tmp_path / "crymap.toml").touch()
    with pytest.raises(ConfigError, match="users"):
        load_root(tmp_path)
