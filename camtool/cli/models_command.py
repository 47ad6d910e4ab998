"""camtool models."""

from __future__ import annotations

import fnmatch

import click

from camtool.cli.options import format_rows, show_messages
from camtool.cli.terminal import say
from camtool.errors import ModelError, shorten
from camtool.progress import progress


@click.command("models")
@click.argument("pattern", default="*")
@click.option(
    "--probe", is_flag=True,
    help="Build each with random weights and tell its input, grid and head, or why it has no map.",
)  # fmt: skip
def command(pattern: str, probe: bool) -> None:
    """List the backbones whose name matches PATTERN, the bundled ones first.

    PATTERN is a part of a name (`resnet50`), or has stars (`timm/resnet*`).
    """
    show_messages()
    from camtool.models import BUNDLED
    from camtool.models.backbones import LIBRARIES, names
    from camtool.settings.written import similar

    every = [*BUNDLED, *(f"{lib}/{n}" for lib in LIBRARIES for n in names(lib))]
    sought = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    found = [n for n in dict.fromkeys(every) if fnmatch.fnmatchcase(n, sought)]
    if not found:
        near = similar(pattern, [n.partition("/")[2] for n in every])
        hint = f"did you mean '{near}'?" if near else "`camtool models` lists them all"
        raise ModelError(f"no backbone matches '{shorten(pattern, 60)}'; {hint}")
    if probe:
        rows = [_probe(name) for name in progress(found, len(found), 0, "networks")]
        say(format_rows([("backbone", "input", "grid", "head"), *rows]))
        return
    for name in found:
        say(f"{name}  (bundled weights)" if name in BUNDLED else name)


def _probe(name: str) -> tuple[str, str, str, str]:
    try:
        return _probed(name)
    except ModelError as error:
        return name, "", "", str(error).removeprefix(name).removeprefix(": ").split(";")[0].strip()
    except (RuntimeError, ValueError, TypeError, KeyError, ImportError) as error:
        # What the code of one network of a thousand raises is its row.
        reason = str(error).splitlines()[0] if str(error) else ""
        return name, "", "", f"fails: {type(error).__name__}: {shorten(reason, 100)}"


def _probed(name: str) -> tuple[str, str, str, str]:
    import torch

    from camtool.models import ModelSettings
    from camtool.models.splitting import UnsplitHead

    classifier = ModelSettings(backbone=name, weights="none").build()
    width, height = classifier.spec.size
    if isinstance(classifier.head, UnsplitHead):
        reason = classifier.head.reason.removeprefix(f"{name}: ").split(";")[0]
        return name, f"{width}×{height}", "", f"no CAM: {reason}; grid at {classifier.head.layer}"
    with torch.inference_mode():
        features = classifier(torch.zeros(1, 3, height, width)).features
    grid = f"{features.shape[3]}×{features.shape[2]}×{features.shape[1]}"
    head = type(classifier.head).__name__.removesuffix("Head")
    return name, f"{width}×{height}", grid, head
