"""Run the command line as users do, in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from click.testing import CliRunner

from camtool.cli.group import camtool
from camtool.models import ModelSettings

TINY_MODEL = ModelSettings(backbone="timm/test_resnet", weights="none")

# A small network with random weights on small inputs. `min-max` makes boxes that differ between
# pictures, which the nearly flat maps of random weights otherwise do not.
TINY = (
    "--set", f"model.backbone={TINY_MODEL.backbone}",
    "--set", f"model.weights={TINY_MODEL.weights}",
    "--set", "localize.preprocess.size=64",
    "--set", "localize.boxes.scale=min-max",
    "--set", "localize.overlays.enabled=false",
)  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def run_here(*arguments: object) -> Ran:
    """Run the command in this process; a defect is raised as what it is."""
    result = CliRunner().invoke(camtool, [str(a) for a in arguments], prog_name="camtool")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.stderr
    return Ran(result.exit_code, result.stdout, result.stderr)


def run_alone(*arguments: object, **options) -> Ran:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "camtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)
