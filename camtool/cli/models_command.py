"""camtool models."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
from importlib import metadata
from pathlib import Path
from typing import Final

import click

from camtool.cli.options import format_rows, show_messages
from camtool.cli.terminal import say
from camtool.errors import ModelError, RunError, shorten
from camtool.progress import progress
from camtool.runs.writing import make_folder, write_atomically


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
        rows = _rows(found)
        say(format_rows([("backbone", "input", "grid", "head"), *rows]))
        return
    for name in found:
        say(f"{name}  (bundled weights)" if name in BUNDLED else name)


Row = tuple[str, str, str, str]
_SHARE: Final = 0.4
"""Of the free memory, what a network's weights may take; to run it takes about as much again."""


def _rows(names: list[str]) -> list[Row]:
    """Return what is known of networks, looking only at those that were not looked at before.

    What was found is kept by the versions of the libraries, also where the look is interrupted.
    """
    memory = _Memory()
    known = memory.read()
    try:
        for name in progress([n for n in names if n not in known], len(names), 0, "networks"):
            known[name] = _probe(name)
    finally:
        memory.write(known)
    return [known[name] for name in names]


class _Memory:
    """The file of what was found, in the user's folder of caches."""

    def __init__(self) -> None:
        packages = ("camtool", "timm", "torch", "torchvision")
        self.versions = {name: metadata.version(name) for name in packages}
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        self.path = Path(base).expanduser() / "camtool" / "networks.json"

    def read(self) -> dict[str, Row]:
        """Return the rows by name; none where there are none of these versions."""
        try:
            held = json.loads(self.path.read_bytes())
            if held["versions"] != self.versions:
                return {}
            rows = {name: tuple(map(str, row)) for name, row in held["rows"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
        return {name: row for name, row in rows.items() if len(row) == 4}

    def write(self, rows: dict[str, Row]) -> None:
        """Keep the rows; a folder that cannot be written is no reason to fail."""
        text = json.dumps({"versions": self.versions, "rows": rows}, ensure_ascii=False)
        with contextlib.suppress(RunError):
            make_folder(self.path.parent)
            write_atomically(self.path, text)


def _probe(name: str) -> Row:
    try:
        if (size := _too_large(name)) is not None:
            return name, "", "", f"not built: its weights take {size / 1e9:.1f} GB"
        return _probed(name)
    except ModelError as error:
        return name, "", "", str(error).removeprefix(name).removeprefix(": ").split(";")[0].strip()
    except (RuntimeError, ValueError, TypeError, KeyError, ImportError, MemoryError) as error:
        # What the code of one network of a thousand raises is its row.
        reason = str(error).splitlines()[0] if str(error) else ""
        return name, "", "", f"fails: {type(error).__name__}: {shorten(reason, 100)}"


def _too_large(name: str) -> int | None:
    """Return the bytes of a network's weights where they would not fit well, else None."""
    import torch

    from camtool.models.backbones import create

    try:
        with torch.device("meta"):  # shapes without memory
            network = create(name, None, None)
    except (ModelError, RuntimeError, ValueError, TypeError):
        return None  # some cannot be built so; `_probed` tells more
    size = sum(value.numel() * 4 for value in network.parameters())
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return size if size > _SHARE * free else None


def _probed(name: str) -> Row:
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
