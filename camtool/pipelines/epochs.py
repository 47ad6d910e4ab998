"""Whether settings fit the data, how good an epoch is, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn.modules.batchnorm import _BatchNorm

from camtool.errors import DataError, SettingsError
from camtool.models import Gap, PerClass
from camtool.training.loop import autocast

if TYPE_CHECKING:
    from torch import nn

    from camtool.pipelines.experiment import Experiment
    from camtool.training.data import ExampleSets
    from camtool.training.distributed import Processes


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
    parts = peers.world * train.accumulate
    if train.batch_size % parts:
        raise SettingsError(
            f"train.batch_size: {train.batch_size} images cannot be shared by {peers.world}"
            f" processes in {train.accumulate} parts each: take a multiple of {parts}"
        )
    if train.schedule.warmup_epochs > train.epochs:
        raise SettingsError(
            f"train.schedule.warmup_epochs: {train.schedule.warmup_epochs:g}, but the run has"
            f" train.epochs: {train.epochs}: the rate would never be reached; take fewer"
        )
    if train.batch_size > len(sets.train):
        raise SettingsError(
            f"train.batch_size: {train.batch_size} images a step, but only {len(sets.train):,} to"
            " train on: take a smaller one"
        )
    several = next((e for e in sets.train if len(e.labels) > 1), None)
    if several is not None and not train.loss.multi_label:
        raise DataError(
            f"{several.source.path}: of several classes, which train.loss {train.loss.name} cannot"
            " learn: take {name: logistic}"
        )
    if train.best in train.USES_BOXES and (sets.boxes is None or not sets.val):
        raise SettingsError(
            f"train.best: {train.best} needs boxes of the validation images, which the data lack"
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


def score_of(row: dict[str, Any], rule: str) -> list[float] | None:
    """How good an epoch is by a rule, more being better; None where it was not validated.

    Among equals the smaller validation loss decides: on a small set many epochs are equal.
    """
    if rule == "last":
        return [float(row["epoch"])]
    metrics = row["val"] or {}
    if rule not in metrics:
        return None
    return [-metrics["loss"]] if rule == "loss" else [metrics[rule], -metrics["loss"]]


def sentence_of(row: dict[str, Any]) -> str:
    """Return a row of the history as a line for the log."""
    train, val = row["train"], row["val"] or {}
    parts = [
        f"epoch {row['epoch']}: training loss {train['loss']:.4f}, top-1 {train['top1']:.1f} %,"
        f" {row['images_per_second']:.1f} images a second"
    ]
    if train["unreadable"]:
        parts.append(f"{train['unreadable']:,} images could not be read")
    if "top1" in val:
        parts.append(f"validation loss {val['loss']:.4f}, top-1 {val['top1']:.2f} %")
    if "gt_known" in val:
        parts.append(
            f"top-1 localization {val['top1_localization']:.2f} %, GT-known {val['gt_known']:.2f} %"
        )
    return "; ".join(parts)
