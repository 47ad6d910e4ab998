"""A report as a document: tables and paragraphs, which a renderer lays out.

A report is built once (`camtool.reports.evaluation`, `camtool.reports.comparison`) and rendered as
plain text, Markdown, JSON or HTML. Another form is one more function from a `Document` to text,
entered in `RENDERERS`.
"""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from camtool.errors import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WIDTH: Final = 96
_LEAST_WIDTH: Final = 12
_NUMBERS: Final = re.compile(r"\[\n([-+.\deE,\s]+)\]")


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a head; the first column is aligned to the left, the others to the right.

    Attributes:
        head: titles of the columns.
        rows: as many cells each.
        notes: what stands below, title and text.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Notes:
    """Titles and texts, a paragraph each.

    Attributes:
        title: of all of them; empty for none.
        rows: title and text.
    """

    title: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Items:
    """Sentences, one a line.

    Attributes:
        title: of all of them.
        texts: the sentences.
    """

    title: str
    texts: Sequence[str]


Block = Heading | Table | Notes | Items


@dataclass(frozen=True, slots=True)
class Document:
    """A report, before it is laid out.

    Example:
        >>> document = Document("two rows", (Table(("name", "n"), (("a", "1"), ("b", "20"))),), {})
        >>> print(to_text(document))
        two rows
        <BLANKLINE>
        name   n
        ----  --
        a      1
        b     20

    Attributes:
        title: what the report is of.
        blocks: its parts, from top to bottom.
        record: all of it as plain data, for JSON: figures at full precision.
    """

    title: str
    blocks: Sequence[Block]
    record: Mapping[str, Any] = field(default_factory=dict)


def to_text(document: Document, width: int = WIDTH) -> str:
    """Return plain text, of at most `width` columns where tables allow it."""
    return "\n\n".join([document.title, *(_text(block, width) for block in document.blocks)])


def _text(block: Block, width: int) -> str:
    if isinstance(block, Heading):
        return block.text
    if isinstance(block, Table):
        below = [wrapped(f"  {title}: ", text, width) for title, text in block.notes]
        return "\n".join([columns(block.head, block.rows, width), *below])
    if isinstance(block, Notes):
        lines = [wrapped(f"  {title}: ", text, width) for title, text in block.rows]
        return "\n".join([*([block.title] if block.title else []), *lines])
    return "\n".join([block.title, *(wrapped("  - ", text, width) for text in block.texts)])


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], width: int = WIDTH) -> str:
    """Lay out rows in columns: the first to the left, the others to the right.

    On a terminal that is narrower than a report, the texts of the first column are cut.
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    if width < WIDTH and (beyond := sum(widths) + 2 * len(widths) - 2 - width) > 0:
        widths[0] = max(widths[0] - beyond, _LEAST_WIDTH)
        head, *rows = ((shorten(row[0], widths[0]), *row[1:]) for row in (head, *rows))
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def wrapped(lead: str, text: str, width: int = WIDTH) -> str:
    """Return `lead` and `text`, wrapped and indented."""
    return textwrap.fill(
        lead + text,
        width,
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def to_markdown(document: Document) -> str:
    """Return Markdown, with everything escaped that would be taken as markup."""
    return "\n\n".join([f"## {escaped(document.title)}", *map(_markdown, document.blocks)])


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"### {escaped(block.text)}"
    if isinstance(block, Table):
        aligned = ["---", *["---:"] * (len(block.head) - 1)]
        cells = [list(block.head), aligned, *([escaped(c) for c in row] for row in block.rows)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
        return f"{table}\n\n{_bullets(block.notes)}".rstrip()
    if isinstance(block, Notes):
        title = f"### {escaped(block.title.capitalize())}\n\n" if block.title else ""
        return title + _bullets(block.rows)
    listed = "\n".join(f"- {escaped(text)}" for text in block.texts)
    return f"### {escaped(block.title.capitalize())}\n\n{listed}"


def _bullets(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- **{escaped(title)}**: {escaped(text)}" for title, text in rows)


def escaped(text: str) -> str:
    """Return `text` with the characters escaped that Markdown and HTML would take as markup."""
    for character in "\\|*_<>[":
        text = text.replace(character, f"\\{character}")
    return text


def to_json(document: Document) -> str:
    """Return the data as one JSON object, without a line end."""
    text = json.dumps(document.record, indent=2, ensure_ascii=False, allow_nan=False)
    # Curves are long: their numbers go on one line. No text holds a line end, so none is touched.
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def to_csv(document: Document) -> str:
    """Return the tables as comma-separated values, an empty line between two of them."""
    tables = [block for block in document.blocks if isinstance(block, Table)]
    written = []
    for table in tables:
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows([table.head, *table.rows])
        written.append(lines.getvalue())
    return "\n".join(written).rstrip("\n")


_TEX: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--", "→": r"$\to$", "≥": r"$\geq$", "×": r"$\times$",
    "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def to_latex(document: Document) -> str:
    """Return the tables for LaTeX, with the rules of its package `booktabs`; notes as comments."""
    return "\n\n".join(
        [f"% {document.title}", *(_latex(b) for b in document.blocks if not isinstance(b, Items))]
    )


def _latex(block: Heading | Table | Notes) -> str:
    if isinstance(block, Table):
        rows = [" & ".join(map(_tex, row)) + r" \\" for row in (block.head, *block.rows)]
        body = ["\\toprule", rows[0], "\\midrule", *rows[1:], "\\bottomrule"]
        columns = "l" + "r" * (len(block.head) - 1)
        lines = [f"\\begin{{tabular}}{{{columns}}}", *body, "\\end{tabular}"]
        return "\n".join([*lines, *(f"% {title}: {text}" for title, text in block.notes)])
    if isinstance(block, Heading):
        return f"% {block.text}"
    return "\n".join(f"% {title}: {text}" for title, text in block.rows)


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def to_html(document: Document) -> str:
    """Return a page of its own; see `camtool.reports.markup`."""
    # The templates are loaded only where a page is asked for.
    from camtool.reports import markup

    return markup.to_html(document)


RENDERERS: Final[dict[str, Callable[[Document], str]]] = {
    "table": to_text,
    "json": to_json,
    "markdown": to_markdown,
    "html": to_html,
    "csv": to_csv,
    "latex": to_latex,
}
"""Every form of a report, by the name that `--format` takes."""
ENDINGS: Final = {
    ".json": "json", ".md": "markdown", ".html": "html", ".csv": "csv", ".tex": "latex",
}  # fmt: skip
"""The form of a report by the ending of its file, where none is named."""
