"""Charsets as WHATWG's Encoding standard has them: labels, and decoders that are wider than the labels say."""

from __future__ import annotations

import codecs
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webencodings.labels import LABELS

from crymapd.imap.wire.strings import ASCII, UTF8
from crymapd.mime.charsets import charset, charset_names, decode, preload
from crymapd.mime.encoded_words import decode_words

READ_AS_UNLABELLED = {"us-ascii", "ascii", "ansi_x3.4-1968"}
DANGEROUS_TO_WEB_PAGES = {label for label, name in LABELS.items() if name == "replacement"}


@pytest.mark.parametrize("label", sorted(LABELS.keys() - READ_AS_UNLABELLED - DANGEROUS_TO_WEB_PAGES))
def test_every_label_of_the_standard(label: str) -> None:
    name = LABELS[label]
    for spelled in (label, label.upper(), f" {label} ", f'"{label}"'):
        assert charset(spelled) == name == charset(spelled.encode())


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        # The label says less than the senders mean.
        ("iso-8859-1", b"\x93it\x92s\x94 \x80", "“it’s” €"),
        ("latin1", b"\x85", "…"),
        ("iso-8859-9", b"\x93\xfe\x94", "“ş”"),
        ("iso-8859-11", b"\x93\xa1\x94", "“ก”"),
        ("tis-620", b"\x80\xa1", "€ก"),
        ("windows-874", b"\xca\xc7\xd1\xca\xb4\xd5", "สวัสดี"),
        ("gb2312", "朱镕基€".encode("gb18030"), "朱镕基€"),
        ("gb_2312-80", "〇𠀀".encode("gb18030"), "〇𠀀"),
        ("gbk", b"\x80 \x81\x30\x81\x30", "€ \x80"),
        ("x-gbk", b"\xc4\xfa\xba\xc3", "您好"),
        ("ks_c_5601-1987", "똠방각하".encode("cp949"), "똠방각하"),
        ("ks_c_5601-1989", "똠".encode("cp949"), "똠"),
        ("euc-kr", "펲시".encode("cp949"), "펲시"),
        ("big5", "碁恒".encode("cp950"), "碁恒"),
        ("big5", "啫𨋢".encode("big5hkscs"), "啫𨋢"),
        ("shift_jis", "㈱①髙﨑Ⅳ".encode("cp932"), "㈱①髙﨑Ⅳ"),
        ("euc-jp", b"\xad\xa1\xad\xea \xb4\xc1\x8e\xb1\x8f\xb0\xa1", "①㈱ 漢ｱ丂"),
        ("iso-2022-jp", b"\x1b$B-!-j4A\x1b(B x \x1b(I1\x1b(J y", "①㈱漢 x ｱ y"),
        ("iso-2022-jp", b"\x1b$B4A\r\nabc \x1b$@;z", "漢\r\nabc 字"),
        ("koi8-u", b"\xae\xbe\xc1", "ўЎа"),
        ("koi8-ru", b"\xae", "ў"),
        ("x-mac-cyrillic", b"\x8f\xf0\xe8", "При"),
        ("windows-1255", b"\xca", "\u05ba"),
        ("windows-1252", b"\x81\x8d", "\x81\x8d"),
        ("windows-1253", b"\xaa\x81", "\ufffd\x81"),
        ("x-user-defined", b"a\x80\xff", "a\uf780\uf7ff"),
        # A byte order mark is believed first.
        ("utf-16", "ä".encode("utf-16-le"), "ä"),
        ("utf-16", codecs.BOM_UTF16_BE + "ä".encode("utf-16-be"), "ä"),
        ("utf-16be", codecs.BOM_UTF16_LE + "ä".encode("utf-16-le"), "ä"),
        ("iso-8859-1", codecs.BOM_UTF8 + "ä".encode(), "ä"),
        # Charsets that the standard lacks or refuses.
        ("utf-7", b"+AOQ-", "ä"),
        ("iso-2022-kr", "\N{HANGUL SYLLABLE HAN}".encode("iso2022_kr"), "한"),
        ("hz-gb-2312", "汉".encode("hz"), "汉"),
        ("cp850", b"\x84", "ä"),
        ("utf-32", "ä".encode("utf-32"), "ä"),
        # Other spellings, of Python's and of nobody's.
        ("cp936", "镕".encode("gb18030"), "镕"),
        ("uhc", "똠".encode("cp949"), "똠"),
        ("latin_1", b"\x80", "€"),
        ("koi8r", b"\xc1", "а"),
        ("cp-1251", b"\xe0", "а"),
        # Labels that say nothing.
        ("us-ascii", "ä".encode(), "ä"),
        ("us-ascii", b"\xe4\x80", "ä€"),
        ("x-nobody-knows", "ä".encode(), "ä"),
        ("unknown-8bit", b"\xe4\x80", "ä€"),
        (None, b"\xe4\x80", "ä€"),
    ],
)
def test_decoders(label: str | None, octets: bytes, text: str) -> None:
    assert decode(octets, label) == text


def test_windows_and_jis_agree_on_every_double_octet() -> None:
    """EUC-JP and ISO-2022-JP have the characters of Windows' Shift_JIS, all of them, as in the standard's one index."""
    for character in map(chr, range(0x80, 0x10000)):
        try:
            lead, trail, *more = character.encode("cp932")
        except (UnicodeEncodeError, ValueError):
            continue
        row = (lead - (0x81 if lead < 0xA0 else 0xC1)) * 2
        cell = trail - 0x40 - (trail > 0x7F)
        row, cell = (row + 1, trail - 0x9F) if trail >= 0x9F else (row, cell)
        if row >= 94:
            continue  # IBM's extension, which the other two have no room for
        pair = bytes((row + 0x21, cell + 0x21))
        expected = bytes((lead, trail, *more)).decode("cp932")
        assert decode(bytes(octet | 0x80 for octet in pair), "euc-jp") == expected
        assert decode(b"\x1b$B" + pair + b"\x1b(B", "iso-2022-jp") == expected


@given(st.binary(max_size=60), st.sampled_from(charset_names()))
def test_nothing_fails_to_decode(octets: bytes, label: str) -> None:
    decode(octets, label).encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"Heinz =?iso-8859-1?Q?M\xfcller?=", "Heinz Müller"),
        ("=?utf-8?Q?Grüße?= an =?utf-8?Q?alle?=".encode(), "Grüße an alle"),
        (b"=?gb2312?Q?\xd6\xec\xe9F?=", "朱镕"),
        (b"=?X-Nobody-Knows?Q?Claim_your_parcel?=", "Claim your parcel"),
        (b"=?NONE?B?aGVsbG8=?=", "hello"),
        (b"=?unknown-8bit?Q?na=EFve?=", "naïve"),
        (b"=?utf-8?q?=C3?= =?UTF8?Q?=BC?=", "ü"),
        (b"=?iso-8859-1?q?=93x?= =?latin1?q?=94?=", "“x”"),
        (b"=?a?q?=?= =?b?q?=?=", "=="),
        (b"=?=?utf-8?q?x?=", "=?x"),
    ],
)
def test_words(value: bytes, text: str) -> None:
    assert decode_words(value) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=60))
def test_text_on_the_wire_says_once_what_it_says(text: str) -> None:
    """Whoever decodes ENVELOPE reads what the header says, with or without UTF-8 (RFC 2047, RFC 6855)."""
    words = b"Heinz =?iso-8859-1?Q?M\xfcller?= " + text.encode()
    read = decode_words(words)
    for strings in (ASCII, UTF8):
        written = strings.text(words)
        content = written.partition(b"\r\n")[2] if written.startswith(b"{") else written[1:-1]
        assert decode_words(content.replace(b'\\"', b'"').replace(b"\\\\", b"\\")) == decode_words(read.encode())
        assert b"iso-8859-1" not in written


_CONFINED = """
import sys
from crymapd.mime.charsets import charset_names, decode, preload
preload()
sys.path[:], sys.meta_path[:] = [], []
for name in charset_names():
    decode(b"a\\xe4\\x1b$B4A+AOQ-", name)
"""


def test_every_decoder_is_loaded_before_it_is_used() -> None:
    """A confined worker can import nothing."""
    preload()
    subprocess.run([sys.executable, "-c", _CONFINED], check=True, timeout=60)
