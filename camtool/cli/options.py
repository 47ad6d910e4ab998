"""What several commands share: options, settings, messages."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from camtool.cli.terminal import encodable, safe, say
from camtool.errors import RunError
from camtool.paths import is_file, is_folder
from camtool.report.document import ENDINGS, RENDERERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from camtool.pipelines.experiment import Experiment
    from camtool.report.document import Document


F = TypeVar("F", bound="Callable[..., Any]")
PATH = click.Path(path_type=Path)


def settings_options(command: F) -> F:
    """Add `--config` and `--set`."""
    command = click.option(
        "-c", "--config", type=PATH, metavar="FILE", help="Settings in YAML; see `camtool config`."
    )(command)
    return click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE",
        help="One setting, e.g. localize.boxes.threshold=0.3; wins over the file.",
    )(command)  # fmt: skip


def report_options(command: F) -> F:
    """Add `--details`, `--format` and `--out`."""
    for option in (
        click.option("-o", "--out", type=PATH, metavar="FILE", help="Write there, not to stdout."),
        click.option("--format", "form", type=click.Choice(list(RENDERERS)), help="[table]"),
        click.option("--details", is_flag=True, help="All tables and the whole convention."),
    ):
        command = option(command)
    return command


def load_experiment(
    config: Path | None,
    overrides: Sequence[str],
    model: Path | None = None,
    **run: Path | str | None,
) -> Experiment:
    """Read the settings: defaults < file < `--set` < the given values of the section `run`.

    With `model`, a checkpoint, its settings stand in for the defaults.
    """
    from camtool.pipelines.experiment import Experiment
    from camtool.settings import load_settings

    if model is not None:
        from camtool.pipelines.checkpoint import with_model

        experiment = with_model(model, config, overrides)
    else:
        experiment = load_settings(Experiment, config, overrides)
    given = {key: value for key, value in run.items() if value is not None}
    section = experiment.run.model_copy(update=given)
    return experiment.model_copy(update={"run": section})


class _StderrHandler(logging.Handler):
    """Writes messages to stderr, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        if sys.stderr is None:
            return
        text = encodable(safe(f"{prefix}{record.getMessage()}"), sys.stderr.encoding)
        try:
            tqdm.write(text, file=sys.stderr)
        except (OSError, ValueError):  # closed, or on a full disk: nobody hears it
            return


def show_messages() -> None:
    """Let the program's messages appear on stderr."""
    log = logging.getLogger("camtool")
    log.setLevel(logging.INFO)
    log.handlers[:] = [_StderrHandler()]
    log.propagate = False


def format_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns of equal width, the first row underlined."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("─" * w for w in widths))
    return "\n".join(lines)


def check_out(out: Path | None) -> None:
    """Refuse what a report cannot be written to, before the work that it would be the end of.

    Raises:
        RunError: a folder has its name, or there is no folder to write it into.
    """
    if out is None:
        return
    if is_folder(out):
        raise RunError(f"{out}: cannot be written: it is a folder; --out takes a file")
    if any(map(is_file, out.parents)):
        raise RunError(
            f"{out}: cannot be written: a part of the path is a file; choose another --out"
        )
    if not is_folder(out.parent):
        raise RunError(f"{out}: cannot be written: no such folder as {out.parent}")
    if not os.access(out.parent, os.W_OK):
        raise RunError(f"{out}: cannot be written: no permission to write into {out.parent}")


def show_report(document: Document, form: str | None, out: Path | None) -> None:
    """Print a report, or write it to a file, whose ending names the form where none is given."""
    ending = out.suffix.lower() if out else ""
    text = RENDERERS[form or ENDINGS.get(ending, "table")](document)
    if out is None:
        say(text, data=form == "json")
        return
    from camtool.runs import write_atomically

    write_atomically(out, text + "\n")
