"""Fuzz one target, or each of them in turn: `make fuzz`, `python -m tests.fuzz message --seconds 600`.

A developer's tool. Coverage leads it (atheris, libFuzzer); octets that break a target are written to
`.fuzz/<target>/crash-*`, and `python -m tests.fuzz <target> --only FILE` runs them again. What was interesting
is kept in `.fuzz/<target>` and is the start of the next run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz import words

CORPUS = Path(".fuzz")


def main() -> int:
    """Run the target asked for, or every one in a process of its own; the number of those that broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", choices=words.SEEDS, help="all in turn when left out")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--only", type=Path, help="run the octets of this file and nothing else")
    asked = parser.parse_args()
    if asked.target is None:
        command = [sys.executable, "-m", "tests.fuzz", "--seconds", str(asked.seconds)]
        return sum(subprocess.run([*command, name]).returncode != 0 for name in words.SEEDS)
    corpus = CORPUS / asked.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(words.SEEDS[asked.target]()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    dictionary = CORPUS / "words"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words.WORDS))
    inputs = [str(asked.only)] if asked.only else [str(corpus), f"-max_total_time={asked.seconds}"]
    _fuzz(asked.target, [f"-dict={dictionary}", f"-artifact_prefix={corpus}/", "-max_len=4096", "-timeout=20",
                         "-print_final_stats=1", *inputs])  # fmt: skip
    return 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def _fuzz(target: str, options: list[str]) -> None:
    """Hand over to libFuzzer, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["crymapd.imap", "crymapd.mime", "crymapd.model"]):
        from tests.fuzz import targets
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
