"""Inputs that people brought, rebuilt in `../shared/cases`: tables, folders and lists of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from camtool.annotations import read_labels
from camtool.errors import DataError
from camtool.images import find_images
from camtool.training.data import CsvData, FolderData


@pytest.fixture
def cases(shared) -> Path:
    return shared / "cases"


def test_files_in_a_folder(cases):
    """Case 07: what is left out is told, HEIC by name; content tells what has no ending."""
    case = cases / "07-images-not-found-in-folder"
    assert "HEIC photos left out" in " ".join(find_images([str(case / "folder")]).warnings)
    with pytest.raises(DataError, match=r"no images in .*: 2 HEIC photos left out"):
        find_images([str(case / "heic_only")])
    assert len(find_images([str(case / "noext")]).sources) == 11


@pytest.mark.parametrize(
    "name",
    ["backslash.csv", "filepath_category.csv", "pandas_index.csv", "semicolon.csv", "tab.txt",
     "caffe.txt", "backslash.txt", "comment.txt"],
)  # fmt: skip
def test_lists_of_windows_and_excel(name, cases):
    """Case 08: IMAGES, --labels and data.train read the same list alike."""
    path = cases / "08-windows-and-excel-lists" / name
    sources = find_images([str(path)]).sources
    assert all(Path(source.path).is_file() for source in sources)
    assert sources[0].image_id == "pics/cats/cat"
    if name in ("backslash.txt", "comment.txt"):  # names alone
        return
    found = {k.replace("\\", "/"): v.labels for k, v in read_labels(path).annotations.items()}
    assert found == {source.image_id: source.labels for source in sources}
    if len(sources) > 1:
        classes = CsvData(train=path, val_fraction=0).load(0).classes.names
        assert classes == tuple(sorted(str(label) for s in sources for label in s.labels))


@pytest.mark.parametrize("name", ["roboflow_tensorflow.csv", "path_split_label.csv"])
def test_tables_to_train_on(name, cases):
    """Case 09: the class is the column of that name, not the second one."""
    path = cases / "09-train-csv-takes-second-column" / name
    assert CsvData(train=path).load(0).classes.names == ("disk", "square")


@pytest.mark.parametrize("name", ["roboflow", "kaggle"])
def test_folders_of_splits(name, cases):
    """Case 13: folders called train, valid and test are no classes."""
    root = cases / "13-split-folders-taken-for-classes" / name
    sets = FolderData(root=root).load(0)
    assert sets.classes.names == ("disk", "square")
    assert sets.notes


def test_lists_of_pascal_voc(cases):
    """Case 18: stems whose images lie in JPEGImages; masks are no photos."""
    root = cases / "18-voc-devkit-layout" / "VOC2012"
    listed = find_images([str(root / "ImageSets" / "Main" / "val.txt")]).sources
    assert listed
    assert all(Path(source.path).is_file() for source in listed)
    found = find_images([str(root)])
    assert all("SegmentationClass" not in source.path for source in found.sources)
    assert any("folders of masks" in warning for warning in found.warnings)


@pytest.mark.parametrize("name", ["caffe_val.txt", "caffe_val_comma.txt"])
def test_lists_of_imagenet(name, cases):
    """Case 19: name and index, divided by a blank or a comma."""
    case = cases / "19-imagenet-val-label-lists"
    expected = read_labels(case / "val.csv").annotations
    assert read_labels(case / name).annotations == expected
    assert all(len(found.labels) == 1 for found in expected.values())


def test_a_row_for_every_object(cases):
    """Case 21: an image is one example; one of two classes has both."""
    sets = CsvData(train=cases / "21-one-row-per-box-in-train-csv" / "train.csv").load(0)
    train, val = ({e.source.path for e in part} for part in (sets.train, sets.val))
    assert not train & val
    assert "rows repeat an image" in sets.notes[0]
    assert {len(e.labels) for e in (*sets.train, *sets.val)} == {1, 2}
