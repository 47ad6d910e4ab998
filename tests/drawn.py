"""Pictures that are drawn, for tests that must always run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def draw_pictures(folder: Path, count: int, broken: Collection[int] = ()) -> Path:
    """Fill a folder with PNG pictures of 48×36 pixels, all different; `broken` ones hold text."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:05d}.png"
        if number in broken:
            path.write_text("no picture")
        else:
            draw(number).save(path)
    return folder


def draw(seed: int) -> Image.Image:
    """Return dark noise with a bright patch, 48×36 pixels."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 110, (6, 8, 3), dtype=np.uint8)
    pixels[1:4, seed % 5 : seed % 5 + 3] = random.integers(120, 255, 3)
    return Image.fromarray(pixels).resize((48, 36), Image.Resampling.NEAREST)
