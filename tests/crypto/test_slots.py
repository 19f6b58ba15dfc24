"""Key slots, wrapping, sealing keys: the right secret opens, everything else is refused with one reason."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crymapd.crypto import secret, slots
from crymapd.crypto.passwords import prepared
from crymapd.crypto.sealing import PRIVATE_BYTES, PUBLIC_BYTES, OpeningKey, SealingKey, generate
from crymapd.crypto.secret import Secret, derive, mac, mac_matches, random_secret, unwrap, wrap
from crymapd.crypto.slots import Argon2, Budget, PasswordSlot, new_password_slot, open_any, spend_time
from crymapd.errors import AccountUnavailable, BadCredentials, Damaged

CHEAP = Argon2(8, 1, 1)
PASSWORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60)


@settings(deadline=None)
@given(PASSWORDS, PASSWORDS)
def test_a_slot_opens_with_its_password_only(password: str, other: str) -> None:
    master = random_secret()
    slot = new_password_slot(master, password, b"account", CHEAP)
    assert slot.open(password, b"account") == master
    if prepared(other) != prepared(password):
        with pytest.raises(BadCredentials):
            slot.open(other, b"account")
    with pytest.raises(BadCredentials):
        slot.open(password, b"another account")


def test_every_bit_of_a_slot() -> None:
    master = random_secret()
    slot = new_password_slot(master, "password", b"account", CHEAP)
    for bit in range(len(slot.salt) * 8):
        _refused(replace(slot, salt=_flipped(slot.salt, bit)))
    for bit in range(len(slot.wrapped) * 8):
        _refused(replace(slot, wrapped=_flipped(slot.wrapped, bit)))
    for length in range(len(slot.salt)):
        _refused(replace(slot, salt=slot.salt[:length]))
    for length in range(len(slot.wrapped)):
        _refused(replace(slot, wrapped=slot.wrapped[:length]))
    assert slot.open("password", b"account") == master


def _flipped(octets: bytes, bit: int) -> bytes:
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _refused(slot: PasswordSlot) -> None:
    with pytest.raises((BadCredentials, Damaged)):
        slot.open("password", b"account")


@pytest.mark.parametrize(
    "argon2",
    [Argon2(0, 1, 1), Argon2(8, 0, 1), Argon2(8, 1, 0), Argon2(-8, 1, 1), Argon2(8, -1, 1), Argon2(8, 1, 8),
     Argon2(2**40, 1, 1), Argon2(8, 2**33, 1), Argon2(8, 1, 2**25)],
    ids=str,
)  # fmt: skip
def test_parameters_that_cannot_be(argon2: Argon2) -> None:
    """A flipped digit or a forged file: refused, without a denial of service, and not as a wrong password."""
    with pytest.raises(Damaged):
        PasswordSlot(argon2, bytes(16), bytes(60)).open("password", b"account")


def test_any_of_several_slots() -> None:
    master = random_secret()
    made = [new_password_slot(master, word, b"account", CHEAP) for word in ("one", "two", "three")]
    for index, word in enumerate(("one", "two", "three")):
        assert open_any(made, word, b"account", Budget()) == (index, master)
    with pytest.raises(BadCredentials):
        open_any(made, "four", b"account", Budget())
    bad = PasswordSlot(CHEAP, b"", b"")
    assert open_any([bad, *made], "two", b"account", Budget()) == (2, master)
    with pytest.raises(BadCredentials):
        open_any([bad, *made], "four", b"account", Budget())
    for useless in ([], [bad, bad]):
        with pytest.raises(Damaged):
            open_any(useless, "one", b"account", Budget())


def test_without_memory_nobody_is_told_that_a_password_is_wrong() -> None:
    """Known or unknown, the answer is that it cannot be checked now."""
    slot = new_password_slot(random_secret(), "one", b"account")
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))
        answers = []
        for attempt in (lambda: slot.open("one", b"account"), lambda: spend_time()):
            try:
                attempt()
            except AccountUnavailable:
                answers.append(1)
        os._exit(len(answers))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_generated_passwords() -> None:
    made = {slots.generate_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(word) == 23 and not set(word) & set("il1o0") for word in made)


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_wrapping(data: bytes, context: bytes) -> None:
    key = random_secret()
    wrapped = wrap(key, Secret(data), context)
    assert unwrap(key, wrapped, context) == Secret(data)
    assert len(wrapped) == len(data) + 28
    for wrong in ((random_secret(), wrapped, context), (key, wrapped, context + b"x"), (key, wrapped[:-1], context)):
        with pytest.raises(Damaged):
            unwrap(*wrong)


def test_derived_keys_differ_and_stay() -> None:
    """RFC 5869 with the label in `info`: a known answer, so that no upgrade moves it."""
    master = Secret(bytes(range(32)))
    assert derive(master, "meta.db") != derive(master, "index.db")
    assert derive(master, "meta.db").reveal().hex() == KNOWN_META_KEY
    assert mac_matches(master, "label", b"data", mac(master, "label", b"data"))
    assert not mac_matches(master, "other", b"data", mac(master, "label", b"data"))
    assert len(secret.random_secret().reveal()) == 32


_OVERHEAD = 1120 + 16
"""By how many octets a sealed value is longer than the clear one: the encapsulation and the tag."""
KNOWN_META_KEY = "c1dfa3a28c647581b4b884d4891af117fd622c3f797bbe1ebce9b368a1209113"


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=300), st.binary(max_size=50))
def test_sealing(clear: bytes, info: bytes) -> None:
    private = OpeningKey(generate())
    sealed = SealingKey(private.public.raw).seal(clear, info)
    assert len(sealed) == len(clear) + _OVERHEAD
    assert private.open(sealed, info) == clear
    for opener, octets, about in (
        (OpeningKey(generate()), sealed, info), (private, sealed, info + b"x"), (private, sealed[:-1], info),
        (private, sealed + b"x", info), (private, b"", info),
    ):  # fmt: skip
        with pytest.raises(Damaged):
            opener.open(octets, about)


@pytest.mark.parametrize("length", [0, PUBLIC_BYTES - 1, PUBLIC_BYTES + 1])
def test_keys_of_the_wrong_length(length: int) -> None:
    with pytest.raises(Damaged):
        SealingKey(bytes(length))
    with pytest.raises(Damaged):
        OpeningKey(Secret(bytes(PRIVATE_BYTES - 1)))


def test_a_public_key_that_is_none() -> None:
    """ML-KEM refuses coefficients over its modulus (FIPS 203 section 7.2)."""
    with pytest.raises(Damaged):
        SealingKey(b"\xff" * PUBLIC_BYTES)


def test_one_password_costs_no_more_than_its_budget() -> None:
    """Slots that ask for much are not even tried, however many there are, and one that is there twice is tried once."""
    master = random_secret()
    cheap = new_password_slot(master, "right", b"account", CHEAP)
    greedy = replace(cheap, argon2=Argon2(256 * 1024, 8, 1))
    half = replace(cheap, argon2=Argon2(64 * 1024, 6, 1))
    with pytest.raises(Damaged):
        open_any([greedy], "right", b"account", Budget())
    budget = Budget()
    start = time.process_time()
    with pytest.raises(BadCredentials):
        open_any(
            [half, replace(half, salt=bytes(16)), *[replace(half, salt=bytes([n] * 16)) for n in range(60)]],
            "x",
            b"a",
            budget,
        )
    spent = time.process_time() - start
    with pytest.raises(Damaged):
        open_any([replace(half, salt=bytes([99] * 16))], "x", b"a", budget)
    start = time.process_time()
    with pytest.raises(BadCredentials):
        open_any([half] * 60, "x", b"a", budget)
    assert time.process_time() - start < spent / 4
    assert open_any([greedy, cheap], "right", b"account", Budget()) == (1, master)
