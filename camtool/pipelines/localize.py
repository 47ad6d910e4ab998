"""localize: find images → decode → network → maps → boxes → run folder."""

from __future__ import annotations

import itertools
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, TypeVar, final

import torch

from camtool.annotations import read_labels
from camtool.errors import CamtoolError, DataError, RunError, shorten
from camtool.images import find_images
from camtool.images.decode import quiet_pillow
from camtool.parallel import cores_here, ordered_map
from camtool.pipelines.labels import (
    default_rotation,
    has_boxes,
    hint_of_folders,
    joined_labels,
    label_warnings,
    labelled_by_folder,
    targets_of,
)
from camtool.pipelines.localizer import Localization, Localizer, NetworkOutput, PreparedImage
from camtool.pipelines.manifest import changed_keys, identity_of, manifest_of
from camtool.progress import progress
from camtool.report.overlay import encode_overlay, overlay_name
from camtool.runs import RunFolder, Shard, read_manifest, write_atomically
from camtool.runs.folder import remember
from camtool.runs.writing import make_folder
from camtool.settings import dump_settings
from camtool.structures import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from camtool.annotations import AnnotationSet
    from camtool.images import FoundImages, ImageSource
    from camtool.pipelines.experiment import Experiment


_PART_IMAGES: Final = 128
FOLDERS: Final = "folders"
_MOST_NUMBERED: Final = 10_000
_PART_SECONDS: Final = 30.0
_MOST_PROBLEMS: Final = 10
R = TypeVar("R")
Result = tuple[Prediction, Localization | None]
_log = logging.getLogger("camtool")


class StoppedError(CamtoolError):
    """A signal asked for an early end; everything that was done is saved."""

    exit_code = 75


@dataclass(frozen=True, slots=True)
class LocalizeResult:
    """What a call of `localize` did.

    Attributes:
        folder: the run folder.
        images: number of images of the run, over all shards.
        skipped: those that could not be read, (path, reason): all of a finished run, otherwise
            those that this process came to.
        finished: the run is whole; False while other shards are missing.
        resumed: images that an earlier call had done.
    """

    folder: Path
    images: int
    skipped: tuple[tuple[str, str], ...]
    finished: bool
    resumed: int


@final
@dataclass(slots=True)
class _Job:
    """One shard of a run: which images with which true classes, and the folder to fill."""

    experiment: Experiment
    localizer: Localizer
    folder: RunFolder
    sources: list[ImageSource]
    targets: dict[str, tuple[int, ...]]
    sizes: dict[str, tuple[int, int]]
    stop: Callable[[], bool]
    skipped: list[tuple[str, str]] = field(default_factory=list)


def localize(
    images: Sequence[str],
    experiment: Experiment,
    *,
    labels: Path | None = None,
    shard: Shard | None = None,
    overwrite: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> LocalizeResult:
    """Localize the classes of images and write a run folder.

    Example:
        >>> from camtool import Experiment, read_predictions
        >>> result = localize(["examples/images/cat.jpg"], Experiment())
        >>> str(result.folder), result.images, result.skipped
        ('runs/localize', 1, ())
        >>> [prediction.classes[0].title for prediction in read_predictions(result.folder)]
        ['Egyptian cat']

    Started again after any kind of end it goes on where it stopped. Where the settings name no run
    folder, another run goes into the next free one (`runs/localize-2`). An image that cannot be
    read becomes a record with its reason.

    Args:
        images: files, folders, tar shards, lists and URLs, see `camtool.images.find_images`.
        experiment: all settings; the run folder is `experiment.run.dir`.
        labels: true classes, see `camtool.annotations.read_labels`; the word `folders` for those
            that the images' folders are named by.
        shard: localize only this share; the last shard to end assembles the run.
        overwrite: replace another run in the folder.
        stop: asked between images; True ends the call with everything saved.

    Raises:
        DataError: no image, or no image could be read.
        SettingsError: classes that the network or the images do not have.
        ModelError: the network cannot be built.
        RunError: the folder holds another run, or cannot be written.
        StoppedError: `stop` said so.
    """
    experiment = experiment.model_copy(update={"model": experiment.model.resolved()})
    found = find_images(images)
    if labels is not None and str(labels) == FOLDERS and not labels.exists():
        found.sources, labels = labelled_by_folder(found.sources), None
    known = read_labels(labels) if labels is not None else None
    for warning in (*found.warnings, *(label_warnings(known) if known else ())):
        _log.warning("%s", warning)
    chosen = shard or Shard()
    identity = identity_of(experiment, found.sources, known)
    folder = RunFolder(experiment.run.dir, chosen, len(found.sources), identity)
    if not overwrite:
        folder = _free(folder, named="dir" in experiment.run.model_fields_set)
        run = experiment.run.model_copy(update={"dir": folder.path})
        experiment = experiment.model_copy(update={"run": run})
        if folder.is_finished():
            folder.tidy()
            return _whole(folder, folder.images)
    job = _job(folder, experiment, found, known, stop)
    # Only now: a wrong setting must neither leave a folder behind nor cost the run that is there.
    with folder.open(dump_settings(experiment), changed_keys, overwrite=overwrite):
        if folder.is_finished():  # another process ended it meanwhile
            folder.tidy()
            return _whole(folder, folder.images)
        done = folder.done()
        _work(job, done)
        if folder.is_complete():
            ids = (source.image_id for source in found.sources)
            folder.assemble(manifest_of(job.localizer, experiment), ids)
            return _whole(folder, done)
    return LocalizeResult(folder.path, folder.images, tuple(job.skipped), False, done)


def _free(folder: RunFolder, *, named: bool) -> RunFolder:
    """Return the folder, or where nobody named it the next one that is free or holds this run."""
    first = folder.path
    for number in itertools.count(2):
        try:
            folder.check(changed_keys)
        except RunError:
            if named or number > _MOST_NUMBERED:
                raise
        else:
            break
        path = first.with_name(f"{first.name}-{number}")
        folder = RunFolder(path, folder.shard, folder.images, folder.identity)
    if folder.path != first:
        _log.info("%s holds another run: this one is %s", first, folder.path)
    return folder


def _job(
    folder: RunFolder,
    experiment: Experiment,
    found: FoundImages,
    known: AnnotationSet | None,
    stop: Callable[[], bool],
) -> _Job:
    run = experiment.run
    asked = experiment.localize.images.exif_rotation
    joined = joined_labels(found.sources, known) if known is not None else {}
    sizes = {i: a.size for i, a in joined.items() if a.size is not None and asked == "auto"}
    upright = default_rotation(found.sources, sizes, boxed=known is not None and has_boxes(known))
    localizer = Localizer(
        experiment.model,
        experiment.localize,
        device=run.device,
        seed=run.seed,
        batch_size=run.batch_size,
        rotate=upright,
    )
    width, height = localizer.classifier.spec.size
    _log.debug(
        "network %s: input %d×%d, %d classes, scores %s, on %s", localizer.model.backbone, width,
        height, len(localizer.names), localizer.classifier.scores, localizer.device,
    )  # fmt: skip
    labelled = known is not None or any(s.labels for s in found.sources)
    experiment.localize.classes.check(localizer.names, labelled=labelled)
    if known is not None:
        told = len(known.warnings)
        named = known.named_for(localizer.names)
        joined = {i: named.annotations[a.image_id] for i, a in joined.items()}
        for warning in named.warnings[told:]:
            _log.warning("%s", warning)
    targets = targets_of(found.sources, joined if known is not None else None, localizer.names)
    if known is None:
        hint_of_folders(found.sources, localizer.names)
    mine = found.sources[folder.shard.index :: folder.shard.count]
    return _Job(experiment, localizer, folder, mine, targets, sizes, stop)


def _whole(folder: RunFolder, done: int) -> LocalizeResult:
    """The result of a run that is whole, the same whether this process ended it or another."""
    rows = read_manifest(folder.path).get("skipped") or []
    skipped = [(row["path"], row["error"]) for row in rows]
    if len(skipped) == folder.images:
        path, reason = skipped[0]
        raise DataError(
            f"none of {folder.images:,} images could be read; the first: {shorten(path)}: {reason}"
        )
    remember(folder.path)
    return LocalizeResult(folder.path, folder.images, tuple(skipped), True, done)


def _work(job: _Job, done: int) -> None:
    """Localize the shard's images from the `done`-th on, and save them part by part."""
    results = _localizations(job, job.sources[done:])
    shown = progress(results, len(job.sources), done, "images")
    while part := _part(_until_stopped(shown, job)):
        job.folder.append([p for p, _ in part], [m.maps if m else () for _, m in part])
        if job.stop():
            left = len(job.sources) - job.folder.done()
            raise StoppedError(f"stopped early, {left:,} images left: start again to go on")


def _part(results: Iterator[Result]) -> list[Result]:
    """Take results until they are many enough, or old enough, to be worth saving."""
    began = time.monotonic()
    part = []
    for result in islice(results, _PART_IMAGES):
        part.append(result)
        if time.monotonic() - began > _PART_SECONDS:
            break
    return part


def _until_stopped(results: Iterable[Result], job: _Job) -> Iterator[Result]:
    for prediction, localization in results:
        if prediction.error is not None:
            job.skipped.append((prediction.path, prediction.error))
            _log.warning("%s: %s; skipped", shorten(prediction.path, 200), prediction.error)
        for note in localization.warnings if localization else ():
            _log.warning("%s: %s", shorten(prediction.path, 200), note)
        yield prediction, localization
        if job.stop():
            return


def _localizations(job: _Job, sources: Sequence[ImageSource]) -> Iterator[Result]:
    images = (
        (source, job.targets.get(source.image_id, ()), job.sizes.get(source.image_id))
        for source in sources
    )

    def finish(outcome: Outcome) -> Result:
        return _finished(job, outcome)

    workers = job.experiment.run.workers
    return localize_each(job.localizer, images, finish, threads=cores_here(), readers=workers)


def _finished(job: _Job, outcome: Outcome) -> Result:
    source, localization = outcome.source, outcome.localization
    if localization is None:
        return Prediction(source.image_id, source.path, None, error=outcome.error), None
    if localization.photo is not None and localization.classes:
        path = job.folder.path / "overlays" / overlay_name(source.image_id)
        make_folder(path.parent)
        picture = localization.overlay(job.experiment.localize)
        write_atomically(path, encode_overlay(picture), sync=False)
    # The photo is not needed any more, and up to a part's worth of results waits to be saved.
    return localization.prediction, Localization(
        localization.prediction, localization.maps, None, localization.warnings
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image: where its classes are, or the reason why there is nothing."""

    source: ImageSource
    output: NetworkOutput | None = None
    localization: Localization | None = None
    error: str | None = None


def localize_each(
    localizer: Localizer,
    images: Iterable[tuple[ImageSource, tuple[int, ...], tuple[int, int] | None]],
    then: Callable[[Outcome], R],
    *,
    threads: int,
    readers: int,
) -> Iterator[R]:
    """Localize images, one by one on a CPU, in fixed batches on a GPU, and yield `then` of each.

    What is yielded is in the order of the images, of which a bounded number is under way.

    Args:
        localizer: the network with its settings.
        images: images, their true classes, and their sizes in annotations; see
            `Localizer.prepare`.
        then: what to do with each outcome; called in a thread.
        threads: that run the network (on a CPU), make boxes and call `then`.
        readers: threads that decode; 0: whoever takes what is yielded.
    """
    on_cpu = localizer.device.type == "cpu"
    ahead = 2 * threads if on_cpu else 2 * localizer.batch_size

    def finish(item: tuple[PreparedImage, NetworkOutput | None]) -> R:
        return then(_outcome(localizer, *item))

    with ExitStack() as stack:
        # What the threads below set is also what this thread would go on with.
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.enter_context(quiet_pillow())
        pool = stack.enter_context(ThreadPoolExecutor(readers)) if readers else None
        workers = stack.enter_context(
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        )
        prepared = ordered_map(lambda i: localizer.prepare(*i), images, pool, ahead + readers)
        if on_cpu:
            yield from ordered_map(
                lambda p: finish((p, _run_alone(localizer, p))), prepared, workers, ahead
            )
        else:
            outputs = chain.from_iterable(_run_batches(localizer, prepared))
            yield from ordered_map(finish, outputs, workers, ahead)


def _run_alone(localizer: Localizer, prepared: PreparedImage) -> NetworkOutput | None:
    return None if prepared.error is not None else localizer.run([prepared])[0]


def _run_batches(
    localizer: Localizer, prepared: Iterator[PreparedImage]
) -> Iterator[list[tuple[PreparedImage, NetworkOutput | None]]]:
    """Batches of one fixed size: the last is filled up, so that no kernel depends on its length."""
    while batch := list(islice(prepared, localizer.batch_size)):
        readable = [p for p in batch if p.error is None]
        filled = readable + readable[-1:] * (localizer.batch_size - len(readable))
        outputs = iter(localizer.run(filled) if readable else ())
        yield [(p, None if p.error is not None else next(outputs)) for p in batch]


def _outcome(
    localizer: Localizer, prepared: PreparedImage, output: NetworkOutput | None
) -> Outcome:
    error = prepared.error
    if output is not None and not all(map(math.isfinite, output.scores)):
        error = "the network's scores of it are not finite"
    if output is None or error is not None:
        return Outcome(prepared.source, error=error)
    return Outcome(prepared.source, output, localizer.finish(prepared, output))
