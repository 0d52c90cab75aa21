"""The command ``waitline``: parsing only, each command calls the part that does the work.

``serve`` stands here for its help text: ``waitline.__main__`` hands it to the supervisor before this module is imported. What an
operator got wrong (a setting, a port, a folder) is one line on standard error and exit code 2, never a traceback.

The heavy parts are imported by the command that needs them, so that ``waitline --help`` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from waitline import __version__
from waitline.errors import ConfigError

EXIT_CONFIG = 2

app = typer.Typer(
    help="Self-hosted programmable voice with a call queue at its heart.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they print local variables, and those hold tokens
)
account_app = typer.Typer(help="Accounts: the tenants of this platform.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(account_app, name="account")
key_app = typer.Typer(help="The key that secrets are encrypted with.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(key_app, name="key")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings in TOML; waitline.toml in this folder if there is one.")
]


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the platform: SIP, media, REST, webhooks.

    Settings come from the file and from WAITLINE_* in the environment, which wins. When it listens it prints one line on standard output,
    "ready http=HOST:PORT sip=HOST:PORT pid=PID"; logs go to standard error. SIGTERM drains: calls go on, no new ones are taken; a second
    one ends. Exit code 2: a setting, a port or the data folder is at fault, and the message says which.
    """
    from waitline.supervisor import main as supervise

    raise typer.Exit(supervise(["--config", str(config)] if config else []))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Stay up afterwards and print a SIP URI that a softphone can dial.")] = False,
) -> None:
    """Show the whole platform at work on this machine in under a minute: two callers, an agent, a tenant. No phone needed."""
    from waitline.demo.main import main as run_demo

    raise typer.Exit(_answering_for_settings(lambda: run_demo(keep=keep)))


@account_app.command("create")
def account_create(
    name: Annotated[str, typer.Argument(help="A name for people, such as the tenant's.")],
    as_json: Annotated[bool, typer.Option("--json", help='Print {"sid": …, "auth_token": …} on one line.')] = False,
    config: ConfigOption = None,
) -> None:
    """Create an account and print its sid and token. A server that runs on the same data knows it within a second."""
    from waitline.admin import create_account

    def create() -> int:
        sid, auth_token = create_account(name, config)
        typer.echo(json.dumps({"sid": sid, "auth_token": auth_token}) if as_json else f"account sid  {sid}\nauth token   {auth_token}")
        return 0

    raise typer.Exit(_answering_for_settings(create))


@key_app.command("rotate")
def key_rotate(config: ConfigOption = None) -> None:
    """Encrypt everything anew with a new key, all of it or nothing; the platform must not run.

    The new key is made in the data folder, or is the one in WAITLINE_KEY_NEXT. Backups made before need the key before: it is kept beside.
    """
    from waitline.admin import rotate_key

    raise typer.Exit(_saying(lambda: rotate_key(config)))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the backup is written to.")],
    with_key: Annotated[bool, typer.Option("--with-key", help="Write the key of its secrets beside it, to FILE.key.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    config: ConfigOption = None,
) -> None:
    """Copy the data to a file, whole and checked, while the platform runs or not; no call notices.

    Auth tokens in it are encrypted: without the key (waitline.key in the data folder, or WAITLINE_KEY) a backup cannot be restored.
    """
    from waitline.admin import back_up

    raise typer.Exit(_saying(lambda: back_up(file, config, with_key=with_key, force=force)))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    force: Annotated[bool, typer.Option("--force", help="Replace data that is there; it is kept beside.")] = False,
    config: ConfigOption = None,
) -> None:
    """Put a backup in the place of the data; the platform must not run. All of it or nothing.

    The backup, its version and its key are checked first. Calls that were live when it was taken are closed at the next start.
    """
    from waitline.admin import restore as run_restore

    raise typer.Exit(_saying(lambda: run_restore(file, config, force=force)))


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Look at this machine through the platform's eyes: settings, data folder, ports, limits, kernel filter, speech.

    One line each; exit code 2 if one of them is at fault.
    """
    from waitline.doctor import examine

    findings = examine(config)
    for finding in findings:
        typer.echo(f"{finding.verdict:5} {finding.subject:14} {finding.text}")
    raise typer.Exit(EXIT_CONFIG if any(finding.verdict == "fault" for finding in findings) else 0)


@app.command()
def upgrade(
    config: ConfigOption = None,
    media: Annotated[bool, typer.Option("--media", help="replace media processes at once, under their calls: a gap of some 50 ms")] = False,
) -> None:
    """Replace the running platform's control process by the version now installed, under live calls.

    The new version checks itself first; if it cannot take over, nothing changes, the reason is printed and the exit code is 1. Media
    processes are replaced as soon as they have no call.
    """
    from waitline.bridge.config import load_config
    from waitline.operate import upgrade as run_upgrade

    raise typer.Exit(_answering_for_settings(lambda: run_upgrade(load_config(config).data, typer.echo, media=media)))


@app.command()
def reload(config: ConfigOption = None) -> None:
    """Have the running platform read its certificates again, for connections from now on; calls and open connections stay as they are.

    If the new ones cannot be used nothing changes, the reason is printed and the exit code is 1.
    """
    from waitline.bridge.config import load_config
    from waitline.operate import reload as run_reload

    raise typer.Exit(_answering_for_settings(lambda: run_reload(load_config(config).data, typer.echo)))


@app.command()
def drain(
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long calls may go on, such as 90s, 30m or 2h; the setting drain_s if not given.")
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Only say how it stands: exit code 0 while it takes calls, 3 while it drains.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Let the running platform take no new calls and end when the last has ended, or the time is over.

    Shows how far it is until the platform has ended. Ctrl-C ends the showing, not the draining. Callers who wait run the document that
    their queue's DrainUrl names, or the setting drain_url; what is left at the deadline is hung up.
    """
    from waitline.bridge.config import load_config
    from waitline.operate import drain as run_drain
    from waitline.operate import seconds
    from waitline.operate import status as show_status

    def run() -> int:
        settings = load_config(config)
        if status:
            return show_status(settings.data, sys.stdout)
        return run_drain(settings.data, settings.drain_s if deadline is None else seconds(deadline), sys.stdout)

    raise typer.Exit(_answering_for_settings(run))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _saying(run: Callable[[], str]) -> int:
    """Run a command that says one thing when it is done."""

    def say() -> int:
        typer.echo(run())
        return 0

    return _answering_for_settings(say)


def _answering_for_settings(run: Callable[[], int]) -> int:
    """Run a command; the operator's mistake is a line on standard error and exit code 2."""
    try:
        return run()
    except ConfigError as error:
        typer.echo(f"waitline: {error}", err=True)
        return EXIT_CONFIG


def main() -> None:
    """Run the command line and exit with its code."""
    app(prog_name="waitline")
