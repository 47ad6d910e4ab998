"""Export: a run → its chosen boxes → files of one format, and a note of what made them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from camtool.errors import SettingsError
from camtool.exports.coco import coco_files, write_coco
from camtool.exports.label_studio import label_studio_files, write_label_studio
from camtool.exports.selection import RunBoxes, Selection
from camtool.exports.tables import write_csv, write_ilsvrc, write_kaggle
from camtool.exports.target import NOTE, check_files, check_folder, new_folder
from camtool.exports.voc import write_voc
from camtool.exports.yolo import write_yolo
from camtool.progress import progress
from camtool.runs.writing import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from camtool.exports.selection import ExportedImage, Frame


class Format(NamedTuple):
    """A format.

    Attributes:
        write: writes the boxes to files, or into a folder that is being filled.
        summary: what it is.
        frame: in which frame its boxes are.
        split: whether it has a training and a validation part.
        files: the files that it writes; None for a folder.
    """

    write: Callable[[RunBoxes, Any], None]
    summary: str
    frame: Frame
    split: bool
    files: Callable[..., list[Path]] | None


def _alone(out: Path, *, split: bool) -> list[Path]:
    del split
    return [out]


FORMATS: Final = {
    "coco": Format(write_coco, "COCO: a data set, and its results", "stored", True, coco_files),
    "voc": Format(write_voc, "VOC: an XML an image", "stored", True, None),
    "yolo": Format(write_yolo, "YOLO: labels, images, data.yaml", "upright", True, None),
    "csv": Format(write_csv, "a row a box", "upright", True, _alone),
    "ilsvrc": Format(write_ilsvrc, "guess file of the ILSVRC kit", "stored", False, _alone),
    "kaggle": Format(write_kaggle, "Kaggle's submission", "stored", False, _alone),
    "labelstudio": Format(
        write_label_studio, "tasks of Label Studio", "upright", False, label_studio_files
    ),
}
"""Every format by the name that `--format` takes."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written.

    Example:
        >>> from pathlib import Path
        >>> ExportResult((Path("boxes.json"),), 7, 7, 0, 0, "stored").images
        7

    Attributes:
        files: files, or the folder.
        images: images in them.
        boxes: their boxes.
        unreadable: images of the run that could not be read, and are left out.
        turned: images whose boxes are in another frame than in the run, since EXIF turns them.
        frame: which way up: `stored` or `upright`.
    """

    files: tuple[Path, ...]
    images: int
    boxes: int
    unreadable: int
    turned: int
    frame: str


def export(
    run: str | Path,
    out: str | Path,
    form: str,
    selection: Selection | None = None,
    *,
    overwrite: bool = False,
) -> ExportResult:
    """Write the boxes of a run in a format that other programs read.

    Example:
        >>> from camtool import localize
        >>> folder = localize("examples/images/cat.jpg").folder
        >>> result = export(folder, "boxes.csv", "csv")
        >>> print(Path("boxes.csv").read_text().splitlines()[0])
        image,label,score,x,y,w,h,image_width,image_height
        >>> result.images, result.boxes
        (1, 1)

    Records are read one after another, so memory does not grow with the run. A note of the run, its
    settings and the selection is written beside, as `camtool-export.json` in a folder and
    `NAME.export.json` beside a file.

    Args:
        run: a finished run of `camtool localize`.
        out: the file or folder to write.
        form: one of `FORMATS`.
        selection: which boxes; by default those of the most probable class.
        overwrite: replace what is there.

    Raises:
        SettingsError: no such format, or a selection that it cannot hold.
        RunError: no run, or files that are there or cannot be written.
        DataError: names that the format cannot hold.
    """
    if form not in FORMATS:
        raise SettingsError(f"no format '{form}'; there are: {', '.join(FORMATS)}")
    chosen, selection = FORMATS[form], selection or Selection()
    if selection.val_fraction and not chosen.split:
        raise SettingsError(f"--val-fraction: the format {form} has no parts; leave it out")
    out, boxes = Path(out), _Counted(Path(run), selection)
    if chosen.files is None:
        check_folder(out, overwrite=overwrite)
        with new_folder(out) as folder:
            chosen.write(boxes, folder)
            result = boxes.result([out], chosen)
            folder.write(NOTE, _note(boxes, form, result))
        return result
    files = chosen.files(out, split=selection.val_fraction > 0)
    beside = out.with_name(f"{out.name}.export.json")
    check_files([*files, beside], overwrite=overwrite)
    chosen.write(boxes, out)
    result = boxes.result(files, chosen)
    write_atomically(beside, _note(boxes, form, result))
    return result


class _Counted(RunBoxes):
    """The boxes of a run, counted as they are read, with progress."""

    count = boxes = 0

    def images(self, frame: Frame) -> Iterator[ExportedImage]:
        self.count = self.boxes = 0
        total = (self.manifest.get("counts") or {}).get("images", 0)
        for image in progress(super().images(frame), total, 0, "images"):
            self.count += 1
            self.boxes += len(image.boxes)
            yield image

    def result(self, files: Sequence[Path], form: Format) -> ExportResult:
        """Return what was read last, and where it went."""
        return ExportResult(
            tuple(files), self.count, self.boxes, self.unreadable, self.turned, form.frame
        )


def _note(boxes: RunBoxes, form: str, result: ExportResult) -> str:
    """Return what made the boxes, as JSON."""
    manifest = boxes.manifest
    told = {
        "format": form,
        "selection": boxes.selection.model_dump(mode="json"),
        "frame": result.frame,
        "counts": {
            "images": result.images, "boxes": result.boxes, "unreadable": result.unreadable,
            "turned": result.turned,
        },
        "run": str(boxes.run),
        **{key: manifest.get(key) for key in ("program", "versions", "experiment", "model")},
    }  # fmt: skip
    return json.dumps(told, indent=1) + "\n"
