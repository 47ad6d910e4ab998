"""Which boxes of a run leave it: of which classes, how sure, at which threshold, in which frame."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from camtool.annotations import NetworkClasses
from camtool.errors import DataError, RunError, SettingsError, shorten
from camtool.evaluation.convention import swept_rule_of
from camtool.evaluation.sources import classes_of
from camtool.geometry import SIDEWAYS
from camtool.runs import MapFiles, read_manifest, read_predictions
from camtool.settings import Settings
from camtool.structures import Box

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from camtool.boxes import SweptRule
    from camtool.structures import ClassPrediction, Prediction, ScoredBox

Frame = Literal["stored", "upright"]
_LONGEST_PART: Final = 250
"""Bytes of a file name without its ending; file systems take 255."""


class Selection(Settings):
    """Which boxes of a run are exported.

    Example:
        >>> Selection(classes="all", min_score=0.3).classes
        'all'
    """

    classes: Literal["top-1", "true", "all"] = "top-1"
    """Of which classes of an image: the most probable one, those named by `--labels` when the run
    was made, or all that are stored."""

    top_k: Annotated[int, Field(ge=1)] | None = None
    """With `classes: all`: no more classes of an image, the most probable first. Null: all."""

    min_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Classes of a smaller probability are left out; true ones are not."""

    threshold: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Boxes are made anew from the stored maps at this threshold. Null: the boxes as stored."""

    names: Literal["title", "name"] = "title"
    """What classes are called: as people call them, or as annotations do (ImageNet's wnids)."""

    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the images that become a validation part, by a hash of their ids and `seed`."""

    seed: int = 0
    """Of the split."""

    def is_val(self, image_id: str) -> bool:
        """Whether an image belongs to the validation part; of its own id alone."""
        digest = hashlib.sha256(f"{self.seed}\0{image_id}".encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < self.val_fraction * 2**64


@dataclass(frozen=True, slots=True)
class Exported:
    """One box that is exported.

    Attributes:
        label: index of its class among the network's.
        box: half-open, in pixels of `ExportedImage.size`.
        score: probability of the class; None where the run has none.
    """

    label: int
    box: Box
    score: float | None


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """One image with its boxes.

    Attributes:
        image_id: its name in the run.
        file: the same with the ending of its file, relative, with `/`.
        path: where it was read from.
        size: (width, height) of the frame that the boxes are in.
        boxes: class after class, the strongest first.
    """

    image_id: str
    file: PurePosixPath
    path: str
    size: tuple[int, int]
    boxes: tuple[Exported, ...]


class RunBoxes:
    """The boxes of a run, read image by image as often as a format needs them."""

    def __init__(self, run: Path, selection: Selection) -> None:
        """Look at the run.

        Raises:
            RunError: no finished run, or without classes; a threshold where no map is stored.
            SettingsError: a threshold, and the run's box rule has none.
        """
        self.run, self.selection = run, selection
        self.manifest = read_manifest(run)
        classes = classes_of(run, self.manifest)
        if classes is None:
            raise RunError(f"{run}: its manifest names no classes; localize again")
        self.classes: NetworkClasses = classes
        self.names = _distinct(classes) if selection.names == "title" else list(classes.names)
        self._places = {name: place for place, name in enumerate(classes.names)}
        self._rule = _rule(run, self.manifest, selection.threshold)
        self._maps = MapFiles(run)
        self.unreadable = 0
        self.turned = 0

    def images(self, frame: Frame) -> Iterator[ExportedImage]:
        """Yield each image that could be read, in the order of the run.

        Args:
            frame: `upright` as EXIF says, or `stored` as readers see that do not look at it.

        Raises:
            RunError: records or maps that cannot be read.
            DataError: a class that is not among the network's.
        """
        for prediction in self.predictions(frame):
            assert prediction.size is not None
            yield ExportedImage(
                prediction.image_id,
                _file(prediction),
                prediction.path,
                prediction.size,
                tuple(
                    Exported(self.label(prediction, found), scored.box, found.score)
                    for found in prediction.classes
                    for scored in found.boxes
                ),
            )

    def predictions(self, frame: Frame) -> Iterator[Prediction]:
        """Yield the record of each image that could be read, with the chosen classes and boxes.

        Args:
            frame: as for `images`.

        Raises:
            RunError: records or maps that cannot be read.
        """
        self.unreadable = self.turned = 0
        for prediction in read_predictions(self.run / "predictions.jsonl"):
            if prediction.size is None:
                self.unreadable += 1
                continue
            boxed = replace(prediction, classes=tuple(self._boxed(prediction)))
            framed = in_frame(boxed, frame)
            self.turned += framed is not boxed
            yield framed

    def _boxed(self, prediction: Prediction) -> Iterator[ClassPrediction]:
        """The chosen classes, with their boxes at the threshold that is asked for."""
        for found in _chosen(prediction, self.selection):
            yield (
                found
                if self._rule is None
                else replace(found, boxes=self._anew(self._rule, prediction, found))
            )

    def _anew(
        self, rule: SweptRule, prediction: Prediction, found: ClassPrediction
    ) -> tuple[ScoredBox, ...]:
        if found.map is None:
            raise RunError(
                f"{self.run}: no map of {shorten(prediction.image_id)} is stored, of which"
                " --threshold would make boxes; leave it out, or localize again"
            )
        return rule.boxes(self._maps.load(prediction, found.map), found.name, None)

    def label(self, prediction: Prediction, found: ClassPrediction) -> int:
        """Return the index of a class of an image among the network's.

        Raises:
            DataError: it is none of them.
        """
        place = self._places.get(found.name)
        if place is None:
            raise DataError(
                f"{self.run}: {shorten(prediction.image_id)} has the class {shorten(found.name)},"
                " which the run's network does not have"
            )
        return place


def _chosen(prediction: Prediction, selection: Selection) -> list[ClassPrediction]:
    if selection.classes == "true":
        return [found for found in prediction.classes if found.target]
    ranked = sorted(prediction.classes, key=lambda found: found.rank)
    most = 1 if selection.classes == "top-1" else selection.top_k
    kept = [f for f in ranked if f.score is None or f.score >= selection.min_score]
    # The best class is the one of rank 1: a run of named classes may hold only later ones.
    return kept[:most] if selection.classes == "all" else [f for f in kept[:1] if f.rank == 1]


def in_frame(prediction: Prediction, frame: Frame) -> Prediction:
    """Return a prediction with its boxes in a frame: turned upright by EXIF, or as stored.

    Example:
        >>> from camtool.structures import ClassPrediction, ScoredBox
        >>> found = ClassPrediction("n1", 0.9, (ScoredBox(Box(0, 0, 10, 5), 1.0),), rank=1)
        >>> upright = Prediction("a", "a.jpg", (40, 30), (found,), exif=3)
        >>> in_frame(upright, "stored").classes[0].boxes[0].box.xyxy
        (30, 25, 40, 30)
    """
    if prediction.exif == 1 or prediction.upright == (frame == "upright"):
        return prediction
    if prediction.exif in SIDEWAYS:
        return prediction.in_other_frame()
    # Orientations 2, 3 and 4 mirror, and are their own inverse.
    width, height = prediction.size or (0, 0)
    across, down = prediction.exif in (2, 3), prediction.exif in (3, 4)

    def mirrored(box: Box) -> Box:
        x0, x1 = (width - box.x1, width - box.x0) if across else (box.x0, box.x1)
        y0, y1 = (height - box.y1, height - box.y0) if down else (box.y0, box.y1)
        return Box(x0, y0, x1, y1)

    classes = tuple(
        replace(found, boxes=tuple(replace(b, box=mirrored(b.box)) for b in found.boxes))
        for found in prediction.classes
    )
    return replace(prediction, classes=classes, upright=not prediction.upright)


def _rule(run: Path, manifest: dict[str, object], threshold: float | None) -> SweptRule | None:
    if threshold is None:
        return None
    rule = swept_rule_of(manifest)
    if rule is None:
        raise SettingsError(f"--threshold: the box rule of {run} has no threshold; leave it out")
    return rule.at(threshold)


def _distinct(classes: NetworkClasses) -> list[str]:
    """Return a title for each class; two classes of one title have their names behind it."""
    titles = [title or name for title, name in zip(classes.titles, classes.names, strict=True)]
    titles = [title.split(",")[0] for title in titles]
    seen: dict[str, int] = {}
    for title in titles:
        seen[title] = seen.get(title, 0) + 1
    return [
        title if seen[title] == 1 else f"{title} ({name})"
        for title, name in zip(titles, classes.names, strict=True)
    ]


def _file(prediction: Prediction) -> PurePosixPath:
    """Return the image's id with the ending of its file; nothing of it leads elsewhere.

    Raises:
        DataError: the id is no path below a folder.
    """
    ending = PurePosixPath(prediction.path.rpartition(":")[2].split("?")[0]).suffix
    ending = ending if ending[1:].isalnum() else ""
    parts = prediction.image_id.split("/")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or "\n" in part or "\\" in part:
            raise DataError(
                f"{shorten(repr(prediction.image_id))}: not a name that a file below a folder can"
                " have: rename the image and localize again"
            )
        if len(part.encode(errors="surrogatepass")) > _LONGEST_PART:
            raise DataError(f"{shorten(prediction.image_id)}: longer than a file's name can be")
    return PurePosixPath(*parts[:-1], parts[-1] + ending)
