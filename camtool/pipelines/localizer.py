"""The localizer: one picture in, its classes with maps and boxes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import numpy as np
import torch

from camtool.annotations import NetworkClasses
from camtool.cam.method import check_mode
from camtool.errors import ImageReadError, ModelError, shorten
from camtool.images.decode import Decoded, decode, quiet_pillow
from camtool.images.sources import FileSource, ImageSource
from camtool.images.views import View, merge_maps
from camtool.models import ModelSettings
from camtool.pipelines.checkpoint import build_trained, read_classes
from camtool.pipelines.experiment import LocalizeSettings
from camtool.report.overlay import draw_overlay, thumbnail
from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox, ScoreMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward, Probabilities

_MOST_DISTORTED: Final = 4.0
"""How many times as much along one side as along the other a picture is squeezed unsaid."""


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A picture on its way: network input, or the reason why there is none."""

    source: ImageSource
    targets: tuple[int, ...]
    views: tuple[View, ...] = ()
    region: tuple[float, float, float, float] = (0, 0, 0, 0)
    size: tuple[int, int] = (0, 0)
    photo: Image.Image | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    picture: NDArray[np.uint8] | None = None
    exif: int = 1
    upright: bool = True

    @property
    def pixels(self) -> NDArray[np.float32] | None:
        """The network input of the first view, shape (3, h, w)."""
        return self.views[0].pixels if self.views else None


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What the network says of one picture: chosen classes with probability, rank and map.

    Attributes:
        classes: class indices, n of them.
        scores: their probabilities, shape (n,).
        ranks: their places among all classes, 1 = most probable; no two are equal.
        maps: shape (n, h, w), float32.
        logits: of all classes, shape (C,), float32.
        boxes: for each class, in pixels of the image; None where the box rule makes them of maps.
    """

    classes: list[int]
    scores: list[float]
    ranks: list[int]
    maps: NDArray[np.float32]
    logits: NDArray[np.float32]
    boxes: list[tuple[ScoredBox, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Localization:
    """What was found in one image: the record, the map of each class, the picture for overlays.

    Example:
        >>> tabby = ClassPrediction("tabby", score=0.8, boxes=(), rank=1)
        >>> prediction = Prediction("cat", "cat.jpg", (500, 300), (tabby,))
        >>> heat = ScoreMap(np.eye(2, dtype=np.float32), region=(0, 0, 500, 300), size=(500, 300))
        >>> found = Localization(prediction, (heat,), photo=None)
        >>> found.classes[0].name, found.maps[0].values.shape
        ('tabby', (2, 2))
    """

    prediction: Prediction
    maps: tuple[ScoreMap, ...]
    photo: Image.Image | None
    warnings: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[ClassPrediction, ...]:
        """The classes with probability and boxes, most probable first."""
        return self.prediction.classes

    def overlay(self, settings: LocalizeSettings | None = None) -> Image.Image:
        """Draw heat map and boxes over the picture.

        Raises:
            ValueError: the image could not be read, or has no class.
        """
        if self.photo is None or not self.classes:
            raise ValueError(f"nothing to draw: {self.prediction.error or 'no class, or no photo'}")
        pairs = list(zip(self.classes, self.maps, strict=True))
        return draw_overlay(self.photo, pairs, (settings or LocalizeSettings()).overlays)


@final
class Localizer:
    """A network with its settings, ready for pictures.

    Example:
        >>> found = Localizer()("examples/images/cat.jpg")
        >>> found.classes[0].title, f"{found.classes[0].score:.1f}"
        ('Egyptian cat', '0.8')
        >>> found.overlay().save("overlay.png")

    On a CPU every image passes the network alone, one thread an image: faster there than batches,
    and no result depends on an image's neighbours. On a GPU batches have one fixed size, for the
    same reason.
    """

    def __init__(
        self,
        model: ModelSettings | None = None,
        settings: LocalizeSettings | None = None,
        *,
        device: str = "auto",
        seed: int = 0,
        batch_size: int = 32,
        rotate: bool = True,
        network: tuple[Classifier, NetworkClasses] | None = None,
    ) -> None:
        """Build the network.

        Args:
            model: which network; the bundled one by default.
            settings: how maps and boxes are made.
            device: `auto`, `cpu` or `cuda`.
            seed: of random weights.
            batch_size: images a batch on a GPU.
            rotate: turn pictures upright as EXIF says, where the settings leave it open.
            network: a network that is there already, in evaluation mode, and its classes.

        Raises:
            ModelError: the network cannot be built, lacks what the method of `settings.cam` needs,
                takes no input of the size that is asked for, or the device is not there.
        """
        self.settings = settings or LocalizeSettings()
        self.model = (model or ModelSettings()).resolved()
        self.device = _device(device)
        self.batch_size = batch_size
        asked = self.settings.images.exif_rotation
        self.rotate = rotate if asked == "auto" else asked
        classifier, self.names = network or _built(self.model, seed)
        check_mode(classifier)
        self.settings.cam.check(classifier)
        spec, preprocess = classifier.spec, self.settings.preprocess
        check_input_sizes(classifier, self.settings.views.input_sizes(preprocess, spec))
        self.sha256 = classifier.sha256()
        classifier.to(memory_format=torch.channels_last)  # what convolutions on a CPU like best
        self.classifier = classifier.to(self.device)

    def __call__(self, image: str | Path, labels: Sequence[str | int] = ()) -> Localization:
        """Localize the classes in one image file.

        Args:
            image: path of the file.
            labels: true classes (names or indices) to localize beside the most probable ones.

        Raises:
            ImageReadError: it cannot be read.
            ValueError: a label is no class of the network.
        """
        targets = [self.names.index(label) for label in labels]
        if None in targets:
            raise ValueError(f"not a class of the network: {labels[targets.index(None)]!r}")
        known = tuple(t for t in targets if t is not None)
        with quiet_pillow():
            prepared = self.prepare(FileSource(Path(image).stem, str(image)), known)
        if prepared.error is not None:
            raise ImageReadError(str(image), prepared.error)
        return self.finish(prepared, self.run([prepared])[0])

    def prepare(
        self,
        source: ImageSource,
        targets: tuple[int, ...] = (),
        annotated: tuple[int, int] | None = None,
    ) -> PreparedImage:
        """Read one picture and make it network input; an unreadable one keeps its reason.

        Args:
            source: the picture.
            targets: its true classes.
            annotated: its size in annotations, which decides whether it is turned upright where
                the settings leave that open.
        """
        if self.settings.images.exif_rotation != "auto":
            annotated = None
        try:
            decoded: Decoded = decode(
                source, self.rotate, self.settings.images.max_pixels, annotated
            )
        except ImageReadError as error:
            return PreparedImage(source, targets, error=error.reason)
        image = decoded.image
        views, region = self.settings.views.of(
            image, self.settings.preprocess, self.classifier.spec
        )
        warnings = (*decoded.warnings, *_distorted(views[0], image.size))
        photo = thumbnail(image, self.settings.overlays) if self.settings.overlays.enabled else None
        picture = self.settings.boxes.picture(image)
        return PreparedImage(
            source, targets, views, region, image.size, photo, warnings, picture=picture,
            exif=decoded.exif, upright=decoded.upright,
        )  # fmt: skip

    def run(self, batch: Sequence[PreparedImage]) -> list[NetworkOutput]:
        """Run the network on readable pictures, and make the maps of the chosen classes."""
        # What inference mode computed can take part in no gradient.
        with torch.inference_mode(not self.settings.cam.gradients), torch.no_grad():
            return self._run(batch)

    def _run(self, batch: Sequence[PreparedImage]) -> list[NetworkOutput]:
        inputs = [self._input(of_one) for of_one in zip(*(p.views for p in batch), strict=True)]
        forwards = [self.classifier(images) for images in inputs]
        of_each = [forward.logits.float() for forward in forwards]
        logits = merge_logits(of_each, self.classifier.scores).cpu()
        probabilities = self.classifier.probabilities(logits).numpy()
        # Stable: classes of equal score stand in the order of their index.
        order = torch.argsort(logits, dim=1, descending=True, stable=True).numpy()
        chosen = [
            self.settings.classes.choose(row, scores, p.targets, self.names)
            for row, scores, p in zip(order, probabilities, batch, strict=True)
        ]
        of_views = [self._maps(i, f, chosen) for i, f in zip(inputs, forwards, strict=True)]
        how, outputs = self.settings.views, []
        for i, (prepared, classes, scores) in enumerate(
            zip(batch, chosen, probabilities, strict=True)
        ):
            maps = [of_view[i][: len(classes)] for of_view, _ in of_views]
            outputs.append(
                NetworkOutput(
                    classes,
                    scores[classes].tolist(),
                    [1 + int(np.flatnonzero(order[i] == c)[0]) for c in classes],
                    merge_maps(
                        maps, prepared.views, prepared.region, merge=how.merge, relu=how.relu
                    ),
                    logits[i].numpy(),
                    merge_boxes(
                        [of_view[i] for _, of_view in of_views],
                        prepared.views,
                        self.settings.cam.strongest,
                    ),
                )
            )
        return outputs

    def _input(self, views: Sequence[View]) -> Tensor:
        """The same view of each picture of a batch, as input of the network."""
        images = torch.from_numpy(np.stack([view.pixels for view in views]))
        weight = next(self.classifier.parameters())
        return images.to(weight).contiguous(memory_format=torch.channels_last)

    def _maps(
        self, images: Tensor, forward: Forward, chosen: list[list[int]]
    ) -> tuple[NDArray[np.float32], Sequence[list[tuple[ScoredBox, ...]] | None]]:
        """Maps of shape (B, n, h, w), n the largest number of classes that an image has; boxes."""
        width = max(1, *map(len, chosen))
        padded = [c + [0] * (width - len(c)) for c in chosen]
        classes = torch.tensor(padded, device=self.device)
        maps, boxes = self.settings.cam.localized(self.classifier, images, forward, classes)
        return maps.float().cpu().numpy(), boxes or [None] * len(chosen)

    def finish(self, prepared: PreparedImage, output: NetworkOutput) -> Localization:
        """Make boxes of the maps, and the record of the image."""
        score_maps = tuple(
            ScoreMap(np.ascontiguousarray(m), prepared.region, prepared.size) for m in output.maps
        )
        found = output.boxes or [
            self._boxes(score_map, index, rank, prepared)
            for score_map, index, rank in zip(score_maps, output.classes, output.ranks, strict=True)
        ]
        classes = tuple(
            ClassPrediction(
                name=self.names.names[index],
                score=score,
                boxes=boxes,
                rank=rank,
                index=index,
                title=self.names.titles[index],
                target=index in prepared.targets,
            )
            for index, score, rank, boxes in zip(
                output.classes, output.scores, output.ranks, found[: len(score_maps)], strict=True
            )
        )
        source = prepared.source
        prediction = Prediction(
            source.image_id, source.path, prepared.size, classes,
            exif=prepared.exif, upright=prepared.upright,
        )  # fmt: skip
        return Localization(prediction, score_maps, prepared.photo, prepared.warnings)

    def _boxes(
        self, score_map: ScoreMap, index: int, rank: int, prepared: PreparedImage
    ) -> tuple[ScoredBox, ...]:
        rule = self.settings.boxes
        return rule.entered(rule.boxes(score_map, self.names.names[index], prepared.picture), rank)


def _distorted(view: View, size: tuple[int, int]) -> tuple[str, ...]:
    """Return a warning where a picture is squeezed until nothing in it looks like itself."""
    x0, y0, x1, y1 = view.region
    height, width = view.pixels.shape[1:]
    ratio = (x1 - x0) * height / ((y1 - y0) * width)
    narrow = max(ratio, 1 / ratio)
    if narrow <= _MOST_DISTORTED:
        return ()
    parts = min(64, math.ceil(narrow))
    return (
        f"{size[0]}×{size[1]} pixels are squeezed to {width}×{height}, {narrow:.1f} times as much"
        f" along one side; localize.views={{name: tiles, count: {parts}}} sees it in parts",
    )


def _built(model: ModelSettings, seed: int) -> tuple[Classifier, NetworkClasses]:
    """The network and the names of its classes: of given weights, its checkpoint, or ImageNet's."""
    folder = model.checkpoint
    classifier = model.build(seed) if folder is None else build_trained(model, folder, seed)
    if (given := classifier.class_names) is not None:
        return classifier, NetworkClasses.named(given)
    if folder is not None:
        return classifier, read_classes(folder)
    if classifier.num_classes == 1000:
        return classifier, NetworkClasses.of_imagenet()
    return classifier, NetworkClasses.numbered(classifier.num_classes)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is here: use --device cpu, or auto")
    return torch.device(name)


Boxes = list[tuple[ScoredBox, ...]]
"""The boxes of each class."""


def merge_logits(logits: Sequence[Tensor], scores: Probabilities = "softmax") -> Tensor:
    """Return logits whose probabilities are the mean of the views' probabilities.

    Args:
        logits: of each view, shape (B, C), float32.
        scores: how they become probabilities.

    Returns:
        Shape (B, C); the logits of a single view as they are.
    """
    if len(logits) == 1:
        return logits[0]
    if scores == "softmax":
        return torch.stack([each.softmax(1) for each in logits]).mean(0).log()
    # By the probability of either side: that next to 1 would have no room left.
    stacked = torch.stack([each.double() for each in logits])
    for_it, against = stacked.sigmoid().mean(0), (-stacked).sigmoid().mean(0)
    return (for_it.log() - against.log()).float()


def merge_boxes(
    boxes: Sequence[Boxes | None],
    views: Sequence[View],
    strongest: Callable[[Sequence[ScoredBox]], tuple[ScoredBox, ...]],
) -> Boxes | None:
    """Return the boxes that a method found itself in all views, in pixels of the picture.

    Args:
        boxes: of each view, in pixels of its input; None where the method finds none itself.
        views: the views.
        strongest: chooses among the boxes of a class, as the method does; see `MapMethod`.

    Returns:
        The boxes of each class, strongest first; None where some view has None.
    """
    every = [
        [tuple(_in_picture(b, view) for b in of_class) for of_class in of_view]
        for of_view, view in zip(boxes, views, strict=True)
        if of_view is not None
    ]
    if len(every) < len(views):
        return None
    return [
        strongest([b for of_view in of_class for b in of_view])
        for of_class in zip(*every, strict=True)
    ]


def _in_picture(scored: ScoredBox, view: View) -> ScoredBox:
    """Bring a box from pixels of a view's input to those of the picture."""
    height, width = view.pixels.shape[1:]
    left, top, right, bottom = view.region
    across, down = (right - left) / width, (bottom - top) / height
    box = scored.box
    x0, x1 = (width - box.x1, width - box.x0) if view.mirrored else (box.x0, box.x1)
    placed = Box(left + x0 * across, top + box.y0 * down, left + x1 * across, top + box.y1 * down)
    return ScoredBox(placed, scored.score)


def check_input_sizes(classifier: Classifier, sizes: Iterable[tuple[int, int]]) -> None:
    """Refuse a size that the network does not take, before the first image.

    Its own size costs nothing; each other one a pass.

    Args:
        classifier: the network, in evaluation mode.
        sizes: (width, height) of the inputs.

    Raises:
        ModelError: it does not; the message names its own size.
    """
    own = classifier.spec.size
    weight = next(classifier.parameters())
    for width, height in dict.fromkeys(sizes):
        if (width, height) == own:
            continue
        try:
            with torch.no_grad():
                classifier(weight.new_zeros(1, 3, height, width))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"{classifier.name} takes no input of {width}×{height}, which"
                f" localize.preprocess.size and localize.views lead to ({shorten(str(error))});"
                f" its own size is {own[0]}×{own[1]}: leave localize.preprocess.size out, and use"
                " views without other scales"
            ) from error
