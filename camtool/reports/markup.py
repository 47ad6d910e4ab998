"""HTML of reports: templates, their style and scripts, and data that a page carries in itself.

Everything that a page shows of foreign text is escaped by the templates, and data embedded for the
scripts can hold no character that would end their element.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup

from camtool.errors import shorten
from camtool.reports.document import Heading, Items, Notes, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.reports.document import Block, Document

_FOLDER: Final = Path(__file__).parent / "html"
_ESCAPES: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_LONGEST: Final = 2000
_LONGEST_NAME: Final = 240


def shown(text: str, limit: int = _LONGEST_NAME) -> str:
    r"""Return a name for a page: control characters written out, the middle of a long one left out.

    Example:
        >>> shown("two\nlines")
        'two\\nlines'
    """
    return shorten(text, limit)


def embedded(value: Any) -> str:  # noqa: ANN401 (whatever JSON can hold)
    r"""Return JSON that may stand within a `<script>`: nothing in it can end the element.

    Example:
        >>> embedded({"name": "</script>"})
        '{"name":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


def part(name: str) -> Markup:
    """Return a style sheet or script of the program's own, to stand within its element."""
    return Markup((_FOLDER / name).read_text("utf-8"))


@functools.lru_cache(maxsize=1)
def templates() -> jinja2.Environment:
    """Return the templates; whatever they insert is escaped."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["shown"] = functools.partial(shown, limit=_LONGEST)
    found.globals["part"] = part
    return found


def to_html(document: Document) -> str:
    """Return a page of its own: tables and paragraphs, readable in the dark and on a phone."""
    page: str = templates().get_template("document.html.jinja").render(
        title=document.title, blocks=drawn_blocks(document.blocks)
    )  # fmt: skip
    return page


def drawn_blocks(blocks: Sequence[Block]) -> list[tuple[str, Block]]:
    """Return each block with the name of the kind that the template draws it as."""
    return [(_kind(block), block) for block in blocks]


def _kind(block: Block) -> str:
    kinds = {Heading: "heading", Table: "table", Notes: "notes", Items: "items"}
    return kinds[type(block)]
