"""camtool config."""

from __future__ import annotations

import json
from pathlib import Path

import click

from camtool.cli.options import load_experiment, setting_lines, settings_options
from camtool.cli.terminal import say
from camtool.errors import SettingsError, shorten
from camtool.settings.written import similar


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
@click.argument("key", default="")
def describe(key: str) -> None:
    """List every setting with its type, default and meaning; with KEY those that it is part of."""
    from camtool.pipelines.experiment import Experiment
    from camtool.settings import describe as rows_of

    every = rows_of(Experiment)
    found = [row for row in every if key in row.key]
    if not found:
        near = similar(key, {part for row in every for part in (row.key, row.key.split(".")[-1])})
        hint = f"; did you mean '{near}'?" if near else ""
        raise SettingsError(f"no setting has '{shorten(key, 60)}' in its name{hint}")
    say("\n".join(line for row in found for line in setting_lines(row)))
