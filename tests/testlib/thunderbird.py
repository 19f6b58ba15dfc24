"""Mozilla Thunderbird with a profile of its own, without a screen: the account is ready, nobody has to click.

The settings are `user.js`, the self-signed certificate is accepted by `cert_override.txt`, the password goes into
Thunderbird's own store through Marionette, which also works the window (`thunderbird.js`).
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.testlib.marionette import Marionette
from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.server import PASSWORD, Server

# Debian's /usr/bin/thunderbird is a shell script that moves profiles of old versions.
PROGRAM = Path("/usr/lib/thunderbird/thunderbird")
START_SECONDS = 60.0
STEP_SECONDS = PATIENCE_SECONDS
_STEPS = Path(__file__).with_suffix(".js").read_text()
_SHA256 = "OID.2.16.840.1.101.3.4.2.1"


def settings(port: int, user: str) -> dict[str, object]:
    """One IMAP account; nothing that asks, greets, updates or reports."""
    account = {
        "mail.accountmanager.accounts": "account1",
        "mail.accountmanager.defaultaccount": "account1",
        "mail.account.account1.server": "server1",
        "mail.account.account1.identities": "id1",
        "mail.identity.id1.fullName": "Alice",
        "mail.identity.id1.useremail": "alice@example.org",
        "mail.identity.id1.valid": True,
        "mail.server.server1.type": "imap",
        "mail.server.server1.hostname": "127.0.0.1",
        "mail.server.server1.port": port,
        "mail.server.server1.userName": user,
        "mail.server.server1.name": "alice@example.org",
        "mail.server.server1.socketType": 3,  # TLS from the first octet
        "mail.server.server1.authMethod": 3,  # an ordinary password
        "mail.server.server1.login_at_startup": False,  # the password is not there yet
        "mail.server.server1.check_new_mail": False,
        "mail.server.server1.offline_download": False,  # bodies are asked for when they are read
    }
    quiet = {
        "app.update.enabled": False,
        "datareporting.policy.dataSubmissionEnabled": False,
        "mail.biff.show_alert": False,
        "mail.inappnotifications.enabled": False,
        "mail.provider.suppress_dialog_on_startup": True,
        "mail.rights.version": 1,
        "mail.shell.checkDefaultClient": False,
        "mail.spotlight.firstRunDone": True,
        "mailnews.start_page.enabled": False,
        "mailnews.start_page_override.mstone": "ignore",
        "marionette.port": 0,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
        # Nobody answers there: what is not the mail server is out of reach.
        "network.proxy.type": 1,
        "network.proxy.http": "127.0.0.1",
        "network.proxy.http_port": 9,
        "network.proxy.ssl": "127.0.0.1",
        "network.proxy.ssl_port": 9,
        "toolkit.telemetry.enabled": False,
    }
    return account | quiet


class Thunderbird:
    """The running program, between the ends of a `with` block."""

    def __init__(self, server: Server, user: str, folder: Path) -> None:
        self._profile = folder / "profile"
        self._profile.mkdir()
        self._home = folder / "home"
        self._home.mkdir()
        self._log = folder / "imap"
        self._user = user
        preferences = settings(server.port("imaps"), user)
        lines = (f"user_pref({json.dumps(n)}, {json.dumps(v)});\n" for n, v in preferences.items())
        (self._profile / "user.js").write_text("".join(lines))
        certificate = ssl.PEM_cert_to_DER_cert((server.root / "cert.pem").read_text())
        print_ = hashlib.sha256(certificate).digest().hex(":").upper()
        (self._profile / "cert_override.txt").write_text(f"{server.address('imaps')}:\t{_SHA256}\t{print_}\t\n")

    def __enter__(self) -> Thunderbird:
        assert PROGRAM.exists(), "Thunderbird is required (apt-get install thunderbird)"
        unwanted = {"DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"}
        environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        environment |= {"HOME": str(self._home), "TZ": "UTC", "LANG": "C.UTF-8", "MOZ_CRASHREPORTER_DISABLE": "1"}
        environment |= {"MOZ_LOG": "IMAP:4,sync", "MOZ_LOG_FILE": str(self._log)}
        remote = ["--headless", "--no-remote", "--marionette", "--remote-allow-system-access"]
        self._process = subprocess.Popen(
            [PROGRAM, *remote, "--profile", self._profile],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._remote = Marionette(self._port())
            self.wait_for("return Boolean(root && pane)")
            self.run("await storePassword(...arguments)", self._user, PASSWORD)
        except BaseException:
            self._kill()
            raise
        return self

    def _port(self) -> int:
        told = self._profile / "MarionetteActivePort"
        until(lambda: self._process.poll() is not None or (told.exists() and told.read_text()), START_SECONDS)
        assert self._process.poll() is None, "Thunderbird has ended at once"
        return int(told.read_text())

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._remote:
            if self._process.poll() is None:
                self._remote.quit()
        try:
            self._process.wait(STEP_SECONDS)
        finally:
            self._kill()

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a function body that knows the steps of `thunderbird.js`."""
        return self._remote.run(_STEPS + script, *arguments)

    def wait_for(self, script: str, *arguments: object) -> Any:
        """Run it until its value is true, and return that."""
        values: list[Any] = []

        def true() -> bool:
            values[:] = [self.run(script, *arguments)]
            return bool(values[0])

        until(true, STEP_SECONDS, lambda: f"{script} {arguments}: {values}\n{self.trace()[-3000:]}")
        return values[0]

    def screenshot(self) -> bytes:
        return self._remote.screenshot()

    def trace(self) -> str:
        """What Thunderbird's own log says of its connections."""
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self._log.parent.glob("imap*.moz_log")))


def is_blank(png: bytes) -> bool:
    """Whether nearly all rows of the picture look alike."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    at, packed = 8, b""
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + size]
        at += 12 + size
    pixels = zlib.decompress(packed)
    stride = len(pixels) // height
    assert stride >= width
    return len({pixels[row : row + stride] for row in range(0, len(pixels), stride)}) < height // 4


def version() -> str:
    done = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()
