"""camtool models."""

from __future__ import annotations

import fnmatch

import click

from camtool.cli.options import format_rows, show_messages
from camtool.cli.terminal import say
from camtool.errors import ModelError


@click.command("models")
@click.argument("pattern", default="*")
@click.option(
    "--probe", is_flag=True,
    help="Build each with random weights and tell its input, grid and head, or why it has no map.",
)  # fmt: skip
def command(pattern: str, probe: bool) -> None:
    """List the backbones whose name matches PATTERN (`timm/resnet*`), the bundled ones first."""
    show_messages()
    from camtool.models import BUNDLED
    from camtool.models.backbones import LIBRARIES, names

    every = [*BUNDLED, *(f"{lib}/{n}" for lib in LIBRARIES for n in names(lib))]
    found = [n for n in dict.fromkeys(every) if fnmatch.fnmatchcase(n, pattern)]
    if not found:
        raise ModelError(f"no backbone matches '{pattern}'; try '*{pattern.strip('*')}*'")
    if probe:
        say(format_rows([("backbone", "input", "grid", "head"), *map(_probe, found)]))
        return
    for name in found:
        say(f"{name}  (bundled weights)" if name in BUNDLED else name)


def _probe(name: str) -> tuple[str, str, str, str]:
    import torch

    from camtool.models import ModelSettings
    from camtool.models.splitting import UnsplitHead

    try:
        classifier = ModelSettings(backbone=name, weights="none").build()
    except ModelError as error:
        return name, "", "", str(error).removeprefix(f"{name}: ").split(";")[0]
    width, height = classifier.spec.size
    if isinstance(classifier.head, UnsplitHead):
        reason = classifier.head.reason.removeprefix(f"{name}: ").split(";")[0]
        return name, f"{width}×{height}", "", f"no CAM: {reason}; grid at {classifier.head.layer}"
    with torch.inference_mode():
        features = classifier(torch.zeros(1, 3, height, width)).features
    grid = f"{features.shape[3]}×{features.shape[2]}×{features.shape[1]}"
    head = type(classifier.head).__name__.removesuffix("Head")
    return name, f"{width}×{height}", grid, head
