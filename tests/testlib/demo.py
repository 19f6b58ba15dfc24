"""`make run`: a demonstration root under `.demo/` with sample mail, served on 127.0.0.1:1993.

The second time it finds the same mail again.  Ctrl-C ends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.testlib.certificate import write_certificate
from tests.testlib.corpus import samples

ROOT = Path(__file__).resolve().parents[2] / ".demo"
USER = PASSWORD = "demo"
PORT = 1993
NOBODY = 65534
SCRIPTS = Path(sysconfig.get_path("scripts"))

CONFIG = f"""\
# The demonstration's configuration; see crymap.toml(5).
[tls]
private_key = "key.pem"
certificate_chain = "certificate.pem"

[listen]
imaps = ["127.0.0.1:{PORT}"]

[diagnostic]
log = "stderr"
"""

ADVICE = f"""
crymapd serves user "{USER}" with password "{PASSWORD}" on 127.0.0.1 port {PORT} (IMAP over TLS).

  curl         curl --insecure --user {USER}:{PASSWORD} 'imaps://127.0.0.1:{PORT}/INBOX;MAILINDEX=1'
  mutt         mutt -e 'set ssl_force_tls ssl_verify_host=no' -f imaps://{USER}:{PASSWORD}@127.0.0.1:{PORT}/INBOX
  Thunderbird  new account {USER}@localhost, configure manually: IMAP, 127.0.0.1, port {PORT}, SSL/TLS,
               normal password; accept the self-signed certificate

  more mail    crymap-deliver --root {ROOT} --user {USER} < message
  what lies on the disk, sealed: {ROOT}/users/{USER}

Ctrl-C ends it.
"""


def main() -> int:
    if not (ROOT / "users" / USER).exists():
        prepare()
    else:
        print(f"found the mail of an earlier run in {ROOT}")
    listener = subprocess.Popen([SCRIPTS / "crymapd", "--root", ROOT, "listen"])
    signal.signal(signal.SIGTERM, lambda _number, _frame: listener.terminate())
    print(ADVICE, flush=True)
    try:
        return listener.wait()
    except KeyboardInterrupt:
        listener.terminate()
        return listener.wait()


def prepare() -> None:
    """Certificate, configuration, account and a dozen messages."""
    (ROOT / "users").mkdir(parents=True, exist_ok=True)
    write_certificate(ROOT / "key.pem", ROOT / "certificate.pem")
    (ROOT / "crymap.toml").write_text(CONFIG)
    # As root the account must belong to somebody else: root's own are refused.
    owner: list[str | Path] = ["--uid", str(NOBODY)] if os.geteuid() == 0 else []
    command = [SCRIPTS / "crymapd", "--root", ROOT, "user", "add", *owner, "--password-stdin", USER]
    subprocess.run(command, input=f"{PASSWORD}\n", text=True, check=True)
    for name, message in samples():
        deliver: list[str | Path] = [SCRIPTS / "crymap-deliver", "--root", ROOT, "--user", USER]
        subprocess.run(deliver, input=message, check=True)
        print(f"delivered {name} ({len(message)} octets)")


if __name__ == "__main__":
    sys.exit(main())
