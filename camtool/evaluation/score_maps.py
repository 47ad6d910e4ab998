"""Where the score maps of an evaluation come from: a run's stored maps, or files of maps."""

from __future__ import annotations

import threading
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import numpy as np

from camtool.boxes import BoxRule, SweptRule
from camtool.boxes.rule import Rule
from camtool.boxes.thresholds import otsu_bin, percentile_bin
from camtool.errors import EvaluationError, shorten
from camtool.kernels import BINS
from camtool.metrics.protocol import matches
from camtool.metrics.wsol_frame import FRAME, map_to_frame
from camtool.paths import is_folder
from camtool.runs import MapFiles
from camtool.runs.maps import DAMAGED, check_header
from camtool.settings import members
from camtool.structures import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from camtool.evaluation.settings import EvalSettings
    from camtool.metrics.protocol import MapSource, MaskSource
    from camtool.metrics.thresholds import Chosen, Sweep
    from camtool.structures import ScoreMap

_LARGEST: Final = 256 << 20


def holds_maps(path: Path) -> bool:
    """Tell whether a path is an `.npz`, or a folder with `.npy` files that is no run."""
    if is_folder(path):
        return not (path / "manifest.json").exists() and any(path.rglob("*.npy"))
    return path.suffix.lower() == ".npz"


@final
class RunMaps:
    """The maps that `camtool localize` stored."""

    of_true_class: bool = False

    def __init__(self, run: Path, masks: MaskSource | None = None) -> None:
        """Read from a run folder; `masks` are the true ones."""
        self.masks = masks
        self._run = run
        self._files = MapFiles(run)

    def load(self, prediction: Prediction, label: str | int) -> NDArray[np.float32] | None:
        """Return the stored map of a class, in the frame and scaled to [0, 1].

        Raises:
            EvaluationError: it covers only a part of the image (a centre crop).
            RunError: it cannot be read.
        """
        found = self.stored(prediction, label)
        if found is None:
            return None
        if found.region != (0.0, 0.0, float(found.size[0]), float(found.size[1])):
            raise EvaluationError(
                f"{self._run}: the map of {shorten(prediction.image_id)} covers a centre crop; this"
                " protocol needs whole images: localize with localize.preprocess.name=squeeze"
            )
        return map_to_frame(found.values)

    def has(self, prediction: Prediction, label: str | int) -> bool:
        """Tell whether a map of a class is stored."""
        return any(matches(label, c) and c.map is not None for c in prediction.classes)

    def stored(self, prediction: Prediction, label: str | int) -> ScoreMap | None:
        """Return the low-resolution map of a class as it is stored; None where there is none.

        Raises:
            RunError: it cannot be read.
        """
        rows = (c.map for c in prediction.classes if matches(label, c) and c.map is not None)
        row = next(rows, None)
        if row is None:
            return None
        found = self._files.load(prediction, row)
        if not prediction.turned:
            return found
        # Stored in the other frame than the boxes of this prediction are in now.
        return found.turned(replace(prediction, upright=not prediction.upright).turn())


@final
class FileMaps:
    """Score maps by image id: the entries of an `.npz`, or the `.npy` files of a folder.

    A map of 224×224 is taken as it is and must lie in [0, 1], as the WSOL benchmark writes them;
    any other is a class map of any range. The map belongs to the image's true class.
    """

    of_true_class: bool = True

    def __init__(self, path: Path, masks: MaskSource | None = None) -> None:
        """Open the file, or list the folder.

        Args:
            path: `.npz`, or folder of `.npy`.
            masks: where the true masks are.

        Raises:
            EvaluationError: it cannot be read, or holds no map.
        """
        self.masks = masks
        self._path = path
        self._archive: zipfile.ZipFile | None = None
        self._opening = threading.Lock()
        if is_folder(path):
            files = {str(f.relative_to(path).with_suffix("")): f for f in path.rglob("*.npy")}
            self._files = dict(sorted(files.items()))
        else:
            self._files = dict.fromkeys(self._open(path), path)
        if not self._files:
            raise EvaluationError(f"{path}: holds no map")

    def _open(self, path: Path) -> list[str]:
        try:
            if not zipfile.is_zipfile(path):  # numpy would leave the file open
                raise EvaluationError(f"{path}: not a readable .npz file")
            self._archive = zipfile.ZipFile(path)
        except DAMAGED as error:
            raise EvaluationError(
                f"{path}: not a readable .npz file ({shorten(str(error), 200)})"
            ) from error
        return [name.removesuffix(".npy") for name in self._archive.namelist()]

    def predictions(self) -> Iterator[Prediction]:
        """Yield an empty prediction for each map."""
        for name, path in self._files.items():
            yield Prediction(name, str(path), None)

    def has(self, prediction: Prediction, label: str | int) -> bool:
        """Tell whether there is a map of an image."""
        del label
        return prediction.image_id in self._files

    def load(self, prediction: Prediction, label: str | int) -> NDArray[np.float32]:
        """Return the map of an image, in the frame and within [0, 1].

        Raises:
            EvaluationError: it cannot be read, is no map, or is out of range; names it.
        """
        del label
        place = f"{self._path}: {shorten(prediction.image_id)}"
        try:
            values = self._read(prediction.image_id)
        except DAMAGED as error:
            raise EvaluationError(
                f"{place}: not a readable map ({shorten(str(error), 200)})"
            ) from error
        if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
            raise EvaluationError(
                f"{place}: not a map, but {values.dtype} of shape {values.shape}; a map is (h, w)"
            )
        if values.shape != (FRAME, FRAME):
            return map_to_frame(values)
        if not (values.min() >= 0 and values.max() <= 1):
            raise EvaluationError(
                f"{place}: values from {values.min():g} to {values.max():g}; maps of 224×224 must"
                " lie in [0, 1]"
            )
        return values.astype(np.float32)

    def stored(self, prediction: Prediction, label: str | int) -> ScoreMap | None:
        """Return None: how the files' maps lie in their images, nobody says."""
        del prediction, label
        return None

    def _read(self, name: str) -> NDArray[np.float32]:
        if self._archive is not None:
            return self._unpacked(self._archive, f"{name}.npy")
        path = self._files[name]
        with path.open("rb") as file:
            check_header(file, path.stat().st_size, _LARGEST)
            file.seek(0)
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))

    def _unpacked(self, archive: zipfile.ZipFile, name: str) -> NDArray[np.float32]:
        info = archive.getinfo(name)
        # Python counts an archive's open members without a lock, but reads them with one: only
        # opening and closing must be kept apart, and threads unpack at the same time.
        with self._opening:
            member = archive.open(info)
        try:
            check_header(member, info.file_size, _LARGEST)
            member.seek(0)
            return np.asarray(np.lib.format.read_array(member, allow_pickle=False))
        finally:
            with self._opening:
                member.close()


@dataclass(frozen=True, slots=True)
class SweptMaps:
    """The stored maps of a run by a box rule with a threshold: their boxes in every column.

    Attributes:
        rule: the run's box rule; its own threshold does not count.
        sweep: thresholds, and the settings of the rules for them.
        maps: the run's maps.
        chosen: a threshold that was chosen on other images.
    """

    rule: SweptRule
    sweep: Sweep
    maps: RunMaps
    chosen: Chosen | None = None

    def boxes(
        self, prediction: Prediction, label: str | int, name: str
    ) -> tuple[NDArray[np.float64], tuple[int, int]] | None:
        """Return the box of a class in each column but `run`; see `SweptBoxes`.

        Raises:
            RunError: the map cannot be read.
        """
        score_map = self.maps.stored(prediction, label)
        if score_map is None:
            return None
        columns = self.sweep.columns(self.chosen)
        if not np.isfinite(score_map.values).all():
            return np.zeros((len(columns) - 1, 4)), score_map.size
        thresholds = columns.thresholds
        counts = self.rule.histogram(score_map)
        bins = (otsu_bin(counts), percentile_bin(counts, self.sweep.percentile))
        every = np.concatenate((thresholds, [(level + 1) / BINS for level in bins]))
        order = np.argsort(every, kind="stable")
        found = np.empty((len(every), 4))
        found[order] = self.rule.boxes_at(score_map, every[order])
        named = [columns.place(self.sweep.fixed), len(thresholds), len(thresholds) + 1]
        if self.chosen is not None:
            named.append(columns.place(self.chosen.of(name)))
        return np.concatenate((found[: len(thresholds)], found[named])), score_map.size


def swept_maps(
    settings: EvalSettings,
    rule: SweptRule | None,
    maps: MapSource | None,
    chosen: Chosen | None = None,
) -> SweptMaps | str | None:
    """Return the boxes of maps at all thresholds; why there are none; None where not asked.

    Args:
        settings: the settings of the evaluation.
        rule: the box rule of the run; None where it is unknown, or has no threshold.
        maps: where the maps are; None where there are none.
        chosen: a threshold that was chosen on other images.
    """
    if settings.sweep is None or settings.protocol.needs_maps:
        return None
    if not isinstance(maps, RunMaps):
        return "the predictions come without maps: only a run folder keeps them"
    if rule is None:
        swept = (kind for kind in members(BoxRule, Rule) if issubclass(kind, SweptRule))
        names = " and ".join(f"`{kind.model_fields['name'].default}`" for kind in swept)
        return f"the run's box rule has no threshold to change: only {names} have one"
    return SweptMaps(rule, settings.sweep, maps, chosen)
