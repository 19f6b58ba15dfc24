"""The way to a password check: turns, delays and places, and who waits for whom."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from crymapd.authentication import gate
from crymapd.authentication.gate import Gate, delay, network
from crymapd.errors import BadCredentials


class Gone(Exception):
    """The client has hung up."""


class Clock:
    """Waits for nobody; says how long was waited for, and may do something at the first wait."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.waited = 0.0
        self._meanwhile: Callable[[], object] | None = meanwhile

    def pause(self, seconds: float) -> None:
        self.waited += seconds
        if seconds and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def check(state: int, address: str, account: str, *, right: bool = False, places: int = 4) -> float:
    """The seconds that one check has to wait, and what is counted of it."""
    clock = Clock()
    subject = Gate(state, places, address, clock.pause)
    try:
        with subject.check(account):
            if not right:
                raise BadCredentials("wrong")
    except BadCredentials:
        pass
    finally:
        subject.close()
    return clock.waited


def elsewhere(state: int, address: str, account: str, places: int = 4) -> tuple[int, int]:
    """Begin a check in another process, which holds its turn: its id, and a descriptor to close when it shall end."""
    ready, begun = os.pipe()
    wait, end = os.pipe()
    if not (child := os.fork()):
        os.close(end)
        with Gate(state, places, address, time.sleep).check(account):
            os.write(begun, b"x")
            os.read(wait, 1)
        os._exit(0)
    os.close(wait)
    assert os.read(ready, 1)
    return child, end


def finish(*begun: tuple[int, int]) -> None:
    for child, end in begun:
        os.close(end)
        os.waitpid(child, 0)


def test_failures_cost_time_before_the_next_check(state: int) -> None:
    waits = [check(state, "192.0.2.1", name) for name in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")]
    assert waits[:4] == [0] * 4
    assert waits == pytest.approx([delay(failures) for failures in range(10)], rel=0.01)
    assert check(state, "192.0.2.1", "k", right=True) > 10, "a right password, too"
    assert check(state, "192.0.2.2", "a") == 0, "another address"
    assert check(state, "127.0.0.1", "a") == 0, "this host"


def test_an_account_under_attack_is_slow_for_whoever_has_failed(state: int) -> None:
    for number in range(30):
        assert check(state, f"192.0.2.{number}", "alice") == 0
    assert check(state, "192.0.2.1", "alice") == pytest.approx(gate.LONGEST_SECONDS)
    assert check(state, "198.51.100.1", "alice", right=True) == 0, "the owner"


def test_a_known_address_waits_only_for_its_own_failures(state: int) -> None:
    check(state, "192.0.2.1", "alice", right=True)
    for name in "bcdefgh":
        check(state, "192.0.2.1", name)
    assert check(state, "192.0.2.1", "alice", right=True) == 0
    for _time in range(gate.FREE):
        assert check(state, "192.0.2.1", "alice") == 0
    assert check(state, "192.0.2.1", "alice", right=True) > 1, "somebody has failed for this account"


def test_who_becomes_known_while_waiting_waits_no_more(state: int) -> None:
    """A laptop opens six connections beside a phone with an old password: only the first has to wait."""
    for _time in range(9):
        check(state, "192.0.2.1", "alice")
    begun = elsewhere(state, "192.0.2.1", "bob")
    clock = Clock(lambda: check_known())

    def check_known() -> None:
        known = Gate(state, 4, "127.0.0.1", time.sleep)
        known._known.set("192.0.2.1 alice", 1)  # as another connection does when it succeeds
        known.close()

    with Gate(state, 4, "192.0.2.1", clock.pause).check("alice"):
        assert 0 < clock.waited < 1
    finish(begun)


def test_a_failure_that_has_faded_is_none(state: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(state, "192.0.2.1", "alice")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 5 * 86_400)
    for number in range(30):
        check(state, f"198.51.100.{number}", "alice")
    assert check(state, "192.0.2.1", "alice", right=True) == 0


def test_one_check_at_a_time_for_each_address_and_each_account(state: int) -> None:
    for address, account in (("192.0.2.1", "bob"), ("192.0.2.2", "alice")):
        begun = elsewhere(state, "192.0.2.1", "alice")
        assert check(state, "192.0.2.3", "carol") == 0
        clock = Clock(partial(finish, begun))
        with Gate(state, 4, address, clock.pause).check(account):
            assert clock.waited > 0, (address, account)


def test_the_last_place_is_for_those_who_have_not_failed(state: int) -> None:
    for _time in range(2):
        check(state, "192.0.2.1", "x", places=2)
    begun = elsewhere(state, "192.0.2.2", "alice", places=2)
    assert check(state, "192.0.2.3", "bob", places=2, right=True) == 0
    clock = Clock(partial(finish, begun))
    with Gate(state, 2, "192.0.2.1", clock.pause).check("carol"):
        assert clock.waited > 0


def test_waiting_ends(state: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PATIENCE_SECONDS", 0.05)
    begun = elsewhere(state, "192.0.2.1", "alice")
    with pytest.raises(TimeoutError), Gate(state, 4, "192.0.2.2", time.sleep).check("alice"):
        pass
    finish(begun)


def test_a_client_that_hangs_up_gives_its_turn_back(state: int) -> None:
    def gone(_seconds: float) -> None:
        raise Gone

    for _time in range(6):
        check(state, "192.0.2.1", "alice")
    with pytest.raises(Gone), Gate(state, 4, "192.0.2.1", gone).check("alice"):
        pass
    assert check(state, "192.0.2.1", "bob") > 0, "its turn came without waiting for the other"


def test_a_state_that_cannot_be_written_is_said_and_slows_everybody(
    tmp_path: Path, state: int, event_lines: list[str]
) -> None:
    (tmp_path / "addresses").mkdir()
    assert check(state, "192.0.2.1", "alice") >= gate.UNCOUNTED_SECONDS
    assert check(state, "127.0.0.1", "alice") == 0
    assert any("state/: " in line and "addresses" in line and "cannot be counted" in line for line in event_lines)


def test_the_delay_is_bounded() -> None:
    assert delay(gate.FREE) == 0
    assert delay(1e300) == gate.LONGEST_SECONDS


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("what is this", "what is this"),
    ],
)
def test_one_customer_has_a_whole_network_of_ipv6(address: str, counted: str) -> None:
    assert network(address) == counted
