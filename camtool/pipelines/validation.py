"""Validation: the network as `localize` runs it, scored as `eval` does, shared by processes."""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self, final

import numpy as np
import torch

from camtool.annotations import NO_CLASS
from camtool.errors import DataError, shorten
from camtool.evaluation.judging import Judge
from camtool.evaluation.matching import Joiner
from camtool.evaluation.settings import EvalSettings
from camtool.evaluation.truths import NO_LABEL
from camtool.metrics import Ilsvrc, Trials
from camtool.metrics.baselines import SIDES, best_centred, right_sides
from camtool.metrics.diagnosis import DiagnosisSettings
from camtool.pipelines.inference import localize_each
from camtool.pipelines.labels import default_rotation
from camtool.pipelines.localizer import Localizer
from camtool.structures import AnnotatedObject, Annotation, Prediction
from camtool.training.losses import Logistic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from camtool.models.classifier import Classifier
    from camtool.pipelines.experiment import Experiment
    from camtool.pipelines.inference import NetworkOutput, Outcome
    from camtool.training.data import Example, ExampleSets
    from camtool.training.distributed import Processes


_LEAST_PROBABILITY: Final = 1e-12
_log = logging.getLogger("camtool")


@final
@dataclass
class _Counts:
    """Sums over validated images, which processes can join.

    Attributes:
        guessed: how many images each class is the best guess of, (classes,).
        centred: how many pairs of image and class each of `SIDES` is right for.
    """

    guessed: NDArray[np.float64]
    centred: NDArray[np.float64]
    images: float = 0
    loss: float = 0
    top1: float = 0
    top5: float = 0
    boxed: float = 0
    located: float = 0
    pairs: float = 0
    known: float = 0
    unreadable: float = 0

    @classmethod
    def zero(cls, classes: int) -> Self:
        """Return the sums over no image."""
        return cls(np.zeros(classes), np.zeros(len(SIDES)))

    def joined(self, peers: Processes) -> Self:
        """Return the sums over all processes."""
        plain = {k: v for k, v in vars(self).items() if k not in ("guessed", "centred")}
        summed = np.array(peers.sum([*plain.values(), *self.guessed, *self.centred]))
        parts = np.split(summed, [len(plain), len(plain) + len(self.guessed)])
        return type(self)(parts[1], parts[2], *parts[0].tolist())

    def metrics(self) -> dict[str, float]:
        """Return accuracies in percent; those of boxes only where there are boxes."""
        found: dict[str, float] = {
            "images": int(self.images),
            "unreadable": int(self.unreadable),
        }
        if self.images:
            found |= {
                "loss": self.loss / self.images,
                "top1": 100 * self.top1 / self.images,
                "top5": 100 * self.top5 / self.images,
                "most_guessed_class": int(self.guessed.argmax()),
                "most_guessed": 100 * float(self.guessed.max()) / self.images,
            }
        if self.boxed:
            sides = dict(zip(SIDES, (100 * self.centred / self.pairs).tolist(), strict=True))
            best = best_centred(sides) or "whole_image"
            found |= {
                "boxed_images": int(self.boxed),
                "top1_localization": 100 * self.located / self.boxed,
                "gt_known": 100 * self.known / self.pairs,
                "whole_image": sides["whole_image"],
                "centred_box": sides[best],
                "centred_side": SIDES[best],
            }
        return found


@final
class Validator:
    """Validates weights on the validation set.

    The network is a copy of its own, so that training neither waits for modes to be restored nor
    can be changed by being looked at. Images, maps, boxes and judgement are those of `localize`
    and `eval`; every image is seen by one process.
    """

    def __init__(
        self, experiment: Experiment, classifier: Classifier, sets: ExampleSets, peers: Processes
    ) -> None:
        """Copy the network and join the validation images with their boxes.

        Raises:
            DataError: there are boxes, but none of a validation image and of a known class.
        """
        self._peers, self._classes = peers, sets.classes
        self._several = experiment.train.loss.multi_label
        self._examples: Sequence[Example] = sets.val[peers.rank :: peers.world]
        self._annotations = _truths(sets)
        # The best class tells top-1, the rank of the true one tells the rest.
        self._localizer = Localizer(
            classifier,
            class_names=sets.classes,
            classes=1,
            settings=experiment.localize,
            device=peers.device.type,
            batch_size=experiment.run.batch_size,
            rotate=_rotation(sets, self._annotations),
        )
        self._judge = Judge(
            EvalSettings(
                protocol=Ilsvrc(),
                difficult=experiment.eval.difficult,
                diagnosis=DiagnosisSettings(enabled=False),
            ),
            sets.classes,
        )
        self._check_boxes(sets)

    def _check_boxes(self, sets: ExampleSets) -> None:
        """Refuse boxes that would all be left out, and tell how many images have some."""
        if sets.boxes is None:
            return
        if not self._annotations and sets.test:
            if self._peers.is_first:
                _log.info("%s: none is of a validation image: those are judged by their classes",
                          sets.boxes.source)  # fmt: skip
            return
        every = self._annotations.values()
        reasons = [self._judge.truth(a)[1] if NO_CLASS not in a.labels else NO_LABEL for a in every]
        if None not in reasons:
            named = next((str(label) for a in every for label in a.labels), "none")
            raise DataError(
                f"{sets.boxes.source}: no box counts for any validation image ({reasons[0]}; the"
                f" first box is of '{shorten(named)}', the classes are"
                f" '{shorten(sets.classes.names[0])}' and so on): correct the names, or train"
                " without boxes"
            )
        if (count := reasons.count(None)) < len(sets.val) and self._peers.is_first:
            _log.warning(
                "%s of %s validation images have boxes that count: localization is that of these",
                f"{count:,}", f"{len(sets.val):,}",
            )  # fmt: skip

    def __call__(
        self, weights: Mapping[str, Tensor], stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float] | None:
        """Return the metrics of some weights; None when `stop` said so.

        Raises:
            ModelError: the weights are of another network.
        """
        # A head that comes with camtool is no part of what is trained.
        own = self._localizer.classifier.state_dict()
        head = {k: v for k, v in own.items() if k.startswith("foreground.")}
        self._localizer.classifier.load_state_dict({**head, **weights})
        counts = _Counts.zero(len(self._classes))
        stopped = False
        for example, outcome in zip(self._examples, self._outcomes(), strict=True):
            self._add(counts, example, outcome)
            if stopped := stop():
                break
        if self._peers.any([stopped])[0]:
            return None
        return counts.joined(self._peers).metrics()

    def _outcomes(self) -> Iterator[Outcome]:
        """Localize the images of this process as `localize` does, by as many threads as it has."""
        sizes = {i: a.size for i, a in self._annotations.items()}
        images = ((e.source, e.labels, sizes.get(e.source.image_id)) for e in self._examples)
        threads = torch.get_num_threads()
        return localize_each(self._localizer, images, lambda o: o, threads=threads, readers=threads)

    def _add(self, counts: _Counts, example: Example, outcome: Outcome) -> None:
        output, found = outcome.output, outcome.localization
        if output is None:
            _log.warning("validation: %s: %s; left out", example.source.path, found.error)
            counts.unreadable += 1
            return
        annotation = self._annotations.get(example.source.image_id)
        counts.images += 1
        every = list(zip(output.classes, output.ranks, output.scores, strict=True))
        counts.guessed[next(index for index, rank, _ in every if rank == 1)] += 1
        of_true = [(rank, score) for index, rank, score in every if index in example.labels]
        counts.top1 += any(rank == 1 for rank, _ in of_true)
        counts.top5 += any(rank <= 5 for rank, _ in of_true)
        counts.loss += (
            self._logistic(output, example) if self._several
            else -math.log(max(max(s for _, s in of_true), _LEAST_PROBABILITY))
        )  # fmt: skip
        if annotation is not None:
            self._add_boxes(counts, annotation, found.prediction)

    def _logistic(self, output: NetworkOutput, example: Example) -> float:
        """The loss that training on several classes an image minimises."""
        logits = torch.from_numpy(output.logits)[None]
        labels = torch.zeros_like(logits)
        labels[0, list(example.labels)] = 1
        return float(Logistic()(logits, labels))

    def _add_boxes(self, counts: _Counts, annotation: Annotation, prediction: Prediction) -> None:
        judged = self._judge.judge(annotation, prediction)
        if judged.outcome is None:
            return
        one = deque([(judged.truth, judged.outcome)])
        trials = Trials.of(self._judge.material.layout, one, lambda _: True).located
        if len(trials):
            counts.boxed += 1
            counts.located += int(trials.first_rank("place")[0] == 1)
            counts.pairs += len(trials)
            counts.known += int(trials.right(Ilsvrc().known, "run").sum())
            counts.centred += right_sides(judged.truth).sum(0)


def _rotation(sets: ExampleSets, truths: Mapping[str, Annotation]) -> bool:
    """Whether validation images are turned upright that no annotated size decides on."""
    sizes = {i: a.size for i, a in truths.items() if a.size is not None}
    return default_rotation([e.source for e in sets.val], sizes, boxed=sets.boxes is not None)


def _truths(sets: ExampleSets) -> dict[str, Annotation]:
    """The annotation of each validation image that has boxes, by the image's id."""
    if sets.boxes is None:
        return {}
    joiner = Joiner(sets.boxes.annotations, "validation image")
    for example in sets.val:
        joiner.add(example.source.image_id)
    pairs = joiner.resolve().pairs
    annotations = sets.boxes.named_for(sets.classes).annotations
    labels = {e.source.image_id: e.labels for e in sets.val}
    found = {}
    for annotated, image_id in pairs.items():
        annotation = annotations[annotated]
        found[image_id] = _labelled(annotation, sets.classes.names, labels[image_id])
    return found


def _labelled(annotation: Annotation, names: Sequence[str], labels: tuple[int, ...]) -> Annotation:
    """Give boxes the class of their image, where it has one only and they have none, or its number.

    Annotations take a number for a class's index. Where classes are named by numbers (`1`, `002`),
    the class of the image tells that its name was meant.
    """
    if len(labels) != 1 or not annotation.objects:
        return annotation
    name = names[labels[0]]
    number = int(name) if name.isascii() and name.isdecimal() else None
    if any(o.label not in ("", number) for o in annotation.objects):
        return annotation
    objects = tuple(AnnotatedObject(name, o.box, o.difficult) for o in annotation.objects)
    return replace(annotation, objects=objects)
