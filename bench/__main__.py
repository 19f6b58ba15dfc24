"""`make bench`: crymapd and, where it is installed, Dovecot do the same work by turns, and one table compares them.

All servers run on loopback, in a directory of their own, and are ended here.  Nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench import imap_work, lmtp_work
from bench.servers import Subject, dovecot, dovecot_is_here, end_when_told, ours
from bench.work import Work

Figures = dict[str, dict[str, list[float]]]
"""The figures of all rounds, by the line of the table and the server's name."""

STRONG = Work("login + logout session, Argon2id 64 MiB x 3", imap_work.strong_session, 0)
"""What only our server does: nobody else has such passwords."""
WORKS = (*imap_work.TABLE, *lmtp_work.TABLE, STRONG)


def main() -> None:
    options = _options()
    if options.merge:
        print(_markdown(list(WORKS), _merged(options.merge)), end="")
        return
    works = [work for work in WORKS if not options.only or any(word in work.name for word in options.only)]
    end_when_told()
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="crymapd-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        subjects = [stack.enter_context(ours(folder))]
        if dovecot_is_here():
            subjects.append(stack.enter_context(dovecot(folder / "dovecot")))
            if options.crypt:
                subjects.append(stack.enter_context(dovecot(folder / "crypt", crypt=True)))
        else:
            print("Dovecot cannot be compared with: it is not installed, or we are not root.", file=sys.stderr)
        works = [work for work in works if any(work.service in subject.services for subject in subjects)]
        figures: Figures = {}
        for work in works:
            figures[work.name] = _measure(work, subjects, options.rounds or work.rounds)
            print(_line(work, figures[work.name]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    if options.markdown:
        options.markdown.write_text(_markdown(works, figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="lines that contain one of these")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--crypt", action="store_true", help="also Dovecot with mail_crypt (slow)")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="JSON", help="only print the table of earlier runs")
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    return parser.parse_args()


def _merged(runs: list[Path]) -> Figures:
    merged: Figures = {}
    for run in runs:
        for work, figures in json.loads(run.read_text()).items():
            for server, values in figures.items():
                merged.setdefault(work, {}).setdefault(server, []).extend(values)
    return merged


def _measure(work: Work, subjects: list[Subject], rounds: int) -> dict[str, list[float]]:
    """Measure the servers that offer the service by turns, so that what else the machine does falls on all of them."""
    figures: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    able = [subject for subject in subjects if work.service in subject.services]
    for _round in range(rounds):
        for subject in able:
            if work is STRONG and subject is not subjects[0]:
                continue
            figures[subject.name].append(work.measure(subject))
            time.sleep(0.1)
    return figures


def _line(work: Work, figures: dict[str, list[float]]) -> str:
    return f"{work.name:<44}" + "".join(f"{cell:>26}" for cell in _cells(work, figures))


def _markdown(works: list[Work], figures: Figures) -> str:
    names = list(figures[works[0].name])
    rows = [["", *names, "ratio", "to reach", ""], ["---"] * (len(names) + 4)]
    rows += [[work.name, *_cells(work, figures[work.name])] for work in works if work.name in figures]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _cells(work: Work, figures: dict[str, list[float]]) -> list[str]:
    """The median and spread of each server, the ratio of the first to the second, the limit, and whether it is kept."""
    mine, *others = figures.values()
    shown = [_shown(values, work.unit) for values in figures.values()]
    ratio = _ratio(mine, others[0]) if others else None
    ratio_cell = "" if ratio is None else f"{ratio:.2f}"
    if not work.limit and not work.absolute:
        return [*shown, ratio_cell, "", ""]
    sign = ">=" if work.more else "<="
    unit = f" {work.unit}" if work.absolute else ""
    met = {True: "yes", False: "no", None: ""}[work.met(statistics.median(mine), ratio) if mine else None]
    return [*shown, ratio_cell, f"{sign} {work.limit:g}{unit}", met]


def _ratio(ours: list[float], theirs: list[float]) -> float | None:
    """The median of the ratios of the rounds, in each of which one server was measured just after the other."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
    return statistics.median(ratios) if ratios else None


def _shown(values: list[float], unit: str) -> str:
    if not values:
        return ""
    return f"{_number(statistics.median(values))} {unit} ({_number(min(values))}-{_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main()
