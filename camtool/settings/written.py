"""The settings as the user wrote them: plain data, and the place of everything in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camtool.errors import SettingsError
from camtool.settings.mismatch import described
from camtool.settings.places import KeyPath, Place, dotted, problem

if TYPE_CHECKING:
    from camtool.settings.overrides import Override

__all__ = ["Written"]


@dataclass(slots=True)
class Written:
    """Data of a file, changed by overrides; `keys` and `values` hold places by key path.

    Attributes:
        data: the mapping at the root.
        keys: the place of each key and list item.
        values: the place of each scalar.
        root: where to point for what is not written anywhere.
    """

    data: dict[str, Any]
    keys: dict[KeyPath, Place]
    values: dict[KeyPath, Place]
    root: Place

    def place_of_key(self, path: KeyPath) -> Place:
        """Return the place of the key, or of the nearest section above that is written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.keys:
                return self.keys[path[:length]]
        return self.root

    def place_of_value(self, path: KeyPath) -> Place:
        """Return the place of the value where it is a scalar, else that of its key."""
        return self.values.get(path) or self.place_of_key(path)

    def override(self, override: Override) -> None:
        """Set one value, whatever stood there.

        Raises:
            SettingsError: the way there leads through something that has no keys.
        """
        section = self.data
        for depth, key in enumerate(override.path[:-1], start=1):
            here = override.path[:depth]
            inner = section.get(key)
            if inner is None:
                self._forget(here)
                self.keys[here] = override.place
                inner = section[key] = {}
            if not isinstance(inner, dict):
                text = f"{dotted(here)} is {described(inner)}, not a section; set it as a whole"
                raise SettingsError(problem(override.place, override.path, text))
            section = inner
        section[override.path[-1]] = override.value
        self._forget(override.path)
        self.keys[override.path] = override.place

    def _forget(self, path: KeyPath) -> None:
        for places in (self.keys, self.values):
            for known in [known for known in places if known[: len(path)] == path]:
                del places[known]
