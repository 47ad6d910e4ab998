"""The commands that an experiment consists of."""

from __future__ import annotations

import subprocess
import sys


def camtool(*arguments: object) -> None:
    """Run a command of camtool; its output goes to stderr."""
    command = [sys.executable, "-m", "camtool", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=sys.stderr)
