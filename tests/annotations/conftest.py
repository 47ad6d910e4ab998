from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared"

WHOLE = "<size><width>320</width><height>240</height></size>"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real data is absent")
    return SHARED


@pytest.fixture(scope="session")
def bad_inputs(shared, tmp_path_factory) -> Path:
    """The awkward files, made by their program."""
    out = tmp_path_factory.mktemp("bad")
    program = shared / "data" / "bad-inputs" / "make_bad_inputs.py"
    subprocess.run([sys.executable, program, out], check=True, capture_output=True)
    return out


def voc(*boxes, name="n07747607", filename="a", size=WHOLE):
    """One annotation element with a box (xmin, ymin, xmax, ymax) an object."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin>"
        f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox></object>"
        for b in boxes
    )
    return f"<annotation><filename>{filename}</filename>{size}{objects}</annotation>"


@pytest.fixture(name="voc")
def voc_writer():
    """Return the function that writes one annotation element."""
    return voc
