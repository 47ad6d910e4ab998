"""From settings, data sets and a network to the loop that trains it; whether they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from camtool.errors import DataError, SettingsError
from camtool.models import Gap, PerClass
from camtool.training.batches import BatchOrder, PixelCache, TrainingImages, loader
from camtool.training.distributed import synchronized
from camtool.training.loop import Loop, MovingAverage, autocast
from camtool.training.optimizer import rates_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from camtool.models.classifier import Classifier
    from camtool.pipelines.experiment import Experiment
    from camtool.training.data import ExampleSets
    from camtool.training.distributed import Processes
    from camtool.training.settings import TrainSettings


def assemble(
    experiment: Experiment,
    sets: ExampleSets,
    classifier: Classifier,
    peers: Processes,
    *,
    stop: Callable[[], bool],
    save: Callable[[], None],
    warn: Callable[[str, str], None],
) -> Loop:
    """Return the loop of an experiment, at its beginning.

    Args:
        experiment: all settings.
        sets: the images, in training and validation.
        classifier: the network as built; the training method may change it.
        peers: this process and its peers.
        stop: asked at every step's end.
        save: called every `checkpoint_steps` steps.
        warn: told of each unreadable image.

    Raises:
        SettingsError: a choice for batch norms that the network does not have.
        ModelError: a name in `train.rates` is no part of the network.
    """
    train = experiment.train
    module: Any = train.method.trainee(classifier, experiment.run.seed)
    check_statistics(train.batch_norm, module)
    if train.batch_norm == "synchronized" and peers.world > 1:
        module = synchronized(module)
    new, rates = module.new_modules(), rates_of(module.classifier, train.rates)
    module.to(peers.device)
    if train.channels_last:
        module.to(memory_format=torch.channels_last)
    order = BatchOrder(
        len(sets.train), train.batch_size, train.accumulate, experiment.run.seed,
        peers.rank, peers.world, sets.shards,
    )  # fmt: skip
    return Loop(
        settings=train,
        seed=experiment.run.seed,
        spec=classifier.spec,
        processes=peers,
        module=module,
        new=new,
        rates=rates,
        loader=loader(
            _images(experiment, sets, classifier), order, len(sets.classes),
            experiment.run.workers, pin=peers.device.type == "cuda",
            size=experiment.localize.preprocess.input_size(classifier.spec),
        ),
        order=order,
        average=MovingAverage(module.classifier, train.ema) if train.ema else None,
        stop=stop,
        save=save,
        warn=warn,
    )  # fmt: skip


def _images(experiment: Experiment, sets: ExampleSets, classifier: Classifier) -> TrainingImages:
    localize, data = experiment.localize, experiment.data
    size = localize.preprocess.input_size(classifier.spec)
    asked = localize.images.exif_rotation
    megabytes = data.cache_mb if data else 0
    return TrainingImages(
        sets.train,
        experiment.train.augment.transform(size, classifier.spec.interpolation),
        localize.images,
        rotate=asked in ("auto", True),
        seed=experiment.run.seed,
        cache=PixelCache(len(sets.train), megabytes << 20) if megabytes else None,
    )


def check_fit(experiment: Experiment, sets: ExampleSets, peers: Processes) -> None:
    """Refuse settings that do not fit the data, the device or the number of processes.

    Raises:
        SettingsError: names the setting and what would fit.
        DataError: images of several classes with a loss for one.
    """
    train = experiment.train
    autocast(train.precision, peers.device)
    _check_batch_norm(experiment, peers)
    _check_end(experiment)
    if experiment.model.scores not in (None, train.loss.scores):
        raise SettingsError(
            f"model.scores: {experiment.model.scores}, but train.loss {train.loss.name} trains"
            f" scores for {train.loss.scores}: leave it out"
        )
    _check_start(train)
    if train.epochs:
        _check_steps(train, len(sets.train), peers.world)
    _check_labels(sets, several=train.loss.multi_label, name=train.loss.name)
    if train.best in train.USES_BOXES and (sets.boxes is None or not sets.val):
        raise SettingsError(
            f"train.best: {train.best} needs boxes of the validation images, which the data lack"
        )


def _check_start(train: TrainSettings) -> None:
    if train.start == "weights" and train.epochs == 0:
        raise SettingsError("train.epochs: 0 trains nothing without train.start: probe")
    if train.start == "probe" and train.method.own_head:
        raise SettingsError(
            f"train.start: probe fits the network's own last layer, and train.method"
            f" {train.method.name} puts a head of its own: leave one of the two out"
        )


def _check_steps(train: TrainSettings, images: int, world: int) -> None:
    """Refuse steps that cannot be made of so many images by so many processes."""
    parts = world * train.accumulate
    if train.batch_size % parts:
        raise SettingsError(
            f"train.batch_size: {train.batch_size} images cannot be shared by {world}"
            f" processes in {train.accumulate} parts each: take a multiple of {parts}"
        )
    if train.schedule.warmup_epochs > train.epochs:
        raise SettingsError(
            f"train.schedule.warmup_epochs: {train.schedule.warmup_epochs:g}, but the run has"
            f" train.epochs: {train.epochs}: the rate would never be reached; take fewer"
        )
    if train.batch_size > images:
        raise SettingsError(
            f"train.batch_size: {train.batch_size} images a step, but only {images:,} to train on:"
            " take a smaller one"
        )


def _check_labels(sets: ExampleSets, *, several: bool, name: str) -> None:
    found = next((e for e in sets.train if len(e.labels) > 1), None)
    if found is not None and not several:
        raise DataError(
            f"{found.source.path}: of several classes, which train.loss {name} cannot learn: take"
            " {name: logistic}"
        )


def _check_batch_norm(experiment: Experiment, peers: Processes) -> None:
    kind = experiment.train.batch_norm
    if kind == "stored" and experiment.model.weights == "none":
        raise SettingsError(
            "train.batch_norm: stored, but model.weights: none brings no mean and variance; take"
            " pretrained weights, or batch"
        )
    if kind == "synchronized" and peers.device.type != "cuda":
        raise SettingsError(
            f"train.batch_norm: synchronized needs GPUs, and this runs on {peers.device.type}; take"
            " batch or stored"
        )


def check_statistics(kind: str, module: nn.Module) -> None:
    """Refuse a choice of statistics for a network that has no batch norm.

    Raises:
        SettingsError: the choice would do nothing.
    """
    if kind != "batch" and not any(isinstance(part, _BatchNorm) for part in module.modules()):
        raise SettingsError(
            f"train.batch_norm: {kind}, but the network has no batch norm; leave it out"
        )


def _check_end(experiment: Experiment) -> None:
    """Refuse settings of the network's end that training would do without, or cannot learn."""
    model, method = experiment.model, experiment.train.method
    if model.linear_weights is not None:
        raise SettingsError(
            "model.linear_weights: brings classes of its own, which are not those of the data: it"
            " is for localize, leave it out"
        )
    pooling = model.pooling.by if isinstance(model.pooling, PerClass) else model.pooling
    unused = {
        "model.pooling": not isinstance(pooling, Gap | None),
        "model.dropout": model.dropout is not None,
        "model.keep_known_classes": model.keep_known_classes,
    }
    if method.own_head and (places := [place for place, given in unused.items() if given]):
        raise SettingsError(
            f"{places[0]}: has no place, since train.method {method.name} puts a head of its own"
            " on the features, with average pooling: leave one of the two out"
        )
