"""How much a user's sealed mail takes on disk, known without the password (RFC 9208, resource STORAGE).

What has a row is counted in `meta.db` and noted in the file `epoch` with each commit; what waits in `new/` is
counted where it lies.
"""

from __future__ import annotations

import os
import stat

from crymapd.errors import OverQuota
from crymapd.store.epoch import read_epoch
from crymapd.store.layout import Layout


class Quota:
    """The usage of one user directory; `limit` in octets, 0 for none."""

    def __init__(self, layout: Layout, limit: int) -> None:
        self._layout = layout
        self.limit = limit

    def used(self) -> int:
        """The octets of all sealed files, including delivered ones that have no row yet."""
        return self._filed() + self._waiting()

    def _filed(self) -> int:
        try:
            epoch = read_epoch(self._layout.epoch)
        except OSError:
            return 0
        return 0 if epoch is None else epoch.octets

    def _waiting(self) -> int:
        total = 0
        with os.scandir(self._layout.new) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # filed meanwhile
                if stat.S_ISREG(status.st_mode):
                    total += status.st_size
        return total

    def check(self, octets: int) -> None:
        """Raises OverQuota if that many more octets would exceed the limit."""
        if self.limit and self.used() + octets > self.limit:
            raise OverQuota(f"the account may have {self.limit} octets of mail on disk; delete some or ask for more")
