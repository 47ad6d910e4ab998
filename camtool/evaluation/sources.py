"""Where predictions come from: a run folder, its predictions.jsonl, or guess files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from camtool.annotations import NetworkClasses, read_guesses
from camtool.errors import RunError, SettingsError
from camtool.evaluation.convention import box_rule_of, swept_rule_of
from camtool.evaluation.masks import MaskFiles
from camtool.evaluation.matching import name_order, select_range
from camtool.evaluation.score_maps import FileMaps, RunMaps, holds_maps
from camtool.paths import is_folder
from camtool.runs import read_manifest, read_predictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from camtool.annotations import AnnotationSet
    from camtool.boxes import SweptRule
    from camtool.evaluation.settings import EvalSettings
    from camtool.metrics.protocol import MapSource
    from camtool.structures import Prediction

PREDICTION_FORMS: Final = (
    ("folder", "run folder of `camtool localize`"),
    (".jsonl", "predictions.jsonl, a JSON record an image"),
    (
        ".txt",
        "ILSVRC guess file: `id xmin ymin xmax ymax` up to five times a line, a line an image",
    ),
    (".csv", "Kaggle submission: ImageId,PredictionString"),
    (".npz", "score maps by image id, for the protocols maxboxacc, maxboxacc-v2 and pxap"),
    (".npy", "the same as a folder of one file an image"),
)
"""What `load_predictions` takes, by the ending of the path."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Predictions and what their source says of them.

    Attributes:
        predictions: to be read once.
        known: the classes of the network; None where the source does not say.
        box_rule: how the boxes were made; None where the source does not say.
        maps: where the maps are; None where the source has none.
        rule: the box rule, if it has a threshold; None too where the source does not say.
        warnings: what a reader should know of the source, a sentence each.
    """

    predictions: Iterable[Prediction]
    known: NetworkClasses | None = None
    box_rule: str | None = None
    maps: MapSource | None = None
    rule: SweptRule | None = None
    warnings: tuple[str, ...] = ()


def load_predictions(
    settings: EvalSettings, run: Path | None, annotations: AnnotationSet
) -> Loaded:
    """Open the predictions that `settings` name, else those of the run folder.

    Raises:
        SettingsError: neither is given, or the name of the file says nothing.
        DataError: the file cannot be read.
        EvaluationError: the lines of a guess file do not belong to these annotations.
        RunError: the run folder cannot be used.
    """
    path = settings.predictions or run
    if path is None:
        raise SettingsError("nothing to score: give a run folder or --predictions FILE")
    masks = _masks(settings)
    if holds_maps(path) and settings.protocol.needs_maps:
        maps = FileMaps(path, masks)
        return Loaded(maps.predictions(), maps=maps)
    if holds_maps(path):
        raise SettingsError(
            f"{path}: holds score maps and no boxes, which the protocol {settings.protocol.name} "
            "scores; it takes a run folder, predictions.jsonl, a guess file or a Kaggle submission"
        )
    if is_folder(path):
        return _from_run(path, masks)
    if settings.protocol.needs_maps:
        raise SettingsError(
            f"{path}: holds no maps, which the protocol {settings.protocol.name} scores; it takes a"
            " run folder, an .npz, or a folder of .npy"
        )
    return _from_file(path, settings, annotations)


def _from_file(path: Path, settings: EvalSettings, annotations: AnnotationSet) -> Loaded:
    """Open a file of boxes by the ending of its name."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        ordered = name_order(annotations, positions=True)
        return Loaded(read_guesses(path, select_range(ordered, settings.images)))
    if suffix == ".csv":
        return Loaded(read_guesses(path, None))
    if suffix == ".jsonl":
        return Loaded(read_predictions(path))
    raise SettingsError(
        f"{path}: not a form of predictions that the protocol {settings.protocol.name} scores; it "
        "takes a run folder, predictions.jsonl, a guess file (.txt) or a Kaggle submission (.csv)"
    )


def _masks(settings: EvalSettings) -> MaskFiles | None:
    """Open the folder of masks, if the protocol needs one."""
    if not settings.protocol.needs_masks:
        return None
    if settings.masks is None:
        raise SettingsError(
            "the protocol pxap scores maps against masks, and a box is no mask: give --masks DIR "
            "(eval.masks); eval.protocol.masks=boxes takes the true boxes all the same"
        )
    return MaskFiles(settings.masks)


def _from_run(run: Path, masks: MaskFiles | None) -> Loaded:
    manifest = read_manifest(run)
    known = classes_of(run, manifest)
    predictions = read_predictions(run / "predictions.jsonl")
    maps = RunMaps(run, masks)
    box_rule, swept = box_rule_of(manifest), swept_rule_of(manifest)
    return Loaded(predictions, known, box_rule, maps, swept, _of_selection(manifest))


def _of_selection(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a warning where the network's best epoch was chosen on official test images."""
    chosen = (manifest.get("model") or {}).get("chosen_on") or {}
    if not chosen.get("official_test") or chosen.get("rule") == "last":
        return ()
    return (
        f"the network's best epoch was chosen by {chosen.get('rule')} on {chosen.get('images')}:"
        " figures on these are too good",
    )


def classes_of(run: Path, manifest: Mapping[str, Any]) -> NetworkClasses | None:
    """Return the classes of a run's network; None where the manifest names none.

    Raises:
        RunError: it names them in a form that cannot be read.
    """
    rows = manifest.get("classes")
    if not rows:
        return None
    try:
        return NetworkClasses.from_json(rows)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run}/manifest.json: not readable classes ({error}); localize again"
        ) from error
