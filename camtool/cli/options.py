"""What several commands share: options, settings, messages."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from camtool.cli.terminal import encodable, safe, say
from camtool.errors import SettingsError
from camtool.paths import is_file
from camtool.reports.document import ENDINGS, RENDERERS, WIDTH, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from camtool.evaluation.settings import EvalSettings
    from camtool.pipelines.experiment import Experiment
    from camtool.reports.document import Document
    from camtool.settings.describe import SettingRow


_NARROWEST: Final = 8
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
        from camtool.pipelines.trained import with_model

        experiment = with_model(model, config, overrides)
    else:
        experiment = load_settings(Experiment, config, overrides)
    given = {key: value for key, value in run.items() if value is not None}
    section = experiment.run.model_copy(update=given)
    return experiment.model_copy(update={"run": section})


def eval_settings(
    run: Path | None, config: Path | None, protocol: str | None, overrides: tuple[str, ...]
) -> EvalSettings:
    """Return the settings to score by: of a file, of the run, or the defaults."""
    if config is None and run is not None and is_file(run / "experiment.yaml"):
        config = run / "experiment.yaml"
    if protocol == "all":
        for key in (text.partition("=")[0].strip() for text in overrides):
            if key.startswith("eval.protocol"):
                raise SettingsError(
                    f"{key}: --protocol all scores by every protocol with its own settings; name"
                    " the one that this is for, e.g. --protocol maxboxacc"
                )
    if protocol is not None:
        # Before the others, so that --set can give the named protocol its options.
        overrides = (f"eval.protocol={{name: {protocol}}}", *overrides)
    return load_experiment(config, overrides).eval


def run_written_last(doing: str, instead: str = "") -> Path:
    """Return the run written last, and say so.

    Args:
        doing: what is done with it, such as `scoring`.
        instead: what the user might name instead of a run.

    Raises:
        SettingsError: none was written from this folder yet.
    """
    from camtool.runs import last_run

    run = last_run()
    if run is None:
        raise SettingsError(f"no run was written from this folder yet: name one{instead}")
    say(f"{doing} the run written last: {run}", err=True)
    return run


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
    """Let the program's messages appear on stderr, as many as `-v` and `-q` ask for."""
    log = logging.getLogger("camtool")
    context = click.get_current_context(silent=True)
    log.setLevel(context.obj if context is not None and context.obj else logging.INFO)
    log.handlers[:] = [_StderrHandler()]
    log.propagate = False


def format_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns, the first row underlined.

    Where there is a terminal they are no wider than it: cells go on in further lines.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    if (width := terminal_width()) is not None:
        widths = _narrowed(widths, width - 2 * (len(widths) - 1))
    lines = [line for row in rows for line in _row_lines(row, widths)]
    under = len(_row_lines(rows[0], widths))
    lines.insert(under, "  ".join("─" * w for w in widths))
    return "\n".join(lines)


def terminal_width() -> int | None:
    """Return how many columns the terminal has; None where the output goes elsewhere."""
    if sys.stdout is None or not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        return None
    return shutil.get_terminal_size().columns


def _narrowed(widths: list[int], whole: int) -> list[int]:
    """Return widths that make up at most `whole` where that is possible: the widest give way."""
    widths = list(widths)
    while sum(widths) > whole and max(widths) > _NARROWEST:
        widest = max(range(len(widths)), key=widths.__getitem__)
        second = max((w for i, w in enumerate(widths) if i != widest), default=0)
        less = max(1, min(sum(widths) - whole, widths[widest] - second))
        widths[widest] = max(_NARROWEST, widths[widest] - less)
    return widths


def _row_lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [
        textwrap.wrap(cell, width) if len(cell) > width else [cell]
        for cell, width in zip(row, widths, strict=True)
    ]
    return [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in itertools.zip_longest(*cells, fillvalue="")
    ]


def setting_lines(row: SettingRow) -> list[str]:
    """Return a setting in two paragraphs: what may be written, and what it does."""
    width = terminal_width() or 100
    only = f"; only with {row.when}" if row.when else ""
    default = "required" if row.default is None else f"default {row.default}"
    head = f"{row.key}: {row.type} ({default}{only})"
    return [
        *textwrap.wrap(head, width, subsequent_indent=8 * " ", break_on_hyphens=False),
        *textwrap.wrap(
            " ".join(row.doc.split()), width, initial_indent="    ", subsequent_indent="    "
        ),
    ]


def check_out(out: Path | None) -> None:
    """Refuse what a report cannot be written to, before the work that it would be the end of.

    Raises:
        RunError: a folder or device has its name, or there is no folder to write it into.
    """
    if out is not None:
        from camtool.runs.writing import check_writable

        check_writable(out)


def show_report(document: Document, form: str | None, out: Path | None) -> None:
    """Print a report, or write it to a file, whose ending names the form where none is given."""
    form = form or ENDINGS.get(out.suffix.lower() if out else "", "table")
    width = terminal_width() if out is None and form == "table" else None
    text = RENDERERS[form](document) if width is None else to_text(document, min(width, WIDTH))
    if out is None:
        say(text, data=form == "json")
        return
    from camtool.runs import write_atomically

    write_atomically(out, text + "\n")
