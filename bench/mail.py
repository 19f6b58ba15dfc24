"""The mail of the benchmark, which is made here and has the same octets on every machine.

Of every hundred messages, one has the word that is searched for in From, another that in Subject, and another that in
the body.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

from tests.testlib.building import Entity, attachment, multipart, text
from tests.testlib.words import WORDS

FROM_MARK, SUBJECT_MARK, BODY_MARK = "zephyr.example", "quokka", "xylophonist"
DISTINCT = 2_500


def small(count: int, seed: int = 2) -> list[bytes]:
    """So many plain messages of about 3 kB each."""
    return [_message(seed, number, 2_500) for number in range(count)]


def mixed(count: int = 400, seed: int = 1) -> list[bytes]:
    """Messages of 2 kB to 2 MB: half are small texts, some have alternatives, one in five has attachments."""
    rng = random.Random(seed)
    bounds = ((2, 10),) * 55 + ((10, 60),) * 25 + ((60, 300),) * 14 + ((300, 1_000),) * 5 + ((1_000, 2_000),)
    sizes = [int(1_000 * low * (high / low) ** rng.random()) for low, high in bounds * (count // 100)]
    rng.shuffle(sizes)
    return [_message(seed, number, size) for number, size in enumerate(sizes)]


def marked(count: int, mark: int) -> int:
    """How many of the first messages of `small`, which repeat after DISTINCT, have the mark with this number."""
    return sum(1 for number in range(count) if number % DISTINCT % 100 == mark)


def _message(seed: int, number: int, size: int) -> bytes:
    rng = random.Random(f"{seed} {number}")
    host = FROM_MARK if number % 100 == 7 else "mail.example"
    subject = " ".join(rng.choices(WORDS, k=rng.randint(3, 9)))
    if number % 100 == 13:
        subject += " " + SUBJECT_MARK.capitalize()
    body = _prose(rng, min(size, 40_000), BODY_MARK if number % 100 == 42 else "")
    headers = [
        f"Return-Path: <sender{number % 97}@{host}>",
        f"Received: from mx{number % 5}.example ([192.0.2.{number % 250}]) by mail.example with ESMTPS id {seed}x{number};",
        f"\tMon, {1 + number % 28:02} Jun 2026 09:{number % 60:02}:00 +0200",
        f"Date: Mon, {1 + number % 28:02} Jun 2026 09:{number % 60:02}:00 +0200",
        f'From: "Sender {number % 97}" <sender{number % 97}@{host}>',
        'To: "Reader" <u1@mail.example>' + (', "Second, Person" <two@mail.example>' if number % 3 == 0 else ""),
        f"Message-ID: <bench.{seed}.{number}@mail.example>",
        f"Subject: {'=?UTF-8?Q?Caf=C3=A9?= ' if number % 11 == 0 else ''}{subject}",
        "MIME-Version: 1.0",
    ]
    if number % 4 == 1:
        headers.append(f"In-Reply-To: <bench.{seed}.{number - 1}@mail.example>")
        headers.append(f"References: <bench.{seed}.{number - 1}@mail.example>")
    return _entity(rng, body, size).under(*(line.encode() for line in _folded(headers))).octets()


def _folded(lines: list[str]) -> Iterator[str]:
    """Header fields, each with the continuation lines that follow it."""
    whole = ""
    for line, after in pairwise([*lines, ""]):
        whole += line
        if after.startswith("\t"):
            whole += "\r\n"
        else:
            yield whole
            whole = ""


def _entity(rng: random.Random, body: str, size: int) -> Entity:
    if size < 3_000:
        return text(body, charset="us-ascii", encoding="7bit")
    html = "<html><body>" + body.replace("\n", "<br/>\n") + "</body></html>\n"
    shown = multipart("alternative", [text(body), text(html, subtype="html", encoding="quoted-printable")], "=_alt")
    left = size - len(shown.body)
    if left < 20_000:
        return shown
    data = attachment("data.bin", "application/octet-stream", rng.randbytes(left * 3 // 4))
    return multipart("mixed", [shown, data], "=_mixed")


def _prose(rng: random.Random, size: int, mark: str) -> str:
    lines = []
    for _line in range(max(2, size // 75)):
        lines.append(" ".join(WORDS[min(int(rng.paretovariate(0.6)) - 1, len(WORDS) - 1)] for _ in range(12))[:74])
    if mark:
        lines.insert(len(lines) // 2, f"here stands {mark} in the middle")
    return "\n".join(lines) + "\n"
