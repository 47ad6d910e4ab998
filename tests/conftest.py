"""What tests of several parts share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real data is absent")
    return SHARED


@pytest.fixture(scope="session")
def bad_inputs(shared, tmp_path_factory) -> Path:
    """The awkward files, made by their program, with links, a pipe and a folder among them."""
    out = tmp_path_factory.mktemp("bad")
    program = shared / "data" / "bad-inputs" / "make_bad_inputs.py"
    subprocess.run([sys.executable, program, out, "--special"], check=True, capture_output=True)
    return out
