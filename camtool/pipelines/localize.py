"""localize: find images → decode → network → maps → boxes → run folder."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, final

import torch

from camtool.annotations import AnnotationSet, image_stem, read_labels
from camtool.errors import CamtoolError, DataError, RunError, shorten
from camtool.images import FoundImages, ImageSource, find_images
from camtool.images.decode import quiet_pillow
from camtool.pipelines.experiment import Experiment
from camtool.pipelines.localizer import Localization, Localizer, Prepared, Seen
from camtool.pipelines.parallel import ordered_map
from camtool.pipelines.progress import progress
from camtool.report.overlay import encode_overlay, overlay_name
from camtool.runs import RunFolder, Shard, remember, write_atomically
from camtool.runs.writing import make_folder
from camtool.settings import differences, dump_settings
from camtool.structures import Prediction

__all__ = ["LocalizeResult", "Stopped", "localize"]

_PART_IMAGES: Final = 128
_log = logging.getLogger("camtool")


class Stopped(CamtoolError):
    """A signal asked for an early end; everything that was done is saved."""

    exit_code = 75


@dataclass(frozen=True, slots=True)
class LocalizeResult:
    """What a call of `localize` did.

    Attributes:
        folder: the run folder.
        images: number of images of the run, over all shards.
        skipped: those that this process could not read, (path, reason).
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

    Started again after any kind of end it goes on where it stopped. An image that cannot be read
    becomes a record with its reason.

    Args:
        images: files, folders, tar shards, lists and URLs, see `camtool.images.find_images`.
        experiment: all settings; the run folder is `experiment.run.dir`.
        labels: true classes, see `camtool.annotations.read_labels`.
        shard: localize only this share; the last shard to end assembles the run.
        overwrite: replace another run in the folder.
        stop: asked between images; True ends the call with everything saved.

    Raises:
        DataError: no image, or no image could be read.
        ModelError: the network cannot be built.
        RunError: the folder holds another run, or cannot be written.
        Stopped: `stop` said so.
    """
    found = find_images(images)
    known = read_labels(labels) if labels is not None else None
    for warning in (*found.warnings, *(known.warnings if known else ())):
        _log.warning("%s", warning)
    chosen = shard or Shard()
    inputs = _inputs_digest(found.sources, known)
    identity = {"experiment": experiment.identity(), "inputs": inputs}
    folder = RunFolder(experiment.run.dir, chosen, len(found.sources), identity)
    if overwrite:
        folder.clear()
    folder.check(_differences)
    if folder.is_finished():
        remember(folder.path)
        return LocalizeResult(folder.path, folder.images, (), True, folder.images)
    with folder.open(dump_settings(experiment)):
        return _run(folder, experiment, found, known, stop)


def _run(
    folder: RunFolder,
    experiment: Experiment,
    found: FoundImages,
    known: AnnotationSet | None,
    stop: Callable[[], bool],
) -> LocalizeResult:
    run = experiment.run
    localizer = Localizer(
        experiment.model,
        experiment.localize,
        device=run.device,
        seed=run.seed,
        batch_size=run.batch_size,
        rotate=known is None or not _has_boxes(known),
    )
    targets = _targets(found.sources, known, localizer)
    mine = found.sources[folder.shard.index :: folder.shard.count]
    done = folder.done()
    job = _Job(experiment, localizer, folder, mine, targets, stop)
    _work(job, done)
    finished = folder.is_complete()
    if finished:
        folder.assemble(_manifest(localizer))
        remember(folder.path)
    if len(job.skipped) == len(mine):
        path, reason = job.skipped[0]
        raise DataError(f"none of {len(mine)} images could be read; the first: {path}: {reason}")
    return LocalizeResult(folder.path, folder.images, tuple(job.skipped), finished, done)


def _work(job: _Job, done: int) -> None:
    """Localize the shard's images from the `done`-th on, and save them part by part."""
    results = _localizations(job, job.sources[done:])
    shown = progress(results, len(job.sources), done, "images")
    with quiet_pillow():
        while part := list(islice(_until_stopped(shown, job), _PART_IMAGES)):
            job.folder.append([p for p, _ in part], [m.maps if m else () for _, m in part])
            if job.stop():
                left = len(job.sources) - job.folder.done()
                raise Stopped(f"stopped early, {left:,} images left: start again to go on")


def _until_stopped(
    results: Iterable[tuple[Prediction, Localization | None]], job: _Job
) -> Iterator[tuple[Prediction, Localization | None]]:
    for prediction, localization in results:
        if prediction.error is not None:
            job.skipped.append((prediction.path, prediction.error))
            _log.warning("%s: %s; skipped", shorten(prediction.path, 200), prediction.error)
        for note in localization.warnings if localization else ():
            _log.warning("%s: %s", shorten(prediction.path, 200), note)
        yield prediction, localization
        if job.stop():
            return


def _localizations(
    job: _Job, sources: Sequence[ImageSource]
) -> Iterator[tuple[Prediction, Localization | None]]:
    """Decode, see and finish images in order, with a bounded number under way."""
    localizer, run = job.localizer, job.experiment.run
    cores = max(1, len(os.sched_getaffinity(0)))
    on_cpu = localizer.device.type == "cpu"
    ahead = 2 * cores if on_cpu else 2 * run.batch_size

    def prepare(source: ImageSource) -> Prepared:
        return localizer.prepare(source, job.targets.get(source.image_id, ()))

    def finish(item: tuple[Prepared, Seen | None]) -> tuple[Prediction, Localization | None]:
        return _finished(job, *item)

    with ExitStack() as stack:
        readers = stack.enter_context(_pool(run.workers, "decode")) if run.workers else None
        workers = stack.enter_context(_pool(cores, "localize", torch.set_num_threads, (1,)))
        prepared = ordered_map(prepare, sources, readers, ahead + run.workers)
        if on_cpu:
            alone = ordered_map(
                lambda p: finish((p, _see_alone(localizer, p))), prepared, workers, ahead
            )
            yield from _closing(alone)
        else:
            seen = chain.from_iterable(_see_batches(localizer, prepared))
            yield from _closing(ordered_map(finish, seen, workers, ahead))


def _pool(
    threads: int, name: str, start: Callable[..., None] | None = None, arguments: Any = ()
) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, f"camtool-{name}", start, arguments)


def _closing(results: Iterator[Any]) -> Iterator[Any]:
    """Pass on the results; when the caller stops early, end what produces them first."""
    try:
        yield from results
    finally:
        results.close()  # type: ignore[attr-defined]


def _see_alone(localizer: Localizer, prepared: Prepared) -> Seen | None:
    return None if prepared.error is not None else localizer.see([prepared])[0]


def _see_batches(
    localizer: Localizer, prepared: Iterator[Prepared]
) -> Iterator[list[tuple[Prepared, Seen | None]]]:
    """Batches of one fixed size: the last is filled up, so that no kernel depends on its length."""
    while batch := list(islice(prepared, localizer.batch_size)):
        readable = [p for p in batch if p.error is None]
        filled = readable + readable[-1:] * (localizer.batch_size - len(readable))
        seen = iter(localizer.see(filled) if readable else ())
        yield [(p, None if p.error is not None else next(seen)) for p in batch]


def _finished(
    job: _Job, prepared: Prepared, seen: Seen | None
) -> tuple[Prediction, Localization | None]:
    source = prepared.source
    if seen is None:
        return Prediction(source.image_id, source.path, None, error=prepared.error), None
    localization = job.localizer.finish(prepared, seen)
    if localization.photo is not None and localization.classes:
        path = job.folder.path / "overlays" / overlay_name(source.image_id)
        make_folder(path.parent)
        picture = localization.overlay(job.experiment.localize)
        write_atomically(path, encode_overlay(picture), sync=False)
    # The photo is not needed any more, and up to a part's worth of results waits to be saved.
    return localization.prediction, Localization(
        localization.prediction, localization.maps, None, localization.warnings
    )


def _has_boxes(known: AnnotationSet) -> bool:
    return any(o.box is not None for a in known.annotations.values() for o in a.objects)


def _inputs_digest(sources: Iterable[ImageSource], known: AnnotationSet | None) -> str:
    """A hash of what goes in: ids, encoded sizes and true classes of all images, in order."""
    digest = hashlib.sha256()
    for source in sources:
        text = f"{source.image_id}\0{source.nbytes()}\0{source.labels}\n"
        digest.update(text.encode(errors="surrogatepass"))
    for name, annotation in (known.annotations if known else {}).items():
        digest.update(f"{name}\0{annotation.labels}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _differences(held: Any, own: Any) -> list[str]:  # noqa: ANN401 (JSON data)
    changed = differences(held.get("experiment", {}), own["experiment"])
    return changed or (["the images or their labels"] if held.get("inputs") != own["inputs"] else [])


def _targets(
    sources: Sequence[ImageSource], known: AnnotationSet | None, localizer: Localizer
) -> dict[str, tuple[int, ...]]:
    """The true classes of each image, as indices; unknown ones are told, once each."""
    labels = _by_image(sources, known) if known else {s.image_id: s.labels for s in sources}
    unknown: Counter[str] = Counter()
    result = {}
    for image_id, given in labels.items():
        indices = [(label, localizer.names.index(label)) for label in given]
        result[image_id] = tuple(i for _, i in indices if i is not None)
        unknown.update(str(label) for label, i in indices if i is None)
    for label, count in unknown.most_common(10):
        hint = localizer.names.hint(label)
        _log.warning("'%s' (%d images) is no class of the network%s", shorten(label), count, hint)
    return result


def _by_image(
    sources: Sequence[ImageSource], known: AnnotationSet
) -> dict[str, tuple[str | int, ...]]:
    """Join labels with images: by id, without extension, or by a base name that is unique."""
    keyed = {image_stem(k): a.labels for k, a in known.annotations.items()}
    base_names = Counter(Path(k).name for k in keyed)
    by_base = {Path(k).name: v for k, v in keyed.items() if base_names[Path(k).name] == 1}
    result = {}
    for source in sources:
        stem = image_stem(source.image_id)
        labels = keyed.get(stem) or by_base.get(Path(stem).name)
        if labels:
            result[source.image_id] = labels
    missing = len(sources) - len(result)
    if not result:
        raise DataError(
            f"{known.source}: names none of the images (it has '{next(iter(keyed), '')}',"
            f" the first image is '{sources[0].image_id}')"
        )
    if missing:
        _log.warning("%s: %d of %d images have no label", known.source, missing, len(sources))
    return result


def _manifest(localizer: Localizer) -> dict[str, Any]:
    packages = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow")
    return {
        "schema_version": 1,
        "program": {"name": "camtool", "version": version("camtool")},
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "device": localizer.device.type,
        "model": {"backbone": localizer.model.backbone, "sha256": localizer.sha256},
        "conventions": {
            "boxes": "half-open [x0, x1) × [y0, y1), pixels of the original image",
            "maps": "class maps on the network's grid, float32, bias not included",
            "exif_rotation": localizer.rotate,
        },
        "classes": localizer.names.to_json(),
    }
