"""What makes a run this run and no other, and what its manifest says of how it was made."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from camtool.errors import ModelError
from camtool.paths import is_file
from camtool.pipelines.labels import has_boxes
from camtool.runs.checkpoint_store import read_checkpoint
from camtool.settings import differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from camtool.annotations import AnnotationSet
    from camtool.images import ImageSource
    from camtool.pipelines.experiment import Experiment
    from camtool.pipelines.localizer import Localizer


_INPUTS = {
    "inputs": "the set of images or labels",
    "weights": "the content of model.weights",
    "linear_weights": "the content of model.linear_weights",
}


def identity_of(
    experiment: Experiment, sources: Iterable[ImageSource], known: AnnotationSet | None
) -> dict[str, Any]:
    """Return what must be equal for a run to go on: settings, images, labels, file of weights.

    Raises:
        ModelError: the file of weights cannot be read.
    """
    identity = {"experiment": experiment.identity(), "inputs": _inputs_digest(sources, known)}
    file = experiment.model.weights_file
    # A file that is missing is the network's to refuse.
    if file is not None and is_file(file):
        identity["weights"] = _file_digest(file)
    given = experiment.model.linear_weights
    if given is not None and is_file(given):
        identity["linear_weights"] = _file_digest(given)
    return identity


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def _inputs_digest(sources: Iterable[ImageSource], known: AnnotationSet | None) -> str:
    """Return a hash of what goes in: ids, encoded sizes and true classes of all images."""
    digest = hashlib.sha256()
    for source in sources:
        text = f"{source.image_id}\0{source.nbytes()}\0{source.labels}\n"
        digest.update(text.encode(errors="surrogatepass"))
    for name, annotation in (known.annotations if known else {}).items():
        digest.update(f"{name}\0{annotation.labels}\n".encode(errors="surrogatepass"))
    # Boxes among the labels, and the sizes beside them, say which way up pictures are seen: see
    # `ImageSettings.exif_rotation`.
    if known is not None and has_boxes(known):
        digest.update(b"boxes")
        for annotation in known.annotations.values():
            digest.update(f"{annotation.size}".encode())
    return digest.hexdigest()


def changed_keys(held: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Return the key paths in which two identities differ."""
    changed = differences(held.get("experiment", {}), own["experiment"])
    return changed or [words for key, words in _INPUTS.items() if held.get(key) != own.get(key)]


def _chosen_on(checkpoint: Path | None) -> dict[str, Any] | None:
    """Return on which images the best epoch of a checkpoint was chosen, and by which rule."""
    if checkpoint is None:
        return None
    described = read_checkpoint(checkpoint)
    held = described["validated_on"]
    return None if held is None else {**held, "rule": described["best"]["rule"]}


def _foreground(localizer: Localizer) -> dict[str, Any] | None:
    """Return on what a foreground head was trained, where it is not the network's own."""
    head = localizer.classifier.foreground
    told = ("pictures", "images", "seed")
    return {key: head.about[key] for key in told if key in head.about} if head else None


def manifest_of(localizer: Localizer, experiment: Experiment) -> dict[str, Any]:
    """Return how a run was made: program, versions, settings, network, conventions, classes."""
    packages = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow")
    return {
        "schema_version": 1,
        "program": {"name": "camtool", "version": version("camtool")},
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "experiment": experiment.model_dump(mode="json"),
        "device": localizer.device.type,
        "model": {
            "backbone": experiment.model.backbone,
            "sha256": localizer.sha256,
            "scores": localizer.classifier.scores,
            "foreground": _foreground(localizer),
            "chosen_on": _chosen_on(experiment.model.checkpoint),
        },
        "conventions": {
            "boxes": "half-open [x0, x1) × [y0, y1), pixels of the original image",
            "maps": "class maps on the network's grid, float32, bias not included",
            "exif_rotation": localizer.rotate,
        },
        "classes": localizer.names.to_json(),
    }
