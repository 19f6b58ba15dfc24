"""One way to read a TOML file into a typed object."""

from __future__ import annotations

import tomllib
from typing import TypeVar

import msgspec

from crymapd.errors import ConfigError

T = TypeVar("T")
_LONGEST_LINE = 4096
"""No file of ours has longer lines, and a dotted key takes time by the square of its length."""


def parse(text: bytes, kind: type[T], where: str) -> T:
    """Read TOML octets into an object of a msgspec Struct type; `where` names the file in errors.

    Raises:
        ConfigError: the text is not UTF-8 or not TOML, or a key is unknown, missing or of a wrong type.
    """
    if any(len(line) > _LONGEST_LINE for line in text.split(b"\n")):
        raise ConfigError(f"{where}: expected lines of at most {_LONGEST_LINE} octets")
    try:
        table = tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8 text ({error.reason} at octet {error.start})") from None
    except RecursionError:
        raise ConfigError(f"{where}: not valid TOML: too many brackets, one in another") from None
    except ValueError as error:  # TOMLDecodeError, or what Python says of a number with thousands of digits
        raise ConfigError(f"{where}: not valid TOML: {error}") from None
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_readable(str(error))}") from None


def _readable(message: str) -> str:
    """msgspec says "Expected `str`, got `int` - at `$.tls.private_key`"; we put the key first."""
    problem, _, path = message.partition(" - at `$")
    key = path.rstrip("`").lstrip(".")
    return f"key `{key}`: {problem}" if key else problem
