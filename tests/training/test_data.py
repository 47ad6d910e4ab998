"""Every kind of data set, and what is wrong with bad ones."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from camtool.errors import DataError
from camtool.training.data import (
    CsvData,
    CubData,
    FolderData,
    ImageNetData,
    ShardData,
    TinyImageNetData,
)
from tests.builders import picture, save_picture


def classes_folder(root, counts):
    for name, count in counts.items():
        for number in range(count):
            save_picture(root / name / f"{name}_{number}.png", number)
    return root


def named(examples, sets):
    """(image id, class names) of examples."""
    names = sets.classes.names
    return [(e.source.image_id, tuple(names[i] for i in e.labels)) for e in examples]


def test_folder_is_split_by_seed(tmp_path):
    root = classes_folder(tmp_path / "set", {"b": 10, "a": 5, "c": 1})
    sets = FolderData(root=root, val_fraction=0.2).load(0)
    assert sets.classes.names == ("a", "b", "c")
    assert (len(sets.train), len(sets.val)) == (13, 3)
    ids = [e.source.image_id for e in (*sets.train, *sets.val)]
    assert len(set(ids)) == 16
    assert sorted(label for e in sets.val for label in e.labels) == [0, 1, 1]
    assert FolderData(root=root, val_fraction=0.2).load(0).val == sets.val
    assert any(FolderData(root=root, val_fraction=0.2).load(s).val != sets.val for s in (1, 2, 3))


def test_folder_with_train_and_val(tmp_path):
    classes_folder(tmp_path / "train", {"a": 2, "b": 2})
    classes_folder(tmp_path / "val", {"b": 1})
    sets = FolderData(root=tmp_path).load(0)
    assert (len(sets.train), named(sets.val, sets)) == (4, [("b/b_0", ("b",))])


@pytest.mark.parametrize(
    ("folders", "val", "said"),
    [
        (
            ("Train", "valid", "test"),
            "valid",
            "trained on Train, validated on valid; test is left alone",
        ),
        (("training", "VAL"), "VAL", "trained on training, validated on VAL"),
    ],
)
def test_folders_called_as_parts_of_a_data_set(folders, val, said, tmp_path):
    """Beside them lie folders that a network drive and a Mac leave behind."""
    for folder in folders:
        classes_folder(tmp_path / folder, {"disk": 2, "square": 2})
    for foreign in ("@eaDir", "__MACOSX", ".hidden"):
        save_picture(tmp_path / foreign / "x.png")
        save_picture(tmp_path / folders[0] / foreign / "y.png")
    sets = FolderData(root=tmp_path).load(0)
    assert sets.classes.names == ("disk", "square")
    assert len(sets.train) == len(sets.val) == 4
    assert all(f"/{val}/" in e.source.path for e in sets.val)
    assert sets.notes == [f"{tmp_path}: {said}"]


def test_a_test_part_is_left_alone_unless_asked_for(tmp_path):
    """Images of train are set apart to choose the best epoch on; test is for the report."""
    classes_folder(tmp_path / "train", {"disk": 10, "square": 10})
    classes_folder(tmp_path / "test", {"disk": 2, "square": 2})
    sets = FolderData(root=tmp_path, val_fraction=0.2).load(0)
    assert (len(sets.train), len(sets.val), len(sets.test)) == (16, 4, 4)
    assert all("/train/" in e.source.path for e in (*sets.train, *sets.val))
    assert sets.held == "20 % of the training images, drawn class by class with seed 0"
    assert not sets.on_test
    sets = FolderData(root=tmp_path, validate_on="test").load(0)
    assert (len(sets.train), len(sets.val), len(sets.test)) == (20, 4, 0)
    assert sets.on_test
    # Pictures without classes, as competitions give them out, are in nobody's way.
    save_picture(tmp_path / "test" / "loose.png")
    assert FolderData(root=tmp_path).load(0).test == []


def test_a_list_says_what_is_set_apart(tmp_path):
    root = classes_folder(tmp_path / "set", {"a": 3, "b": 3})
    wanted = tmp_path / "val.txt"
    wanted.write_text("a/a_1.png\nset/b/b_0\n")
    sets = FolderData(root=root, val_list=wanted).load(0)
    assert [e.source.image_id for e in sets.val] == ["a/a_1", "b/b_0"]
    assert (len(sets.train), sets.held) == (4, f"the images of {wanted}")
    wanted.write_text("a/a_1.png\na/none.png\n")
    with pytest.raises(DataError, match=r"val\.txt:2: a/none: not among the training images"):
        FolderData(root=root, val_list=wanted).load(0)
    (root / "b" / "b_0.png").rename(root / "b" / "a_1.png")
    wanted.write_text("a_1\n")
    with pytest.raises(DataError, match=r"val\.txt:1: a_1: 2 training images; write its path"):
        FolderData(root=root, val_list=wanted).load(0)


def test_parts_of_a_data_set_that_are_called_otherwise(tmp_path):
    for folder in ("first", "second"):
        classes_folder(tmp_path / folder, {"disk": 2, "square": 2})
    with pytest.raises(DataError, match=r"holds the same folders \(disk, square\), so these seem"):
        FolderData(root=tmp_path).load(0)
    classes_folder(tmp_path / "second", {"ring": 2})
    assert FolderData(root=tmp_path).load(0).classes.names == ("first", "second")


def test_two_folders_for_one_part(tmp_path):
    for folder in ("train", "val", "valid"):
        classes_folder(tmp_path / folder, {"disk": 2, "square": 2})
    with pytest.raises(DataError, match="val and valid are both for val: name the folders by"):
        FolderData(root=tmp_path).load(0)


def test_folder_in_a_tar(tmp_path):
    root = classes_folder(tmp_path / "set", {"a": 2, "b": 2})
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for path in sorted(root.rglob("*.png")):
            tar.add(path, path.relative_to(root))
    sets = FolderData(root=tmp_path / "set.tar", val_fraction=0).load(0)
    assert named(sets.train, sets)[0] == ("a/a_0", ("a",))
    assert sets.train[0].source.open().read() == (root / "a" / "a_0.png").read_bytes()


def test_titles_of_wnids(tmp_path):
    root = classes_folder(tmp_path / "set", {"n01443537": 2, "own": 2})
    assert FolderData(root=root).load(0).classes.titles == ("goldfish", None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root.mkdir(), "no images in"),
        (lambda _: None, "no such file or folder; check the section data"),
        (lambda root: save_picture(root / "loose.png"), "not in a class folder"),
        (lambda root: classes_folder(root, {"a": 3}), "one class only"),
    ],
)
def test_bad_folders(make, message, tmp_path):
    make(tmp_path / "set")
    with pytest.raises(DataError, match=message):
        FolderData(root=tmp_path / "set").load(0)


def tiny(root):
    for wnid in ("n02395406", "n01443537"):
        for number in range(2):
            save_picture(root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG")
    lines = ["val_0.JPEG\tn01443537\t0\t32\t44\t62", "val_1.JPEG\tn02395406\t5\t5\t5\t40"]
    for number in range(2):
        save_picture(root / "val" / "images" / f"val_{number}.JPEG")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return root


def test_tiny_imagenet(tmp_path):
    sets = TinyImageNetData(root=tiny(tmp_path)).load(0)
    assert sets.classes.names == ("n01443537", "n02395406")
    assert len(sets.train) == 4
    assert [(i.rpartition("/")[2], n) for i, n in named(sets.val, sets)] == [
        ("val_0", ("n01443537",)),
        ("val_1", ("n02395406",)),
    ]
    assert sets.boxes.annotations["val_0"].objects[0].box.xyxy == (0, 32, 45, 63)
    assert sets.notes == [
        f"{tmp_path}: 1 of 2 boxes are degenerate (corners fall together; both are in the box, so"
        " it is one pixel wide)"
    ]


def test_tiny_imagenet_of_an_unknown_class(tmp_path):
    file = tiny(tmp_path) / "val" / "val_annotations.txt"
    file.write_text(file.read_text().replace("n02395406", "n09999999"))
    with pytest.raises(DataError, match="has the class n09999999, which is not in the class map"):
        TinyImageNetData(root=tmp_path).load(0)


def test_tiny_imagenet_without_images_of_a_class(tmp_path):
    (tiny(tmp_path) / "train" / "n07753592").mkdir()
    with pytest.raises(DataError, match="class without an image to train on: 'n07753592'"):
        TinyImageNetData(root=tmp_path).load(0)


def test_real_tiny_imagenet(shared):
    sets = TinyImageNetData(root=shared / "data" / "tiny-imagenet-50.tar").load(0)
    assert (len(sets.classes), len(sets.train), len(sets.val)) == (50, 25_000, 1_250)
    assert "9 of 1,250 boxes are degenerate" in sets.notes[0]


def imagenet(root):
    classes_folder(root / "train", {"n01440764": 2, "n01443537": 2})
    for number in (1, 2, 3):
        save_picture(root / "val" / f"ILSVRC2012_val_0000000{number}.png")
    # The development kit's ids are not in the order of the wnids.
    from camtool.annotations import IMAGENET

    ids = {w: IMAGENET.by_wnid(w).ilsvrc_id for w in ("n01440764", "n01443537")}
    (root / "truth.txt").write_text(f"{ids['n01443537']}\n{ids['n01440764']}\n{ids['n01443537']}\n")
    return {"train": root / "train", "val": root / "val"}


def test_imagenet_with_its_ground_truth_list(tmp_path):
    places = imagenet(tmp_path)
    sets = ImageNetData(**places, val_labels=tmp_path / "truth.txt").load(0)
    assert [n for _, n in named(sets.val, sets)] == [
        ("n01443537",), ("n01440764",), ("n01443537",),
    ]  # fmt: skip


def test_imagenet_with_xml(tmp_path):
    places = imagenet(tmp_path)
    xml = (
        "<annotation><filename>{0}</filename><size><width>48</width><height>36</height></size>"
        "<object><name>n01440764</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
        "<ymax>9</ymax></bndbox></object></annotation>"
    )
    (tmp_path / "xml").mkdir()
    for number in (1, 2):
        name = f"ILSVRC2012_val_0000000{number}"
        (tmp_path / "xml" / f"{name}.xml").write_text(xml.format(name))
    sets = ImageNetData(**places, boxes=tmp_path / "xml").load(0)
    assert [n for _, n in named(sets.val, sets)] == [("n01440764",), ("n01440764",)]
    assert sets.notes == [f"{tmp_path}/val: 1 images have no class"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n", "2 lines for 3 images"),
        ("1\n2\n1001\n", r"truth.txt:3: '1001' is no ILSVRC id"),
        ("7\n7\n7\n", "is not in the class map: no folder of train"),
        (None, "nothing says the classes of these images"),
    ],
)
def test_bad_imagenet(text, message, tmp_path):
    places = imagenet(tmp_path)
    if text is None:
        settings = ImageNetData(**places)
    else:
        (tmp_path / "truth.txt").write_text(text)
        settings = ImageNetData(**places, val_labels=tmp_path / "truth.txt")
    with pytest.raises(DataError, match=message):
        settings.load(0)


def cub(root):
    lists = {
        "images.txt": "1 001.A_b/x_1.jpg\n2 001.A_b/x_2.jpg\n3 002.C/y_1.jpg\n4 002.C/y_2.jpg\n",
        "image_class_labels.txt": "1 1\n2 1\n3 2\n4 2\n",
        "train_test_split.txt": "1 1\n2 0\n3 1\n4 0\n",
        "bounding_boxes.txt": "".join(f"{i} 1.0 2.0 10.0 10.0\n" for i in range(1, 5)),
        "classes.txt": "1 001.A_b\n2 002.C\n",
    }
    for name, text in lists.items():
        (root / name).write_text(text)
    return root


def test_cub(tmp_path):
    """The official test images are left alone, or validate where that is asked for."""
    sets = CubData(root=cub(tmp_path)).load(0)
    assert sets.classes.titles == ("A b", "C")
    assert named(sets.train, sets) == [("001.A_b/x_1", ("001.A_b",)), ("002.C/y_1", ("002.C",))]
    official = [f"{tmp_path}/images/001.A_b/x_2.jpg", f"{tmp_path}/images/002.C/y_2.jpg"]
    assert [e.source.path for e in sets.test] == official
    assert (sets.val, sets.on_test, sets.truth) == ([], False, tmp_path)
    assert set(sets.boxes.annotations) == {"001.A_b/x_1", "002.C/y_1"}
    sets = CubData(root=tmp_path, validate_on="test").load(0)
    assert [e.source.path for e in sets.val] == official
    assert (sets.test, sets.on_test, sets.held) == ([], True, "the official test images")
    assert set(sets.boxes.annotations) == {"001.A_b/x_2", "002.C/y_2"}


def test_cub_class_outside_the_class_map(tmp_path):
    (cub(tmp_path) / "classes.txt").write_text("1 001.A_b\n")
    with pytest.raises(DataError, match="has the class 2, outside the class map of 1"):
        CubData(root=tmp_path).load(0)


def table(path, text):
    path.write_text(text)
    return path


def test_csv_of_several_classes(tmp_path):
    train = table(tmp_path / "t.csv", "path,label\na.png,cat;dog\nsub/b.png,dog\nc.png,cat\n")
    sets = CsvData(train=train, val_fraction=0).load(0)
    assert sets.classes.names == ("cat", "dog")
    assert named(sets.train, sets)[:2] == [("a.png", ("cat", "dog")), ("sub/b.png", ("dog",))]
    assert sets.train[1].source.path == str(tmp_path / "sub" / "b.png")


@pytest.mark.parametrize("seed", range(6))
def test_a_class_that_is_only_a_second_label_is_trained_on(seed, tmp_path):
    rows = [f"{i}.png,cat" for i in range(4)] + [f"{i}.png,dog;rare{i}" for i in (4, 5)]
    train = table(tmp_path / "t.csv", "\n".join(rows))
    sets = CsvData(train=train, val_fraction=0.5).load(seed)
    assert len(sets.val) == 2
    assert {label for e in sets.train for label in e.labels} == set(range(4))


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nb.png,dog\n",
        "ID,Class\na.png,cat\nb.png,dog\n",
        "label,path\ncat,a.png\ndog,b.png\n",
        ",filename,class\n0,a.png,cat\n1,b.png,dog\n",
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,64,48,cat,1,2,3,4\n"
        "b.png,72,48,dog,1,2,3,4\n",
        "image path;class name\na.png;cat\nb.png;dog\n",
        "a.png cat\nb.png dog\n",
        "a.png\tcat\nb.png\tdog\n",
        "cat,a.png\ndog,b.png\n",
        "Filename,category,split\na.png,cat,train\nb.png,dog,train\n",
    ],
)
def test_columns_of_a_table(text, tmp_path):
    sets = CsvData(train=table(tmp_path / "t.csv", text), val_fraction=0).load(0)
    assert sets.classes.names == ("cat", "dog")
    assert named(sets.train, sets) == [("a.png", ("cat",)), ("b.png", ("dog",))]


def test_columns_by_name(tmp_path):
    train = table(tmp_path / "t.csv", "id,what,of,part\n7,a.png,cat,train\n8,b.png,dog,train\n")
    columns = {"path": "what", "label": "of"}
    sets = CsvData(train=train, columns=columns, val_fraction=0).load(0)
    assert named(sets.train, sets) == [("a.png", ("cat",)), ("b.png", ("dog",))]
    with pytest.raises(DataError, match=r"data\.columns: no column 'where' among id"):
        CsvData(train=train, columns={"path": "where", "label": "of"}).load(0)


def test_a_column_of_splits(tmp_path):
    rows = ["path,split,label", "a.png,train,cat", "b.png,Training,dog", "c.png,valid,dog"]
    train = table(tmp_path / "t.csv", "\n".join([*rows, "d.png,test,cat"]))
    sets = CsvData(train=train).load(0)
    assert sets.classes.names == ("cat", "dog")
    assert named(sets.train, sets) == [("a.png", ("cat",)), ("b.png", ("dog",))]
    assert named(sets.val, sets) == [("c.png", ("dog",))]
    assert sets.notes == [
        f"{train}: by its column of splits 2 images to train on, 1 to validate on,"
        " 1 (test) left alone"
    ]
    with pytest.raises(DataError, match=r"a column says which images validate, and data.val names"):
        CsvData(train=train, val=train).load(0)
    train.write_text("\n".join([*rows, "d.png,later,cat"]))
    with pytest.raises(DataError, match=r"t.csv:5: 'later' in the column of splits is none of"):
        CsvData(train=train).load(0)


def test_rows_that_repeat_an_image(tmp_path):
    rows = ["a.png,cat", "a.png,cat", "b.png,dog", "./a.png,dog", "c.png,cat", "d.png,dog"]
    train = table(tmp_path / "t.csv", "\n".join(rows))
    sets = CsvData(train=train, val_fraction=0).load(0)
    assert named(sets.train, sets)[0] == ("a.png", ("cat", "dog"))
    assert len(sets.train) == 4
    assert sets.notes == [f"{train}: 2 rows repeat an image, which is one example"]


def test_images_in_both_sets_are_not_trained_on(tmp_path):
    """By name, and by what they hold."""
    for name, seed in {"a": 0, "b": 1, "c": 2, "copy of b": 1}.items():
        picture(seed).save(tmp_path / f"{name}.png")
    train = table(tmp_path / "t.csv", "a.png,cat\nb.png,dog\nc.png,dog\nd.png,cat\n")
    val = table(tmp_path / "v.csv", "./a.png,cat\ncopy of b.png,dog\n")
    sets = CsvData(train=train, val=val).load(0)
    assert named(sets.train, sets) == [("c.png", ("dog",)), ("d.png", ("cat",))]
    assert sets.notes == [
        f"{train}: 2 images to train on are in the validation set too, by name or content, and were"
        " left out of training"
    ]


def test_csv_with_a_class_map(tmp_path):
    train = table(tmp_path / "t.csv", "a.png,cat\nb.png,dog\n")
    classes = table(tmp_path / "classes.txt", "dog\ncat\n")
    assert CsvData(train=train, classes=classes).load(0).classes.names == ("dog", "cat")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.png,cat\nb.png,cow\n", r"t.csv:2: the label 'cow' is not in the class map \(2"),
        ("a.png,cat\nb.png,\n", r"t.csv:2: no class in this row; path,label needed"),
        ("a.png,cat\n", "class without an image to train on: 'dog'"),
        ("path,label\n", "empty: it lists no image"),
        ("what,of\na,cat\n", "t.csv:1: no header that is understood: what, of; call the column"),
        ("path,of\na.png,cat\n", "t.csv:1: no column of classes: found path, of; call it label"),
        ("a.png,1,cat\n", "t.csv:1: no header that is understood: a.png, 1, cat; call the column"),
    ],
)
def test_bad_csv(rows, message, tmp_path):
    train = table(tmp_path / "t.csv", rows)
    classes = table(tmp_path / "classes.txt", "dog\ncat\n")
    with pytest.raises(DataError, match=message):
        CsvData(train=train, classes=classes).load(0)


def shard(path, entries):
    with tarfile.open(path, "w") as tar:
        for name, data in entries:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_shards(tmp_path):
    first = [("a/1.seg.png", b"x"), ("a/1.cls", b"cat"), ("b/2.png", b"yy"), ("b/2.cls", b"dog")]
    shard(tmp_path / "s-0.tar", first)
    pairs = [("k3.jpg", b"zzz"), ("k3.cls", b"cat\n"), ("k4.jpg", b"w"), ("k4.cls", b"dog")]
    shard(tmp_path / "s-1.tar", pairs)
    sets = ShardData(train=(str(tmp_path / "s-*.tar"),), val_fraction=0).load(0)
    assert sets.classes.names == ("cat", "dog")
    assert named(sets.train, sets) == [
        ("a/1.seg", ("cat",)), ("b/2", ("dog",)), ("k3", ("cat",)), ("k4", ("dog",)),
    ]  # fmt: skip
    assert sets.shards == (2, 2)
    assert sets.train[2].source.open().read() == b"zzz"


def test_classes_of_shards_from_folders_and_json(tmp_path):
    path = shard(tmp_path / "s.tar", [("cat/1.png", b"x"), ("dog/2.png", b"y")])
    sets = ShardData(train=(str(path),), classes_from="folder", val_fraction=0).load(0)
    assert named(sets.train, sets) == [("cat/1", ("cat",)), ("dog/2", ("dog",))]
    entries = [
        ("d/1.png", b"x"), ("d/1.json", b'{"label": "cat", "n": 3}'),
        ("d/2.png", b"y"), ("d/2.json", b'{"label": "dog", "n": 10}'),
    ]  # fmt: skip
    path = shard(tmp_path / "j.tar", entries)
    for field, names in {"label": ("cat", "dog"), "n": ("10", "3")}.items():
        data = ShardData(train=(str(path),), classes_from="json", field=field, val_fraction=0)
        assert data.load(0).classes.names == names
    with pytest.raises(DataError, match=r"d/1.json: no class in its field 'kind'; name another"):
        ShardData(train=(str(path),), classes_from="json", field="kind").load(0)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("1.png", b"x")], "no class: no file .cls beside it; data.classes_from: folder takes"),
        ([("notes.txt", b"x")], "no images in this shard"),
        (None, "not a readable tar file"),
    ],
)
def test_bad_shards(entries, message, tmp_path):
    path = tmp_path / "s.tar"
    if entries is None:
        path.write_bytes(b"no tar at all")
    else:
        shard(path, entries)
    with pytest.raises(DataError, match=message):
        ShardData(train=(str(path),)).load(0)


def test_no_such_shard(tmp_path):
    with pytest.raises(DataError, match="no such tar file"):
        ShardData(train=(str(Path(tmp_path) / "none-*.tar"),)).load(0)
