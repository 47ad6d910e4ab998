"""The drawn data set of scripts/draw_shapes.py, for tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "draw_shapes.py"

# A small network with random weights on small inputs.
SMALL = (
    "--set", "run.workers=0",
    "--set", "model.backbone=timm/test_resnet",
    "--set", "model.weights=none",
    "--set", "model.output_stride=8",
    "--set", "train.batch_size=8",
    "--set", "train.epochs=2",
    "--set", "train.optimizer.learning_rate=0.02",
    "--set", "localize.preprocess.size=48",
)  # fmt: skip


def draw_shapes(out: Path, train: int, val: int, size: int = 32) -> Path:
    """Write `train` and `val` pictures of each of four classes, and val_boxes.csv."""
    spec = importlib.util.spec_from_file_location("draw_shapes", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write(out, train, val, size)
    return out


def shapes_data(root: Path) -> tuple[str, ...]:
    """Return the options that train on a folder of `draw_shapes`."""
    return (
        "--set", "data.name=folder",
        "--set", f'data.root="{root}"',
        "--set", f'data.boxes="{root}/val_boxes.csv"',
    )  # fmt: skip
