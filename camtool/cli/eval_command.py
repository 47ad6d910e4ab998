"""camtool eval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from camtool.cli.options import (
    PATH,
    check_out,
    eval_settings,
    report_options,
    run_written_last,
    settings_options,
    show_messages,
    show_report,
)
from camtool.cli.terminal import say
from camtool.errors import DataError

if TYPE_CHECKING:
    from camtool.evaluation.result import Evaluation


@click.command("eval")
@click.argument("run", required=False, type=PATH)
@click.option(
    "--boxes", type=PATH, metavar="PATH", help="True boxes; `camtool formats` lists forms."
)
@click.option(
    "--predictions", type=PATH, metavar="PATH",
    help="Instead of RUN: predictions.jsonl, guesses (.txt), Kaggle .csv, maps (.npz, .npy).",
)  # fmt: skip
@click.option("--protocol", metavar="NAME", help="ilsvrc [default], maxboxacc, pxap, … or all.")
@click.option("--masks", type=PATH, metavar="DIR", help="True masks by image id, for pxap.")
@click.option("--images", metavar="RANGE", help="Only these images in name order, e.g. 1-10000.")
@click.option("--blacklist", type=PATH, metavar="FILE", help="Images localization leaves out.")
@click.option(
    "--calibrate-on", type=PATH, metavar="PATH", help="Choose the threshold on these true boxes."
)
@click.option(
    "--calibrate-run", type=PATH, metavar="RUN", help="Run with their maps, if it is another one."
)
@click.option("--allow-missing", is_flag=True, help="Score the rest if predictions are missing.")
@click.option("--baselines-only", is_flag=True, help="Only centred boxes, no predictions.")
@report_options
@click.option("--plots", type=PATH, metavar="DIR", help="Draw the curves there: PNG, SVG, PDF.")
@click.option(
    "--per-image", type=PATH, metavar="FILE", help="Write the table of images, .csv or .jsonl."
)
@click.option("--strict", is_flag=True, help="Exit with 3 if an annotation could not be used.")
@settings_options
def command(
    run: Path | None,
    boxes: Path | None,
    predictions: Path | None,
    protocol: str | None,
    masks: Path | None,
    images: str | None,
    blacklist: Path | None,
    calibrate_on: Path | None,
    calibrate_run: Path | None,
    allow_missing: bool,
    baselines_only: bool,
    form: str | None,
    out: Path | None,
    plots: Path | None,
    per_image: Path | None,
    details: bool,
    strict: bool,
    config: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Score RUN (default: the run written last) against true boxes.

    Beside each figure stand its 95 % interval, the convention it was scored by, and what a centred
    box reaches without any network.
    """
    show_messages()
    check_out(out)
    from camtool.evaluation.evaluate import evaluate_all, evaluate_files
    from camtool.evaluation.per_image import check_table, write_per_image
    from camtool.reports.evaluation import document_of_all, evaluation_document

    check_table(per_image)
    check_out(per_image)
    given = {
        "annotations": boxes,
        "predictions": predictions,
        "masks": masks,
        "images": images,
        "blacklist": blacklist,
        "calibrate_on": calibrate_on,
        "calibrate_run": calibrate_run,
        "allow_missing": allow_missing or None,
        "baselines_only": baselines_only or None,
    }
    if run is None and predictions is None and not baselines_only:
        run = run_written_last("scoring", " (camtool eval RUN), or --predictions")
    settings = eval_settings(run, config, protocol, overrides)
    settings = settings.model_copy(update={k: v for k, v in given.items() if v is not None})
    if settings.every_protocol:
        every = evaluate_all(settings, run)
        found, main = every.protocols, every.main
        document = document_of_all(every, details=details)
    else:
        main = evaluate_files(settings, run)
        found, document = {"": main}, evaluation_document(main, details=details)
    show_report(document, form, out)
    if per_image is not None:
        write_per_image(main, per_image)
    if plots is not None:
        for name, evaluation in found.items():
            _write_plots(evaluation, plots / name)
    unusable = main.counts.left_out.get("annotation could not be used", 0)
    if strict and unusable:
        raise DataError(f"{unusable} annotations could not be used (--strict)")


def _write_plots(result: Evaluation, folder: Path) -> None:
    from camtool.reports.plots import write_plots

    written = write_plots(result, folder)
    names = ", ".join(dict.fromkeys(path.stem for path in written))
    if names:
        say(f"plots, each as PNG, SVG, PDF with its caption: {folder}/ ({names})", err=True)
    else:
        say(f"nothing to draw of the protocol {result.protocol}", err=True)
