"""A program in a real terminal: tmux runs it, we type and read the screen."""

from __future__ import annotations

import re
import secrets
import select
import shlex
import subprocess
from pathlib import Path

from tests.testlib.patience import PATIENCE_SECONDS

STEP_SECONDS = 0.05
WAIT_STEPS = int(PATIENCE_SECONDS / STEP_SECONDS)


class Terminal:
    """A tmux session of its own, ended with the `with` block."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._socket = folder / f"tmux-{secrets.token_hex(4)}"
        self._command = shlex.join(command)

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *arguments], check=check, capture_output=True, text=True, timeout=30
        )
        return done.stdout

    def __enter__(self) -> Terminal:
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", "-s", "t", self._command)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._tmux("kill-server", check=False)

    def type(self, *keys: str) -> None:
        """Keys by tmux's names (`Enter`), anything else letter by letter."""
        for key in keys:
            self._tmux("send-keys", "-t", "t", *(() if key == "Enter" else ("-l",)), key)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", "t", check=False)

    def wait_for(self, pattern: str) -> str:
        """Until the screen holds the pattern; as long as patience lasts."""
        screen = ""
        for _step in range(WAIT_STEPS):
            screen = self.screen()
            if re.search(pattern, screen):
                return screen
            select.select([], [], [], STEP_SECONDS)
        raise AssertionError(f"{pattern!r} did not come to the screen:\n{screen}")

    def ended(self) -> None:
        """Until the program is gone."""
        for _step in range(WAIT_STEPS):
            if "t:" not in self._tmux("list-sessions", check=False):
                return
            select.select([], [], [], STEP_SECONDS)
        raise AssertionError(f"the program has not ended:\n{self.screen()}")
