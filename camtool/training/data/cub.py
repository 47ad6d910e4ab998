"""CUB-200-2011 with its official split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations import Cub, NetworkClasses, read_annotations
from camtool.errors import DataError, shorten
from camtool.images.sources import FileSource
from camtool.settings import FilePath
from camtool.tables import data_lines, image_stem
from camtool.training.data.sets import DataSettings, Example, ExampleSets, finish_sets

if TYPE_CHECKING:
    from camtool.annotations import AnnotationSet


@final
class CubData(DataSettings):
    r"""CUB-200-2011: trained and validated on its training images, with their boxes.

    The test images are left alone, unless `validate_on` says otherwise. The class map is
    `classes.txt`: names such as `001.Black_footed_Albatross`.

    Example:
        >>> tables = {
        ...     "classes.txt": "1 001.Albatross\n2 002.Wren\n",
        ...     "images.txt": "1 001.Albatross/a.jpg\n2 002.Wren/b.jpg\n3 002.Wren/c.jpg\n",
        ...     "image_class_labels.txt": "1 1\n2 2\n3 2\n",
        ...     "train_test_split.txt": "1 1\n2 1\n3 0\n",
        ...     "bounding_boxes.txt": "1 0 0 9 9\n2 0 0 9 9\n3 2 1 9 9\n",
        ... }
        >>> for name, text in tables.items():
        ...     _ = Path(name).write_text(text)
        >>> sets = CubData(root=Path.cwd()).load(seed=0)
        >>> sets.classes.titles, len(sets.train), len(sets.val), len(sets.test)
        (('Albatross', 'Wren'), 2, 0, 1)
    """

    summary: ClassVar[str] = "CUB-200-2011: the folder with images.txt and classes.txt"

    name: Literal["cub"] = "cub"

    root: FilePath
    """The folder `CUB_200_2011`."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        names = tuple(
            line.strip().partition(" ")[2].strip()
            for _, line in data_lines(self.root / "classes.txt")
        )
        titles = tuple(name.partition(".")[2].replace("_", " ") or name for name in names)
        files = _files(self.root)
        of_train = read_annotations(self.root, Cub(split="train"))
        of_test = read_annotations(self.root, Cub(split="test"))
        train, test = (self._examples(a, files, len(names)) for a in (of_train, of_test))
        classes = NetworkClasses(names, titles)
        if self.validate_on == "test":
            sets = ExampleSets(
                classes, train, test, of_test, held="the official test images", on_test=True
            )
            return finish_sets(sets, self.root)
        train, val, held = self.set_apart(train, seed)
        sets = ExampleSets(classes, train, val, of_train, held=held, test=test, truth=self.root)
        return finish_sets(sets, self.root)

    def _examples(self, known: AnnotationSet, files: dict[str, str], count: int) -> list[Example]:
        examples = []
        for image_id, annotation in known.annotations.items():
            labels = tuple(int(label) for label in annotation.labels)
            if outside := [label for label in labels if label >= count]:
                raise DataError(
                    f"{self.root}: {shorten(image_id)} has the class {outside[0] + 1}, outside the"
                    f" class map of {count} (classes.txt)"
                )
            path = str(self.root / "images" / files[image_id])
            examples.append(Example(FileSource(image_id, path), labels))
        return examples


def _files(root: Path) -> dict[str, str]:
    """The file of each image id, relative to the folder `images`."""
    lines = (line.strip().partition(" ")[2].strip() for _, line in data_lines(root / "images.txt"))
    return {image_stem(name): name for name in lines}
