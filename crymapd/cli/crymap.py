"""`crymap`: the user's own tool. It has no subcommands yet."""

from __future__ import annotations

import click

from crymapd import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crymap")
def main() -> None:
    """The user's tool; see crymap(1)."""
