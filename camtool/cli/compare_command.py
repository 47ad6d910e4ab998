"""camtool compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from camtool.cli.options import (
    PATH,
    check_out,
    eval_settings,
    report_options,
    settings_options,
    show_messages,
    show_report,
)


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN RUN... [: RUN...]")
@click.option(
    "--boxes", type=PATH, metavar="PATH", help="True boxes; `camtool formats` lists forms."
)
@click.option("--protocol", metavar="NAME", help="ilsvrc [default]; `camtool methods` lists all.")
@click.option("--images", metavar="RANGE", help="Only these images in name order, e.g. 1-10000.")
@click.option("--blacklist", type=PATH, metavar="FILE", help="Images localization leaves out.")
@click.option("--allow-missing", is_flag=True, help="Compare the images that count in both runs.")
@report_options
@settings_options
def command(
    runs: tuple[Path, ...],
    boxes: Path | None,
    protocol: str | None,
    images: str | None,
    blacklist: Path | None,
    allow_missing: bool,
    details: bool,
    form: str | None,
    out: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Compare the first RUN to each other one, on the same images.

    Runs between colons count as one, such as three seeds of a method: A1 A2 A3 : B1 B2 B3 gives
    means, standard deviations and the paired difference.

    Each difference has a 95 % interval over pairs of outcomes and McNemar's test. Settings are
    those of the first run unless --config names others. Maps are scored at a fixed threshold.
    """
    show_messages()
    check_out(out)
    from camtool.evaluation.compare import compare_runs
    from camtool.reports.comparison import comparison_document

    given = {
        "annotations": boxes,
        "images": images,
        "blacklist": blacklist,
        "allow_missing": allow_missing or None,
    }
    groups = _groups(runs)
    settings = eval_settings(runs[0], config, protocol, overrides)
    settings = settings.model_copy(update={k: v for k, v in given.items() if v is not None})
    result = compare_runs(groups, settings)
    show_report(comparison_document(result, details=details), form, out)


def _groups(runs: Sequence[Path]) -> list[list[Path]]:
    """Return the runs between colons; without a colon each run by itself."""
    if Path(":") not in runs:
        return [[run] for run in runs]
    groups: list[list[Path]] = [[]]
    for run in runs:
        if run == Path(":"):
            groups.append([])
        else:
            groups[-1].append(run)
    return groups
