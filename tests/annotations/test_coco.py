from __future__ import annotations

import json

import pytest

from camtool.annotations import read_annotations
from camtool.errors import AnnotationError

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}]


def write(path, images, annotations, categories=CATEGORIES):
    document = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(document))
    return path


def test_coco(tmp_path):
    images = [
        {"id": 3, "file_name": "b.jpg", "width": 50, "height": 40},
        {"id": "3", "file_name": "a.b.png"},
        {"id": 9, "file_name": "empty.jpg", "width": 5, "height": 5},
    ]
    annotations = [
        {"image_id": 3, "category_id": 7, "bbox": [1.5, 2, 3, 4], "iscrowd": 1},
        {"image_id": "3", "category_id": 1, "bbox": [0, 0, 90, 90]},
        {"image_id": 3, "category_id": 1, "bbox": [40, 30, 11.5, 12]},
        {"image_id": 77, "category_id": 1, "bbox": [0, 0, 9, 9]},
    ]
    path = write(tmp_path / "a.json", images, annotations)
    result = read_annotations(path)
    assert result.format == "coco"
    b, ab = result.annotations["b"], result.annotations["a.b"]
    assert [(o.label, o.box.xyxy, o.difficult) for o in b.objects] == [
        ("dog", (1.5, 2, 4.5, 6), True),
        ("cat", (40, 30, 50, 40), False),
    ]
    assert (b.size, ab.size, ab.objects[0].box.xyxy) == ((50, 40), None, (0, 0, 90, 90))
    assert [str(p) for p in result.problems] == [
        f"{path}: image 3: no object: nothing annotates empty",
        f"{path}: annotation 4: its image_id is not among the images",
    ]
    assert result.warnings == [
        f"{path}: image 1: box clipped to the image: [40, 30, 51.5, 42) in 50×40"
    ]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"category_id": 1, "bbox": [0, 0, 0, 5]}, "annotation 1: a bbox of 0×5 pixels"),
        ({"category_id": 1, "bbox": [0, 0, -3, 5]}, "annotation 1: a bbox of -3×5 pixels"),
        ({"category_id": 1, "bbox": [0, 0, 3]}, "annotation 1: no bbox of four numbers"),
        ({"category_id": 1, "bbox": [1e9, 0, 1e-9, 5]}, "annotation 1: a bbox of 1e-09×5 pixels"),
        ({"category_id": 1}, "annotation 1: no bbox of four numbers"),
        ({"category_id": 1, "bbox": [0, 0, "3", 5]}, "annotation 1: bbox holds no number in ran"),
        ({"category_id": 1, "bbox": [0, 0, True, 5]}, "annotation 1: bbox holds no number in ran"),
        ({"category_id": 1, "bbox": [0, 0, 1e300, 5]}, "annotation 1: bbox holds no number in ra"),
        ({"category_id": 5, "bbox": [0, 0, 3, 5]}, "annotation 1: its category_id is not among"),
        ({"category_id": [1], "bbox": [0, 0, 3, 5]}, "annotation 1: its category_id is not among"),
    ],
)
def test_bad_boxes(item, reason, tmp_path):
    path = write(tmp_path / "a.json", [{"id": 1, "file_name": "a.jpg"}], [{"image_id": 1, **item}])
    with pytest.raises(AnnotationError) as caught:
        read_annotations(path)
    assert caught.value.place == f"{path}: image 1"
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"images": []}', 'not COCO: no list of objects "annotations"'),
        ('{"images": [1]}', 'not COCO: no list of objects "images"'),
        ("[1, 2]", 'not COCO: no list of objects "images"'),
        ('{"images": ', "not JSON: Expecting value"),
        ('{"images": NaN}', "not JSON: NaN is not a number of JSON"),
        ('{"images": ' + "9" * 5000 + "}", "not JSON: Exceeds the limit"),
        ("[" * 100_000, "JSON nested too deeply"),
        ('{"images": [], "annotations": [], "categories": []}', "empty: it annotates no image"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "no name"),
    ],
)
def test_what_is_no_coco(text, reason, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_annotations(path)
    assert caught.value.reason.startswith(reason)


def test_wrong_encoding(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"images": "\xe9"}')
    with pytest.raises(AnnotationError, match="not JSON: 'utf-8' codec can't decode byte 0xe9"):
        read_annotations(path)
