"""Tiny ImageNet, CUB-200-2011 and the WSOL benchmark's lists."""

from __future__ import annotations

import tarfile
import zipfile

import pytest

from camtool.annotations import NO_CLASS, Cub, TinyImageNet, WsolLists, read_annotations
from camtool.errors import AnnotationError
from camtool.structures import AnnotatedObject, Annotation


def found(result):
    return {
        k: (a.size, [(o.label, o.box.xyxy) for o in a.objects])
        for k, a in result.annotations.items()
    }


@pytest.fixture
def tiny(tmp_path):
    root = tmp_path / "tiny"
    (root / "val").mkdir(parents=True)
    for wnid in ("n01443537", "n01629819"):
        (root / "train" / wnid).mkdir(parents=True)
        lines = f"{wnid}_0.JPEG\t0\t10\t63\t58\n{wnid}_1.JPEG\t0\t10\t20\t63\n"
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(lines)
    (root / "wnids.txt").write_text("n01629819\nn01443537\n")
    (root / "val" / "val_annotations.txt").write_text(
        "val_0.JPEG\tn03444034\t0\t32\t44\t62\nval_1.JPEG\tn04067472\t5\t7\t5\t60\n"
        "val_2.JPEG\tn04067472\t52\t55\t4\t59\nval_3.JPEG\tn04067472\t1\t2\t66\t9\n"
    )
    return root


VAL = {
    "val_0": ((64, 64), [("n03444034", (0, 32, 45, 63))]),
    "val_1": ((64, 64), [("n04067472", (5, 7, 6, 61))]),
    "val_3": ((64, 64), [("n04067472", (1, 2, 64, 10))]),
}


@pytest.mark.parametrize("part", ["", "val", "val/val_annotations.txt", ".tar", ".tar.gz", ".zip"])
def test_tiny_imagenet_val(part, tiny, tmp_path):
    path = tiny / part
    if part in (".tar", ".tar.gz"):
        path = tmp_path / f"x{part}"
        with tarfile.open(path, "w:gz" if part.endswith("gz") else "w") as archive:
            archive.add(tiny, "tiny-imagenet-200")
    elif part == ".zip":
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(tiny.rglob("*.txt")):
                archive.write(file, f"tiny-imagenet-200/{file.relative_to(tiny)}")
    result = read_annotations(path)
    assert result.format == "tiny-imagenet"
    assert found(result) == VAL
    assert [p.reason for p in result.problems] == ["xmax (4) is less than xmin (52)"]
    assert result.problems[0].place.endswith("val_annotations.txt:3")
    assert [w.split(".txt:")[1] for w in result.warnings] == [
        "2: a side of no length, read as one pixel",
        "4: box clipped to the image: [1, 2, 67, 10) in 64×64",
    ]


def test_tiny_imagenet_train(tiny):
    train = read_annotations(tiny, TinyImageNet(split="train"))
    assert list(train.annotations) == ["n01443537_0", "n01443537_1", "n01629819_0", "n01629819_1"]
    assert found(train)["n01629819_1"] == ((64, 64), [("n01629819", (0, 10, 21, 64))])
    one = read_annotations(tiny / "train" / "n01443537" / "n01443537_boxes.txt")
    assert found(one)["n01443537_0"] == ((64, 64), [("n01443537", (0, 10, 64, 59))])


@pytest.fixture
def cub(tmp_path):
    (tmp_path / "images.txt").write_text(
        "1 001.Black_footed_Albatross/B_0046_18.jpg\n2 002.Cat/C_1.jpg\n3 002.Cat/C_2.jpg\n"
        "4 002.Cat/C_3.jpg\n"
    )
    (tmp_path / "bounding_boxes.txt").write_text(
        "1 60.0 27.0 325.0 304.0\n2 1.5 2.0 3.0 4.0\n3 1 2 0 4\n"
    )
    (tmp_path / "image_class_labels.txt").write_text("1 1\n2 200\n3 2\n4 2\n")
    (tmp_path / "train_test_split.txt").write_text("1 0\n2 1\n3 0\n4 0\n")
    return tmp_path


@pytest.mark.parametrize(("split", "expected"), [("test", [0]), ("train", [1]), ("all", [0, 1])])
def test_cub(split, expected, cub):
    result = read_annotations(cub, Cub(split=split))
    birds = [
        ("001.Black_footed_Albatross/B_0046_18", (None, [(0, (60, 27, 385, 331))])),
        ("002.Cat/C_1", (None, [(199, (1.5, 2, 4.5, 6))])),
    ]
    assert found(result) == dict(birds[i] for i in expected)
    reasons = [] if split == "train" else ["a box of 0×4 pixels", "image 4 is not in bounding_bo"]
    assert [p.reason[:29] for p in result.problems] == reasons


def test_cub_is_recognised_and_reads_test(cub):
    result = read_annotations(cub)
    assert (result.format, len(result.annotations)) == ("cub", 1)
    (cub / "bounding_boxes.txt").write_text("1 60.0 x 325.0 304.0\n")
    with pytest.raises(AnnotationError, match=r"bounding_boxes\.txt:1: y is not a number: x"):
        read_annotations(cub, Cub(split="test"))
    (cub / "image_class_labels.txt").unlink()
    with pytest.raises(AnnotationError, match=r"image_class_labels\.txt: No such file"):
        read_annotations(cub)


@pytest.fixture
def wsol(tmp_path):
    (tmp_path / "image_ids.txt").write_text("val/a.JPEG\nval/b.JPEG\nval/c.JPEG\n")
    (tmp_path / "class_labels.txt").write_text("val/a.JPEG,65\nval/b.JPEG,970\nval/c.JPEG,1\n")
    (tmp_path / "image_sizes.txt").write_text("val/a.JPEG,500,375\nval/b.JPEG,50,x\n")
    (tmp_path / "localization.txt").write_text(
        "val/a.JPEG,111,108,441,193\nval/b.JPEG,1,2,3,4\nval/a.JPEG,0,0,499,374\n"
    )
    return tmp_path


@pytest.mark.parametrize("part", ["", "localization.txt"])
def test_wsol_lists(part, wsol):
    result = read_annotations(wsol / part)
    assert result.format == "wsol-lists"
    assert found(result) == {
        "val/a": ((500, 375), [(65, (111, 108, 442, 194)), (65, (0, 0, 500, 375))]),
        "val/b": (None, [(970, (1, 2, 4, 5))]),
    }
    assert result.warnings == [
        f"{wsol / 'image_sizes.txt'}:2: size ignored: height is not a number: x"
    ]
    missing = f"{wsol / 'image_ids.txt'}:3: no object: val/c is not in localization.txt"
    assert [str(p) for p in result.problems] == ([] if part else [missing])


@pytest.mark.parametrize("part", ["", "localization.txt"])
def test_wsol_masks(part, wsol):
    (wsol / "localization.txt").write_text(
        "val/a.jpg,val/a_m.png,val/a_ignore.png\nval/b.jpg,b.png\nval/a.jpg,val/a_n.png,\n"
    )
    result = read_annotations(wsol / part)
    assert result.format == "wsol-lists"
    assert result.annotations == {
        "val/a": Annotation(
            "val/a",
            (500, 375),
            (
                AnnotatedObject(65, None, mask="val/a_m.png"),
                AnnotatedObject(65, None, mask="val/a_n.png"),
            ),
            "val/a_ignore.png",
        ),
        "val/b": Annotation("val/b", None, (AnnotatedObject(970, None, mask="b.png"),)),
    }
    assert result.annotations["val/a"].masks(65) == ("val/a_m.png", "val/a_n.png")
    assert result.annotations["val/a"].masks(1) == ()


def test_wsol_mask_lines_that_do_not_fit(wsol):
    (wsol / "localization.txt").write_text(
        "val/a.jpg,a.png,\nval/a.jpg,more.png,ignore.png\nval/b.jpg,b.png,b_ignore.png\n,x.png\n"
    )
    result = read_annotations(wsol / "localization.txt")
    assert set(result.annotations) == {"val/b"}
    assert [(p.place[-2:], p.reason) for p in result.problems] == [
        (":2", "an ignore mask that is not on the image's first line"),
        (":4", "a mask without an image id"),
    ]


def test_wsol_masks_without_classes(wsol):
    (wsol / "localization.txt").write_text("x.jpg,x.png\n")
    result = read_annotations(wsol / "localization.txt")
    assert result.annotations["x"].labels == (NO_CLASS,)
    assert result.warnings[-1].endswith("localization.txt:1: a mask without a class")


def test_wsol_class_that_is_no_number(wsol):
    (wsol / "class_labels.txt").write_text("val/a.JPEG,cat\n")
    with pytest.raises(AnnotationError, match=r"class_labels\.txt:1: class is not a number: cat"):
        read_annotations(wsol, WsolLists())


def test_real_lists_equal_the_xml(shared):
    folder = shared / "data" / "ilsvrc-val-227"
    xml, lists = (read_annotations(folder / name) for name in ("Annotations", "wsoleval"))
    assert (len(xml.annotations), len(lists.annotations)) == (867, 867)
    assert sum(len(a.objects) for a in xml.annotations.values()) == 1306
    for image_id, annotation in xml.annotations.items():
        other = lists.annotations[f"val/{image_id}"]
        assert other.size == annotation.size == (227, 227)
        assert [o.box for o in other.objects] == [o.box for o in annotation.objects]


def test_real_cub_sample(shared):
    result = read_annotations(shared / "data" / "cubv2-sample" / "wsoleval")
    assert len(result.annotations) == 14
    albatross = result.annotations["001.Black_footed_Albatross/30107316117"]
    assert (albatross.size, albatross.labels) == ((560, 419), (0,))
    assert albatross.objects[0].box.xyxy == (176, 136, 460, 292)


def test_real_tiny_imagenet(shared):
    path = shared / "data" / "tiny-imagenet-50.tar"
    val = read_annotations(path)
    assert (val.format, len(val.annotations), val.problems) == ("tiny-imagenet", 1250, [])
    assert val.annotations["val_2"].objects[0].box.xyxy == (4, 0, 61, 56)
    train = read_annotations(path, TinyImageNet(split="train"))
    assert (len(train.annotations), train.problems) == (25_000, [])
