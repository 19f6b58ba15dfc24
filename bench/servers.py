"""The servers that are compared, each started here on loopback with files of its own, and ended here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Imap
from tests.testlib.certificate import write_certificate
from tests.testlib.process import children, cpu, pss
from tests.testlib.server import PASSWORD, running

CHEAP_SLOT = "crymapd.crypto.slots.CURRENT=Argon2(8,1,1)"
_LIMITS = "[limits]\nmax_workers_per_address = 500\n"


def end_when_told() -> None:
    """SIGTERM ends the servers that were started, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_told: sys.exit(128 + signal.SIGTERM))


@dataclass
class Subject:
    """A running server as the measurements see it.

    Attributes:
        name: the column it fills.
        mail: the directory with the mail of its users.
        lmtp: a port, where it has one.
        prepared: mailboxes that measurements share, once they are filled.
        notices: milliseconds that IDLE took to tell, ascending.
        turns: how often a measurement that sets a flag or takes it away was made.
    """

    name: str
    port: int
    pid: int
    mail: Path
    lmtp: int = 0
    prepared: set[bytes] = field(default_factory=set)
    notices: list[float] = field(default_factory=list)
    turns: int = 1

    def client(self, user: str = "alice") -> Imap:
        return Imap(self.port).login(user, PASSWORD)

    def processes(self) -> list[int]:
        """The server's process and all below it."""
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with suppress(OSError):
                todo += children(pid)
        return found

    def memory(self) -> int:
        """KiB of proportional set size, of all processes."""
        total = 0
        for pid in self.processes():
            with suppress(OSError):
                total += pss(pid)
        return total

    def cpu(self) -> float:
        """Seconds of processor time of the processes that are there."""
        total = 0.0
        for pid in self.processes():
            with suppress(OSError):
                total += cpu([pid])
        return total

    def disk(self, folder: str = ".") -> int:
        """Octets of files below a folder of the mail directory; a file with several names counts once."""
        seen = {}
        for root, _folders, names in os.walk(self.mail / folder):
            for name in names:
                with suppress(FileNotFoundError):
                    status = os.lstat(os.path.join(root, name))
                    seen[status.st_dev, status.st_ino] = status.st_size
        return sum(seen.values())


@contextmanager
def ours(folder: Path) -> Iterator[Subject]:
    """crymapd; the slots of `alice` cost nothing to open, those of `strong` what a real one costs."""
    with running(folder / "root", _LIMITS, users=("alice",), limits=CHEAP_SLOT) as server:
        limits, server.limits = server.limits, ""
        server.add_user("strong")
        server.limits = limits
        assert server.process is not None
        yield Subject("crymapd", server.port("imaps"), server.process.pid, server.root / "users" / "alice")


def dovecot_is_here() -> bool:
    """Whether Dovecot can be compared with: installed, and we are root, as its many users need."""
    return shutil.which("dovecot") is not None and os.geteuid() == 0


_DOVECOT = """
base_dir = {folder}/run
log_path = {folder}/log
protocols = imap{lmtp}
listen = 127.0.0.1
ssl = required
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
mail_location = maildir:{folder}/mail/%u
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 100
mail_max_userip_connections = 1000
default_client_limit = 4000
passdb {{
  driver = passwd-file
  args = {folder}/passwords
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%u
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
  process_limit = 2000
}}
service imap {{
  process_limit = 2000
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp_port}
  }}
}}
service anvil {{
  client_limit = 5000
}}
service auth {{
  client_limit = 5000
}}
namespace inbox {{
  inbox = yes
}}
"""
_CRYPT = """
mail_plugins = $mail_plugins mail_crypt
mail_attribute_dict = file:%h/dovecot-attributes
plugin {
  mail_crypt_curve = secp521r1
  mail_crypt_save_version = 2
}
"""


@contextmanager
def dovecot(folder: Path, ports: tuple[int, int], *, crypt: bool = False) -> Iterator[Subject]:
    """Debian's Dovecot with Maildir; with `crypt` its files encrypted by a key for each user."""
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "mail").mkdir()
    shutil.chown(folder / "mail", "nobody", "nogroup")
    write_certificate(folder / "key.pem", folder / "cert.pem")
    lmtp = bool(shutil.which("/usr/lib/dovecot/lmtp"))
    text = _DOVECOT.format(folder=folder, port=ports[0], lmtp_port=ports[1], lmtp=" lmtp" if lmtp else "")
    (folder / "passwords").write_text(f"alice:{{PLAIN}}{PASSWORD}\n")
    config = folder / "dovecot.conf"
    config.write_text(text + (_CRYPT if crypt else ""))
    with subprocess.Popen(["dovecot", "-F", "-c", config]) as process:
        try:
            _wait(ports[0], process)
            name = "Dovecot mail_crypt" if crypt else "Dovecot"
            yield Subject(name, ports[0], process.pid, folder / "mail" / "alice", ports[1] if lmtp else 0)
        finally:
            process.send_signal(signal.SIGTERM)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _attempt in range(200):
        if process.poll() is not None:
            raise RuntimeError("dovecot has ended; its log says why")
        with suppress(OSError):
            Imap(port).close()
            return
        time.sleep(0.05)
    raise RuntimeError("dovecot does not listen")
