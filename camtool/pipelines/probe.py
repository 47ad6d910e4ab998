"""A last layer fitted on the features of a network as it is: where training of few photos begins.

The network sees each picture once. What its linear layer reads is kept, and the layer that fits
the classes best is found by L-BFGS, which takes seconds: multinomial logistic regression, or one
logistic regression a class. On a few hundred photos it tells classes apart as well as a network
that was trained as a whole, whose maps are the worse for it.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import torch

from camtool.errors import DataError, SettingsError, shorten
from camtool.images.decode import quiet_pillow
from camtool.parallel import cores_here, ordered_map
from camtool.pipelines.localizer import Localizer
from camtool.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from camtool.models.classifier import Classifier
    from camtool.pipelines.experiment import Experiment
    from camtool.training.data import Example, ExampleSets
    from camtool.training.losses import BaseLoss

MOST_IMAGES: Final = 20_000
"""Images that are looked at; of more, as many of each class, drawn by the seed."""
_DECAY: Final = 0.01
"""Weight decay on features of variance 1: any value from 1e-5 to .1 gave the same classes."""
_STEPS: Final = 200


def fit_probe(
    experiment: Experiment,
    sets: ExampleSets,
    classifier: Classifier,
    device: torch.device,
    warn: Callable[[str, str], None],
) -> dict[str, float]:
    """Fit the classifier's last layer to the training images, its features staying as they are.

    Args:
        experiment: how pictures are read and preprocessed, and which loss is made small.
        sets: the images, and how many classes there are.
        classifier: the network; the weights of its linear layer are replaced.
        device: where the network runs.
        warn: told of each unreadable image.

    Returns:
        Loss and top-1 accuracy in percent on the images, as an epoch has them, and their number.

    Raises:
        SettingsError: the network has no linear layer on pooled features.
        DataError: no image could be read.
    """
    linear = classifier.head.linear_layer()
    if linear is None:
        raise SettingsError(
            "train.start: probe fits a linear layer on pooled features, which the head of"
            f" {classifier.name} is not: leave it out"
        )
    chosen = _balanced(sets.train, experiment.run.seed)
    read, labels = _read(experiment, chosen, classifier, device, warn)
    targets = _targets(labels, classifier.num_classes, experiment.train.loss)
    weight, bias = _fitted(read, targets, classifier.num_classes, experiment.train.loss)
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.offset.copy_(bias)
        logits = read.double() @ weight.double().T + bias.double()
        loss = float(experiment.train.loss(logits, targets))
        best = logits.argmax(1).tolist()
    right = sum(one in of_one for one, of_one in zip(best, labels, strict=True))
    return {"loss": loss, "top1": 100 * right / len(labels), "images": len(labels)}


def _balanced(examples: Sequence[Example], seed: int) -> list[Example]:
    """Return the examples, or of many as many of each class, an example going by its first."""
    if len(examples) <= MOST_IMAGES:
        return list(examples)
    by_class: dict[int, list[Example]] = {}
    for example in examples:
        by_class.setdefault(example.labels[0], []).append(example)
    each = max(1, MOST_IMAGES // len(by_class))
    draw = random.Random(seed)
    return [one for some in by_class.values() for one in draw.sample(some, min(each, len(some)))]


def _read(
    experiment: Experiment,
    examples: Sequence[Example],
    classifier: Classifier,
    device: torch.device,
    warn: Callable[[str, str], None],
) -> tuple[Tensor, list[tuple[int, ...]]]:
    """Return what the linear layer reads of each image, (N, K), and the labels of the images."""
    asked = experiment.localize.images.exif_rotation
    localizer = Localizer(
        classifier,
        classes=1,
        settings=experiment.localize,
        device=device.type,
        rotate=asked in ("auto", True),
    )
    network, linear = localizer.classifier.eval(), localizer.classifier.head.linear_layer()
    assert linear is not None
    rows: list[Tensor] = []
    labels: list[tuple[int, ...]] = []
    with quiet_pillow(), ThreadPoolExecutor(cores_here()) as pool, torch.inference_mode():
        prepared = ordered_map(
            lambda e: (e, localizer.prepare(e.source)), examples, pool, 2 * cores_here()
        )
        for example, picture in progress(prepared, len(examples), 0, "images to fit a layer on"):
            if picture.error is not None:
                warn(example.source.path, picture.error)
                continue
            pixels = torch.from_numpy(picture.views[0].pixels)[None].to(localizer.device)
            features = network.features(pixels.contiguous(memory_format=torch.channels_last))
            rows.append(linear.linear_input(features)[0].float().cpu())
            labels.append(example.labels)
    if not rows:
        raise DataError(f"{shorten(examples[0].source.path)}: no image to train on could be read")
    # Out of inference mode, in which nothing can be learned from.
    return torch.stack(rows).clone(), labels


def _targets(labels: Sequence[tuple[int, ...]], classes: int, loss: BaseLoss) -> Tensor:
    if not loss.multi_label:
        return torch.tensor([of_one[0] for of_one in labels])
    targets = torch.zeros(len(labels), classes, dtype=torch.float64)
    for row, of_one in enumerate(labels):
        targets[row, list(of_one)] = 1
    return targets


def _fitted(read: Tensor, targets: Tensor, classes: int, loss: BaseLoss) -> tuple[Tensor, Tensor]:
    """Return weight (C, K) and bias (C,) that make the loss and the weights' decay small."""
    mean, spread = read.double().mean(0), read.double().std(0, correction=0).clamp_min(1e-6)
    inputs = (read.double() - mean) / spread
    weight = torch.zeros(classes, read.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    steps = torch.optim.LBFGS(
        [weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-7
    )

    def closure() -> Tensor:
        steps.zero_grad()
        value = loss(inputs @ weight.T + bias, targets) + _DECAY / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    steps.step(closure)  # type: ignore[no-untyped-call]
    plain = weight.detach() / spread
    return plain.float(), (bias.detach() - plain @ mean).float()
