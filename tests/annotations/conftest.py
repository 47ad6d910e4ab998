from __future__ import annotations

import pytest

WHOLE = "<size><width>320</width><height>240</height></size>"


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
