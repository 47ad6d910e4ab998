"""Predictions of other programs: guess files of the ILSVRC kit and Kaggle submissions.

A guess whose far corner comes before the near one keeps its class and has no box: `boxes` is empty,
so that it can be counted. No true box can be hit by it in the official program either.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from camtool.annotations.classes import IMAGENET, ImageNetClass
from camtool.annotations.kaggle import Kaggle, kaggle_groups, kaggle_rows
from camtool.annotations.reader import EntryError, FileProbe, bulk_creation
from camtool.annotations.rows import integer, number
from camtool.errors import AnnotationError, EvaluationError, shorten
from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox
from camtool.tables import file_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

_GUESSES = 5
_TAGS = ("class id", "xmin", "ymin", "xmax", "ymax")


def read_guesses(path: str | Path, image_ids: Sequence[str] | None) -> list[Prediction]:
    r"""Read up to five guesses (class, box) an image, best first.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("guesses.txt").write_text("449 10 20 39 24 1 0 0 9 9\n")
        >>> (prediction,) = read_guesses(Path("guesses.txt"), ["ILSVRC2012_val_00000001"])
        >>> [(guess.rank, guess.title, guess.boxes[0].box.xyxy) for guess in prediction.classes]
        [(1, 'tench', (10.0, 20.0, 40.0, 25.0)), (2, 'kit fox', (0.0, 0.0, 10.0, 10.0))]

    Args:
        path: guess file of the ILSVRC development kit (a line an image, `id xmin ymin xmax ymax` up
            to five times, empty for no guess) or Kaggle submission (`ImageId,PredictionString`).
        image_ids: the image of each line of a guess file, in order; not used for a submission.

    Returns:
        Predictions named by wnid, ranks from 1, without scores; `path` is `file:line`.

    Raises:
        AnnotationError: a line that is no guess; the message gives its number.
        EvaluationError: a guess file without `image_ids`, or with more lines than images.
    """
    path = Path(path)
    if Kaggle.recognises(FileProbe.of(path)):
        with bulk_creation():
            return _submission(path)
    if image_ids is None:
        raise EvaluationError(
            f"{path}: a guess file does not name its images; give annotations (--boxes) or a range "
            "(--images)"
        )
    with bulk_creation():
        return _guess_file(path, image_ids)


def _guess_file(path: Path, image_ids: Sequence[str]) -> list[Prediction]:
    predictions: list[Prediction] = []
    for line_number, line in file_lines(path):
        place = f"{path}:{line_number}"
        if line_number > len(image_ids):
            if not line.strip():
                continue
            raise EvaluationError(
                f"{place}: more lines than the {len(image_ids):,} images; --images tells which "
                "images the lines are for"
            )
        try:
            classes = _guesses(line.split())
        except EntryError as error:
            raise AnnotationError(place, str(error)) from error
        predictions.append(Prediction(image_ids[line_number - 1], place, None, classes))
    return predictions


def _submission(path: Path) -> list[Prediction]:
    predictions: dict[str, Prediction] = {}
    for place, image_id, text in kaggle_rows(path):
        if image_id in predictions:
            first = predictions[image_id].path
            raise AnnotationError(place, f"{shorten(image_id)} has guesses already, at {first}")
        try:
            groups = kaggle_groups(text)
            _check_number(len(groups))
            classes = tuple(
                _class(_known(IMAGENET.by_wnid(wnid), wnid, i), corners, i)
                for i, (wnid, corners) in enumerate(groups, 1)
            )
        except EntryError as error:
            raise AnnotationError(place, str(error)) from error
        predictions[image_id] = Prediction(image_id, place, None, classes)
    if not predictions:
        raise AnnotationError(str(path), "empty: no row after the header")
    return list(predictions.values())


def _guesses(fields: list[str]) -> tuple[ClassPrediction, ...]:
    count, rest = divmod(len(fields), 5)
    if rest:
        raise EntryError(f"{len(fields)} numbers, a multiple of 5 needed: id xmin ymin xmax ymax")
    _check_number(count)
    values = _values(fields)
    classes = []
    for rank in range(1, count + 1):
        ilsvrc_id, *corners = values[5 * rank - 5 : 5 * rank]
        entry = IMAGENET.by_ilsvrc_id(int(ilsvrc_id))
        classes.append(_class(_known(entry, f"{ilsvrc_id:g}", rank), corners, rank))
    return tuple(classes)


def _values(fields: list[str]) -> list[float]:
    text = "".join(fields)
    # The usual line in one test: short runs of ASCII digits.
    if text.isascii() and text.isdigit() and max(map(len, fields)) < 10:
        return [float(field) for field in fields]
    values = []
    for i, field in enumerate(fields):
        group, position = divmod(i, 5)
        read = number if position else integer
        values.append(read(field, f"guess {group + 1}: {_TAGS[position]}"))
    return values


def _check_number(count: int) -> None:
    if count > _GUESSES:
        raise EntryError(f"{count} guesses, at most {_GUESSES} an image")


def _known(entry: ImageNetClass | None, text: str, rank: int) -> ImageNetClass:
    if entry is None:
        raise EntryError(f"guess {rank}: {shorten(text, 40)} is none of the 1,000 ImageNet classes")
    return entry


def _class(entry: ImageNetClass, corners: Sequence[float], rank: int) -> ClassPrediction:
    xmin, ymin, xmax, ymax = corners
    boxes: tuple[ScoredBox, ...] = ()
    if xmin <= xmax and ymin <= ymax:
        boxes = (ScoredBox(Box.from_inclusive(xmin, ymin, xmax, ymax), 1.0),)
    return ClassPrediction(entry.wnid, None, boxes, rank, entry.index, entry.name)
