"""localize: find images → decode → network → maps → boxes → run folder."""

from __future__ import annotations

import itertools
import logging
import time
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, final

from camtool.annotations import read_labels
from camtool.errors import CamtoolError, DataError, ImageReadError, RunError, shorten
from camtool.images import find_images
from camtool.parallel import cores_here
from camtool.paths import is_there
from camtool.pipelines.experiment import Experiment
from camtool.pipelines.inference import localize_each
from camtool.pipelines.labels import (
    default_rotation,
    has_boxes,
    hint_of_folders,
    joined_labels,
    label_warnings,
    labelled_by_folder,
    targets_of,
)
from camtool.pipelines.localizer import Localizer
from camtool.pipelines.manifest import changed_keys, identity_of, manifest_of
from camtool.progress import progress
from camtool.reports.overlay import encode_heatmap, encode_overlay, overlay_name
from camtool.runs import RunFolder, Shard, read_manifest, write_atomically
from camtool.runs.folder import remember
from camtool.runs.writing import make_folder
from camtool.settings import dump_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from camtool.annotations import AnnotationSet
    from camtool.images import FoundImages, ImageSource
    from camtool.pipelines.inference import Outcome
    from camtool.pipelines.localization import Localization


_PART_IMAGES: Final = 128
FOLDERS: Final = "folders"
_MOST_NUMBERED: Final = 10_000
_PART_SECONDS: Final = 30.0
_MOST_PROBLEMS: Final = 10
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
    drawn: frozenset[str] | None
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def draws(self, source: ImageSource) -> bool:
        """Whether an image gets an overlay."""
        overlays = self.experiment.localize.overlays
        return overlays.enabled and (self.drawn is None or source.image_id in self.drawn)


def localize(
    images: str | Path | Sequence[str | Path],
    experiment: Experiment | None = None,
    *,
    labels: str | Path | None = None,
    shard: Shard | None = None,
    overwrite: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> LocalizeResult:
    """Localize the classes of images and write a run folder.

    Example:
        >>> from camtool import read_predictions
        >>> result = localize("examples/images/cat.jpg")
        >>> str(result.folder), result.images, result.skipped
        ('runs/localize', 1, ())
        >>> [prediction.classes[0].title for prediction in read_predictions(result.folder)]
        ['Egyptian cat']

    Started again after any kind of end it goes on where it stopped. Where the settings name no run
    folder, another run goes into the next free one (`runs/localize-2`). An image that cannot be
    read becomes a record with its reason.

    Args:
        images: files, folders, tar shards, lists and URLs, see `camtool.images.find_images`.
        experiment: all settings, defaults without; the run folder is `experiment.run.dir`.
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
    experiment = experiment or Experiment()
    experiment = _filled(experiment)
    found = find_images(images)
    if labels is not None and str(labels) == FOLDERS and not is_there(labels):
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


def _filled(experiment: Experiment) -> Experiment:
    """Return the experiment with what its network decides where nothing is set."""
    model = experiment.model.resolved()
    settings = experiment.localize.filled(bundled=model.is_bundled)
    if settings.cam.name != experiment.localize.cam.name:
        _log.info("maps: %s; --method cam makes plain class activation maps", settings.cam.name)
    return experiment.model_copy(update={"model": model, "localize": settings})


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
        settings=experiment.localize,
        device=run.device,
        seed=run.seed,
        batch_size=run.batch_size,
        rotate=upright,
    )
    width, height = localizer.classifier.spec.size
    _log.debug(
        "network %s: input %d×%d, %d classes, scores %s, on %s", experiment.model.backbone, width,
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
    return _Job(
        experiment, localizer, folder, mine, targets, sizes, stop, _drawn(experiment, found)
    )


def _drawn(experiment: Experiment, found: FoundImages) -> frozenset[str] | None:
    """Return the images that get an overlay; None for all."""
    overlays = experiment.localize.overlays
    if not overlays.enabled or overlays.first is None or len(found.sources) <= overlays.first:
        return None
    _log.info(
        "overlays of the first %s images only: --set localize.overlays.first=null draws all",
        f"{overlays.first:,}",
    )
    return frozenset(source.image_id for source in found.sources[: overlays.first])


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
        job.folder.append([found.prediction for found in part], [found.maps for found in part])
        if job.stop():
            left = len(job.sources) - job.folder.done()
            raise StoppedError(f"stopped early, {left:,} images left: start again to go on")


def _part(results: Iterator[Localization]) -> list[Localization]:
    """Take results until they are many enough, or old enough, to be worth saving."""
    began = time.monotonic()
    part = []
    for result in islice(results, _PART_IMAGES):
        part.append(result)
        if time.monotonic() - began > _PART_SECONDS:
            break
    return part


def _until_stopped(results: Iterable[Localization], job: _Job) -> Iterator[Localization]:
    for found in results:
        path = found.prediction.path
        if found.error is not None:
            job.skipped.append((path, found.error))
            _log.warning("%s: %s; skipped", shorten(path, 200), found.error)
        for note in found.warnings:
            _log.warning("%s: %s", shorten(path, 200), note)
        yield found
        if job.stop():
            return


def _localizations(job: _Job, sources: Sequence[ImageSource]) -> Iterator[Localization]:
    images = (
        (source, job.targets.get(source.image_id, ()), job.sizes.get(source.image_id))
        for source in sources
    )
    return localize_each(
        job.localizer,
        images,
        lambda outcome: _finished(job, outcome),
        threads=cores_here(),
        readers=job.experiment.run.workers,
        photos=job.draws,
    )


def _finished(job: _Job, outcome: Outcome) -> Localization:
    found = outcome.localization
    try:
        if found.classes:
            _draw(job, found)
    except ImageReadError as error:
        path = shorten(found.prediction.path, 200)
        _log.warning("%s: no pictures of it: %s", path, error.reason)
    # The picture is not needed any more, and up to a part's worth of results waits to be saved.
    return replace(found, photo=None)


def _draw(job: _Job, found: Localization) -> None:
    """Write the pictures of one image that the settings ask for."""
    settings, name = job.experiment.localize, found.prediction.image_id
    if found.source is not None and job.draws(found.source):
        form = settings.overlays.form
        _write(job, "overlays", overlay_name(name, form), encode_overlay(found.overlay(), form))
    if settings.crops:
        for place, crop in enumerate(found.crops()):
            _write(job, "crops", overlay_name(f"{name}-{place}"), encode_overlay(crop))
    if settings.heatmaps != "none":
        data = encode_heatmap(found.heatmap(), settings.heatmaps)
        _write(job, "heatmaps", overlay_name(name, settings.heatmaps), data)


def _write(job: _Job, kind: str, name: PurePosixPath, data: bytes) -> None:
    path = job.folder.path / kind / name
    make_folder(path.parent)
    write_atomically(path, data, sync=False)
