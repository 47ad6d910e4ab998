"""camtool train."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from camtool.cli import interrupted
from camtool.cli.options import (
    PATH,
    format_rows,
    load_experiment,
    settings_options,
    show_messages,
)
from camtool.cli.terminal import say
from camtool.errors import DataError
from camtool.paths import is_file, is_folder, is_there
from camtool.training.data.sets import class_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from camtool.pipelines.experiment import Experiment


_COLUMNS: Final = (
    ("train", "loss", "loss"),
    ("train", "area", "area"),
    ("train", "background", "background"),
    ("val", "loss", "val loss"),
    ("val", "top1", "top-1 %"),
    ("val", "top1_localization", "top-1 loc. %"),
    ("val", "gt_known", "GT-known %"),
    ("val", "centred_box", "centred %"),
    ("val", "whole_image", "whole %"),
)
"""What is shown of an epoch, narrow enough for a terminal of 80 columns; the last two are what the
best centred box and the whole image reach without a network."""


@click.command("train")
@click.argument("photos", required=False, type=PATH)
@click.option("-o", "--out", type=PATH, metavar="DIR", help="Run folder [runs/train].")
@settings_options
@click.option(
    "-m", "--model", type=PATH, metavar="PATH",
    help="Start from a checkpoint or run of `camtool train`, a file of weights, or a backbone.",
)  # fmt: skip
@click.option("--boxes", type=PATH, metavar="PATH", help="Boxes of the images to validate on.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, if there is one.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="[auto]")
def command(
    photos: Path | None,
    out: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    model: Path | None,
    boxes: Path | None,
    resume: bool,
    device: str | None,
) -> None:
    """Train a network from class labels, and validate its classes and boxes.

    PHOTOS is a folder of class folders, a table of path and class, or CUB-200-2011. Training then
    begins with a last layer fitted on the network's features, and few images end it there. Without
    PHOTOS, -c names the data.

    The run folder gets checkpoints/best and checkpoints/last, for `camtool localize --model`, and
    history.jsonl. Killed at any time, the command goes on with --resume. On SIGTERM and SIGUSR1 it
    saves and exits with 75. Under torchrun or srun the processes share every batch; srun hands on
    the 75, torchrun makes a 1 of it.
    """
    stop = _on_signal()
    show_messages()
    if boxes is not None:
        overrides = (f"data.boxes={json.dumps(str(boxes))}", *overrides)
    if photos is not None:
        if not is_there(photos):
            raise DataError(f"{photos}: no such file or folder")
        overrides = (*_settings_of(photos), *overrides)
    experiment = load_experiment(config, overrides, model, dir=out, device=device)
    if "dir" not in experiment.run.model_fields_set:
        experiment = load_experiment(
            config, overrides, model, dir=Path("runs/train"), device=device
        )
    if photos is not None:
        experiment = _begun(experiment)
    from camtool.pipelines.train import train

    chosen = photos is not None and "epochs" not in experiment.train.model_fields_set
    result = train(experiment, resume=resume, stop=stop, choose_epochs=chosen)
    if not result.is_first:
        return
    rows = [("epoch", *(title for *_, title in _COLUMNS))]
    rows += [(str(row["epoch"]), *_cells(row)) for row in result.history]
    some = [any(cells) for _, *cells in zip(*rows, strict=True)]
    say(format_rows([tuple(itertools.compress(row, some)) for row in rows]))
    looks = "looks at boxes" if result.uses_boxes else "uses no box"
    on = f" on {result.held}" if result.best_rule != "last" else ""
    say(
        f"best: epoch {result.best_epoch} by {result.best_rule}{on}, which {looks}:"
        f" {result.folder}/checkpoints/best"
    )
    if result.on_test and on:
        say("these are test images: figures on them are too good; data.validate_on=apart")
    say(f"next: {result.next}")


def _settings_of(photos: Path) -> tuple[str, ...]:
    """Return the settings that stand for a folder, a table, CUB or Tiny ImageNet to train on."""
    place = json.dumps(str(photos))
    data = f"{{name: folder, root: {place}}}"
    if is_file(photos / "images.txt") and is_file(photos / "classes.txt"):
        data = f"{{name: cub, root: {place}}}"
    elif is_file(photos / "val" / "val_annotations.txt"):
        data = f"{{name: tiny-imagenet, root: {place}}}"
    elif is_folder(photos) and not class_folders(photos):
        data = f"{{name: images, root: {place}}}"
    elif photos.suffix.lower() in (".csv", ".tsv", ".txt"):
        data = f"{{name: csv, train: {place}}}"
    return (f"data={data}",)


def _begun(experiment: Experiment) -> Experiment:
    """Return the experiment with a fitted last layer to begin with, where it trains classes."""
    train = experiment.train
    if train.method.keeps_network or "start" in train.model_fields_set:
        return experiment
    started = train.model_copy(update={"start": "probe"})
    return experiment.model_copy(update={"train": started})


def _cells(row: Mapping[str, Any]) -> list[str]:
    values = [(row.get(part) or {}).get(key) for part, key, _ in _COLUMNS]
    return ["" if value is None else f"{value:.4g}" for value in values]


def _on_signal() -> Callable[[], bool]:
    """Ask to stop on SIGTERM and SIGUSR1, which batch systems send before they kill.

    They are blocked, before any library starts a thread, and looked for between two steps: so they
    wait while the program starts. (Python's own start of processes lifts the block of SIGTERM.)
    """
    numbers = {signal.SIGTERM, signal.SIGUSR1}
    came: list[int] = []
    for number in numbers:  # a thread that does not block them hands them on to this
        signal.signal(number, lambda n, _: came.append(n))
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    return lambda: bool(came) or interrupted() or bool(signal.sigpending() & numbers)
