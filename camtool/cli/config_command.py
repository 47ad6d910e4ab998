"""camtool config."""

from __future__ import annotations

import json
from pathlib import Path

import click

from camtool.cli.options import format_rows, load_experiment, settings_options
from camtool.cli.terminal import say


@click.group("config")
def command() -> None:
    """Show, check and describe the settings."""


@command.command()
@settings_options
def show(config: Path | None, overrides: tuple[str, ...]) -> None:
    """Print all settings, resolved: defaults < file < --set."""
    from camtool.settings import dump_settings

    say(dump_settings(load_experiment(config, overrides)).rstrip("\n"))


@command.command()
@settings_options
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...], config: Path | None, overrides: tuple[str, ...]) -> None:
    """Check settings FILES; silent but for a line each when all is well."""
    for file in (*files, *((config,) if config or not files else ())):
        load_experiment(file, overrides)
        say(f"{file or 'the defaults'}: valid")


@command.command()
def schema() -> None:
    """Print the JSON schema of a settings file, for editors."""
    from camtool.pipelines.experiment import Experiment
    from camtool.settings import schema as schema_of

    say(json.dumps(schema_of(Experiment), indent=2, ensure_ascii=False), data=True)


@command.command()
def describe() -> None:
    """List every setting with its type, default and meaning."""
    from camtool.pipelines.experiment import Experiment
    from camtool.settings import describe as rows_of

    rows = [
        (r.key, r.when.rpartition("=")[2], _first(r.type), r.default or "", _line(r.doc))
        for r in rows_of(Experiment)
    ]
    say(format_rows([("setting", "only with", "type", "default", "meaning"), *rows]))


def _first(alternatives: str, width: int = 80) -> str:
    """As many as fit: a long list would make its column wider than all others together."""
    if len(alternatives) <= width:
        return alternatives
    names = alternatives.split(" | ")
    shown = next(n for n in range(len(names), 0, -1) if len(" | ".join(names[:n])) < width - 12)
    return f"{' | '.join(names[:shown])} | {len(names) - shown} more"


def _line(text: str) -> str:
    return " ".join(text.split())
