"""Our answers and Dovecot's to the same questions about the same mail: `python -m tests.compare FOLDER`.

A developer's tool; it needs Debian's dovecot-imapd. Every file below FOLDER is a message, whose lines are made
to end with CRLF; `--own N` adds as many of our own made-up ones. Both servers get all of them with APPEND, and
are asked for each item of FETCH about each message and for words that the messages hold. Printed is a table
(items compared, identical, same to a reader) and of each class of difference the first few.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.compare.asking import Asker, Value
from tests.compare.differences import places, same
from tests.compare.dovecot import dovecot
from tests.compare.questions import items, searches
from tests.testlib.corpus import hostile, samples, varied
from tests.testlib.server import PASSWORD, Server, running

_BARE_LF = re.compile(rb"(?<!\r)\n")
_PATH = re.compile(r"\[([0-9]+)[0-9.]*")


@dataclass
class Report:
    """Counts by item, and examples by class of difference."""

    compared: Counter[str] = field(default_factory=Counter)
    identical: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def compare(self, item: str, who: str, ours: Value, theirs: Value) -> None:
        self.compared[item] += 1
        self.identical[item] += ours == theirs
        self.same[item] += same(ours, theirs)
        for place, one, other in places(item, ours, theirs):
            self.differ(place, f"{who}\n    ours   {_shown(one)}\n    theirs {_shown(other)}")

    def differ(self, place: str, example: str) -> None:
        self.classes[place] += 1
        self.examples.setdefault(place, []).append(example)

    def show(self, count: int, only: str) -> None:
        for place, number in self.classes.most_common():
            if only in place:
                print(f"== {place}: {number}")
                for example in self.examples[place][:count]:
                    print("  " + example)
        print(f"{'item':<40}{'compared':>10}{'identical':>11}{'same':>9}")
        for item, number in self.compared.items():
            print(f"{item:<40}{number:>10}{self.identical[item] / number:>11.2%}{self.same[item] / number:>9.2%}")


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) < 900 else text[:600] + f" ... ({len(text)}) ... " + text[-200:]


def messages(folder: Path | None, own: int) -> Iterator[tuple[str, bytes]]:
    """Name and octets, none twice, none with NUL (which APPEND has no room for)."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder else []
    found = [(path.name, path.read_bytes()) for path in files]
    if own:
        found += samples()
        found += [(f"varied-{n}", message) for n, message in enumerate(varied(own, seed=1))]
        found += [(f"hostile-{n}", message) for n, message in enumerate(hostile(own, seed=1))]
    seen = set()
    for name, octets in found:
        message = _BARE_LF.sub(b"\r\n", octets)
        if message and b"\0" not in message and message not in seen and len(message) < 2_000_000:
            seen.add(message)
            yield name, message


def connected(server: Server) -> Asker:
    asker = Asker(server.connect("imaps"))
    asker.command(f'LOGIN alice "{PASSWORD}"'.encode())
    asker.command(b"SELECT INBOX")
    return asker


def compare_fetch(report: Report, mail: list[tuple[str, bytes, int, int]], ours: Asker, theirs: Asker) -> None:
    for name, message, our_uid, their_uid in mail:
        wanted = items(message)
        one, other = ours.fetch(our_uid, wanted), theirs.fetch(their_uid, wanted)
        one.pop(b"UID", None), other.pop(b"UID", None)
        for item in {**one, **other}:
            kind = _PATH.sub("[n", item.decode("latin-1"))
            if item not in one or item not in other:
                report.differ(f"{kind} is missing", f"{name} {item!r}: ours {item in one}, theirs {item in other}")
                continue
            report.compare(kind, f"{name} {item.decode('latin-1')}", one[item], other[item])


def compare_search(
    report: Report, mail: list[tuple[str, bytes, int, int]], ours: Asker, theirs: Asker, most: int
) -> None:
    our_name = {our_uid: name for name, _message, our_uid, _theirs in mail}
    their_name = {their_uid: name for name, _message, _ours, their_uid in mail}
    wanted = list(dict.fromkeys(question for _name, message, *_uids in mail for question in searches(message)))
    for key, text in wanted[:: max(1, -(-len(wanted) // most))]:
        keys = b"CHARSET UTF-8 " + key + b" {}"
        one, other = ours.search(keys, text.encode()), theirs.search(keys, text.encode())
        item = "SEARCH " + key.decode()
        report.compared[item] += 1
        found = {our_name[uid] for uid in one or ()}, {their_name[uid] for uid in other or ()}
        if (one is None) == (other is None) and found[0] == found[1]:
            report.identical[item] += 1
            report.same[item] += 1
        else:
            only = sorted(found[0] - found[1])[:4], sorted(found[1] - found[0])[:4]
            report.differ(item, f"{text!r}: only ours {only[0]}, only theirs {only[1]}, {one is None} {other is None}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--own", type=int, default=0, metavar="N", help="made-up messages, twice as many")
    parser.add_argument("--show", type=int, default=3, help="examples of each class")
    parser.add_argument("--only", default="", help="show only classes with this in their name")
    parser.add_argument("--searches", type=int, default=0, metavar="N", help="how many words to search for")
    asked = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        root = Path(folder)
        root.chmod(0o755)
        with running(root / "ours") as server, dovecot(root / "dovecot") as theirs:
            ours = connected(server)
            mail = []
            for name, message in messages(asked.folder, asked.own):
                our_uid, their_uid = ours.append(message), theirs.append(message)
                if our_uid is None or their_uid is None:
                    report.differ("APPEND", f"{name}: ours {our_uid}, theirs {their_uid}")
                else:
                    mail.append((name, message, our_uid, their_uid))
            for asker in (ours, theirs):
                asker.command(b"NOOP")
            compare_fetch(report, mail, ours, theirs)
            if asked.searches:
                compare_search(report, mail, ours, theirs, asked.searches)
    report.show(asked.show, asked.only)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
