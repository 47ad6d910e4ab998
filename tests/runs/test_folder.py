from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from camtool.errors import RunError
from camtool.runs import MapFiles, RunFolder, Shard, read_manifest, read_predictions
from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox, ScoreMap

IDENTITY = {"localize": {"cam": {"name": "cam"}}, "inputs": "1f"}


def prediction(number: int) -> tuple[Prediction, list[ScoreMap]]:
    """An image with one class or two; every fifth cannot be read."""
    name = f"image{number:04d}"
    if number % 5 == 4:
        return Prediction(name, f"{name}.jpg", None, error="empty file (0 bytes)"), []
    random = np.random.default_rng(number)
    size = 40 + number, 30
    count = 1 + number % 2
    classes = tuple(
        ClassPrediction(f"n{rank}", 0.5, (ScoredBox(Box(1, 2, 3 + number, 4), 1.0),), rank, rank)
        for rank in range(1, count + 1)
    )
    maps = [
        ScoreMap(random.normal(size=(3, 4)).astype(np.float32), (0, 0, *size), size)
        for _ in range(count)
    ]
    return Prediction(name, f"{name}.jpg", size, classes), maps


def append(folder: RunFolder, numbers) -> None:
    pairs = [prediction(n) for n in numbers]
    folder.append([p for p, _ in pairs], [m for _, m in pairs])


def different(held, own) -> list[str]:
    return [k for k in own if held.get(k) != own[k]]


def write_run(path, images: int, shards: int = 1, part: int = 4) -> None:
    for index in range(shards):
        shard = Shard(index, shards)
        folder = RunFolder(path, shard, images, IDENTITY)
        folder.check(different)
        if folder.is_finished():
            continue
        with folder.open("a: 1\n"):
            own = list(range(index, images, shards))
            for start in range(0, len(own), part):
                append(folder, own[start : start + part])
            assert folder.done() == shard.share(images)
            # With fewer images than shards, the last ones have nothing to wait for.
            assert folder.is_complete() == (index >= min(shards, images) - 1)
            if folder.is_complete():
                folder.assemble({"schema_version": 1})


def contents(path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


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
    assert manifest["counts"] == {"images": 11, "localized": 9, "skipped": 2}
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
    with folder.open(""):
        append(folder, [4])
        folder.assemble({})
    assert [p.error for p in read_predictions(tmp_path / "run")] == ["empty file (0 bytes)"]
    assert read_manifest(tmp_path / "run")["counts"] == {"images": 1, "localized": 0, "skipped": 1}


def test_a_run_goes_on_where_it_stopped(tmp_path):
    run = tmp_path / "run"
    with RunFolder(run, Shard(), 9, IDENTITY).open("a: 1\n") as folder:
        append(folder, [0, 1, 2])
    # What a kill between the two files of a part, or in the middle of one, leaves behind.
    parts = run / "parts" / "00000-of-00001"
    (parts / "00000003.npz").write_bytes(b"half")
    (parts / ".x.tmp").write_bytes(b"half")
    folder = RunFolder(run, Shard(), 9, IDENTITY)
    folder.check(different)
    with folder.open("a: 1\n"):
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
    with folder.open("a: 1\n"):
        append(folder, range(6))
        with monkeypatch.context() as patch:
            patch.setattr("camtool.runs.folder.pack", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                folder.assemble({"schema_version": 1})
    assert not folder.is_finished()
    assert not (run / "predictions.jsonl").exists()
    with RunFolder(run, Shard(), 6, IDENTITY).open("a: 1\n") as again:
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
    with RunFolder(run, Shard(), 5, IDENTITY).open("") as folder:
        append(folder, [0, 1, 2])
        append(folder, [3, 4])
        part = run / "parts" / "00000-of-00001" / "00000000.jsonl"
        part.write_bytes(b"".join(DAMAGES[damage](part.read_bytes().splitlines(keepends=True))))
        with pytest.raises(RunError, match=r"damaged \(.*\): start again with --overwrite$"):
            folder.assemble({})
    assert not (run / "manifest.json").exists()
    assert not (run / "predictions.jsonl").exists()


def test_damaged_maps_of_a_part(tmp_path):
    run = tmp_path / "run"
    with RunFolder(run, Shard(), 3, IDENTITY).open("") as folder:
        append(folder, [0, 1, 2])
        (run / "parts" / "00000-of-00001" / "00000000.npz").write_bytes(b"")
        with pytest.raises(RunError, match=r"00000000\.npz: not a readable map file"):
            folder.assemble({})


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    folder = RunFolder(tmp_path, Shard(), 1, IDENTITY)
    for action in (lambda: folder.check(different), folder.clear):
        with pytest.raises(RunError) as raised:
            action()
        assert str(raised.value) == (
            f"{tmp_path}: not empty, and not a run folder: choose another --out"
        )
    assert contents(tmp_path) == {"precious.txt": b"x"}


def test_clearing_removes_what_is_the_runs_own(tmp_path):
    run = tmp_path / "run"
    write_run(run, 6)
    (run / "overlays").mkdir()
    (run / "overlays" / "a.jpg").write_bytes(b"x")
    (run / "notes.txt").write_text("mine")
    RunFolder(run, Shard(), 6, IDENTITY).clear()
    assert contents(run) == {"notes.txt": b"mine"}
    assert [p.name for p in run.iterdir()] == ["notes.txt"]


def test_an_empty_or_missing_folder_is_fine(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        folder = RunFolder(path, Shard(), 1, IDENTITY)
        folder.check(different)
        assert not folder.is_finished()
        assert folder.done() == 0


@pytest.mark.parametrize("finished", [True, False])
def test_another_experiment_is_refused(finished, tmp_path):
    run = tmp_path / "run"
    if finished:
        write_run(run, 3)
    else:
        with RunFolder(run, Shard(), 3, IDENTITY).open("") as folder:
            append(folder, [0])
    before = contents(run)
    other = RunFolder(run, Shard(), 3, {**IDENTITY, "localize": {"cam": {"name": "other"}}})
    with pytest.raises(RunError) as raised:
        other.check(different)
    assert str(raised.value) == (
        f"{run} holds another experiment (localize differs): choose another --out or --overwrite"
    )
    assert contents(run) == before


def test_another_number_of_shards_is_refused(tmp_path):
    with RunFolder(tmp_path, Shard(0, 2), 3, IDENTITY).open(""):
        pass
    with pytest.raises(RunError) as raised:
        RunFolder(tmp_path, Shard(0, 3), 3, IDENTITY).check(different)
    assert str(raised.value) == (
        f"{tmp_path} was started with 2 shards, not 3: go on with as many, choose another --out or"
        " --overwrite"
    )
    RunFolder(tmp_path, Shard(1, 2), 3, IDENTITY).check(different)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"identity": 5}', b"\xff"])
def test_a_damaged_mark_of_a_run(content, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "run.json").write_bytes(content)
    with pytest.raises(RunError) as raised:
        RunFolder(tmp_path, Shard(), 3, IDENTITY).check(different)
    assert str(raised.value).startswith(f"{tmp_path}/parts/run.json: damaged (")
    assert str(raised.value).endswith("): choose another --out or --overwrite")


def test_a_second_process_is_refused(tmp_path):
    """And let in once the first is gone; another shard is no matter."""
    program = (
        "import sys; from pathlib import Path; from camtool.runs import RunFolder, Shard;"
        "folder = RunFolder(Path(sys.argv[1]), Shard(int(sys.argv[2]), 2), 3, {});"
        "folder.open('').close()"
    )

    def other(index: int) -> str:
        arguments = [sys.executable, "-c", program, tmp_path, str(index)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False).stderr

    with RunFolder(tmp_path, Shard(0, 2), 3, {}).open(""):
        assert other(0).endswith(
            f"camtool.errors.RunError: {tmp_path}: another process is writing this run\n"
        )
        assert other(1) == ""
    assert other(0) == ""


def test_a_full_disk(tmp_path, monkeypatch):
    run = tmp_path / "run"
    with RunFolder(run, Shard(), 6, IDENTITY).open("a: 1\n") as folder:
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


def test_identities_are_compared_as_json(tmp_path):
    """A tuple is written as a list: the same run must not differ from itself."""
    identity = {"classes": ("a", "b")}
    with RunFolder(tmp_path, Shard(), 3, identity).open(""):
        pass
    again = RunFolder(tmp_path, Shard(), 3, identity)
    again.check(different)
    assert json.loads((tmp_path / "parts" / "run.json").read_text()) == {
        "identity": {"classes": ["a", "b"], "shards": 1}
    }


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
