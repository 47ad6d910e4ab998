"""The history of a run: one row an epoch, as JSON lines, as curves, and for TensorBoard."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

from camtool.errors import RunError, SettingsError, shorten
from camtool.runs.writing import atomic_file, make_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_DIVERGING = 3.0
"""So many times the loss of guessing: what a first epoch at a large rate does not reach."""
_LEAST_GUESSING = 0.5
_SOME, _MOST = 0.1, 0.75
"""Between these a foreground tells something, as a share of the pictures."""
_COLLAPSED = 95.0
"""Percent of the images that get one class."""

Row = dict[str, Any]
_PANELS = (
    ("loss", (("train", "loss", "training"), ("val", "loss", "validation"))),
    (
        "accuracy in %",
        (
            ("train", "top1", "top-1, training"),
            ("val", "top1", "top-1, validation"),
            ("val", "top1_localization", "top-1 localization"),
            ("val", "gt_known", "GT-known"),
            ("val", "centred_box", "centred box"),
            ("val", "whole_image", "whole image"),
        ),
    ),
)


def write_history(run: Path, rows: Sequence[Row]) -> None:
    """Write `history.jsonl`, one epoch a line.

    It is written anew each time: a run that goes on from an older checkpoint then never tells an
    epoch twice.

    Raises:
        RunError: it cannot be written.
    """
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_atomically(run / "history.jsonl", lines)


def draw_curves(run: Path, rows: Sequence[Row]) -> None:
    """Draw loss and accuracies over the epochs into `curves.png`.

    Raises:
        RunError: it cannot be written.
    """
    # A figure of its own backend: nothing global, and no window.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, (title, curves) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for part, key, label in curves:
            points = [(r["epoch"], (r.get(part) or {}).get(key)) for r in rows]
            kept = [(epoch, value) for epoch, value in points if value is not None]
            if kept:
                axes.plot(*zip(*kept, strict=True), marker=".", label=label)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(title)
        axes.grid(visible=True, alpha=0.3)
        if axes.lines:
            axes.legend()
    with atomic_file(run / "curves.png") as file:
        canvas.print_png(file)  # type: ignore[no-untyped-call]


def check_tensorboard() -> None:
    """Refuse the setting where the package is missing, before any work is done.

    Raises:
        SettingsError: it is missing.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise SettingsError(
            "train.tensorboard: the package is missing: pip install 'camtool[tensorboard]'"
        )


def write_tensorboard(run: Path, row: Row) -> None:
    """Add one epoch to the event files in `tensorboard/`, in place of what they say of it.

    Raises:
        RunError: they cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    folder = run / "tensorboard"
    make_folder(folder)
    try:
        # An epoch that is done again after a kill is shown once.
        with SummaryWriter(str(folder), purge_step=row["epoch"]) as writer:
            for part in ("train", "val"):
                for key, value in (row.get(part) or {}).items():
                    if isinstance(value, int | float):
                        writer.add_scalar(f"{part}/{key}", value, row["epoch"])
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written ({error.strerror}); --resume goes on"
        ) from error


def score_of(row: Row, rule: str) -> list[float] | None:
    """How good an epoch is by a rule, more being better; None where it was not validated.

    Among equals the smaller validation loss decides: on a small set many epochs are equal.
    """
    if rule == "last":
        return [float(row["epoch"])]
    metrics = row["val"] or {}
    if rule not in metrics:
        return None
    return [-metrics["loss"]] if rule == "loss" else [metrics[rule], -metrics["loss"]]


def sentence_of(row: Row) -> str:
    """Return a row of the history as a line for the log."""
    train, val = row["train"], row["val"] or {}
    name = f"epoch {row['epoch']}" if row["epoch"] else "fitted layer"
    told = [f"training loss {train['loss']:.4f}"]
    if "top1" in train:
        told.append(f"top-1 {train['top1']:.1f} %")
    if "area" in train:
        told.append(
            f"foreground {100 * train['area']:.0f} % of the picture, without it"
            f" {100 * train['background']:.0f} % of the class is left"
        )
    if row["epoch"]:
        told.append(f"{row['images_per_second']:.1f} images a second")
    parts = [f"{name}: {', '.join(told)}"]
    if train["unreadable"]:
        parts.append(f"{train['unreadable']:,} images could not be read")
    if "top1" in val:
        parts.append(f"validation loss {val['loss']:.4f}, top-1 {val['top1']:.2f} %")
    if "gt_known" in val:
        parts.append(
            f"top-1 localization {val['top1_localization']:.2f} %, GT-known {val['gt_known']:.2f} %"
        )
    return "; ".join(parts)


def doubts_of(
    row: Row, guessing: float, shares: Sequence[float], names: Sequence[str]
) -> list[str]:
    """Return what in an epoch tells that training goes wrong, in words.

    Example:
        >>> row = {"train": {"loss": 412.0}, "val": None}
        >>> doubts_of(row, guessing=0.69, shares=[0.5, 0.5], names=["cat", "dog"])
        ['training diverges: the loss is 412, that of guessing 0.69; lower train.opt...']

    Args:
        row: of the history.
        guessing: the loss of a network that tells no class from another.
        shares: of the validation images, how many show each class, from 0 to 1.
        names: of the classes.
    """
    found = []
    loss, val = row["train"]["loss"], row["val"] or {}
    if loss > _DIVERGING * max(guessing, _LEAST_GUESSING):
        found.append(
            f"training diverges: the loss is {loss:.4g}, that of guessing {guessing:.2f}; lower"
            " train.optimizer.learning_rate or set train.clip (train.batch_norm: stored bears only"
            " small rates)"
        )
    most, index = val.get("most_guessed", 0.0), int(val.get("most_guessed_class", 0))
    if most > _COLLAPSED and len(shares) > 1 and 100 * shares[index] < most / 2:
        found.append(
            f"training collapses: {most:.3g} % of the validation images are taken for"
            f" '{shorten(names[index])}', which {100 * shares[index]:.3g} % show"
        )
    return found


def foreground_doubt_of(row: Row) -> str | None:
    """Return, in words, that a foreground head tells nothing; None where it does, or there is none.

    Example:
        >>> foreground_doubt_of({"train": {"area": 0.02}})
        'the foreground has all but left the pictures (2 % of them): it tells nothing; lower ...'
    """
    area = row["train"].get("area")
    if area is None or _SOME < area < _MOST:
        return None
    fills = area >= _MOST
    return (
        f"the foreground {'fills' if fills else 'has all but left'} the pictures"
        f" ({100 * area:.0f} % of them): it tells nothing; {'raise' if fills else 'lower'}"
        " train.method.background, try another run.seed, or take more varied pictures"
    )


def map_doubt_of(row: Row) -> str | None:
    """Return, in words, that boxes are no better than the whole picture; None where they are.

    Example:
        >>> map_doubt_of({"val": {"gt_known": 28.4, "whole_image": 29.8}})
        'GT-known 28.4 % is not above 29.8 %, which the whole picture as a box reaches: ...'
    """
    val = row.get("val") or {}
    known, whole = val.get("gt_known"), val.get("whole_image")
    if known is None or whole is None or known > whole:
        return None
    return (
        f"GT-known {known:.3g} % is not above {whole:.3g} %, which the whole picture as a box"
        " reaches: the maps localize nothing yet; a finer grid helps (model.output_stride: 16), and"
        " so do more epochs"
    )
