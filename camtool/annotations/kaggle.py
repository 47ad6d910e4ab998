"""Kaggle's form of ILSVRC: `ImageId,PredictionString`, for true boxes and for submissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations.reader import (
    AnnotationSet,
    Collector,
    EntryError,
    FileProbe,
    ImageTable,
    Reader,
)
from camtool.annotations.rows import box_from_corners, numbers
from camtool.errors import AnnotationError, shorten
from camtool.tables import image_stem, table_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADER = ["imageid", "predictionstring"]


def kaggle_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (place, image id, prediction string) of each row.

    Raises:
        AnnotationError: another header, or a row without an image.
    """
    rows = table_rows(path)
    line, header = next(rows, (1, [""]))
    if [cell.lower() for cell in header] != _HEADER:
        found = shorten(",".join(header))
        raise AnnotationError(
            f"{path}:{line}", f"the header is not ImageId,PredictionString: {found}"
        )
    for line, cells in rows:
        place = f"{path}:{line}"
        if len(cells) > 2 or not cells[0]:
            raise AnnotationError(place, f"{len(cells)} fields, 2 needed: ImageId,PredictionString")
        yield place, image_stem(cells[0]), cells[1] if len(cells) == 2 else ""


def kaggle_groups(text: str) -> list[tuple[str, list[float]]]:
    """Split `wnid xmin ymin xmax ymax …` into (wnid, four inclusive corners).

    Raises:
        EntryError: an incomplete group, or a corner that is no number.
    """
    fields = text.split()
    if len(fields) % 5:
        raise EntryError(f"{len(fields)} fields, a multiple of 5 needed: wnid xmin ymin xmax ymax")
    tags = ("xmin", "ymin", "xmax", "ymax")
    return [(fields[i], numbers(fields[i + 1 : i + 5], tags)) for i in range(0, len(fields), 5)]


@final
class Kaggle(Reader):
    r"""`LOC_train_solution.csv` and `LOC_val_solution.csv`; corners are 0-based and inclusive.

    Example:
        >>> from pathlib import Path
        >>> text = "ImageId,PredictionString\na,n02119789 255 142 454 329\n"
        >>> _ = Path("LOC_val_solution.csv").write_text(text)
        >>> Kaggle().read(Path("LOC_val_solution.csv")).annotations["a"].boxes("n02119789")
        (Box(x0=255.0, y0=142.0, x1=455.0, y1=330.0),)
    """

    summary: ClassVar[str] = "Kaggle's LOC_val_solution.csv and LOC_train_solution.csv"
    layout: ClassVar[str] = "ImageId,PredictionString: ILSVRC2012_val_…,n02119789 255 142 454 329 …"
    direction: ClassVar[str] = "reads annotations and predictions"

    name: Literal["kaggle"] = "kaggle"

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """Its header."""
        cells = probe.first_line.lstrip("\ufeff").split(",")
        return [c.strip().strip('"').lower() for c in cells] == _HEADER

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        table = ImageTable(Collector(str(path), self.name))
        for place, image_id, text in kaggle_rows(path):
            try:
                groups = kaggle_groups(text)
                if not groups:
                    raise EntryError("no object")
                for wnid, corners in groups:
                    table.add(image_id, wnid, box_from_corners(corners, "inclusive"), place)
            except EntryError as error:
                table.fail(image_id, place, str(error))
        return table.finish()
