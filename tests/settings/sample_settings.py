"""A small experiment whose parts are exchanged as the real ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, final

from pydantic import Field, field_validator

from camtool.settings import Settings


@final
class PaperBoxes(Settings):
    name: Literal["paper"] = "paper"
    threshold: float = Field(0.2, ge=0, lt=1)
    """Share of the maximum."""
    connectivity: Literal[4, 8] = 8


@final
class AllBoxes(Settings):
    name: Literal["all"] = "all"
    smallest: int = Field(1, gt=0, multiple_of=1)

    @field_validator("smallest")
    @classmethod
    def _not_thirteen(cls, value: int) -> int:
        if value == 13:
            msg = "13 is not allowed; choose 12"
            raise ValueError(msg)
        return value


Boxes = Annotated[PaperBoxes | AllBoxes, Field(discriminator="name")]


@final
class Localize(Settings):
    boxes: Boxes = PaperBoxes()
    """How boxes come from a map."""
    second: Boxes | None = None
    tuned: Boxes = PaperBoxes(threshold=0.7)
    more: tuple[Boxes, ...] = ()
    resolution_wh: tuple[int, int] = (224, 224)
    grid: list[tuple[int, int]] = Field([], max_length=3)
    mode: Literal["squeeze", "crop"] = "squeeze"
    labels: Path | None = None
    overlays: bool = True
    top: int | Literal["labels"] = 5


@final
class Run(Settings):
    dir: Path = Path("runs/localize")
    seed: int = 0
    note: str = Field("", max_length=200)
    weights: dict[str, float] = Field(default_factory=dict)


@final
class Experiment(Settings):
    run: Run = Run()
    localize: Localize = Localize(mode="crop")


@final
class Strict(Settings):
    needed: int
    """Must be given."""
    run: Run = Run()
