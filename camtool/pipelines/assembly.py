"""From settings, data sets and a network to the loop that trains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from camtool.pipelines.epochs import check_statistics
from camtool.training.batches import BatchOrder, PixelCache, TrainingImages, loader
from camtool.training.distributed import synchronized
from camtool.training.loop import Loop, MovingAverage
from camtool.training.optimizer import rates_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from camtool.models.classifier import Classifier
    from camtool.pipelines.experiment import Experiment
    from camtool.training.data import ExampleSets
    from camtool.training.distributed import Processes


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
        rotate=sets.boxes is None if asked == "auto" else asked,
        seed=experiment.run.seed,
        cache=PixelCache(len(sets.train), megabytes << 20) if megabytes else None,
    )
