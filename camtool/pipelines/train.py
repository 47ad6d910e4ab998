"""train: data sets → network → epochs of steps, each validated and saved → run folder."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import torch

from camtool.errors import RunError, SettingsError, shorten
from camtool.images.sources import FileSource
from camtool.pipelines.assembly import assemble, check_fit
from camtool.pipelines.checkpoint import Checkpoints, TrainingRecord
from camtool.pipelines.foreground import keep_network
from camtool.pipelines.localize import StoppedError
from camtool.pipelines.probe import fit_probe
from camtool.pipelines.trained import build_onward
from camtool.pipelines.validation import Validator
from camtool.runs.writing import make_folder, write_atomically
from camtool.settings import dump_settings
from camtool.training.distributed import Processes, keep_freed_memory, processes
from camtool.training.history import (
    check_tensorboard,
    doubts_of,
    draw_curves,
    foreground_doubt_of,
    map_doubt_of,
    score_of,
    sentence_of,
    write_history,
    write_tensorboard,
)
from camtool.training.loop import EpochEnd, EpochSums, Position
from camtool.training.seeds import kernels, own_random_state, seed_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from camtool.models.classifier import Classifier
    from camtool.pipelines.experiment import Experiment
    from camtool.training.data import ExampleSets


_MOST_WARNINGS: Final = 20
_FEW: Final = 5000
_EPOCHS_OF_MANY: Final = 5
_log = logging.getLogger("camtool")


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training run came to.

    Example:
        >>> from pathlib import Path
        >>> row = {"epoch": 1, "train": {"loss": 0.7}, "val": None}
        >>> TrainResult(Path("runs/train"), (row,), 1, "last", uses_boxes=False).best_epoch
        1

    Attributes:
        folder: the run folder.
        history: a row an epoch, as in `history.jsonl`.
        best_epoch: the epoch of the best checkpoint, counted from 1; 0 is the fitted layer that
            training began with.
        best_rule: what it is best in.
        uses_boxes: whether this rule looks at boxes of the validation set.
        is_first: whether this process is the one of several that speaks.
        held: on which images the best epoch was chosen, in words.
        on_test: whether these are the official test images of the data set.
        next: the command that comes next, on images that no epoch was chosen on.
    """

    folder: Path
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    best_rule: str
    uses_boxes: bool
    is_first: bool = True
    held: str = ""
    on_test: bool = False
    next: str = ""


def train(
    experiment: Experiment,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    choose_epochs: bool = False,
) -> TrainResult:
    """Train a network from class labels, and write a run folder with its checkpoints.

    Example:
        >>> from pathlib import Path
        >>> import PIL.Image
        >>> for colour in ("red", "blue"):
        ...     for number in range(4):
        ...         file = Path("colours", colour, f"{number}.png")
        ...         file.parent.mkdir(parents=True, exist_ok=True)
        ...         PIL.Image.new("RGB", (32 + number, 32), colour).save(file)
        >>> _ = Path("colours.yaml").write_text('''
        ... run: {dir: runs/colours, device: cpu, workers: 0}
        ... model: {backbone: timm/test_resnet.r160_in1k, weights: none}
        ... data: {name: folder, root: colours, val_fraction: 0.25}
        ... train: {epochs: 2, batch_size: 2}
        ... localize: {preprocess: {size: 32}}
        ... ''')
        >>> from camtool import Experiment, load_settings
        >>> result = train(load_settings(Experiment, Path("colours.yaml")))
        >>> [row["epoch"] for row in result.history], result.best_rule
        ([1, 2], 'top1')
        >>> sorted(path.name for path in (result.folder / "checkpoints" / "best").iterdir())
        ['checkpoint.json', 'classes.json', 'weights.safetensors']

    Args:
        experiment: all settings; the run folder is `experiment.run.dir`.
        resume: go on with the run that is in the folder; starts anew where there is none.
        stop: asked after every step; True ends the call with everything saved.
        choose_epochs: let the number of images decide `train.epochs`: of a few thousand a layer is
            fitted only (`train.start: probe`), since the maps of a network trained on them as a
            whole are the worse for it.

    Raises:
        SettingsError: settings that do not fit together, or the data.
        DataError: images or labels that cannot be used.
        ModelError: the network cannot be built; the loss is not finite; damaged checkpoints.
        RunError: the folder holds another run or cannot be written; another process ended.
        StoppedError: `stop` said so.
    """
    if experiment.data is None:
        raise SettingsError("data: missing; a section such as data: {name: folder, root: PHOTOS}")
    if experiment.train.tensorboard:
        check_tensorboard()
    with (
        processes(experiment.run.device) as peers,
        own_random_state(),
        kernels(deterministic=experiment.train.deterministic),
    ):
        data = experiment.data
        sets = data.load(experiment.run.seed)
        classifier = None
        if experiment.train.method.keeps_network:
            experiment, sets, classifier = keep_network(experiment, sets, tell=peers.is_first)
        elif not len(sets.classes):
            raise SettingsError(
                f"{getattr(data, 'root', 'data')}: images in no class folder, and train.method:"
                f" {experiment.train.method.name} learns classes: put those of each class into a"
                " folder; train.method: foreground needs none"
            )
        else:
            if choose_epochs:
                experiment = _with_epochs(experiment, len(sets.train), tell=peers.is_first)
            experiment = _with_maps(experiment)
        checkpoints = Checkpoints(experiment, sets)
        if any((experiment.run.dir / name).exists() for name in ("manifest.json", "parts")):
            raise RunError(
                f"{experiment.run.dir} holds a run of localize: choose another --out for training"
            )
        if checkpoints.store.exists() and not resume:
            raise RunError(
                f"{experiment.run.dir} holds a training run: --resume goes on with it, or choose"
                " another --out"
            )
        return Training(experiment, sets, checkpoints, peers, stop, classifier).run()


def _with_epochs(experiment: Experiment, images: int, *, tell: bool) -> Experiment:
    """Return the experiment with as many epochs as suit a number of images, and say which."""
    epochs = 0 if images < _FEW else _EPOCHS_OF_MANY
    why = (
        f"{images:,} images are few: the network stays as it is, and a last layer is fitted on it;"
        f" --set train.epochs={_EPOCHS_OF_MANY} trains all of it"
        if epochs == 0
        else f"{images:,} images: {epochs} epochs from a fitted last layer on (train.epochs)"
    )
    if tell:
        _log.info("%s", why)
    train = experiment.train.model_copy(update={"epochs": epochs})
    return experiment.model_copy(update={"train": train})


def _built(experiment: Experiment, sets: ExampleSets) -> Classifier:
    """Return the network with a last layer for the classes of the data."""
    model, seed, classes = experiment.model.resolved(), experiment.run.seed, sets.classes
    if model.checkpoint is not None:
        return build_onward(model, model.checkpoint, seed, classes)
    return model.build(seed, len(classes), classes.in_imagenet())


def _with_maps(experiment: Experiment) -> Experiment:
    """Return the experiment with the maps that fit the features which training leaves."""
    kept = experiment.model.is_bundled and experiment.train.epochs == 0
    localize = experiment.localize.filled(bundled=kept)
    return experiment.model_copy(update={"localize": localize})


@final
class Training:
    """One run: its parts, put together once, and the epochs."""

    def __init__(
        self,
        experiment: Experiment,
        sets: ExampleSets,
        checkpoints: Checkpoints,
        peers: Processes,
        stop: Callable[[], bool],
        classifier: Classifier | None = None,
    ) -> None:
        """Put the parts together, of a network that is built where none is given.

        Nothing is written yet.

        Raises:
            SettingsError: settings do not fit the data, the device or the number of processes.
            DataError: images of several classes with a loss for one.
            ModelError: the network cannot be built.
        """
        check_fit(experiment, sets, peers)
        if peers.device.type == "cpu":
            keep_freed_memory()
        self.experiment, self.sets, self.peers, self.stop = experiment, sets, peers, stop
        self.checkpoints = checkpoints
        self.done = TrainingRecord([])
        self._warned: set[str] = set()
        seed_all(experiment.run.seed)
        classifier = classifier or _built(experiment, sets)
        classifier.scores = experiment.train.loss.scores
        self._probed: dict[str, float] | None = None
        if experiment.train.start == "probe" and not checkpoints.store.exists():
            self._probed = fit_probe(experiment, sets, classifier, peers.device, self._warn)
        self.loop = assemble(
            experiment, sets, classifier, peers, stop=stop, warn=self._warn,
            save=lambda: self.checkpoints.save(self.loop, self._between()),
        )  # fmt: skip
        self.validator = (
            Validator(experiment, self.loop.module.classifier, sets, peers) if sets.val else None
        )

    def run(self) -> TrainResult:
        """Train all epochs that are left; see `train`."""
        with contextlib.closing(self.loop):
            if not self.peers.is_first:
                return self._run()
            make_folder(self.experiment.run.dir)
            with self.checkpoints.store.lock():
                return self._run()

    def _run(self) -> TrainResult:
        self._begin()
        if self._probed is not None and not self.done.history:
            self._judge_probe(self._probed)
        epochs = self.experiment.train.epochs
        while self.loop.position.epoch < epochs:
            if self.loop.epoch() is EpochEnd.STOPPED:
                self._save_and_stop()
            self._end_epoch()
        return self._finish()

    def _begin(self) -> None:
        found = self.checkpoints.resume(self.loop)
        at = self.loop.position
        if found is not None:
            self.done = found
        if not self.peers.is_first:
            return
        for note in self.sets.notes:
            _log.info("%s", note)
        _log.info(
            "%s images to train on, %s to validate on, %d classes; %s",
            f"{len(self.sets.train):,}", f"{len(self.sets.val):,}", len(self.sets.classes),
            "a new run" if found is None else f"goes on at epoch {at.epoch + 1}, step {at.step:,}",
        )  # fmt: skip
        if not self.sets.val:
            _log.warning("no validation set: the best checkpoint is the last one")
        write_atomically(
            self.experiment.run.dir / "experiment.yaml", dump_settings(self.experiment)
        )

    def _judge_probe(self, fitted: Mapping[str, float]) -> None:
        """Validate, tell and save the fitted layer, as epoch 0."""
        row = {
            "epoch": 0, "step": 0, "learning_rate": 0.0, "val": None, "seconds": 0.0,
            "images_per_second": 0.0,
            "train": {"loss": fitted["loss"], "top1": fitted["top1"], "unreadable": 0},
        }  # fmt: skip
        if self.validator is not None:
            row["val"] = self.validator(self.loop.module.classifier.state_dict(), self.stop)
            if row["val"] is None:
                raise StoppedError("stopped early, before anything was trained: start again")
        best = self._note(row)
        self.checkpoints.save(self.loop, self.done, best=best)
        if self.peers.is_first:
            write_history(self.experiment.run.dir, self.done.history)

    def _end_epoch(self) -> None:
        """Validate, tell, and save the epoch that was just trained."""
        at, train = self.loop.position, self.experiment.train
        row = self._row()
        due = (at.epoch + 1) % train.validate_every == 0 or at.epoch + 1 == train.epochs
        if self.validator is not None and due:
            weights = (self.loop.average.network if self.loop.average
                       else self.loop.module.classifier).state_dict()  # fmt: skip
            metrics = self.validator(weights, self.stop)
            if metrics is None:
                self._save_and_stop()
            row["val"] = metrics
        best = self._note(row)
        self.loop.position, self.loop.sums = Position(at.epoch + 1), EpochSums.zero(train.method)
        if train.tensorboard and self.peers.is_first:
            write_tensorboard(self.experiment.run.dir, row)
        self.checkpoints.save(self.loop, self.done, best=best)
        if self.peers.is_first:
            write_history(self.experiment.run.dir, self.done.history)

    def _row(self) -> dict[str, Any]:
        """The history's row of the epoch, the same in every process."""
        sums = self.loop.sums
        *values, unreadable = self.peers.sum([*sums.values.tolist(), sums.unreadable])
        whole = EpochSums(torch.tensor(values, dtype=torch.float64))
        shown, group = self.loop.progress, self.loop.optimizer.param_groups[0]
        return {
            "epoch": self.loop.position.epoch + 1,
            "step": (self.loop.position.epoch + 1) * self.loop.order.steps,
            "learning_rate": group["lr"] / group["scale"],
            "train": {**whole.row(self.experiment.train.method), "unreadable": int(unreadable)},
            "val": None,
            "seconds": round(shown.seconds, 3) if shown else 0.0,
            "images_per_second": round(shown.rate, 2) if shown else 0.0,
        }

    def _note(self, row: dict[str, Any]) -> bool:
        """Add a row to what was done, and tell whether its weights are the best so far."""
        train = self.experiment.train
        score = score_of(row, train.best if self.validator else "last")
        if score is None and self.done.best is None and row["epoch"] == train.epochs:
            _log.warning("no epoch could be judged by %s: the last one is kept as best", train.best)
            score = []
        self.done.history.append(row)
        self.done.metrics = row["val"]
        best = score is not None and (self.done.best is None or score > self.done.best)
        if best:
            self.done.best, self.done.best_epoch = score, row["epoch"]
        if self.peers.is_first:
            _log.info("%s%s", sentence_of(row), " (best so far)" if best and row["val"] else "")
            self._doubt(row)
        return best

    def _doubt(self, row: dict[str, Any]) -> None:
        """Say what tells that training goes wrong."""
        classes, val = self.sets.classes, self.sets.val
        shown = Counter(label for example in val for label in example.labels)
        shares = [shown[index] / max(1, len(val)) for index in range(len(classes))]
        guessing = self.experiment.train.loss.of_guessing(len(classes))
        for doubt in doubts_of(row, guessing, shares, classes.names):
            _log.warning("epoch %d: %s", row["epoch"], doubt)

    def _save_and_stop(self) -> None:
        self.done.metrics = None
        self.checkpoints.save(self.loop, self.done)
        at = self.loop.position
        raise StoppedError(
            f"stopped early in epoch {at.epoch + 1} after step {at.step:,}, everything saved:"
            " start again with --resume to go on"
        )

    def _finish(self) -> TrainResult:
        train = self.experiment.train
        rule = train.best if self.validator else "last"
        if self.peers.is_first:
            write_history(self.experiment.run.dir, self.done.history)
            draw_curves(self.experiment.run.dir, self.done.history)
            self._doubt_best()
        return TrainResult(
            self.experiment.run.dir, tuple(self.done.history), self.done.best_epoch, rule,
            rule in train.USES_BOXES, self.peers.is_first, self.sets.held, self.sets.on_test,
            next_command(self.experiment.run.dir, self.sets) if self.peers.is_first else "",
        )  # fmt: skip

    def _doubt_best(self) -> None:
        """Say what tells that the best epoch's maps are poor, or worse than those it began with."""
        rows = {row["epoch"]: row for row in self.done.history}
        best, probe = rows.get(self.done.best_epoch), rows.get(0)
        if best is None or self.done.best is None:
            return
        for doubt in (map_doubt_of(best), foreground_doubt_of(best)):
            if doubt:
                _log.warning("%s", doubt)
        if probe is None or len(rows) == 1:
            return
        if best is probe:
            _log.info("no epoch was better than the fitted layer: that is the best checkpoint")
            return
        before, after = ((row.get("val") or {}).get("gt_known") for row in (probe, best))
        if before is not None and after is not None and after < before:
            _log.warning(
                "GT-known fell from %.2f %% of the fitted layer to %.2f %%: its maps were better;"
                " train.epochs: 0 keeps it", before, after,
            )  # fmt: skip

    def _between(self) -> TrainingRecord:
        """What to store within an epoch: no metrics are of these very weights."""
        return TrainingRecord(self.done.history, None, self.done.best, self.done.best_epoch)

    def _warn(self, path: str, reason: str) -> None:
        if path in self._warned:
            return
        self._warned.add(path)
        if len(self._warned) <= _MOST_WARNINGS:
            _log.warning("%s: %s; another image stands in for it", shorten(path, 200), reason)
        elif len(self._warned) == _MOST_WARNINGS + 1:
            _log.warning("more unreadable images are counted in history.jsonl and not named")


def next_command(run: Path, sets: ExampleSets) -> str:
    """Return what to type after training: localize the test images, or images of one's own.

    Where the data set has a test part in files, they are listed in `test.csv` of the run folder.

    Raises:
        RunError: the list cannot be written.
    """
    trained = f"-m {shlex.quote(str(run))}"
    if not sets.test or not all(isinstance(e.source, FileSource) for e in sets.test):
        return f"camtool localize IMAGES {trained} --labels PATH"
    lines = io.StringIO()
    names = sets.classes.names
    rows = [
        (Path(e.source.path).resolve(), ";".join(names[i] for i in e.labels)) for e in sets.test
    ]
    csv.writer(lines, lineterminator="\n").writerows([("file", "class"), *rows])
    write_atomically(run / "test.csv", lines.getvalue())
    labels = f" --labels {shlex.quote(str(sets.truth))}" if sets.truth is not None else ""
    scored = f" && camtool eval --boxes {shlex.quote(str(sets.truth))}" if sets.truth else ""
    return f"camtool localize {shlex.quote(str(run / 'test.csv'))} {trained}{labels}{scored}"
