"""camtool localize."""

from __future__ import annotations

import json
import signal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from camtool.cli import interrupted
from camtool.cli.options import PATH, format_rows, load_experiment, settings_options, show_messages
from camtool.cli.short_forms import short_forms, short_overrides
from camtool.cli.terminal import say
from camtool.errors import DataError, SettingsError, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from camtool.runs import Shard
    from camtool.structures import Prediction


_ROWS: Final = 20


@click.command("localize")
@click.argument("images", nargs=-1, required=True)
@click.option("-o", "--out", type=PATH, metavar="DIR", help="Run folder [runs/localize].")
@settings_options
@click.option(
    "-m",
    "--model",
    type=PATH,
    metavar="PATH",
    help="Run or checkpoint of `camtool train`, a file of weights of any trainer, or a backbone.",
)
@click.option(
    "--labels", type=PATH, metavar="PATH",
    help="True classes (csv `file,class`, annotations, or `folders`): map and box stored too.",
)  # fmt: skip
@click.option(
    "--class-names", type=PATH, metavar="FILE",
    help="Names of the classes of a file of weights: a name a line, or JSON.",
)  # fmt: skip
@short_forms
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="[auto]")
@click.option("--shard", metavar="I/N", help="Only every N-th image from the I-th on, I from 0.")
@click.option("--overwrite", is_flag=True, help="Replace another run in the folder.")
@click.option("--strict", is_flag=True, help="Exit with 3 if an image was skipped.")
def command(
    images: tuple[str, ...],
    out: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    model: Path | None,
    labels: Path | None,
    class_names: Path | None,
    device: str | None,
    shard: str | None,
    overwrite: bool,
    strict: bool,
    **short: str | float | None,
) -> None:
    """Class activation maps and boxes of IMAGES.

    IMAGES are files, folders (recursive), .tar, .zip, lists (.txt, .csv), URLs, "patterns*" and -
    for names on stdin. The run folder
    gets predictions.jsonl, the maps, overlays to look at, and a manifest; started again after any
    kind of end, the command goes on where it stopped. Without --out, another call takes the next
    free folder: runs/localize-2 and so on.
    """
    show_messages()
    from camtool.images.find import refuse_missing

    refuse_missing(images)
    if class_names is not None:
        overrides = (f"model.class_names={json.dumps(str(class_names))}", *overrides)
    overrides = (*short_overrides(short), *overrides)
    experiment = load_experiment(config, overrides, model, dir=out, device=device)
    chosen = _shard(shard)
    if chosen is not None and overwrite:
        raise SettingsError(
            "--overwrite with --shard would remove the other shards' work: remove"
            f" {experiment.run.dir} first"
        )
    from camtool.pipelines.localize import localize

    result = localize(
        images, experiment, labels=labels, shard=chosen, overwrite=overwrite, stop=_on_signal()
    )
    if not result.finished:
        say(f"shard {shard} is done; the run is whole when the others are: {result.folder}")
    else:
        _show(result.folder, result.images)
    if strict and result.skipped:
        raise DataError(f"{len(result.skipped)} of {result.images} images were skipped (--strict)")


def _shard(text: str | None) -> Shard | None:
    if text is None:
        return None
    from camtool.runs import Shard

    index, _, count = text.partition("/")
    try:
        return Shard(int(index), int(count))
    except ValueError as error:
        raise SettingsError(f"--shard {text}: write I/N with 0 <= I < N, e.g. 0/4") from error


def _on_signal() -> Callable[[], bool]:
    """Ask to stop on SIGTERM and SIGUSR1, which batch systems send before they kill."""
    came: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda n, _: came.append(n))
    return lambda: bool(came) or interrupted()


def _show(folder: Path, images: int) -> None:
    from camtool.runs import read_manifest, read_predictions
    from camtool.structures import UNSURE

    shown = list(islice(read_predictions(folder), _ROWS))
    rows: list[tuple[str, ...]] = [("image", "class", "score", "box x0 y0 x1 y1")]
    rows += map(_row, shown)
    if any(found.target for prediction in shown for found in prediction.classes):
        rows = [(*row, _truth(p)) for row, p in zip(rows, [None, *shown], strict=True)]
    say(format_rows(rows))
    if images > _ROWS:
        say(f"… and {images - _ROWS:,} more")
    counts = read_manifest(folder).get("counts") or {}
    localized, skipped = counts.get("localized", images), counts.get("skipped", 0)
    without = f", {n:,} without a class" if (n := counts.get("without_class", 0)) else ""
    if unsure := counts.get("unsure", 0):
        say(
            f"{unsure:,} unsure: no class reaches {UNSURE:g}, so what they show may be none that"
            f" the network knows; --min-score {UNSURE:g} leaves such classes out"
        )
    say(f"{localized:,} images localized{without}, {skipped:,} skipped: {folder}/")


def _truth(prediction: Prediction | None) -> str:
    """Return whether the most probable class is a true one; of no prediction the column's title."""
    if prediction is None:
        return "true class"
    true = [found for found in prediction.classes if found.target]
    if not true:
        return ""
    if prediction.classes[0].target:
        return "right"
    best = true[0]
    title = shorten((best.title or best.name).split(",")[0], 30)
    return f"{title}, rank {best.rank}"


def _row(prediction: Prediction) -> tuple[str, str, str, str]:
    name = shorten(prediction.image_id, 40)
    if prediction.error is not None:
        return name, f"({shorten(prediction.error, 60)})", "", ""
    if not prediction.classes:
        return name, "(no class chosen)", "", ""
    first = prediction.classes[0]
    box = " ".join(f"{v:g}" for v in first.boxes[0].box.xyxy) if first.boxes else "(none)"
    if (more := len(first.boxes) - 1) > 0:
        box += f" and {more} more"
    title = shorten((first.title or first.name).split(",")[0], 30)
    title += " (unsure)" if first.unsure else ""
    return name, title, "" if first.score is None else f"{first.score:.3f}", box
