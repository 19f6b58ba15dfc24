"""The messages of `golden/` that a search, ENVELOPE or THREAD answered wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest

from crymapd.imap.wire.envelope import envelope
from crymapd.imap.wire.strings import UTF8
from crymapd.imap.wire.thread import thread_list
from crymapd.mime.collation import collation_key
from crymapd.mime.parts import Part, parse
from crymapd.mime.preview import preview
from crymapd.mime.references import message_id, parents, references
from crymapd.mime.subject import base_subject
from crymapd.mime.text import ReadOctets, field_texts, search_form, search_texts
from crymapd.mime.threads import Threadable, by_references

GOLDEN = Path(__file__).parent / "golden"


def octets_of(name: str) -> bytes:
    return (GOLDEN / f"{name}.eml").read_bytes()


def reading(octets: bytes) -> ReadOctets:
    return lambda start, end: iter((octets[start:end],))


def in_body(name: str, wanted: str) -> bool:
    texts = search_texts(parse(octets_of(name)), reading(octets_of(name)))
    return texts is not None and texts.has(search_form(wanted), header=False)


def in_subject(name: str, wanted: str) -> bool:
    values = parse(octets_of(name)).header.values(b"subject")
    return any(search_form(wanted) in search_form(text) for value in values for text in field_texts(value))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("charset-windows-874", "สวัสดี"),
        ("charset-label-x-gbk", "您好世界"),
        ("charset-label-ks_c_5601-1989", "안녕"),
        ("charset-label-x-mac-cyrillic", "Привет"),
        ("charset-superset-gb2312", "朱镕基"),
        ("charset-superset-iso-8859-1", "it’s “quoted”, €500"),
        ("charset-superset-shift_jis", "㈱山田"),
    ],
)
def test_bodies(name: str, text: str) -> None:
    assert in_body(name, text)
    assert preview(parse(octets_of(name)), reading(octets_of(name))).startswith(text)


def test_subjects() -> None:
    assert in_subject("charset-windows-874", "แผ้กช")
    assert in_subject("word-in-unknown-charset", "your parcel")
    subject, _answers = base_subject(parse(octets_of("word-in-unknown-charset")).header.first(b"subject"))
    assert subject == "Claim your parcel"


def test_blanks() -> None:
    name = "search-outer-blanks"
    assert in_subject(name, "pare p") and in_body(name, "hared w")
    assert not in_subject(name, " pare") and not in_body(name, "hare ")


def test_envelope() -> None:
    header = parse(octets_of("envelope-encoded-twice-1")).header
    assert b'"=?utf-8?B?SGVpbnogTcO8bGxlcg==?="' in envelope(header)
    assert '"Heinz Müller"'.encode() in envelope(header, UTF8)


def test_threads() -> None:
    roots = [parse(octets_of(f"git-send-email-yes-{number}")) for number in (1, 2)]
    assert thread_list(by_references([threadable(*one) for one in enumerate(roots, 1)])) == b"(1)(2)"
    assert not set(references(roots[0].header)) & set(references(roots[1].header))


def threadable(number: int, root: Part) -> Threadable:
    subject, answers = base_subject(root.header.first(b"subject"))
    header = root.header
    return Threadable(number, number, collation_key(subject), answers, message_id(header), tuple(parents(header)))
