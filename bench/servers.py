"""The servers that are compared.

Each is started here on loopback, with files of its own, and ended here.  It offers services at addresses; what is
measured of a service is the matter of `bench/imap_work.py` and `bench/lmtp_work.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Imap, Refused
from tests.testlib.addresses import Address, Tcp, free_port
from tests.testlib.certificate import write_certificate
from tests.testlib.process import children, cpu, pss
from tests.testlib.server import PASSWORD, running

CHEAP_SLOT = "crymapd.crypto.slots.CURRENT=Argon2(8,1,1)"
_LIMITS = "[limits]\nmax_workers_per_address = 500\n"


def end_when_told() -> None:
    """Let SIGTERM end this program as Ctrl-C does, so that the servers it has started are ended too."""
    signal.signal(signal.SIGTERM, lambda *_told: sys.exit(128 + signal.SIGTERM))


@dataclass
class Subject:
    """A running server that is measured.

    Attributes:
        name: the column of the table that it fills.
        services: the address of each service that it offers, by the service's name: `imaps`, `lmtp`.
        pid: its first process, from which all others descend.
        mail: the directory with the mail of the user `alice`.
        prepared: the mailboxes that several measurements share and that are filled by now.
        notices: the milliseconds that IDLE took to tell of messages, ascending.
        turns: how often a flag was set or taken away by a measurement that does this by turns.
    """

    name: str
    services: Mapping[str, Address]
    pid: int
    mail: Path
    prepared: set[bytes] = field(default_factory=set)
    notices: list[float] = field(default_factory=list)
    turns: int = 1

    def client(self, user: str = "alice") -> Imap:
        """An IMAP session that has just logged in."""
        return Imap(self.services["imaps"]).login(user, PASSWORD)

    def processes(self) -> list[int]:
        """The first process of the server and all that descend from it."""
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with suppress(OSError):
                todo += children(pid)
        return found

    def memory(self) -> int:
        """The proportional set size of all its processes, in KiB."""
        total = 0
        for pid in self.processes():
            with suppress(OSError):
                total += pss(pid)
        return total

    def cpu(self) -> float:
        """Seconds of processor time that its present processes have used."""
        total = 0.0
        for pid in self.processes():
            with suppress(OSError):
                total += cpu([pid])
        return total

    def disk(self, folder: str = ".") -> int:
        """Octets of the files below a folder of the mail directory; a file with several names counts once."""
        seen = {}
        for root, _folders, names in os.walk(self.mail / folder):
            for name in names:
                with suppress(FileNotFoundError):
                    status = os.lstat(os.path.join(root, name))
                    seen[status.st_dev, status.st_ino] = status.st_size
        return sum(seen.values())


@contextmanager
def ours(folder: Path) -> Iterator[Subject]:
    """crymapd.  The password of `alice` costs nothing to check, that of `strong` what it costs in earnest."""
    with running(folder / "root", _LIMITS, users=("alice",), limits=CHEAP_SLOT) as server:
        limits, server.limits = server.limits, ""
        server.add_user("strong")
        server.limits = limits
        assert server.process is not None
        services = {service: server.address(service) for service in server.listen}
        yield Subject("crymapd", services, server.process.pid, server.root / "users" / "alice")


def dovecot_is_here() -> bool:
    """Whether Dovecot can take part: it is installed, and we are root, without whom it cannot run as its several users."""
    return shutil.which("dovecot") is not None and os.geteuid() == 0


_DOVECOT = """
base_dir = {folder}/run
log_path = {folder}/log
protocols = {protocols}
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
    port = {imaps}
    ssl = yes
  }}
  process_limit = 2000
}}
service imap {{
  process_limit = 2000
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
_DOVECOT_LMTP = """
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
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
def dovecot(folder: Path, *, crypt: bool = False) -> Iterator[Subject]:
    """Debian's Dovecot with Maildir; with `crypt`, mail_crypt encrypts the files with a key for each user."""
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "mail").mkdir()
    shutil.chown(folder / "mail", "nobody", "nogroup")
    write_certificate(folder / "key.pem", folder / "cert.pem")
    services = {"imaps": Tcp(free_port())}
    if shutil.which("/usr/lib/dovecot/lmtp"):
        services["lmtp"] = Tcp(free_port())
    (folder / "passwords").write_text(f"alice:{{PLAIN}}{PASSWORD}\n")
    config = folder / "dovecot.conf"
    config.write_text(_dovecot_config(folder, services) + (_CRYPT if crypt else ""))
    with subprocess.Popen(["dovecot", "-F", "-c", config]) as process:
        try:
            _wait(services["imaps"], process)
            name = "Dovecot mail_crypt" if crypt else "Dovecot"
            yield Subject(name, services, process.pid, folder / "mail" / "alice")
        finally:
            process.send_signal(signal.SIGTERM)


def _dovecot_config(folder: Path, services: Mapping[str, Tcp]) -> str:
    lmtp = services.get("lmtp")
    text = _DOVECOT.format(folder=folder, protocols="imap lmtp" if lmtp else "imap", imaps=services["imaps"].port)
    return text + (_DOVECOT_LMTP.format(lmtp=lmtp.port) if lmtp else "")


def _wait(imaps: Address, process: subprocess.Popen[bytes]) -> None:
    """Wait until Dovecot greets, at most ten seconds."""
    for _attempt in range(200):
        if process.poll() is not None:
            raise RuntimeError("dovecot has ended; its log says why")
        with suppress(OSError, Refused):
            Imap(imaps).close()
            return
        time.sleep(0.05)
    raise RuntimeError("dovecot does not listen")
