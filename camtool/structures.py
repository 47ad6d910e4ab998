"""What the parts of the program hand to each other: frozen, and checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.geometry import SIDEWAYS, Axis, axis, resize_map, turn_box
from camtool.geometry import Box as Box

if TYPE_CHECKING:
    from numpy.typing import NDArray


_INVERSE = {6: 8, 8: 6}


UNSURE: Final = 0.3
"""Probability of the best class below which it may be none of the image: of 134 photos of raccoons,
which ImageNet lacks, 85 % are below, and 3 % of the right answers on 867 ImageNet photos."""


@dataclass(frozen=True, slots=True)
class ScoredBox:
    """A box with a score in [0, 1]; the box rule that made it defines the score.

    Example:
        >>> ScoredBox(Box(10, 20, 40, 25), 0.9).box.xyxy
        (10, 20, 40, 25)

    Attributes:
        box: the box.
        score: how strong it is.
        guess: its place among the guesses of its image, 1 = first; 0: it is none. None, as from
            most rules: the first box of a class is the guess at the place of the class's rank.
    """

    box: Box
    score: float
    guess: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """One annotated object of an image.

    Example:
        >>> AnnotatedObject("n02123045", Box(10, 20, 40, 25)).difficult
        False

    Attributes:
        label: the class as the source writes it: wnid or name (str), or 0-based index (int).
        box: its true box; None where the source gives only the class of the image.
        difficult: the source marks it as difficult (PASCAL VOC).
        mask: file of its true mask, as the source names it; None where it names none.
    """

    label: str | int
    box: Box | None
    difficult: bool = False
    mask: str | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is known to be true of one image.

    Example:
        >>> cat = AnnotatedObject("cat", Box(10, 20, 40, 25))
        >>> annotation = Annotation("photo", (90, 60), (cat, AnnotatedObject("dog", None)))
        >>> annotation.labels, annotation.boxes("cat"), annotation.boxes("dog")
        (('cat', 'dog'), (Box(x0=10, y0=20, x1=40, y1=25),), ())

    Attributes:
        image_id: the image's name in the source, e.g. `ILSVRC2012_val_00000001`.
        size: (width, height) of the frame that the boxes are in; None where the source has none.
        objects: the objects, in the order of the source.
        ignore: file of the mask of what does not count, as the source names it; None for nothing.
    """

    image_id: str
    size: tuple[int, int] | None
    objects: tuple[AnnotatedObject, ...]
    ignore: str | None = None

    def __post_init__(self) -> None:
        """Check id and size."""
        if not self.image_id:
            raise ValueError("an annotation needs an image id")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"not an image size: {self.size}")

    @property
    def labels(self) -> tuple[str | int, ...]:
        """The classes of the image, each once, in the order of the source."""
        return tuple(dict.fromkeys(o.label for o in self.objects))

    def boxes(self, label: str | int) -> tuple[Box, ...]:
        """The true boxes of one class."""
        return tuple(o.box for o in self.objects if o.label == label and o.box is not None)

    def masks(self, label: str | int) -> tuple[str, ...]:
        """The files of the true masks of one class."""
        return tuple(o.mask for o in self.objects if o.label == label and o.mask is not None)


@dataclass(frozen=True, slots=True)
class ClassPrediction:
    """One class of one image, as a network saw it.

    Example:
        >>> boxes = (ScoredBox(Box(10, 20, 40, 25), 1.0),)
        >>> ClassPrediction("n02123045", 0.75, boxes, rank=1, title="tabby").target
        False

    Attributes:
        name: the class as annotations write it (a wnid for ImageNet classes), or its name.
        score: probability in [0, 1]; None where the source has none.
        boxes: strongest first; empty where the map has no positive part.
        rank: place of the class in the network's order of this image, 1 = most probable.
        index: 0-based index of the class in the network; None where the source has none.
        title: the class for human readers.
        target: the class was named as true when the image was localized (`--labels`).
        map: row of the class's map in the image's map file; None where no map is stored.
    """

    name: str
    score: float | None
    boxes: tuple[ScoredBox, ...]
    rank: int
    index: int | None = None
    title: str | None = None
    target: bool = False
    map: int | None = None

    @property
    def unsure(self) -> bool:
        """Whether it is the best class of a network that may know none that the image shows."""
        best = self.rank == 1 and not self.target
        return best and self.score is not None and self.score < UNSURE


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network says of one image, or why it could say nothing.

    Example:
        >>> Prediction("photo", "photo.jpg", None, error="empty file (0 bytes)").classes
        ()

    Attributes:
        image_id: name of the image, unique in its run.
        path: where the image was read from.
        size: (width, height) of the frame that the boxes are in; None where the source has none.
        classes: by rank; classes that are stored beside the best k (`--labels`) come last.
        error: why the image could not be read; None otherwise.
        maps: file with the image's maps, relative to the run folder; None where none is stored.
        exif: orientation that the image's EXIF block gives, 1 to 8; 1: as stored.
        upright: the image was turned as `exif` says; boxes are then in the upright frame.
        turned: what is stored of the maps lies in the other of the two frames than the boxes here.
        recorded: the size before boxes were brought to another frame; None where they were not.
    """

    image_id: str
    path: str
    size: tuple[int, int] | None
    classes: tuple[ClassPrediction, ...] = ()
    error: str | None = None
    maps: str | None = None
    exif: int = 1
    upright: bool = True
    turned: bool = False
    recorded: tuple[int, int] | None = None

    def in_other_frame(self) -> Prediction:
        """Return the same prediction in stored pixel order where it is upright, and else upright.

        Raises:
            ValueError: it has no size, or its orientation swaps no sides.
        """
        if self.size is None or self.exif not in SIDEWAYS:
            raise ValueError(f"no other frame: orientation {self.exif}, size {self.size}")
        turn = self.turn()
        classes = tuple(
            replace(found, boxes=tuple(
                replace(b, box=turn_box(b.box, self.size, turn)) for b in found.boxes
            ))
            for found in self.classes
        )  # fmt: skip
        width, height = self.size
        return replace(
            self, size=(height, width), classes=classes, upright=not self.upright, turned=True,
            recorded=self.recorded or self.size,
        )  # fmt: skip

    def turn(self) -> int:
        """Return the EXIF orientation whose turn leads to the other frame."""
        return _INVERSE.get(self.exif, self.exif) if self.upright else self.exif


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMap:
    """A low-resolution class map and where it lies in its image.

    Example:
        >>> values = np.array([[0, 1], [0, 2]], np.float32)
        >>> ScoreMap(values, (0, 0, 4, 2), (4, 2)).at_image_size().tolist()
        [[0.0, 0.25, 0.75, 1.0], [0.0, 0.5, 1.5, 2.0]]

    Attributes:
        values: class map, shape (h, w), float32, any range; rows from top to bottom.
        region: the part (x0, y0, x1, y1) of the image that the map covers, in pixels.
        size: (width, height) of the image.
    """

    values: NDArray[np.float32]
    region: tuple[float, float, float, float]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        """Check array, region and size."""
        if self.values.ndim != 2 or self.values.dtype != np.float32 or not self.values.size:
            raise ValueError(f"not a map: {self.values.dtype} of shape {self.values.shape}")
        if not (self.region[0] < self.region[2] and self.region[1] < self.region[3]):
            raise ValueError(f"not a region: {self.region}")
        if min(self.size) < 1:
            raise ValueError(f"not an image size: {self.size}")

    def turned(self, orientation: int) -> ScoreMap:
        """Return the map of the image when that is turned as an EXIF orientation says, 5 to 8."""
        box = turn_box(Box(*self.region), self.size, orientation)
        quarter = {5: 0, 6: -1, 7: 2, 8: 1}[orientation]
        turned = np.rot90(self.values, quarter)
        values = np.ascontiguousarray(turned.T if orientation in (5, 7) else turned)
        width, height = self.size
        return ScoreMap(values, (box.x0, box.y0, box.x1, box.y1), (height, width))

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """How the cells lie under the rows of the image, and under its columns."""
        (height, width), (x0, y0, x1, y1) = self.values.shape, self.region
        return axis(height, y0, y1, self.size[1]), axis(width, x0, x1, self.size[0])

    def at_image_size(self, outside: float = 0.0) -> NDArray[np.float64]:
        """Return the map at image size, (height, width) float64, by bilinear interpolation.

        `outside` is given to the pixels that the map does not cover (cut off by a centre crop).
        """
        return resize_map(self.values, self.region, self.size, outside)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The preprocessing that a network was trained with.

    Example:
        >>> InputSpec((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", 0.875).size
        (224, 224)

    Attributes:
        size: (width, height) of the input, in pixels.
        mean: per colour R, G, B, of values in [0, 1].
        std: per colour R, G, B, of values in [0, 1].
        interpolation: `bilinear`, `bicubic`, `lanczos` or `nearest`.
        crop_fraction: side of the centre crop over the shorter side it is cut from.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    crop_fraction: float
