"""Every awkward annotation and list ends as its index says.

Where the index leaves the choice, the tables below say what camtool does.
"""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from camtool.annotations import VocXml, read_annotations, read_labels
from camtool.errors import AnnotationError
from tests.builders import awkward_files

BOX = (90, 60, 220, 180)

# Cases that can be used and give another result than the reference: boxes, size.
OTHER_RESULT = {
    "two_classes": ([BOX, (5, 5, 41, 41)], (320, 240)),
    "zero_width": ([(90, 60, 91, 180)], (320, 240)),
    "point": ([(90, 60, 91, 61)], (320, 240)),
    "whole_image": ([(0, 0, 320, 240)], (320, 240)),
    "whole_image_1based": ([(1, 1, 320, 240)], (320, 240)),
    "partly_outside": ([(250, 200, 320, 240)], (320, 240)),
    "negative": ([(0, 0, 51, 61)], (320, 240)),
    "floats": ([(90.5, 60.25, 219.75, 179.999)], (320, 240)),
    "duplicate_boxes": ([BOX] * 3, (320, 240)),
    "size_zero": ([BOX], None),
    "size_missing": ([BOX], None),
    "size_negative": ([BOX], None),
    "size_words": ([BOX], None),
    "size_other": ([BOX], (640, 480)),
    "size_swapped": ([BOX], (240, 320)),
    "deep": ([BOX], None),
}
COUNTS = {"many_1000": 1000, "many_50000": 50000}

WARNINGS = {
    "missing_bndbox_one_of_two": "object without <bndbox> left out",
    "unknown_wnid": "not one of the 1,000 ImageNet classes: n99999999",
    "partly_outside": "box clipped to the image: [250, 200, 401, 301) in 320×240",
    "negative": "box clipped to the image: [-10, -5, 51, 61) in 320×240",
    "size_negative": "<size> ignored: -320×240",
    "size_words": "<size> ignored: width is not a number: wide",
    "filename_other": "<filename> differs from the name of the file, which counts",
    "filename_traversal": "which counts: ../../../../etc/passwd",
    "filename_absolute": "which counts: /etc/passwd",
    "filename_percent_s": "which counts: %s",
}

REASONS = {
    "no_object": "no <object> in it",
    "missing_bndbox": "object 1: no <bndbox>",
    "missing_ymax": "object 1: no <ymax> in <bndbox>",
    "missing_name": "object 1: no <name>",
    "empty_name": "object 1: empty <name>",
    "xmin_gt_xmax": "object 1: xmax (90) is less than xmin (219)",
    "ymin_gt_ymax": "object 1: ymax (60) is less than ymin (179)",
    "far_outside": "lies wholly outside the 320×240 image",
    "nan_inf": "object 1: xmin is not a number: nan",
    "words": "object 1: xmin is not a number: left",
    "empty_coordinate": "object 1: xmin is not a number: empty",
    "decimal_comma": "object 1: xmin is not a number: 90,5",
    "underscore": "object 1: xmin is not a number: 9_0",
    "fullwidth_digits": "object 1: xmin is not a number: ９０",
    "huge_int": "object 1: xmax is out of range: 99999999",
    "huge_int_5000_digits": "object 1: xmax is out of range: 99999999",
    "two_bndbox": "object 1: two <bndbox>",
    "polygon_only": "object 1: no <bndbox>",
    "doctype_entity": "line 2: entities are not allowed",
    "billion_laughs": "entities are not allowed",
    "quadratic_blowup": "entities are not allowed",
    "external_entity": "line 2: entities are not allowed",
    "undefined_entity": "not well formed, line 1: undefined entity",
    "latin1_as_utf8": "wrong encoding (byte 0xe0 is not UTF-8)",
    "gbk_undeclared": "wrong encoding (byte 0xca is not UTF-8)",
    "utf8_as_utf16": "wrong encoding, line 1",
    "unknown_encoding": "wrong encoding: unknown encoding: foo-8",
    "control_char": "not well formed, line 1",
    "nul_bytes": "not well formed, line 2",
    "namespace_prefix": "no <annotation> in it, its root is <v:annotation>",
    "upper_tags": "no <annotation> in it, its root is <Annotation>",
    "root_other": "no <annotation> in it, its root is <annotations>",
    "two_roots": "not well formed, line 2: junk after document element",
    "attr_coordinates": "object 1: no <xmin> in <bndbox>",
    "truncated": "not well formed, line 1",
    "empty": "empty",
    "blank": "empty",
    "html": "not well formed, line 1: mismatched tag",
    "json": "not well formed, line 1",
    "binary_jpeg": "not well formed, line 1",
    "unescaped_amp": "not well formed, line 1",
}


@pytest.mark.parametrize("name", awkward_files("annotations"))
def test_annotation_ends_as_the_index_says(name, bad_inputs):
    path = bad_inputs / "annotations" / name
    start = time.perf_counter()
    if path.stem in REASONS:
        with pytest.raises(AnnotationError) as caught:
            read_annotations(path)
        assert str(path) in str(caught.value)
        assert REASONS[path.stem] in caught.value.reason
        assert len(str(caught.value)) < 600
    else:
        _used(path)
    assert time.perf_counter() - start < (1 if path.stem != "many_50000" else 10)


def _used(path: Path) -> None:
    result = read_annotations(path)
    # An annotation below another root is one of a bundle, where <filename> names the image.
    image_id = "ok_rgb" if path.stem == "wrapped" else path.stem
    annotation = result.annotations[image_id]
    boxes, size = OTHER_RESULT.get(path.stem, ([BOX], (320, 240)))
    found = [item.box.xyxy for item in annotation.objects]
    if path.stem in COUNTS:
        assert len(found) == COUNTS[path.stem]
    else:
        assert (found, annotation.size) == (boxes, size)
    assert result.problems == []
    expected = WARNINGS.get(path.stem)
    others = [w for w in result.warnings if "<filename> differs" not in w]
    if expected is None:
        assert others == []
    else:
        (warning,) = [w for w in result.warnings if expected in w]
        assert warning.startswith(str(path))


def test_one_bad_file_costs_one_entry(bad_inputs):
    result = read_annotations(bad_inputs / "annotations")
    assert result.format == "voc-xml"
    reasons = {Path(p.place).stem: p.reason for p in result.problems}
    assert set(reasons) == set(REASONS)
    for stem, reason in REASONS.items():
        assert reason in reasons[stem]
    files = len(list((bad_inputs / "annotations").glob("*.xml")))
    assert len(result.annotations) + len(result.problems) == files


@pytest.mark.parametrize("name", ["billion_laughs", "quadratic_blowup", "deep", "long_text"])
def test_memory_does_not_grow(name, bad_inputs):
    tracemalloc.start()
    try:
        VocXml().read(bad_inputs / "annotations" / f"{name}.xml")
    except AnnotationError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20e6


LISTS = {
    "ok": ["ok_rgb", "gray"],
    "crlf": ["ok_rgb"],
    "bom": ["ok_rgb"],
    "no_header": ["ok_rgb"],
    "duplicate": ["ok_rgb"],
    "missing_file": ["not_there", "ok_rgb"],
    "blank_lines": ["ok_rgb"],
    "quoted": ['with space, comma & "quote"'],
    "traversal": ["../../../../etc/passwd"],
}
LIST_REASONS = {
    "conflict": "ok_rgb has class n07753592 here and n07747607 at ",
    "short_row": "no class in this row",
    "empty": "empty",
    "header_only": "empty",
    "latin1": "wrong encoding: byte 0xe9 is not UTF-8; save it as UTF-8",
}
LIST_LINES = {"conflict": 3, "short_row": 2, "latin1": 2}


@pytest.mark.parametrize(
    "name", [name for name in awkward_files("lists") if not str(name).endswith(".txt")]
)
def test_list_ends_as_the_index_says(name, bad_inputs):
    path = bad_inputs / "lists" / name
    if path.stem in LIST_REASONS:
        with pytest.raises(AnnotationError) as caught:
            read_labels(path)
        assert LIST_REASONS[path.stem] in caught.value.reason
        line = LIST_LINES.get(path.stem)
        assert caught.value.place == (f"{path}:{line}" if line else str(path))
        return
    result = read_labels(path)
    assert list(result.annotations) == LISTS[path.stem]
    assert all(a.labels == ("n07747607",) for a in result.annotations.values())
    assert all(a.objects[0].box is None for a in result.annotations.values())
    duplicates = [f"{path}:3: listed twice, counted once: ok_rgb, as {path}:2"]
    assert result.warnings == (duplicates if path.stem == "duplicate" else [])


def test_text_lists_are_read(bad_inputs):
    wsol = read_annotations(bad_inputs / "lists" / "wsol_localization.txt")
    (annotation,) = wsol.annotations.values()
    assert annotation.image_id == "val/ok_rgb"
    assert annotation.objects[0].box.xyxy == BOX
    assert [w.endswith("a box without a class") for w in wsol.warnings] == [True]
    # Tiny ImageNet's frame is 64×64, so this box of a larger image is refused.
    with pytest.raises(AnnotationError, match="wholly outside the 64×64 image"):
        read_annotations(bad_inputs / "lists" / "tiny_boxes.txt")
