"""The group of commands: lazy imports, and the one place where errors become exit codes."""

from __future__ import annotations

import difflib
import importlib
import logging
import platform
from importlib import metadata
from typing import Any, Final, final

import click

from camtool import __version__
from camtool.cli import interrupted
from camtool.cli.shortage import shortage_before, shortage_of
from camtool.cli.terminal import interruptible, say
from camtool.errors import CamtoolError, RunError, shorten

COMMANDS: Final = {
    "localize": "Class activation maps and boxes of images.",
    "train": "Train a network from class labels, and validate its boxes.",
    "eval": "Score a run, or other predictions, against annotations.",
    "export": "Write the boxes of a run for other programs: COCO, VOC, YOLO, Label Studio, …",
    "compare": "Compare runs on the same images: paired differences, images that changed side.",
    "report": "Show a run, or two, as a page for a browser: every image, map and box.",
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

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import one command."""
        if cmd_name not in COMMANDS:
            near = next(iter(difflib.get_close_matches(cmd_name, COMMANDS, n=1)), None)
            hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command '{shorten(cmd_name, 40)}'; {hint}", ctx)
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


def _show_version(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    """Print the versions; of the packages without importing them."""
    del option
    if not value or ctx.resilient_parsing:
        return
    say(f"camtool, version {__version__}")
    packages = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow")
    found = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    say(f"Python {platform.python_version()}, {found}")
    ctx.exit()


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Say more: networks, devices, times.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors on stderr.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Show the versions of the program and of what its results depend on.",
)  # fmt: skip
@click.pass_context
def camtool(ctx: click.Context, *, verbose: bool, quiet: bool) -> None:
    """Weakly supervised object localization: from class labels to maps, boxes and honest scores."""
    ctx.obj = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO


def run() -> None:
    """Run the program; see `camtool.cli.main`."""
    with interruptible():
        camtool(prog_name="camtool")
