"""The command line: finds commands, imports only the chosen one, maps errors to exit codes."""

import gc
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import click

from bench import plugins
from bench.errors import BenchError, Exit


class Commands(click.Group):
    """Commands are files in commands/; a help page reads their first lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every file's name."""
        return plugins.names("command")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one that was asked for."""
        if cmd_name not in plugins.names("command"):
            return None
        command: click.Command = getattr(import_module(f"bench.commands.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name offered."""
        if args and args[0] not in plugins.names("command") and not args[0].startswith("-"):
            plugins.path("command", args[0])  # raises with the nearest name
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands on the help page."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, plugins.help_line("command", name)) for name in self.list_commands(ctx)])


def show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the installed version; from a bare checkout, that there is none."""
    if asked:
        from bench import host

        click.echo(f"bench {host.version('archbench')}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Show it.")
def bench() -> None:
    """Benchmark and profile neural-network architecture variants, with numbers one can trust."""


MEASURING = ("run", "modes", "gate", "calibrate")
"""Commands that may take hours."""

UNFINISHED = (*MEASURING, "accept", "leaderboard")
"""Commands that do more than print."""


def in_one_line(error: click.ClickException) -> str:
    """What is wrong with the command line, and where to look; a whole help page stays as it is."""
    said = error.format_message()
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "bench"
    return said if "\n" in said else f"{said.rstrip('.')}; see: {command} --help"


@contextmanager
def no_garbage(command: str) -> Iterator[None]:
    """In what is soon over no search for cycles, of which records have none: it takes a third of the time of 10,000."""
    short = gc.isenabled() and command not in MEASURING
    if short:
        gc.disable()
    try:
        yield
    finally:
        if short:
            gc.enable()


def main() -> None:
    """Run the command line and exit with one of errors.Exit."""
    command = sys.argv[1] if sys.argv[1:] else ""
    with no_garbage(command):
        code = run(command)
    sys.exit(int(code))


def run(command: str) -> int:
    """Run the command line; one of errors.Exit, whatever happens."""
    try:
        code = bench(standalone_mode=False) or Exit.FINE
    except click.ClickException as error:
        click.echo(in_one_line(error), err=True)
        code = Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = Exit.INTERRUPTED
    except BenchError as error:
        click.echo(str(error), err=True)
        code = error.code
    except SystemExit as end:
        # So click ends where nobody reads on, as in `bench report | head`, but with 1: a regression, to us. What
        # measures or judges has not come to its end then.
        code = Exit.INTERRUPTED if end.code and command in UNFINISHED else Exit.FINE
    except Exception:  # noqa: BLE001 - the boundary to the shell: a bug must not look like a verdict (exit 1)
        traceback.print_exc()
        click.echo("This is a bug in bench; please report it with the lines above.", err=True)
        code = Exit.BUG
    return int(code)
