"""The manifest of a run: how it was made, and what was skipped."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from camtool.errors import RunError, shorten
from camtool.paths import is_folder
from camtool.runs.checkpoint_store import checkpoint_folder

_LARGEST_MANIFEST: Final = 1 << 30


class _Part(BaseModel):
    """A part of a manifest: JSON of the very types that are declared, and whatever else."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class _Counts(_Part):
    images: int = Field(ge=0, lt=1 << 60)
    localized: int = Field(default=0, ge=0, lt=1 << 60)
    without_class: int = Field(default=0, ge=0, lt=1 << 60)
    unsure: int = Field(default=0, ge=0, lt=1 << 60)
    skipped: int = Field(default=0, ge=0, lt=1 << 60)


class _Skipped(_Part):
    path: str
    error: str


class _Class(_Part):
    index: int = Field(ge=0, lt=1 << 31)
    name: str
    title: str | None = None


class _Chosen(_Part):
    """On which images the best epoch of a trained network was chosen."""

    images: str = ""
    rule: str = ""
    official_test: bool = False


class _Model(_Part):
    backbone: str | None = None
    sha256: str | None = None
    chosen_on: _Chosen | None = None


class _Localize(_Part):
    boxes: dict[str, Any] | None = None


class _Experiment(_Part):
    localize: _Localize | None = None
    boxes: dict[str, Any] | None = None
    model: dict[str, Any] | None = None


class Manifest(_Part):
    """What a manifest may hold: of what is not there, readers say what is missing."""

    schema_version: int | None = None
    experiment: _Experiment | None = None
    identity: dict[str, Any] | None = None
    model: _Model | None = None
    conventions: dict[str, Any] | None = None
    classes: list[_Class] | None = None
    counts: _Counts | None = None
    skipped: list[_Skipped] | None = None

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        rows = self.classes or []
        if [row.index for row in rows] != list(range(len(rows))):
            raise ValueError("classes: indices must count from 0")
        if len({row.name for row in rows}) < len(rows):
            raise ValueError("classes: names must be different")
        return self


def read_manifest(run: str | Path) -> dict[str, Any]:
    """Read the manifest of a finished run: how it was made, and what was skipped.

    Example:
        >>> _ = Path("manifest.json").write_text('{"counts": {"images": 7, "skipped": 0}}')
        >>> read_manifest(".")["counts"]["images"]
        7

    Raises:
        RunError: there is none, or it cannot be read.
    """
    run = Path(run)
    path = run / "manifest.json"
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_MANIFEST + 1)
        if len(text) > _LARGEST_MANIFEST:
            raise RunError(f"{path}: larger than {_LARGEST_MANIFEST >> 20} MB: no manifest")
        manifest = json.loads(text)
        Manifest.model_validate(manifest)
    except FileNotFoundError as error:
        raise RunError(f"{run}: {_without_manifest(run)}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its root"
        raise RunError(
            f"{path}: damaged: {shorten(place)}: {first['msg']}; localize again with --overwrite"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({shorten(str(error), 200)})") from error
    return dict(manifest)


def _without_manifest(run: Path) -> str:
    """Return what a folder is that holds no finished run of `localize`."""
    if is_folder(run / "parts"):
        return "an unfinished run; start it again to go on"
    if checkpoint_folder(run) is not None:
        return (
            "a training run, which holds a network and no boxes: camtool localize IMAGES"
            f" -m {shlex.quote(str(run))} -o OUT --labels PATH, and then name OUT"
        )
    return "not a run folder"
