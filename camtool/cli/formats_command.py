"""camtool formats."""

from __future__ import annotations

import click

from camtool.cli.options import format_rows
from camtool.cli.terminal import say


@click.command("formats")
def command() -> None:
    """List the files that can be read: annotations, labels, predictions, masks, images."""
    from camtool.annotations import AnnotationReader, Reader
    from camtool.evaluation.masks import MASK_FORMS
    from camtool.evaluation.per_image import FIELDS
    from camtool.evaluation.sources import PREDICTION_FORMS
    from camtool.images.decode import FORMATS
    from camtool.settings import members

    readers = members(AnnotationReader, Reader)
    rows = [(r.model_fields["name"].default, r.direction, r.summary, r.layout) for r in readers]
    say(format_rows([("format", "direction", "what it is", "layout"), *rows]))
    say("\n" + format_rows([("predictions", "what it is"), *PREDICTION_FORMS]))
    say("\n" + format_rows([("masks", "what it is"), *MASK_FORMS]))
    say("\n" + format_rows([("eval --per-image", "what a field holds"), *FIELDS]))
    say("\nimages, by content: " + ", ".join(FORMATS))
