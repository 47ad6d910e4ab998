from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camtool.errors import RunError
from camtool.runs.maps import MapFiles, pack, unpack
from camtool.structures import Prediction, ScoreMap

# Every bit pattern: also infinities, subnormal numbers, negative zeros and NaNs of all kinds.
VALUES = hnp.arrays(np.uint32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5)).map(
    lambda a: a.view(np.float32)
)


@st.composite
def score_maps(draw) -> ScoreMap:
    x, y = draw(st.floats(-100, 100)), draw(st.floats(-100, 100))
    w, h = draw(st.floats(1, 5000)), draw(st.floats(1, 5000))
    size = draw(st.integers(1, 10**5)), draw(st.integers(1, 10**5))
    return ScoreMap(draw(VALUES), (x, y, x + w, y + h), size)


@given(st.lists(score_maps(), max_size=4))
def test_every_bit_is_kept(tmp_path_factory, maps):
    path = tmp_path_factory.mktemp("maps") / "a.npz"
    path.write_bytes(pack(maps))
    again = unpack(path)
    assert len(again) == len(maps)
    for one, other in zip(maps, again, strict=True):
        np.testing.assert_array_equal(one.values.view(np.uint32), other.values.view(np.uint32))
        assert (one.region, one.size) == (other.region, other.size)


def some_maps(count: int = 3) -> list[ScoreMap]:
    random = np.random.default_rng(0)
    return [
        ScoreMap(random.normal(size=(2 + i, 3)).astype(np.float32), (0, 0, 8, 9 + i), (8, 9 + i))
        for i in range(count)
    ]


def test_the_file_is_readable_by_numpy_alone(tmp_path):
    path = tmp_path / "a.npz"
    maps = some_maps()
    path.write_bytes(pack(maps))
    with np.load(path, allow_pickle=False) as file:
        assert {k: (file[k].dtype.name, file[k].shape) for k in file.files} == {
            "values": ("float32", (6 + 9 + 12,)),
            "shapes": ("int32", (3, 2)),
            "regions": ("float64", (3, 4)),
            "sizes": ("int32", (3, 2)),
        }
        np.testing.assert_array_equal(file["values"][6:15].reshape(3, 3), maps[1].values)
        assert file["shapes"].tolist() == [[2, 3], [3, 3], [4, 3]]
        assert file["sizes"].tolist() == [[8, 9], [8, 10], [8, 11]]


def test_the_same_maps_give_the_same_bytes():
    assert pack(some_maps()) == pack(some_maps())


def test_a_few_hundred_bytes_an_image():
    one = ScoreMap(np.zeros((7, 7), np.float32), (0, 0, 1, 1), (1, 1))
    assert (len(pack([one] * 1000)) - len(pack([]))) / 1000 == 4 * 49 + 8 + 32 + 8


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def of(values=6, shapes=((2, 3),), regions=((0, 0, 1, 1),), sizes=((1, 1),)) -> bytes:
    return npz(
        values=np.zeros(values, np.float32),
        shapes=np.array(shapes, np.int32),
        regions=np.array(regions, np.float64),
        sizes=np.array(sizes, np.int32),
    )


def one_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


FOREIGN = {
    "empty": b"",
    "text": b"no maps here",
    "another archive": npz(other=np.zeros(3)),
    "one array": one_array(),
    "too few values": of(values=5),
    "negative shapes": of(shapes=((-2, -3),)),
    "fewer regions": of(regions=np.zeros((0, 4))),
    "an empty region": of(regions=((0, 0, 0, 1),)),
    "no size": of(sizes=((0, 1),)),
    "flat shapes": of(shapes=(2, 3)),
    "doubles": npz(
        values=np.zeros(6), shapes=np.array([[2, 3]]), regions=np.array([[0.0, 0, 1, 1]]),
        sizes=np.array([[1, 1]]),
    ),
    "objects": npz(
        values=np.array([None] * 6), shapes=np.array([[2, 3]]),
        regions=np.array([[0.0, 0, 1, 1]]), sizes=np.array([[1, 1]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(name, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(FOREIGN[name])
    with pytest.raises(RunError) as raised:
        unpack(path)
    assert str(raised.value).startswith(f"{path}: not a readable map file (")
    assert str(raised.value).endswith("); localize again")


def test_the_small_file_of_these_tests_is_a_map_file(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(of())
    assert [m.values.shape for m in unpack(path)] == [(2, 3)]


def test_damaged_files(tmp_path):
    """One byte changed, or the end cut off: an error of ours, or a file that still is one."""
    data = pack(some_maps())
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        path = tmp_path / "a.npz"
        damaged = bytearray(data)
        place = int(random.integers(0, len(data)))
        if random.random() < 0.2:
            del damaged[place:]
        else:
            damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        try:
            unpack(path)
        except RunError:
            refused += 1
    assert refused > 100


@pytest.fixture
def run(tmp_path):
    (tmp_path / "maps").mkdir()
    for number in range(2):
        (tmp_path / "maps" / f"{number:05d}.npz").write_bytes(pack(some_maps(2 + number)))
    return tmp_path


def prediction(maps: str | None, size: tuple[int, int] = (8, 9)) -> Prediction:
    return Prediction("a", "a.jpg", size, maps=maps)


def test_stored_maps_are_found_by_row(run):
    files = MapFiles(run)
    for name, count in (("maps/00000.npz", 2), ("maps/00001.npz", 3), ("maps/00000.npz", 2)):
        for row in range(count):
            found = files.load(prediction(name, (8, 9 + row)), row)
            np.testing.assert_array_equal(found.values, some_maps()[row].values)
            assert found.size == (8, 9 + row)
        for row in (count, -1):
            with pytest.raises(RunError) as raised:
                files.load(prediction(name), row)
            assert str(raised.value) == f"{run}/{name}: has no map {row}; localize again"


@pytest.mark.parametrize("name", [None, "/etc/passwd", "../other/maps/00000.npz"])
def test_map_files_outside_of_the_run_are_refused(name, run):
    with pytest.raises(RunError) as raised:
        MapFiles(run).load(prediction(name), 0)
    assert str(raised.value) == f"{run}: 'a' has no map file in the run"


def test_a_missing_map_file(run):
    with pytest.raises(RunError, match=r"00009\.npz: not a readable map file \(.*No such file"):
        MapFiles(run).load(prediction("maps/00009.npz"), 0)


def test_values_survive_that_compare_unequal_to_themselves(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(pack([ScoreMap(np.full((1, 1), math.nan, np.float32), (0, 0, 1, 1), (1, 1))]))
    assert np.isnan(unpack(path)[0].values).all()
