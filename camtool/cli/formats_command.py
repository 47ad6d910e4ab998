"""camtool formats."""

from __future__ import annotations

import click

from camtool.cli.options import format_rows
from camtool.cli.terminal import say


@click.command("formats")
def command() -> None:
    """List the files that can be read: annotations, labels, predictions, masks, images."""
    from camtool.images.decode import FORMATS

    for table in tables():
        say(format_rows(table) + "\n")
    say("images, by content: " + ", ".join(FORMATS))


def tables() -> list[list[tuple[str, ...]]]:
    """Return what is read, and the fields of the table that `eval` writes: a head, then rows."""
    from camtool.annotations import AnnotationReader, Reader
    from camtool.evaluation.masks import MASK_FORMS
    from camtool.evaluation.per_image import FIELDS
    from camtool.evaluation.sources import PREDICTION_FORMS
    from camtool.settings import members

    readers = members(AnnotationReader, Reader)
    rows = [(r.model_fields["name"].default, r.direction, r.summary, r.layout) for r in readers]
    return [
        [("format", "direction", "what it is", "layout"), *rows],
        [("predictions", "what it is"), *PREDICTION_FORMS],
        [("masks", "what it is"), *MASK_FORMS],
        [("eval --per-image", "what a field holds"), *FIELDS],
    ]
