"""How the docs' site reads docstrings: their `Example:` is a section of doctests."""

from __future__ import annotations

import re

from griffe import Extension, Object


class Examples(Extension):
    """Call `Example:` by the name that griffe has for a section of doctests.

    Under its own name it would be prose, and `>>>` a quotation.
    """

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Rename the section in the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
