"""Run folders: written in shards and parts, assembled once, found again."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from camtool.errors import RunError
from camtool.runs import MapFiles, RunFolder, Shard, read_manifest, read_predictions
from camtool.runs.folder import last_run, remember
from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox, ScoreMap
from tests.runs.sample_run import IDENTITY, append, contents, different, prediction, write_run


def test_a_finished_run(tmp_path):
    run = tmp_path / "run"
    write_run(run, 11)
    assert sorted(contents(run)) == [
        "experiment.yaml", "manifest.json", "maps/00000.npz", "predictions.jsonl",
    ]  # fmt: skip
    assert (run / "experiment.yaml").read_text() == "a: 1\n"
    manifest = read_manifest(run)
    assert manifest["schema_version"] == 1
    assert manifest["identity"] == IDENTITY
    counts = manifest["counts"]
    assert (counts["images"], counts["skipped"]) == (11, 2)
    assert counts["localized"] + counts["without_class"] == 9
    assert manifest["skipped"] == [
        {"image_id": n, "path": f"{n}.jpg", "error": "empty file (0 bytes)"}
        for n in ("image0004", "image0009")
    ]
    files = MapFiles(run)
    predictions = list(read_predictions(run))
    assert [p.image_id for p in predictions] == [f"image{n:04d}" for n in range(11)]
    for number, found in enumerate(predictions):
        expected, maps = prediction(number)
        assert found.error == expected.error
        assert found.size == expected.size
        for one, stored in zip(found.classes, maps, strict=True):
            np.testing.assert_array_equal(files.load(found, one.map).values, stored.values)


@pytest.mark.parametrize("images", [1, 5, 11, 513])
def test_shards_and_parts_do_not_show(images, tmp_path):
    """Also over the border between two map files, and where a shard has no image at all."""
    write_run(tmp_path / "one", images)
    expected = contents(tmp_path / "one")
    for shards, part in ((1, 7), (2, 4), (3, 100)):
        run = tmp_path / f"{shards}-{part}"
        write_run(run, images, shards, part)
        assert contents(run) == expected
    assert ("maps/00001.npz" in expected) == (images > 512)


def test_a_run_of_unreadable_images_only(tmp_path):
    folder = RunFolder(tmp_path / "run", Shard(), 1, IDENTITY)
    with folder.open("", different):
        append(folder, [4])
        folder.assemble({})
    assert [p.error for p in read_predictions(tmp_path / "run")] == ["empty file (0 bytes)"]
    counts = read_manifest(tmp_path / "run")["counts"]
    assert (counts["images"], counts["localized"], counts["skipped"]) == (1, 0, 1)


def test_a_run_goes_on_where_it_stopped(tmp_path):
    run = tmp_path / "run"
    with RunFolder(run, Shard(), 9, IDENTITY).open("a: 1\n", different) as folder:
        append(folder, [0, 1, 2])
    # What a kill between the two files of a part, or in the middle of one, leaves behind.
    parts = run / "parts" / "00000-of-00001"
    (parts / "00000003.npz").write_bytes(b"half")
    (parts / ".x.tmp").write_bytes(b"half")
    folder = RunFolder(run, Shard(), 9, IDENTITY)
    folder.check(different)
    with folder.open("a: 1\n", different):
        assert folder.done() == 3
        assert not folder.is_complete()
        append(folder, range(3, 9))
        folder.assemble({"schema_version": 1})
    write_run(tmp_path / "whole", 9)
    assert contents(run) == contents(tmp_path / "whole")


def test_assembling_twice_changes_nothing(tmp_path):
    run = tmp_path / "run"
    write_run(run, 6)
    before = contents(run)
    RunFolder(run, Shard(), 6, IDENTITY).assemble({"schema_version": 2})
    assert contents(run) == before


def test_a_kill_during_assembly_is_made_good(tmp_path, monkeypatch):
    run = tmp_path / "run"
    folder = RunFolder(run, Shard(), 6, IDENTITY)
    with folder.open("a: 1\n", different):
        append(folder, range(6))
        with monkeypatch.context() as patch:
            patch.setattr("camtool.runs.folder.pack", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                folder.assemble({"schema_version": 1})
    assert not folder.is_finished()
    assert not (run / "predictions.jsonl").exists()
    with RunFolder(run, Shard(), 6, IDENTITY).open("a: 1\n", different) as again:
        assert again.is_complete()
        again.assemble({"schema_version": 1})
    write_run(tmp_path / "whole", 6)
    assert contents(run) == contents(tmp_path / "whole")


DAMAGES = {
    "a record is missing": lambda lines: lines[:1],
    "not JSON": lambda lines: [lines[0], b"{\n", *lines[2:]],
    "not a record": lambda lines: [lines[0], b"5\n", *lines[2:]],
    "a record without its maps": lambda lines: [*lines, lines[1]],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part(damage, tmp_path):
    run = tmp_path / "run"
    with RunFolder(run, Shard(), 5, IDENTITY).open("", different) as folder:
        append(folder, [0, 1, 2])
        append(folder, [3, 4])
        (part,) = (run / "parts" / "00000-of-00001").glob("00000000-*.jsonl")
        part.write_bytes(b"".join(DAMAGES[damage](part.read_bytes().splitlines(keepends=True))))
        with pytest.raises(RunError, match=r"damaged \(.*\): start again with --overwrite$"):
            folder.assemble({})
    assert not (run / "manifest.json").exists()
    assert not (run / "predictions.jsonl").exists()


def test_damaged_maps_of_a_part(tmp_path):
    run = tmp_path / "run"
    with RunFolder(run, Shard(), 3, IDENTITY).open("", different) as folder:
        append(folder, [0, 1, 2])
        (maps,) = (run / "parts" / "00000-of-00001").glob("*.npz")
        maps.write_bytes(b"")
        with pytest.raises(RunError, match=r"00000000-\w{8}\.npz: not a readable map file"):
            folder.assemble({})


def test_a_full_disk(tmp_path, monkeypatch):
    run = tmp_path / "run"
    with RunFolder(run, Shard(), 6, IDENTITY).open("a: 1\n", different) as folder:
        append(folder, [0, 1, 2])

        def fail(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(RunError, match="no space left on the disk; free some and start"):
                append(folder, [3, 4, 5])
        assert folder.done() == 3
        append(folder, [3, 4, 5])
        folder.assemble({"schema_version": 1})
    write_run(tmp_path / "whole", 6)
    assert contents(run) == contents(tmp_path / "whole")


def test_file_systems_without_locks(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    write_run(tmp_path / "run", 3)
    assert read_manifest(tmp_path / "run")["counts"]["images"] == 3


@pytest.mark.parametrize(("index", "count"), [(-1, 1), (1, 1), (5, 3), (0, 0)])
def test_what_is_no_shard(index, count):
    with pytest.raises(ValueError, match=f"^not a shard: {index}/{count}$"):
        Shard(index, count)


@pytest.mark.parametrize("images", [0, 1, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shares_cover_all_images(images, count):
    shares = [Shard(i, count).share(images) for i in range(count)]
    assert sum(shares) == images
    assert max(shares) - min(shares) <= 1


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def finish(path):
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    return path


def test_no_run_yet():
    assert last_run() is None


def test_the_run_written_last_is_remembered_in_its_folder(tmp_path, monkeypatch):
    first, second = finish(tmp_path / "a"), finish(tmp_path / "ünï \udce9")
    remember(first)
    assert last_run() == first
    remember(second)
    assert last_run() == second
    monkeypatch.chdir(tmp_path)
    assert last_run() is None


def test_a_relative_path_is_remembered_as_what_it_is(tmp_path):
    run = finish(tmp_path / "work" / "run")
    remember(type(run)("run"))
    assert last_run() == run


def test_the_default_folder_where_the_remembered_one_is_gone(tmp_path):
    finish(tmp_path / "work" / "runs" / "localize")
    run = finish(tmp_path / "a")
    remember(run)
    (run / "manifest.json").unlink()
    assert os.fspath(last_run()) == "runs/localize"


def test_a_home_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "state").write_text("a file")
    remember(finish(tmp_path / "a"))
    assert last_run() is None


def test_images_without_a_class_and_unsure_ones_are_counted_apart(tmp_path):
    """Unsure is the network's best class below the limit, not a true one, nor a later one."""
    box = (ScoredBox(Box(0, 0, 4, 4), 1.0),)
    found = {
        "sure": ClassPrediction("n1", 0.9, box, rank=1),
        "unsure": ClassPrediction("n1", 0.29, box, rank=1),
        "true": ClassPrediction("n1", 0.1, box, rank=1, target=True),
        "asked": ClassPrediction("n1", 0.1, box, rank=7),
        "unscored": ClassPrediction("n1", None, box, rank=1),
    }
    records = [Prediction(name, name, (9, 9), (one,)) for name, one in found.items()]
    records.append(Prediction("none", "none", (9, 9)))
    folder = RunFolder(tmp_path / "run", Shard(), len(records), IDENTITY)
    with folder.open("a: 1\n", different):
        maps = [ScoreMap(np.ones((2, 2), np.float32), (0, 0, 9, 9), (9, 9))]
        folder.append(records, [maps * len(record.classes) for record in records])
        folder.assemble({"schema_version": 1})
    assert read_manifest(tmp_path / "run")["counts"] == {
        "images": 6, "localized": 5, "without_class": 1, "unsure": 1, "skipped": 0,
    }  # fmt: skip
    assert [one.unsure for one in found.values()] == [False, True, False, False, False]
