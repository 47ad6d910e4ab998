"""camtool methods."""

from __future__ import annotations

import click

from camtool.cli.options import format_rows

__all__ = ["command"]


@click.command("methods")
def command() -> None:
    """List the ways from pictures to input, to maps and to boxes, and the protocols of eval."""
    from camtool.boxes import BOX_RULES, THRESHOLD_RULES
    from camtool.cam import CAMS
    from camtool.images import PREPROCESSES, VIEWS
    from camtool.metrics.protocols import PROTOCOLS
    from camtool.pipelines.classes import CLASS_CHOICES

    cams = [(_name(c), c.paper, c.needs, c.passes) for c in CAMS]
    rules = [(_name(r), r.summary, r.paper) for r in BOX_RULES]
    thresholds = [(_name(t), t.summary) for t in THRESHOLD_RULES]
    fits = [(_name(p), p.summary) for p in PREPROCESSES]
    views = [(_name(v), v.summary, v.passes, v.paper) for v in VIEWS]
    protocols = [(_name(p), p.measure, p.paper) for p in PROTOCOLS]
    choices = [(_name(c), c.summary) for c in CLASS_CHOICES]
    click.echo(format_rows([("localize.cam", "paper", "needs", "passes"), *cams]), nl=True)
    click.echo("\n" + format_rows([("localize.boxes", "rule", "paper"), *rules]))
    click.echo("\n" + format_rows([("localize.boxes.threshold", "what it is"), *thresholds]))
    click.echo("\n" + format_rows([("localize.preprocess", "what it does"), *fits]))
    click.echo("\n" + format_rows([("localize.views", "what it does", "passes", "paper"), *views]))
    click.echo("\n" + format_rows([("localize.classes", "which classes get a map"), *choices]))
    click.echo("\n" + format_rows([("eval.protocol", "measures", "paper"), *protocols]))


def _name(part: type) -> str:
    default: str = part.model_fields["name"].default  # type: ignore[attr-defined]
    return default
