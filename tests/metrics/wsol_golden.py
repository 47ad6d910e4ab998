"""The golden folder of the WSOL benchmark, and the true boxes that go with it."""

from __future__ import annotations

import json
import tarfile
from functools import cache
from pathlib import Path

import defusedxml.ElementTree as ElementTree
import numpy as np
import pytest

from camtool.metrics.wsol_frame import boxes_to_frame

SHARED = Path(__file__).parents[2].parent / "shared"
GOLDEN = SHARED / "golden" / "wsol-benchmark"
ANNOTATIONS = SHARED / "data" / "ILSVRC2012_bbox_val.tgz"

needs_golden = pytest.mark.skipif(
    not (GOLDEN.is_dir() and ANNOTATIONS.is_file()),
    reason="the folder ../shared with the golden maps and the annotations of ILSVRC is absent",
)


@cache
def expected():
    return json.loads((GOLDEN / "expected.json").read_text())


@cache
def maps():
    with np.load(GOLDEN / "maps.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@cache
def truths():
    """True boxes in the 224×224 frame, inclusive, by image id."""
    wanted = set(expected()["image_ids"])
    found = {}
    with tarfile.open(ANNOTATIONS) as archive:
        for member in archive:
            name = Path(member.name).stem
            if name in wanted:
                root = ElementTree.fromstring(archive.extractfile(member).read())
                size = tuple(int(root.findtext(f"size/{side}")) for side in ("width", "height"))
                boxes = [
                    [int(box.findtext(tag)) for tag in ("xmin", "ymin", "xmax", "ymax")]
                    for box in root.iter("bndbox")
                ]
                found[name] = boxes_to_frame(boxes, size)
            if len(found) == len(wanted):
                break
    return found
