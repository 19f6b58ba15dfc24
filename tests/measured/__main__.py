"""Put the records of a measurement together: `python -m tests.measured RECORDS` writes `.coverage`.

After it `coverage report` tells what is covered, and fails below the floor that `setup.cfg` sets; `coverage html` shows
it line by line.
"""

from __future__ import annotations

import marshal
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage

from tests.measured.sitecustomize import HEAD, SETTINGS, SOURCE

Arc = tuple[int, int]


def main(path: Path) -> None:
    records = list(read_records(path.read_bytes()))
    measured: dict[str, set[Arc]] = defaultdict(set)
    for record in records:
        for file, arcs in record.items():
            measured[file].update(arcs)
    data = coverage.CoverageData(str(SETTINGS.parent / ".coverage"))
    data.erase()
    data.add_arcs(measured)
    data.touch_files([str(file) for file in SOURCE.rglob("*.py")])  # a module that nobody imports counts as well
    data.write()
    print(f"coverage of {len(records)} processes:")


def read_records(octets: bytes) -> Iterator[dict[str, list[Arc]]]:
    """Yield the records of a file, in the order in which the processes ended."""
    at = 0
    while at < len(octets):
        (length,) = HEAD.unpack_from(octets, at)
        at += HEAD.size
        yield marshal.loads(octets[at : at + length])
        at += length


if __name__ == "__main__":
    main(Path(sys.argv[1]))
