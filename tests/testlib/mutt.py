"""mutt and neomutt in a terminal, as a person uses them."""

from __future__ import annotations

from pathlib import Path

from tests.testlib.server import PASSWORD, Server


def muttrc(server: Server, user: str, folder: Path, more: str = "") -> Path:
    """Write a configuration for an account, which opens INBOX; what `more` sets comes last and wins."""
    path = folder / "muttrc"
    path.write_text(
        f"""\
set folder="imaps://{user}@127.0.0.1:{server.port("imaps")}/"
set imap_pass="{PASSWORD}"
set spoolfile="+INBOX"
set record=""
set ssl_verify_host=no
set ssl_verify_dates=no
set certificate_file="{server.root}/cert.pem"
set header_cache=""
set confirmappend=no
set delete=yes
set mail_check=1
set timeout=1
set sort=mailbox-order
set quit=yes
set resolve=no
set wait_key=no
set tmpdir="{folder}"
{more}"""
    )
    return path
