"""The group of commands: lazy imports, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
from typing import Any, Final, final

import click

from camtool import __version__
from camtool.cli import interrupted
from camtool.cli.shortage import shortage_before, shortage_of
from camtool.cli.terminal import interruptible, say
from camtool.errors import CamtoolError, RunError

COMMANDS: Final = {
    "localize": "Class activation maps and boxes of images.",
    "train": "Train a network from class labels, and validate its boxes.",
    "eval": "Score a run, or other predictions, against annotations.",
    "compare": "Compare runs on the same images: paired differences, images that changed side.",
    "models": "List the backbones, or look into one.",
    "methods": "List the ways from a network to maps and boxes.",
    "formats": "List the files that can be read.",
    "config": "Show, check and describe the settings.",
}
"""Each command and what it does; its module is `camtool.cli.NAME_command`."""


@final
class CommandGroup(click.Group):
    """Imports a command when it is called, and turns errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order in which one uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        if short := shortage_before(cmd_name):
            raise RunError(short)
        module = importlib.import_module(f"camtool.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's own signature)
        """Run the command; bad input ends as a message and an exit code, a defect as traceback."""
        with interruptible():
            try:
                result = super().invoke(ctx)
            except (MemoryError, OSError, ImportError, RuntimeError) as error:
                if (short := shortage_of(error)) is None:
                    raise
                say(f"camtool: {short}", err=True)
                ctx.exit(RunError.exit_code)
            except CamtoolError as error:
                if interrupted():
                    raise KeyboardInterrupt from error
                say(f"camtool: {error}", err=True)
                ctx.exit(error.exit_code)
            if interrupted():
                raise KeyboardInterrupt
            return result


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="camtool")
def camtool() -> None:
    """Weakly supervised object localization: from class labels to maps, boxes and honest scores."""


def run() -> None:
    """Run the program; see `camtool.cli.main`."""
    with interruptible():
        camtool(prog_name="camtool")
