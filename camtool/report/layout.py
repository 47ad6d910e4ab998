"""How rows are laid out: columns and paragraphs of plain text, and Markdown."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["bullets", "columns", "escaped", "notes", "pipes", "wrapped"]

WIDTH = 96


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def notes(rows: Sequence[tuple[str, str]]) -> str:
    """Return titles and texts, each pair a wrapped paragraph."""
    return "\n".join(wrapped(f"  {title}: ", text) for title, text in rows)


def wrapped(lead: str, text: str) -> str:
    """Return `lead` and `text`, wrapped and indented."""
    return textwrap.fill(
        lead + text,
        WIDTH,
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    aligned = ["---", *["---:"] * (len(head) - 1)]
    cells = [list(head), aligned, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def bullets(rows: Sequence[tuple[str, str]]) -> str:
    """Return titles and texts as a Markdown list."""
    return "\n".join(f"- **{escaped(title)}**: {escaped(text)}" for title, text in rows)


def escaped(text: str) -> str:
    """Return `text` with the characters escaped that Markdown and HTML would take as markup."""
    for character in "\\|*_<>[":
        text = text.replace(character, f"\\{character}")
    return text
