"""Draws a small data set of coloured shapes with their boxes, to try training without any download.

python scripts/draw_shapes.py OUT [--train 60] [--val 20] [--size 64]

Writes OUT/train/CLASS/*.png, OUT/val/CLASS/*.png and OUT/val_boxes.csv (inclusive corners). The
same arguments draw the same pictures.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SHAPES = ("disk", "ring", "square", "triangle")


def draw(shape: str, size: int, seed: str) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Return a picture with one shape on a blurred background, and the shape's inclusive box."""
    chance = random.Random(seed)
    picture = Image.new("RGB", (size, size), _colour(chance, 120))
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = chance.randrange(size), chance.randrange(size)
        pen.ellipse((x, y, x + size // 4, y + size // 4), fill=_colour(chance, 120))
    picture = picture.filter(ImageFilter.GaussianBlur(size / 16))
    side = chance.randint(size // 3, 2 * size // 3)
    x, y = chance.randint(0, size - side), chance.randint(0, size - side)
    box = x, y, x + side - 1, y + side - 1
    pen, colour = ImageDraw.Draw(picture), _colour(chance, 255, least=150)
    if shape == "disk":
        pen.ellipse(box, fill=colour)
    elif shape == "ring":
        pen.ellipse(box, outline=colour, width=max(2, side // 5))
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(x, y + side - 1), (x + side - 1, y + side - 1), (x + side // 2, y)], colour)
    return picture, box


def _colour(chance: random.Random, most: int, least: int = 0) -> tuple[int, int, int]:
    return chance.randint(least, most), chance.randint(least, most), chance.randint(least, most)


def write(out: Path, train: int, val: int, size: int) -> None:
    """Write `train` and `val` pictures of each class."""
    rows = ["image,x0,y0,x1,y1,label"]
    for shape in SHAPES:
        for split, count in (("train", train), ("val", val)):
            folder = out / split / shape
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture, box = draw(shape, size, f"{split} {shape} {number}")
                picture.save(folder / f"{shape}_{number:03d}.png")
                if split == "val":
                    rows.append(f"{shape}_{number:03d}.png,{','.join(map(str, box))},{shape}")
    (out / "val_boxes.csv").write_text("\n".join(rows) + "\n")


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=60, help="pictures a class to train on")
    parser.add_argument("--val", type=int, default=20, help="pictures a class to validate on")
    parser.add_argument("--size", type=int, default=64, help="side of a picture in pixels")
    options = parser.parse_args()
    write(options.out, options.train, options.val, options.size)


if __name__ == "__main__":
    main()
