"""The localizer: pictures in, their classes with maps and boxes out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final, overload

import numpy as np
import torch

from camtool.cam.method import check_mode
from camtool.errors import ImageReadError, SettingsError, shorten
from camtool.images import find_images
from camtool.images.decode import Decoded, decode
from camtool.images.views import View, merge_maps
from camtool.models import ModelSettings
from camtool.models.building import set_scores
from camtool.models.settings import is_backbone
from camtool.parallel import cores_here
from camtool.pipelines.experiment import LocalizeSettings
from camtool.pipelines.inference import NetworkOutput, PreparedImage, distortions, localize_each
from camtool.pipelines.labels import label_indices, targets_of
from camtool.pipelines.localization import Localization
from camtool.pipelines.merging import merge_boxes, merge_logits
from camtool.pipelines.opening import (
    GivenInput,
    check_input_sizes,
    chosen_settings,
    device_of,
    open_network,
)
from camtool.pipelines.pictures import source_of
from camtool.reports.overlay import thumbnail
from camtool.structures import ClassPrediction, Prediction, ScoredBox, ScoreMap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from camtool.cam import MapMethod
    from camtool.images import ImageSource
    from camtool.models.classifier import Forward, Probabilities
    from camtool.pipelines.inference import Image as Given
    from camtool.pipelines.labels import Labels
    from camtool.pipelines.opening import Choice, Model, Names
    from camtool.pipelines.pictures import Picture, ValueRange

_log = logging.getLogger("camtool")
_SOON: Final = 0.5
_KEPT_PIXELS: Final = 1 << 21
"""Pixels of a picture that is kept until it is drawn; a larger one is read again."""
"""Seconds that pictures of a stream may take together; while they take less, more are taken."""
_MOST_TOGETHER: Final = 8
"""Rounds (a picture a core, or a batch) that a stream takes together at most."""


def _is_bundled(model: Model | None) -> bool:
    if isinstance(model, str) and is_backbone(model):
        model = ModelSettings(backbone=model)
    return not model or (isinstance(model, ModelSettings) and model.is_bundled)


@final
class Localizer:
    """A network with its settings, which localizes its classes in pictures.

    Example:
        >>> localizer = Localizer(method="grad-cam", threshold=0.3)
        >>> found = localizer("examples/images/cat.jpg")
        >>> found.labels[0], found.boxes[0].tolist()
        ('Egyptian cat', [42.0, 0.0, 397.0, 277.0])
        >>> [one.labels[0] for one in localizer.stream("examples/images")][:3]
        ['bucket', 'Egyptian cat', 'espresso']

    Maps, boxes and scores are those of `camtool localize`, to the last digit on a CPU: there every
    picture passes the network alone, one thread a picture, which is faster than batches, and no
    result depends on a picture's neighbours. On a GPU batches have one fixed size, for the same
    reason; only a call with few pictures does not fill them up.
    """

    def __init__(
        self,
        model: Model | None = None,
        *,
        method: str | MapMethod | None = None,
        threshold: float | str | Mapping[str, Any] | None = None,
        classes: Choice | None = None,
        class_names: Names | None = None,
        size: int | tuple[int, int] | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        scores: Probabilities | None = None,
        settings: LocalizeSettings | None = None,
        device: str | torch.device = "auto",
        seed: int = 0,
        batch_size: int = 32,
        rotate: bool = True,
    ) -> None:
        """Build the network, or copy it, and check that the method can work on it.

        Args:
            model: a network's name (`timm/resnet18`, `torchvision/…`, `paper/…`) with ImageNet's
                weights; a run folder or checkpoint of `camtool train`, with its classes,
                preprocessing, method and threshold; a `torch.nn.Module` from images (B, 3, H, W) to
                class scores (B, C), of which a copy in single precision is taken; or
                `ModelSettings`. By default the bundled network.
            method: how maps are made: a name that `camtool methods` lists, or a class of
                `camtool.cam` with its settings.
            threshold: of the box rule: a share of the map's maximum, in [0, 1), or the name of what
                finds it, such as `otsu`.
            classes: which get a map: the most probable ones, so many (5), or those named. True
                classes that a call names are added.
            class_names: the network's classes in the order of its scores. By default those of its
                checkpoint, of ImageNet for 1,000, and otherwise numbers.
            size: of the input, in pixels: a side, or (width, height). Without it the network's own.
            mean: of the input's colours R, G, B, of values in [0, 1], or one for all. Without it
                the network's own.
            std: likewise.
            scores: how scores become probabilities: `softmax`, or `sigmoid` for several classes a
                picture. By default the network's own.
            settings: all that can be set of the way from pictures to boxes; what is not set here is
                the checkpoint's, and what the parameters above say goes before.
            device: `auto`, `cpu`, `cuda` or one that torch names.
            seed: of random weights.
            batch_size: pictures a batch on a GPU.
            rotate: turn pictures upright as EXIF says, where the settings leave it open.

        Raises:
            SettingsError: no such method, threshold, class, size …; a module that does not say what
                its input must be.
            ModelError: the network cannot be built or had, lacks what the method needs, takes no
                input of the size that is asked for, or the device is not there.
        """
        given = GivenInput(size, mean, std)
        network = open_network(model or ModelSettings(), given, class_names, seed)
        classifier, self.names = network.classifier, network.names
        if scores is not None:
            set_scores(classifier, ModelSettings(scores=scores))
        self.settings = chosen_settings(
            settings, network.trained, method=method, threshold=threshold, classes=classes,
            given=given,
        )  # fmt: skip
        self.settings = self.settings.filled(bundled=_is_bundled(model))
        self.settings.classes.check(self.names, labelled=True)
        self.device = device_of(device)
        if batch_size < 1:
            raise SettingsError(f"batch_size: must be at least 1, got {batch_size}")
        self.batch_size = batch_size
        asked = self.settings.images.exif_rotation
        self.rotate = rotate if asked == "auto" else asked
        check_mode(classifier)
        self.settings.cam.prepare(classifier)
        self.settings.cam.check(classifier)
        spec, preprocess = classifier.spec, self.settings.preprocess
        sizes = self.settings.views.input_sizes(preprocess, spec)
        check_input_sizes(classifier, sizes)
        classifier.to(memory_format=torch.channels_last)  # what convolutions on a CPU like best
        self.classifier = classifier.to(self.device)

    @overload
    def __call__(
        self,
        picture: Picture,
        labels: Labels = ...,
        *,
        value_range: ValueRange | None = ...,
    ) -> Localization: ...

    @overload
    def __call__(
        self,
        picture: list[Picture] | tuple[Picture, ...],
        labels: Labels | Sequence[Labels] = ...,
        *,
        value_range: ValueRange | None = ...,
    ) -> list[Localization]: ...

    def __call__(
        self,
        picture: Picture | list[Picture] | tuple[Picture, ...],
        labels: Labels | Sequence[Labels] = (),
        *,
        value_range: ValueRange | None = None,
    ) -> Localization | list[Localization]:
        """Localize the classes in a picture, or in each of a list of pictures.

        Example:
            >>> from PIL import Image
            >>> localizer = Localizer(classes=1)
            >>> with Image.open("examples/images/cat.jpg") as picture:
            ...     found = localizer(picture, labels="tabby")
            >>> [(c.title, c.target) for c in found.classes]
            [('Egyptian cat', False), ('tabby', True)]

        Args:
            picture: a path, a URL, the bytes of a file, a PIL image, a uint8 array (height, width,
                3) in the order R, G, B, or a uint8 tensor (3, height, width); see
                `camtool.pipelines.pictures.Picture`. Or a list of them.
            labels: true classes to localize beside the chosen ones: names, titles or indices. Of a
                list of pictures one label for all, or a list with the label or labels of each.
            value_range: the values of black and of full brightness in arrays and tensors that are
                not uint8, e.g. `(0, 1)`.

        Returns:
            What was found; of a list, a list in its order.

        Raises:
            ImageReadError: a picture cannot be read, or can be read in two ways.
            SettingsError: a label is no class of the network.
            TypeError: no picture at all.
        """
        several = isinstance(picture, list | tuple)
        pictures = list(picture) if isinstance(picture, list | tuple) else [picture]
        targets = label_indices(labels, self.names, len(pictures) if several else None)
        images: list[Given] = [
            (source_of(one, value_range, i if several else None), own, None)
            for i, (one, own) in enumerate(zip(pictures, targets, strict=True))
        ]
        results = self._localized(images, filled=False)
        for found in results:
            if found.error is not None:
                raise ImageReadError(found.prediction.path, found.error)
        return results if several else results[0]

    def stream(
        self,
        pictures: str | Path | Iterable[Picture],
        *,
        value_range: ValueRange | None = None,
    ) -> Iterator[Localization]:
        """Localize many pictures, one after the other for the caller, on all cores or in batches.

        Example:
            >>> for found in Localizer().stream(["examples/images/cat.jpg", "nowhere.jpg"]):
            ...     print(found.labels[:1], found.error)
            ('Egyptian cat',) None
            () no such file

        What cannot be read is yielded, too, with its `error`. Few pictures are in memory at a time,
        and nothing goes on while the caller works on a result.

        Args:
            pictures: a folder (recursive), a list of images (.txt, .csv), a tar shard or a URL, as
                `camtool localize` takes them; or any pictures that a call takes.
            value_range: see `__call__`.

        Yields:
            What was found, in the order of the pictures.

        Raises:
            DataError: the folder or the list is not there, or holds no image.
            TypeError: no picture at all.
        """
        images = iter(self._images(pictures, value_range))
        unit = cores_here() if self.device.type == "cpu" else self.batch_size
        rounds = 1
        while together := list(islice(images, rounds * unit)):
            began = time.monotonic()
            yield from self._localized(together)
            if time.monotonic() - began < _SOON:
                rounds = min(2 * rounds, _MOST_TOGETHER)

    def _images(
        self, pictures: str | Path | Iterable[Picture], value_range: ValueRange | None
    ) -> Iterator[Given]:
        if not isinstance(pictures, str | Path):
            for number, picture in enumerate(pictures):
                yield source_of(picture, value_range, number), (), None
            return
        found = find_images(pictures)
        for warning in found.warnings:
            _log.warning("%s", warning)
        targets = targets_of(found.sources, None, self.names)
        for source in found.sources:
            yield source, targets[source.image_id], None

    def _localized(self, images: list[Given], *, filled: bool = True) -> list[Localization]:
        """Localize images as `camtool localize` does."""
        threads = min(cores_here(), max(1, len(images)))
        results = localize_each(
            self, images, lambda outcome: outcome.localization, threads=threads, filled=filled
        )
        found = list(results)
        for one in found:
            for note in one.warnings:
                _log.warning("%s: %s", shorten(one.prediction.path, 200), note)
        return found

    @cached_property
    def sha256(self) -> str:
        """A hash of the network's weights and their names, which tells two networks apart."""
        return self.classifier.sha256()

    def prepare(
        self,
        source: ImageSource,
        targets: tuple[int, ...] = (),
        annotated: tuple[int, int] | None = None,
        *,
        photo: bool = False,
    ) -> PreparedImage:
        """Read one picture and make it network input; an unreadable one keeps its reason.

        Args:
            source: the picture.
            targets: its true classes.
            annotated: its size in annotations, which decides whether it is turned upright where
                the settings leave that open.
            photo: keep the picture at overlay size, if that is small; a large one is read again
                when it is drawn, since many pictures are under way at once.
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
        warnings = (*decoded.warnings, *distortions(views[0], image.size))
        small = image.width * image.height <= _KEPT_PIXELS
        shown = thumbnail(image, self.settings.overlays) if photo and small else None
        picture = self.settings.boxes.picture(image)
        return PreparedImage(
            source, targets, views, region, image.size, shown, warnings, picture=picture,
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

    def finish(self, prepared: PreparedImage, output: NetworkOutput | None) -> Localization:
        """Make boxes of the maps, and the record of the image; without output one of its error."""
        source = prepared.source
        if output is None:
            failed = Prediction(source.image_id, source.path, None, error=prepared.error)
            return Localization(failed, (), source, self.settings)
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
        prediction = Prediction(
            source.image_id, source.path, prepared.size, classes,
            exif=prepared.exif, upright=prepared.upright,
        )  # fmt: skip
        return Localization(
            prediction, score_maps, source, self.settings, prepared.photo, prepared.warnings
        )

    def _boxes(
        self, score_map: ScoreMap, index: int, rank: int, prepared: PreparedImage
    ) -> tuple[ScoredBox, ...]:
        rule = self.settings.boxes
        return rule.entered(rule.boxes(score_map, self.names.names[index], prepared.picture), rank)
