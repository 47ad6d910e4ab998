"""camtool formats."""

from __future__ import annotations

import click

from camtool.cli.options import format_rows


@click.command("formats")
def command() -> None:
    """List the files that can be read: annotations, labels, predictions, masks, images."""
    from camtool.annotations import AnnotationReader, Reader
    from camtool.evaluation.mask_files import MASK_FORMS
    from camtool.evaluation.predictions import PREDICTION_FORMS
    from camtool.images.decode import FORMATS
    from camtool.settings import members

    readers = members(AnnotationReader, Reader)
    rows = [(r.model_fields["name"].default, r.direction, r.summary, r.layout) for r in readers]
    click.echo(format_rows([("format", "direction", "what it is", "layout"), *rows]))
    click.echo("\n" + format_rows([("predictions", "what it is"), *PREDICTION_FORMS]))
    click.echo("\n" + format_rows([("masks", "what it is"), *MASK_FORMS]))
    click.echo("\nimages, by content: " + ", ".join(FORMATS))
