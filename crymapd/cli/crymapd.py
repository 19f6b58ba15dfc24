"""`crymapd`: the server and its administration."""

from __future__ import annotations

from pathlib import Path

import click

from crymapd import __version__
from crymapd.cli.failure import reported
from crymapd.cli.main import PROGRAM, serve
from crymapd.daemon.services import SERVICES
from crymapd.unix import sysexits

click.UsageError.exit_code = sysexits.USAGE


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
@click.option("--root", type=click.Path(path_type=Path), metavar="DIR", help="The directory with crymap.toml.")
@click.pass_context
def main(context: click.Context, root: Path | None) -> None:
    """An IMAP server whose mail at rest only its owner can read; see crymapd(8)."""
    context.obj = root


@main.group()
def user() -> None:
    """Create and change accounts."""


@user.command("add")
@click.argument("name")
@click.argument("data_dir", required=False, type=click.Path(path_type=Path))
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--prompt-password", is_flag=True, help="Ask for the password on the terminal.")
@click.option("--uid", type=int, help="As root: whose the account is (default: the UNIX user NAME).")
@click.pass_obj
def user_add(
    root: Path | None, name: str, data_dir: Path | None, password_stdin: bool, prompt_password: bool, uid: int | None
) -> None:
    """Create an account; without a password option one is generated and printed."""
    with reported(PROGRAM):
        from crymapd.cli import user_add as command

        command.run(root, name, data_dir, uid=uid, stdin=password_stdin, prompt=prompt_password)


@user.command("hide")
@click.argument("name")
@click.argument("capability", nargs=-1)
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.pass_obj
def user_hide(root: Path | None, name: str, capability: tuple[str, ...], password_stdin: bool) -> None:
    """Do not announce these IMAP capabilities to the account's clients; none shows everything again."""
    with reported(PROGRAM):
        from crymapd.cli import user_hide as command

        command.run(root, name, capability, stdin=password_stdin)


@main.command()
@click.option("--detach", is_flag=True, help="Leave the terminal and run in the background (for rc.d).")
@click.option("--pid-file", type=click.Path(path_type=Path), help="Where to write the process id.")
@click.pass_obj
def listen(root: Path | None, detach: bool, pid_file: Path | None) -> None:
    """Hold the listening sockets of all services, and start a worker for each connection."""
    with reported(PROGRAM):
        from crymapd.daemon import listener

        listener.run(root, detach=detach, pid_path=pid_file)


def _add_service(name: str) -> None:
    @main.command(f"serve-{name}")
    @click.pass_obj
    def serve_one(root: Path | None) -> None:
        serve(name, root)

    serve_one.help = f"Serve one connection of {name}, on descriptor 0 (inetd) or 3 (systemd, Accept=yes)."


for _name in SERVICES:
    _add_service(_name)
