"""Images without classes."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from camtool.annotations import NetworkClasses
from camtool.images import find_images
from camtool.settings import FilePath
from camtool.training.data.sets import DataSettings, Example, ExampleSets


@final
class ImagesData(DataSettings):
    """Images in a folder, a list or an archive; whatever folders they lie in are no classes.

    For `train.method: foreground`, which needs no label. All are trained on.

    Example:
        >>> from pathlib import Path
        >>> for name in ("photos/1.jpg", "photos/trip/2.jpg"):
        ...     Path(name).parent.mkdir(parents=True, exist_ok=True)
        ...     Path(name).touch()
        >>> sets = ImagesData(root=Path("photos")).load(seed=0)
        >>> len(sets.train), len(sets.val), len(sets.classes)
        (2, 0, 0)
    """

    summary: ClassVar[str] = "images without classes, for train.method: foreground"

    name: Literal["images"] = "images"

    root: FilePath
    """A folder (looked through), an image, a list of images, or a tar or zip file."""

    def load(self, seed: int) -> ExampleSets:
        """List all images; see `DataSettings.load`."""
        del seed
        found = find_images([str(self.root)])
        train = [Example(source, (0,)) for source in found.sources]
        return ExampleSets(NetworkClasses.named(()), train, [], notes=list(found.warnings))
