"""What training a foreground head asks of settings and data: a network that keeps its classes."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from camtool.boxes import PaperBoxes
from camtool.cam import Cam, ForegroundCam
from camtool.errors import SettingsError, shorten
from camtool.pipelines.opening import GivenInput, open_network
from camtool.training.losses import CrossEntropy, Logistic
from camtool.training.methods import Foreground

if TYPE_CHECKING:
    from camtool.annotations import NetworkClasses
    from camtool.models.classifier import Classifier
    from camtool.pipelines.experiment import Experiment
    from camtool.training.data import Example, ExampleSets

_LEAST_STEPS: Final = 160
_log = logging.getLogger("camtool")


class Kept(NamedTuple):
    """A network that is trained as it is, with settings and data that go by its classes."""

    experiment: Experiment
    sets: ExampleSets
    classifier: Classifier


def keep_network(experiment: Experiment, sets: ExampleSets, *, tell: bool) -> Kept:
    """Return the network with its own classes, and settings and data that fit it.

    Args:
        experiment: all settings; what is not set is that of the method's recipe.
        sets: the data as they are; their classes are taken where the network knows all of them.
        tell: whether this process is the one that speaks.

    Raises:
        SettingsError: the labels are to be used, and the network does not know them; a setting
            that would change the network.
        ModelError: the network cannot be built.
    """
    _check(experiment)
    network = open_network(experiment.model, GivenInput(), None, experiment.run.seed)
    sets, labels = _with_labels(experiment, sets, network.names)
    experiment = _with_recipe(experiment, network.classifier, len(sets.train))
    method = experiment.train.method.model_copy(update={"labels": labels})
    train = experiment.train.model_copy(update={"method": method})
    if tell:
        boxes = experiment.localize.boxes
        _log.info(
            "the network stays as it is; localize then takes cam: %s, boxes: %s%s",
            experiment.localize.cam.name, boxes.name,
            f" with threshold {boxes.threshold}" if isinstance(boxes, PaperBoxes) else "",
        )  # fmt: skip
    return Kept(experiment.model_copy(update={"train": train}), sets, network.classifier)


def _check(experiment: Experiment) -> None:
    """Refuse settings that would change the network, or do nothing."""
    train = experiment.train
    name = train.method.name
    if train.start == "probe":
        raise SettingsError(
            f"train.start: probe fits a last layer, and train.method {name} keeps the network as it"
            " is: fit it first, by camtool train PHOTOS, and start from that run by -m"
        )
    if train.batch_norm != "batch" or train.rates:
        key = "rates" if train.rates else "batch_norm"
        raise SettingsError(
            f"train.{key}: is of the network's layers, and train.method {name} keeps all of them as"
            " they are: leave it out"
        )


def _with_recipe(experiment: Experiment, classifier: Classifier, images: int) -> Experiment:
    """Return the experiment with what the method takes where nothing is set.

    Of few images there are more epochs, so that the area finds its place.
    """
    train, localize = experiment.train, experiment.localize
    given = train.model_fields_set
    changed = {k: v for k, v in Foreground.RECIPE.items() if k not in given}
    if "batch_size" in changed:
        changed["batch_size"] = min(changed["batch_size"], images)
    if "epochs" in changed:
        steps = max(1, images // changed.get("batch_size", train.batch_size))
        changed["epochs"] = max(changed["epochs"], math.ceil(_LEAST_STEPS / steps))
    if isinstance(train.loss, CrossEntropy) and classifier.scores == "sigmoid":
        changed["loss"] = Logistic()
    shown: dict[str, object] = {}
    if localize.cam == Cam():
        shown["cam"] = ForegroundCam()
        if localize.boxes == PaperBoxes():
            shown["boxes"] = PaperBoxes(threshold=ForegroundCam.THRESHOLD)
    return experiment.model_copy(
        update={
            "train": train.model_copy(update=changed),
            "localize": localize.model_copy(update=shown),
        }
    )


def _with_labels(
    experiment: Experiment, sets: ExampleSets, names: NetworkClasses
) -> tuple[ExampleSets, str]:
    """Return the data with the network's classes, and whose labels are learned from."""
    asked = getattr(experiment.train.method, "labels", "auto")
    places = [names.index(name) for name in sets.classes.names]
    unknown = [n for n, place in zip(sets.classes.names, places, strict=True) if place is None]
    if asked == "given" and (unknown or not places):
        what = (
            f"'{shorten(unknown[0])}' is no class of the network" if unknown else "there are none"
        )
        raise SettingsError(
            f"train.method.labels: given, but {what}: leave it out, and the network's own best"
            " guesses are learned from, or fit its last layer to these classes first:"
            " camtool train PHOTOS, and start from that run by -m"
        )
    if asked == "own" or unknown or not places:
        every = [replace(example, labels=(0,)) for example in (*sets.train, *sets.val)]
        why = (
            f"'{shorten(unknown[0])}' is no class of the network" if unknown
            else "the images have no labels" if not places else "train.method.labels: own"
        )  # fmt: skip
        note = f"{why}: its own best guess is learned from, of all {len(every):,} images"
        shards = sets.shards if not sets.val else ()
        kept = replace(
            sets, classes=names, train=every, val=[], boxes=None, notes=[*sets.notes, note],
            shards=shards, test=[],
        )  # fmt: skip
        return kept, "own"
    known = [place for place in places if place is not None]

    def named(examples: list[Example]) -> list[Example]:
        return [replace(e, labels=tuple(known[i] for i in e.labels)) for e in examples]

    kept = replace(
        sets, classes=names, train=named(sets.train), val=named(sets.val), test=named(sets.test)
    )
    return kept, "given"
