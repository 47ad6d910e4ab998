"""Which classes of an image get a map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from camtool.errors import SettingsError, shorten
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.annotations import NetworkClasses


class BaseClassChoice(Settings, ABC):
    """Base of the choices of classes."""

    summary: ClassVar[str]

    def check(self, names: NetworkClasses, *, labelled: bool) -> None:
        """Refuse what does not fit the network's classes or the images, before any work is done.

        Args:
            names: the network's classes.
            labelled: something says which classes of the images are true.

        Raises:
            SettingsError: it does not fit.
        """

    @abstractmethod
    def choose(
        self, order: NDArray[np.int64], targets: Sequence[int], names: NetworkClasses
    ) -> list[int]:
        """Return the class indices of one image, most probable first.

        Args:
            order: all class indices, most probable first.
            targets: indices of the true classes.
            names: the network's classes.
        """


@final
class TopK(BaseClassChoice):
    """The k most probable classes, and the true ones (`--labels`) that are not among them."""

    summary: ClassVar[str] = "the k most probable classes, and the true ones of --labels"

    name: Literal["top-k"] = "top-k"

    k: Annotated[int, Field(ge=1, le=100)] = 5
    """Number of classes; the protocols need 5."""

    def choose(
        self, order: NDArray[np.int64], targets: Sequence[int], names: NetworkClasses
    ) -> list[int]:
        """Return the most probable classes, then the true ones that are not among them."""
        del names
        best = [int(i) for i in order[: self.k]]
        return best + [t for t in targets if t not in best]


@final
class Labels(BaseClassChoice):
    """The true classes only, from `--labels`: for GT-known localization."""

    summary: ClassVar[str] = "only the true classes of --labels"

    name: Literal["labels"] = "labels"

    def check(self, names: NetworkClasses, *, labelled: bool) -> None:
        """Refuse images without labels, before any work is done.

        Raises:
            SettingsError: nothing says which classes are true.
        """
        del names
        if not labelled:
            raise SettingsError(
                "localize.classes: 'labels' needs the true classes of the images: give --labels,"
                " or a list of images and classes"
            )

    def choose(
        self, order: NDArray[np.int64], targets: Sequence[int], names: NetworkClasses
    ) -> list[int]:
        """Return the true classes, most probable first."""
        del names
        return [int(i) for i in order if i in targets]


@final
class Listed(BaseClassChoice):
    """Classes given by name, the same for every image; true classes are added."""

    summary: ClassVar[str] = "the classes given by name or wnid, in every image"

    name: Literal["list"] = "list"

    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]
    """Wnids, names or indices of classes."""

    def check(self, names: NetworkClasses, *, labelled: bool) -> None:
        """Refuse classes that the network does not have, before any work is done.

        Raises:
            SettingsError: names the class, and the nearest one.
        """
        del labelled
        for name in self.classes:
            self._index(name, names)

    def choose(
        self, order: NDArray[np.int64], targets: Sequence[int], names: NetworkClasses
    ) -> list[int]:
        """Return the listed classes, most probable first."""
        wanted = {self._index(c, names) for c in self.classes} | set(targets)
        return [int(i) for i in order if i in wanted]

    def _index(self, name: str, names: NetworkClasses) -> int:
        # So long a number is no index; Python refuses to read one of thousands of digits.
        is_index = name.isascii() and name.isdigit() and len(name) < 10
        index = names.index(int(name) if is_index else name)
        if index is None:
            raise SettingsError(
                f"localize.classes.classes: the network has no class '{shorten(name)}'"
                f"{names.hint(name)}"
            )
        return index


ClassChoice = Annotated[TopK | Labels | Listed, Field(discriminator="name")]
"""Every way to choose classes."""
