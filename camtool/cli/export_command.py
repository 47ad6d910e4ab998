"""camtool export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from camtool.cli.options import PATH, run_written_last, show_messages
from camtool.cli.terminal import say
from camtool.errors import SettingsError

if TYPE_CHECKING:
    from camtool.exports import ExportResult

_FORMATS = ("coco", "voc", "yolo", "csv", "ilsvrc", "kaggle", "labelstudio")


@click.command("export")
@click.argument("run", required=False, type=PATH)
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="[by the ending of -o: .csv, .json, …]"
)
@click.option("-o", "--out", type=PATH, metavar="PATH", required=True, help="File or folder.")
@click.option(
    "--which", type=click.Choice(["top-1", "true", "all"]),
    help="The most probable class, the true ones, or all  [top-1; all for ilsvrc and kaggle]",
)  # fmt: skip
@click.option("--top-k", type=click.IntRange(1), metavar="K", help="No more classes an image.")
@click.option("--min-score", type=float, metavar="P", help="No less probable class [0].")
@click.option("--threshold", type=float, metavar="T", help="Boxes anew from the maps at this one.")
@click.option(
    "--names", type=click.Choice(["title", "name"]), help="Class names [title], or wnids."
)
@click.option("--val-fraction", type=float, metavar="F", help="Share of a validation part [0].")
@click.option("--seed", type=int, help="Of that part [0].")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def command(
    run: Path | None,
    form: str | None,
    out: Path,
    which: str | None,
    top_k: int | None,
    min_score: float | None,
    threshold: float | None,
    names: str | None,
    val_fraction: float | None,
    seed: int | None,
    overwrite: bool,
) -> None:
    """Write the boxes of RUN (the one written last) for other programs.

    coco, csv, ilsvrc, kaggle and labelstudio are files, voc and yolo folders. A note beside them
    says with which settings the boxes were made.
    """
    show_messages()
    from camtool.exports import Selection, export

    run = run or run_written_last("exporting", ": camtool export RUN")
    form = form or _form_of(out)
    asked = {
        "classes": which or ("all" if form in ("ilsvrc", "kaggle") or top_k else "top-1"),
        "top_k": top_k,
        "min_score": min_score,
        "threshold": threshold,
        "names": names or ("name" if form in ("ilsvrc", "kaggle") else None),
        "val_fraction": val_fraction,
        "seed": seed,
    }
    selection = Selection(**{k: v for k, v in asked.items() if v is not None})  # type: ignore[arg-type]
    result = export(run, out, form, selection, overwrite=overwrite)
    _tell(result, run, selection.classes)


def _form_of(out: Path) -> str:
    found = {".csv": "csv", ".json": "coco"}.get(out.suffix.lower())
    if found is None:
        raise SettingsError(f"{out}: its ending does not say the format: --format NAME")
    return found


def _tell(result: ExportResult, run: Path, which: str) -> None:
    words = {"top-1": "the most probable class", "true": "true classes", "all": "all classes"}
    left = f"; {result.unreadable:,} images that could not be read" if result.unreadable else ""
    say(
        f"{result.boxes:,} boxes of {words[which]} in {result.images:,} images of {run}{left}:"
        f" {', '.join(map(str, result.files))}"
    )
    if result.turned:
        how = "as stored, which its readers see" if result.frame == "stored" else "upright"
        say(f"{result.turned:,} images that EXIF turns: their boxes are in the frame {how}")
