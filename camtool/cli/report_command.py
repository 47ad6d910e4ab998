"""camtool report."""

from __future__ import annotations

from pathlib import Path

import click

from camtool.cli.options import (
    PATH,
    eval_settings,
    run_written_last,
    settings_options,
    show_messages,
)
from camtool.cli.terminal import say


@click.command("report")
@click.argument("run", required=False, type=PATH)
@click.argument("second", required=False, type=PATH, metavar="[RUN2]")
@click.option(
    "--boxes", type=PATH, metavar="PATH", help="True boxes; `camtool formats` lists forms."
)
@click.option("-o", "--out", type=PATH, metavar="FILE", help="The page [report.html].")
@click.option("--assets", is_flag=True, help="Pictures in a folder beside it: tens of thousands.")
@click.option("--protocol", metavar="NAME", help="ilsvrc [default]; `camtool methods` lists all.")
@click.option("--images", metavar="RANGE", help="Score these images in name order, e.g. 1-10000.")
@click.option("--blacklist", type=PATH, metavar="FILE", help="Images localization leaves out.")
@click.option("--allow-missing", is_flag=True, help="Score the rest if predictions are missing.")
@click.option("--overwrite", is_flag=True, help="Replace a page that is there.")
@settings_options
def command(
    run: Path | None,
    second: Path | None,
    boxes: Path | None,
    out: Path | None,
    assets: bool,
    protocol: str | None,
    images: str | None,
    blacklist: Path | None,
    allow_missing: bool,
    overwrite: bool,
    config: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Write RUN (default: the run written last) as one page for a browser, or two side by side.

    The page needs no network. It shows every image with its heat map and boxes, which a slider
    moves to any threshold; with --boxes also all scores, and what is right, wrong, and why.
    """
    show_messages()
    from camtool.reports.page import report

    run = run or run_written_last("reporting", " (camtool report RUN)")
    given = {
        "annotations": boxes,
        "images": images,
        "blacklist": blacklist,
        "allow_missing": allow_missing or None,
    }
    settings = eval_settings(run, config, protocol, overrides)
    settings = settings.model_copy(update={k: v for k, v in given.items() if v is not None})
    page = report(
        run, second, out=out or Path("report.html"), settings=settings, assets=assets,
        overwrite=overwrite,
    )  # fmt: skip
    say(f"{page}: open it in a browser")
