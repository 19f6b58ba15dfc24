"""The table of services and everything that names services agree; one row more is a service more."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import click
import pytest

from crymapd.cli import crymapd
from crymapd.daemon.services import SERVICES, Service, Tls

TOP = Path(__file__).resolve().parents[2]
SOCKETS = sorted((TOP / "units").glob("*.socket"))
MANUAL = (TOP / "man" / "crymapd.8").read_text()
CONFIGURATION = (TOP / "man" / "crymap.toml.5").read_text()


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_a_row_holds_together(service: Service) -> None:
    assert SERVICES[service.name] is service
    assert re.fullmatch("[a-z][a-z0-9-]{0,14}", service.name), "a service name as RFC 6335 section 5.1 has them"
    assert service.tls is not Tls.NONE or not service.alpn
    assert callable(service.load())


@pytest.mark.parametrize("path", SOCKETS, ids=lambda path: path.name)
def test_a_socket_unit_is_for_a_service(path: Path) -> None:
    socket = unit(path)["Socket"]
    service = SERVICES[socket["FileDescriptorName"]]
    if service.port is None:
        assert socket["ListenStream"].startswith("/"), "a service without a port listens on a UNIX socket"
    else:
        assert socket["ListenStream"].rpartition(":")[2] == str(service.port)
    assert path.name in (f"crymapd-{service.name}.socket", f"crymapd-{service.name}-accept.socket")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_its_units(name: str) -> None:
    assert unit(TOP / "units" / f"crymapd-{name}.socket")["Socket"]["Service"] == "crymapd.service"
    assert unit(TOP / "units" / f"crymapd-{name}-accept.socket")["Socket"]["Accept"] == "yes"
    one = unit(TOP / "units" / f"crymapd-{name}-accept@.service")["Service"]
    assert one["ExecStart"].endswith(f"crymapd serve-{name}")


def test_the_listener_has_the_sockets_of_all() -> None:
    listener = unit(TOP / "units" / "crymapd.service")
    sockets = {f"crymapd-{name}.socket" for name in SERVICES}
    assert set(listener["Service"]["Sockets"].split()) == set(listener["Install"]["Also"].split()) == sockets


def test_the_rc_script_names_all() -> None:
    script = (TOP / "rc.d" / "crymapd").read_text()
    named = re.search(r"^# Addresses of the services \((.*)\) are in the table \[listen\]", script, re.MULTILINE)
    assert named and named[1].split(", ") == list(SERVICES)


def test_the_manual_has_all_commands() -> None:
    synopsis, description = MANUAL.split(".Sh DESCRIPTION")
    for text in (synopsis, description):
        assert set(re.findall(r"^\.(?:Cm|It Cm) serve-(\S+)$", text, re.MULTILINE)) == set(SERVICES)


def test_the_manual_has_all_keys_of_listen() -> None:
    section = CONFIGURATION.split(".Ss [listen]\n")[1].split(".Ss ")[0]
    rows = re.findall(r"^\.It Ic (\S+)(?: .*)?\n(?:.*\n)*?.*[Pp]ort (\d+|none)", section, re.MULTILINE)
    assert dict(rows) == {service.name: str(service.port or "none") for service in SERVICES.values()}


def test_the_command_line_has_all() -> None:
    commands = crymapd.main.list_commands(click.Context(crymapd.main))
    assert {name.removeprefix("serve-") for name in commands if name.startswith("serve-")} == set(SERVICES)
