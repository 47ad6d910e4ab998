from __future__ import annotations

import io
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camtool.errors import SettingsError
from camtool.reports.overlay import (
    OverlaySettings,
    draw_overlay,
    encode_heatmap,
    encode_overlay,
    overlay_name,
    thumbnail,
)
from camtool.structures import Box, ClassPrediction, ScoredBox, ScoreMap

SETTINGS = OverlaySettings()

# Parts of a path as image ids have them: neither empty, nor leading out, nor with a slash.
PART = st.text(
    st.one_of(st.characters(exclude_categories=()), st.sampled_from(".%~ aA/\udce9")), min_size=1
).map(lambda t: t.replace("/", "%2F")).filter(lambda t: t not in (".", ".."))  # fmt: skip
IDS = st.lists(PART, min_size=1, max_size=3).map("/".join)


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        ("a", "a.jpg"),
        ("n01440764/ILSVRC2012_val_00000293", "n01440764/ILSVRC2012_val_00000293.jpg"),
        ("ünï-日本", "ünï-日本.jpg"),
        ("with space, comma", "with space, comma.jpg"),
        ("a.b", "a.b.jpg"),
        ("a.jpg", "a.jpg.jpg"),
        ("a.jpg/b", "a%2Ejpg/b.jpg"),
        ("..", "%2E%2E.jpg"),
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd.jpg"),
        ("/etc/passwd", "etc/passwd.jpg"),
        ("<b>&#?*:|\\", "%3Cb%3E%26%23%3F%2A%3A%7C%5C.jpg"),
        ("new\nline", "new%0Aline.jpg"),
        ("100%", "100%25.jpg"),
        ("~root", "%7Eroot.jpg"),
        ("\udce9", "%ED%B3%A9.jpg"),
        ("🐶", "%F0%9F%90%B6.jpg"),
    ],
)
def test_names(image_id, expected):
    assert overlay_name(image_id) == PurePosixPath(expected)


@given(IDS)
def test_no_name_leads_outside_or_is_too_long(image_id):
    name = overlay_name(image_id)
    assert not name.is_absolute()
    assert ".." not in name.parts
    assert len(name.parts) == image_id.count("/") + 1
    assert all(0 < len(os.fsencode(part)) <= 255 for part in name.parts)
    assert os.path.normpath(name) == str(name)


@given(st.lists(IDS, min_size=2, max_size=5, unique=True))
def test_names_of_different_images_differ_and_are_in_nobodys_way(ids):
    names = [overlay_name(i) for i in ids]
    assert len(set(names)) == len(ids)
    folders = {parent for name in names for parent in name.parents}
    assert not folders & set(names)


LONG = ["x" * 300, "x" * 300 + "y", "日" * 100, "日" * 101, "%" * 100, "🐶" * 30, "\udce9" * 99]


@pytest.mark.parametrize("image_id", LONG, ids=range(len(LONG)))
def test_long_names_are_cut_and_told_apart(image_id, tmp_path):
    name = overlay_name(image_id)
    assert len(os.fsencode(name.name)) <= 204
    (tmp_path / name).write_bytes(b"")
    assert len({overlay_name(i) for i in LONG}) == len(LONG)
    # Not even an image that is called as the cut one gets its name.
    assert overlay_name(name.stem) != name


def test_every_name_can_be_made(tmp_path):
    for image_id in ("a", "a/b", "a.jpg", "a.jpg/b", "../a", "new\nline", "\udce9", "x" * 999):
        path = Path(tmp_path, overlay_name(image_id))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        assert path.resolve().is_relative_to(tmp_path.resolve())
    assert sum(p.is_file() for p in tmp_path.rglob("*")) == 8


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((800, 600), (800, 600)),
        ((6000, 4000), (6000, 4000)),
        ((64, 48), (64, 48)),
        ((1, 1), (1, 1)),
        ((16_384, 8192), (8192, 4096)),
        ((100_000, 1), (8192, 1)),
    ],
)
def test_thumbnail(size, expected):
    image = Image.new("RGB", size)
    result = thumbnail(image, SETTINGS)
    assert result.size == expected
    assert result is not image


GRAY = (90, 90, 90)


def one_class(*boxes: Box, score=0.5, rank=1, target=False, title="dog, Canis") -> ClassPrediction:
    scored = tuple(ScoredBox(b, 1.0) for b in boxes)
    return ClassPrediction("n1", score, scored, rank, 1, title, target)


def score_map(values, size, region=None) -> ScoreMap:
    return ScoreMap(np.asarray(values, np.float32), region or (0, 0, *size), size)


def panel(photo: Image.Image, found, values, size=None, settings=SETTINGS) -> np.ndarray:
    """The drawn picture; the name of its class covers the upper left corner."""
    size = size or photo.size
    picture = draw_overlay(photo, [(found, score_map(values, size))], settings)
    assert picture.size == photo.size
    return np.asarray(picture, int)


def below_the_name(drawn: np.ndarray) -> np.ndarray:
    return drawn[30:]


def test_it_is_hottest_where_the_map_is():
    photo = Image.new("RGB", (400, 400), GRAY)
    values = np.zeros((4, 4))
    values[1, 2] = 1  # pixels 200…300 × 100…200
    drawn = panel(photo, one_class(), values)
    red, blue = drawn[..., 0], drawn[..., 2]
    assert drawn[390, 10].tolist() == list(GRAY)  # cold parts show the photo
    hot = drawn[150, 250]
    assert hot[0] > 85
    assert hot[2] < 45
    # Colours run from blue over green to red, so red less blue rises with the heat.
    y, x = np.unravel_index((red - blue)[30:].argmax(), red[30:].shape)
    y += 30
    assert 200 <= x < 300
    assert 100 <= y < 200


def test_opacity():
    photo = Image.new("RGB", (400, 400), GRAY)
    values = np.ones((2, 2))
    clear = panel(photo, one_class(), values, settings=OverlaySettings(opacity=0.0))
    assert (below_the_name(clear) == 90).all()
    solid = panel(photo, one_class(), values, settings=OverlaySettings(opacity=1.0))
    assert solid[200, 200].tolist() == [122, 4, 3]  # the hottest colour of Turbo itself


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), -float("inf")])
def test_maps_without_a_positive_part_leave_the_photo_as_it_is(value):
    photo = Image.new("RGB", (400, 300), GRAY)
    values = np.ones((3, 3)) * value
    assert (below_the_name(panel(photo, one_class(), values)) == 90).all()


def test_heat_may_begin_at_the_least_value():
    photo = Image.new("RGB", (400, 400), GRAY)
    rises, from_least = np.float32([[0, 1], [2, 4]]), OverlaySettings(scale="min-max")
    expected = panel(photo, one_class(), rises)
    for common in (8, -16):  # exact in single precision
        drawn = panel(photo, one_class(), rises + common, settings=from_least)
        assert np.array_equal(drawn, expected)
        assert not np.array_equal(panel(photo, one_class(), rises + common), expected)
    flat = panel(photo, one_class(), np.ones((2, 2)), settings=from_least)
    assert (below_the_name(flat) == 90).all()


def test_one_value_that_is_no_number_leaves_the_photo_as_it_is():
    photo = Image.new("RGB", (400, 300), GRAY)
    drawn = panel(photo, one_class(), [[1, float("nan")], [1, 1]])
    assert (below_the_name(drawn) == 90).all()


def test_the_box_is_where_it_should_be():
    """A box of the original picture, drawn at half its size: white, with a dark line around."""
    photo = Image.new("RGB", (400, 300), GRAY)
    box = Box(200, 120, 600, 480)  # at half size: 100…300 × 60…240
    drawn = panel(photo, one_class(box), np.zeros((2, 2)), size=(800, 600))
    for y, x in ((60, 200), (239, 200), (150, 100), (150, 299)):
        assert drawn[y, x].tolist() == [0, 0, 0]
    for y, x in ((61, 200), (238, 200), (150, 101), (150, 298)):
        assert drawn[y, x].tolist() == [255, 255, 255]
    for y, x in ((59, 200), (240, 200), (150, 99), (150, 300), (150, 200), (66, 200)):
        assert drawn[y, x].tolist() == list(GRAY)


def test_boxes_of_true_classes_are_green():
    photo = Image.new("RGB", (400, 300), GRAY)
    drawn = panel(photo, one_class(Box(100, 60, 300, 240), target=True), np.zeros((2, 2)))
    assert drawn[61, 200].tolist() == [120, 255, 120]


def test_a_centre_crop_is_heated_in_its_region_only():
    photo = Image.new("RGB", (400, 200), GRAY)
    pair = one_class(), score_map(np.ones((3, 3)), (400, 200), (100, 0, 300, 200))
    picture = draw_overlay(photo, [pair], SETTINGS)
    drawn = below_the_name(np.asarray(picture, int))
    assert (drawn[:, :100] == 90).all()
    assert (drawn[:, 300:] == 90).all()
    assert (drawn[:, 100:300] != 90).any(2).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (3000, 2), (7, 5), (5000, 4000)])
def test_pictures_of_every_form(size):
    photo = thumbnail(Image.new("RGB", size, GRAY), SETTINGS)
    width, height = size
    found = one_class(Box(0, 0, width, height), Box(width - 0.5, height - 0.5, width, height))
    picture = draw_overlay(photo, [(found, score_map(np.eye(7), size))], SETTINGS)
    assert picture.size == photo.size


def test_which_classes_have_their_boxes_drawn():
    """The best class and the true ones by default; all of them; a panel each."""
    photo = Image.new("RGB", (400, 300), GRAY)
    grid = score_map(np.zeros((2, 2)), (400, 300))
    places = [Box(40 * k, 100, 40 * k + 30, 280) for k in range(4)]
    best = (one_class(places[0]), grid)
    second = (one_class(places[1], rank=2), grid)
    true = (one_class(places[2], rank=3, target=True), grid)

    def outlined(picture, box):
        x, y = int(box.x0) + 1, int(box.y0) + 90
        return picture.getpixel((x, y)) != GRAY

    shown = draw_overlay(photo, [best, second, true], SETTINGS)
    assert [outlined(shown, box) for box in places] == [True, False, True, False]
    every = draw_overlay(photo, [best, second, true], OverlaySettings(draw="top-k"))
    assert [outlined(every, box) for box in places] == [True, True, True, False]
    panels = draw_overlay(photo, [best, second, true], OverlaySettings(draw="all"))
    assert panels.size == (800, 600)
    alone = draw_overlay(photo, [second], SETTINGS)
    assert panels.crop((400, 0, 800, 300)).tobytes() == alone.tobytes()
    heat = draw_overlay(photo, [best, second, true], OverlaySettings(show="heat"))
    assert not any(outlined(heat, box) for box in places)


def test_boxes_alone_leave_the_photo_its_colours():
    photo = Image.new("RGB", (400, 300), GRAY)
    found = (one_class(Box(100, 100, 300, 200)), score_map(np.ones((2, 2)), (400, 300)))
    drawn = draw_overlay(photo, [found], OverlaySettings(show="boxes", line=9))
    assert drawn.getpixel((200, 150)) == GRAY
    black, white = (0, 0, 0), (255, 255, 255)
    rows = [drawn.getpixel((200, y)) for y in (99, 100, 101, 102, 110, 111, 112, 113)]
    assert rows == [GRAY, black, black, white, white, black, black, GRAY]


def test_many_large_panels_stay_bounded():
    photo = Image.new("RGB", (6000, 4000), GRAY)
    pair = (one_class(Box(0, 0, 6000, 4000)), score_map(np.zeros((2, 2)), (6000, 4000)))
    whole = draw_overlay(photo, [pair] * 10, OverlaySettings(draw="all"))
    assert whole.width * whole.height <= 1 << 26
    assert whole.width / whole.height == pytest.approx(6000 * 4 / (4000 * 3), rel=0.01)


@pytest.mark.parametrize(
    ("size", "most"), [((60, 40), 60), ((400, 300), 400), ((6000, 4000), 2000)]
)
def test_names_are_legible_and_within_the_picture(size, most):
    """The name's rectangle lies above the box where there is room, and in the picture always."""
    width, height = size
    photo = Image.new("RGB", size, GRAY)
    box = Box(0.2 * width, 0.6 * height, 0.9 * width, 0.95 * height)
    drawn = np.asarray(
        draw_overlay(photo, [(one_class(box), score_map(np.zeros((2, 2)), size))], SETTINGS), int
    )
    y, x = np.nonzero((drawn == 24).all(2))
    assert x.max() - x.min() <= most
    assert 10 <= y.max() - y.min() < height / 2
    assert y.max() <= 0.6 * height
    inside = drawn[y.min() : y.max(), x.min() : x.max()]
    assert inside.max() > 200  # white letters


def test_names_of_ten_classes_do_not_cover_each_other():
    photo = Image.new("RGB", (400, 300), GRAY)
    grid = score_map(np.zeros((2, 2)), (400, 300))
    pairs = [(one_class(Box(0, 0, 300, 200), rank=k, title=f"x{k}"), grid) for k in range(1, 11)]
    drawn = np.asarray(draw_overlay(photo, pairs, OverlaySettings(draw="top-k")), int)
    rows = np.flatnonzero((drawn[:, 1] == 24).all(1))
    assert len(rows) >= 10 * 14


@pytest.mark.parametrize("colours", ["turbo", "jet", "viridis", "inferno", "hot", "gray"])
def test_colours_of_the_heat(colours):
    photo = Image.new("RGB", (400, 400), GRAY)
    settings = OverlaySettings(opacity=1.0, colours=colours)
    drawn = panel(photo, one_class(), np.ones((2, 2)), settings=settings)
    hottest = {
        "turbo": [122, 4, 3], "jet": [128, 0, 0], "viridis": [253, 231, 37],
        "inferno": [252, 255, 164], "hot": [255, 255, 255], "gray": [255, 255, 255],
    }  # fmt: skip
    assert np.abs(drawn[200, 200] - hottest[colours]).max() <= 4


@pytest.mark.parametrize(
    "title", [None, "", "x" * 1000, "日本 🐶", "new\nline", "\udce9", "a, b, c", "\x00"]
)
@pytest.mark.parametrize("score", [None, 0.0, 1.0])
def test_titles_of_every_kind(title, score):
    photo = Image.new("RGB", (100, 100), GRAY)
    found = one_class(score=score, rank=7, target=True, title=title)
    picture = draw_overlay(photo, [(found, score_map([[1]], (100, 100)))], SETTINGS)
    assert picture.width == 100


def test_heat_maps_as_files():
    heat = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(np.load(io.BytesIO(encode_heatmap(heat, "npy"))), heat)
    with Image.open(io.BytesIO(encode_heatmap(heat, "png"))) as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), np.round(255 * heat))


def test_encoding():
    picture = Image.new("RGB", (400, 300), GRAY)
    with Image.open(io.BytesIO(encode_overlay(picture))) as again:
        assert (again.format, again.size) == ("JPEG", (400, 300))
        assert again.getpixel((5, 5)) == GRAY
    with Image.open(io.BytesIO(encode_overlay(picture, "png"))) as again:
        assert (again.format, again.size) == ("PNG", (400, 300))


@pytest.mark.parametrize(
    "wrong", [{"max_side": 10}, {"max_side": 20_000}, {"opacity": 1.5}, {"enabled": 1}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SettingsError):
        OverlaySettings(**wrong)
