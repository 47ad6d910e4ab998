"""The table of trials as a file: a row for each image and true class, for one's own statistics."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from camtool.errors import SettingsError
from camtool.metrics.diagnosis import KINDS
from camtool.metrics.outcome import ABSENT, NEVER
from camtool.metrics.pair_metrics import TOLERANCES
from camtool.runs import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from camtool.evaluation.result import Evaluation
    from camtool.metrics.trials import Trials

FORMS: Final = (".csv", ".jsonl")
"""Endings of the files that the table is written to."""

FIELDS: Final = (
    ("image", "the image's id, as the annotation has it"),
    ("class", "the true class, as the annotation writes it"),
    ("located", "whether the image counts for localization (it has a true box, no black-list)"),
    ("rank", "place of the class in the network's order, 1 = most probable; empty: not stored"),
    ("first_right", "first place among the guesses with class and box right; empty: none"),
    ("right", "whether the box of the class is right by the protocol (GT-known)"),
    ("iou", "best intersection over union of that box with a true box, 0 to 1; 0 without a box"),
    ("box_area", "area of that box in pixels of the annotation's frame; empty: no box"),
    ("kind", "kind of error of that box; `camtool eval --details` explains the kinds"),
    ("top1_kind", "kind of error of the image's top-1 guess"),
    ("pointing_0", "whether the map's maximum lies on an object of the class; empty: no map"),
    ("pointing_18", "the same within 18 pixels of it"),
)
"""The fields of the protocols on boxes, and what they hold; those on maps have others beside."""


def check_table(path: Path | None) -> None:
    """Refuse a file of another form, before the work that it would be the end of.

    Raises:
        SettingsError: another ending than `.csv` and `.jsonl`.
    """
    if path is not None and path.suffix.lower() not in FORMS:
        raise SettingsError(f"--per-image {path}: the table is written as {' or '.join(FORMS)}")


def write_per_image(evaluation: Evaluation, path: Path) -> None:
    """Write the table, whole or not at all; a field that has no value is empty (null in JSON).

    Raises:
        SettingsError: another ending than `.csv` and `.jsonl`, or there is no table.
        RunError: it cannot be written.
    """
    check_table(path)
    form = path.suffix.lower()
    if evaluation.trials is None:
        raise SettingsError(f"--per-image {path}: baselines alone have no table of images")
    rows = per_image_rows(evaluation.trials)
    text = io.StringIO()
    if form == ".jsonl":
        text.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        first = next(rows)
        writer = csv.DictWriter(text, list(first), lineterminator="\n")
        writer.writeheader()
        for row in (first, *rows):
            writer.writerow({k: int(v) if isinstance(v, bool) else v for k, v in row.items()})
    write_atomically(path, text.getvalue())


def per_image_rows(trials: Trials) -> Iterator[dict[str, Any]]:
    """Yield each row as plain data, in name order of the images; see `FIELDS` for the fields.

    Protocols on maps give `right_30`, `right_50`, `right_70`: whether the box at the fixed
    threshold is right at this intersection over union in percent. All give `pointing_0` and
    `pointing_18`, whether the map's maximum lies on an object within so many pixels.
    """
    columns = _columns(trials)
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _columns(trials: Trials) -> dict[str, list[Any]]:
    """Return the values of each field, row by row."""
    table, owners = trials.table, trials.image
    boxed = trials.flag("boxed")
    columns: dict[str, list[Any]] = {
        "image": [trials.truths[image].image_id for image in owners.tolist()],
        "class": list(trials.labels),
        "located": (trials.counting[owners] & boxed).tolist(),
        "rank": _or_none(table["rank"], table["rank"] < NEVER),
    }
    told = boxed & (trials.flag("predicted") | trials.flag("mapped"))
    right = {
        name: _or_none(trials.right(criterion, column), told)
        for name, criterion, column in trials.layout.shown
    }
    if "right" in right:
        columns["first_right"] = _or_none(table["place"], table["place"] < NEVER)
    columns |= right
    if "right" in right:
        columns["iou"] = _or_none(table["iou"], ~np.isnan(table["iou"]))
        columns["box_area"] = _or_none(table["area"], ~np.isnan(table["area"]))
        columns["kind"] = [_kind(code) for code in table["kind"].tolist()]
        columns["top1_kind"] = [_kind(code) for code in trials.images["top1"][owners].tolist()]
    bits = table["pointing"]
    for k, pixels in enumerate(TOLERANCES):
        hits = (bits >> k & 1).astype(np.bool_)
        columns[f"pointing_{pixels}"] = _or_none(hits, bits != ABSENT)
    return columns


def _or_none(values: NDArray[Any], given: NDArray[np.bool_]) -> list[Any]:
    return [v if g else None for v, g in zip(values.tolist(), given.tolist(), strict=True)]


def _kind(code: int) -> str | None:
    return None if code == ABSENT else KINDS[code]
