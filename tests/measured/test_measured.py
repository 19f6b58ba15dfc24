"""What a confined process has run is measured, though it can reach no file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.measured.__main__ import read_records
from tests.measured.sitecustomize import SOURCE, VARIABLE

_CONFINED = """
import os, pathlib, sys
from crymapd.model import names
from crymapd.unix import sandbox

child = os.fork()
if not child:
    sandbox.restrict_to(pathlib.Path(sys.argv[1]))
    names.canonical_user("Alice")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_confined_process(tmp_path: Path) -> None:
    records, home = tmp_path / "records", tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, VARIABLE: str(records), "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", _CONFINED, home], env=environment, cwd=SOURCE.parent, check=True)
    child, parent = read_records(records.read_bytes())
    names, sandbox = str(SOURCE / "model" / "names.py"), str(SOURCE / "unix" / "sandbox.py")
    assert names in child and sandbox in child
    assert set(child[names]).isdisjoint(parent[names]), "the child measures what it ran itself"
