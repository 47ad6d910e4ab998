"""Whether runs can be compared: the same classes, the same images, the same truth.

What differs is told by name, with what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from camtool.errors import EvaluationError, shorten
from camtool.runs import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.evaluation.judging import Scoring
    from camtool.structures import Annotation


def same_classes(first: Path, second: Path) -> None:
    """Refuse runs of networks that know different classes.

    Raises:
        EvaluationError: another number of classes, or another class of the same index.
        RunError: a folder holds no run, or an unfinished one.
    """
    one_list, other_list = _classes(first), _classes(second)
    if len(one_list) != len(other_list):
        raise EvaluationError(
            f"{first} and {second} cannot be compared: their networks know {len(one_list):,} and "
            f"{len(other_list):,} classes; compare runs with one list of classes"
        )
    for one, two in zip(one_list, other_list, strict=True):
        if one != two:
            raise EvaluationError(
                f"{first} and {second} cannot be compared: class {shorten(one)} of the first is "
                f"{shorten(two)} in the second; compare runs with one list of classes"
            )


def _classes(run: Path) -> list[str]:
    """Return the classes of a run's network, index, name and title each, by index."""
    rows = read_manifest(run).get("classes")
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [" ".join(str(row.get(k)) for k in ("index", "name", "title")) for row in found]


def common_images(
    first: tuple[str, Scoring], second: tuple[str, Scoring], *, allow_missing: bool
) -> tuple[frozenset[str], int]:
    """Return the images that count in both runs, and how many count in one only.

    Args:
        first: name of a run, and its images judged.
        second: the same of the other run.
        allow_missing: compare the common images where a run lacks some.

    Raises:
        EvaluationError: images count in one run only; an annotated image belongs to images of
            different ids, or has different true classes; there is no common image.
    """
    (name_a, a), (name_b, b) = first, second
    in_a, in_b = ({truth.image_id: truth for truth in s.trials.truths} for s in (a, b))
    only = sorted(in_a.keys() ^ in_b.keys())
    if only and not allow_missing:
        name, reason = (name_b, _why(b, only[0])) if only[0] in in_a else (name_a, _why(a, only[0]))
        raise EvaluationError(
            f"{name_a} and {name_b} cannot be compared: images count in one of them only: "
            f"{len(only):,} (first: {shorten(only[0])}; {name}: {reason}); "
            "--allow-missing compares the rest"
        )
    common = frozenset(in_a.keys() & in_b.keys())
    if not common:
        raise EvaluationError(f"{name_a} and {name_b} cannot be compared: no image counts in both")
    for image_id in sorted(common):
        pairs = a.joined.pairs[image_id], b.joined.pairs[image_id]
        if pairs[0] != pairs[1]:
            raise EvaluationError(
                f"{name_a} and {name_b} cannot be compared: the annotated image "
                f"{shorten(image_id)} is {shorten(pairs[0])} in the first and {shorten(pairs[1])} "
                "in the second; localize both from the same images"
            )
        _same_truth((name_a, in_a[image_id]), (name_b, in_b[image_id]))
    return common, len(only)


def _why(scoring: Scoring, image_id: str) -> str:
    """Return why an image does not count in a run."""
    if image_id not in scoring.joined.pairs:
        return "no prediction"
    reasons = (j.reason for j in scoring.left_out if j.truth.image_id == image_id)
    return next(reasons, None) or "left out"


def _same_truth(first: tuple[str, Annotation], second: tuple[str, Annotation]) -> None:
    """Boxes of no class take their class from the run, and two runs may name different ones."""
    (name_a, a), (name_b, b) = first, second
    if a.objects != b.objects:
        labels = (", ".join(shorten(str(i)) for i in t.labels[:3]) for t in (a, b))
        raise EvaluationError(
            f"{name_a} and {name_b} cannot be compared: the true classes of "
            f"{shorten(a.image_id)} are {' and '.join(labels)}; give both the same --labels"
        )
