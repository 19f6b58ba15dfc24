"""How many octets a user's sealed mail takes on disk (RFC 9208, resource STORAGE), known without the password.

`meta.db` counts the messages that have rows, and the file `epoch` repeats that count with each commit; arrivals in
`new/` are counted each time.
"""

from __future__ import annotations

import os
import stat

from crymapd.errors import OverQuota
from crymapd.store.epoch import read_epoch
from crymapd.store.layout import Layout


class Quota:
    """The usage of one user directory, and its limit in octets; 0 for no limit."""

    def __init__(self, layout: Layout, limit: int) -> None:
        self._layout = layout
        self.limit = limit

    def used(self) -> int:
        """Return the octets of all sealed files, arrivals included."""
        return self._filed() + self._arrived()

    def _filed(self) -> int:
        try:
            epoch = read_epoch(self._layout.epoch)
        except OSError:
            return 0
        return 0 if epoch is None else epoch.octets

    def _arrived(self) -> int:
        total = 0
        with os.scandir(self._layout.new) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it was filed meanwhile
                if stat.S_ISREG(status.st_mode):
                    total += status.st_size
        return total

    def check(self, octets: int) -> None:
        """Check that so many more octets are within the limit. Raises OverQuota."""
        if self.limit and self.used() + octets > self.limit:
            raise OverQuota(f"the account may have {self.limit} octets of mail on disk; delete some or ask for more")
