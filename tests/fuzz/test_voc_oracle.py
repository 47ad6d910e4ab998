"""Damaged VOC files by camtool and by a plain reader: boxes that both give are the same boxes.

The plain reader below is written from the documented convention alone, on the parser of Python's
own library. It takes what `float` takes of ASCII, clips to the image and knows no refusal: camtool
may leave a file out where it gives boxes, but never give others.
"""

from __future__ import annotations

import re
from random import Random

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from camtool.annotations import VocXml
from camtool.errors import CamtoolError
from tests.builders import voc_xml
from tests.fuzz.mutations import of_bytes, of_xml
from tests.fuzz.test_readers import TRIES

FILES = (
    voc_xml((3, 4, 20, 30), (1, 1, 48, 36)).encode(),
    voc_xml((3, 4, 20, 30), (1, 1, 48, 36), name="dog").encode(),
    voc_xml((3, 4, 20, 30), size=None).encode(),
)
NUMBERS = ("0", "1", "2", "7.5", "31", "48", "49", "50", "-3", " 9 ", "+4", "1e1", "0.5", "0010")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def of_numbers(random: Random, data: bytes) -> bytes:
    """Replace one or two numbers by others."""
    for _ in range(random.randint(1, 2)):
        found = random.choice(list(re.finditer(rb"(?<=>)[0-9]+(?=<)", data)) or [None])
        if found is not None:
            new = random.choice(NUMBERS).encode()
            data = data[: found.start()] + new + data[found.end() :]
    return data


def number_of(parent, tag: str) -> float:
    element = parent.find(tag)
    text = "" if element is None or len(element) else element.text or ""
    if not text.isascii() or "_" in text:
        raise ValueError(tag)
    return float(text)


def size_of(root) -> tuple[float, float] | None:
    try:
        width, height = (number_of(root, f"size/{side}") for side in ("width", "height"))
    except ValueError:
        return None
    whole = width.is_integer() and height.is_integer()
    whole = whole and min(width, height) >= 1 and max(width, height) <= 1e9
    return (width, height) if whole else None


def plain_boxes(data: bytes) -> list[tuple[float, ...]]:
    """Boxes x0, y0, x1, y1 by tag: ImageNet counts pixels from 0, VOC from 1; both corners in."""
    root = ElementTree.fromstring(data)
    assert root.tag == "annotation"
    names = [(o.findtext("name") or "").strip() for o in root.findall("object")]
    first = 0 if all(re.fullmatch("n[0-9]{8}", name) for name in names) else 1
    width, height = size_of(root) or (float("inf"), float("inf"))
    boxes = []
    for item in root.findall("object"):
        if item.find("bndbox") is not None:
            x0, y0, x1, y1 = (number_of(item, f"bndbox/{tag}") for tag in CORNERS)
            x0, y0, x1, y1 = x0 - first, y0 - first, x1 - first + 1, y1 - first + 1
            if size_of(root):
                x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
            boxes.append((x0, y0, x1, y1))
    return boxes


def test_boxes_are_those_of_a_plain_reader(tmp_path):
    tries, compared, left_out = 10 * TRIES, 0, 0
    path = tmp_path / "a.xml"
    for number in range(tries):
        random = Random(f"voc {number}")
        data = random.choice(FILES)
        for damage in random.choices((of_numbers, of_xml, of_bytes), (4, 2, 1), k=2):
            data = damage(random, data)
        path.write_bytes(data)
        try:
            found = VocXml(units="pixels").read(path)
        except CamtoolError:
            left_out += 1
            continue
        try:
            expected = plain_boxes(data)
        except (ElementTree.ParseError, DefusedXmlException, ValueError, AssertionError) as error:
            raise AssertionError(f"try {number} is none: {error!r}, {data!r:.2000}") from error
        (annotation,) = found.annotations.values()
        boxes = [item.box.xyxy for item in annotation.objects]
        assert boxes == expected, f"try {number}: {data!r:.2000}"
        compared += 1
    assert compared > 0.2 * tries, (compared, left_out)
