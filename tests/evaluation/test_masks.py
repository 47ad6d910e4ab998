"""PxAP through `camtool eval`: masks by name and from lists, and how each mistake ends."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from camtool.errors import EvaluationError
from camtool.metrics.confidence import Bootstrap
from camtool.metrics.pxap_protocol import PxAP
from camtool.pipelines.evaluate import EvalSettings, evaluate_files
from tests.commands import run_here
from tests.metrics.wsol_golden import ANNOTATIONS, GOLDEN, expected, needs_golden, truths

FRAME = (224, 224)
SIZE = (320, 200)  # width, height


def region(x0, y0, x1, y1, size=FRAME, value=255):
    mask = np.zeros(size[::-1], np.uint8)
    mask[y0:y1, x0:x1] = value
    return mask


def save(path, mask, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask, mode).save(path)
    return path


LEFT, RIGHT = region(0, 0, 112, 224), region(112, 0, 224, 224)


class Set:
    """Lists, masks and maps in one folder, scored by the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.masks = folder / "masks"
        self.masks.mkdir()
        self.rows: list[str] = []
        self.maps: dict[str, np.ndarray] = {}
        self.sizes: dict[str, tuple[int, int]] = {}

    def add(self, name, mask=LEFT, values=None, *, row="{}.png,", size=FRAME, file="{}.png"):
        """Add an image; its map is right everywhere unless one is given."""
        if mask is not None:
            save(self.masks / file.format(name), mask)
        self.rows.append(f"{name},{row.format(name)}")
        self.maps[name] = LEFT / np.float32(255) if values is None else values
        self.sizes[name] = size
        return self

    def run(self, *more):
        lists = self.folder / "lists"
        lists.mkdir(exist_ok=True)
        (lists / "localization.txt").write_text("".join(f"{row}\n" for row in self.rows))
        (lists / "class_labels.txt").write_text("".join(f"{name},3\n" for name in self.maps))
        sizes = "".join(f"{name},{w},{h}\n" for name, (w, h) in self.sizes.items())
        (lists / "image_sizes.txt").write_text(sizes)
        np.savez(self.folder / "maps.npz", **self.maps)
        return run_here(
            "eval", "--protocol", "pxap", "--boxes", lists, "--masks", self.masks,
            "--predictions", self.folder / "maps.npz", *more,
        )  # fmt: skip

    def pxap(self, *more):
        ran = self.run("--format", "json", *more)
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)["metrics"]["pxap"]
        return {name: found[name] for name in ("value", "ci95", "n")}

    def fails(self, *more):
        ran = self.run(*more)
        assert ran.out == ""
        return ran.code, ran.err


@pytest.fixture
def images(tmp_path):
    return Set(tmp_path)


def test_right_and_wrong_maps(images):
    assert images.add("a").pxap() == {"value": 100.0, "ci95": [100.0, 100.0], "n": 1}
    # Half of the foreground at 1 with as much background, the rest at 0 with all of it.
    images.add("b", values=1 - LEFT / np.float32(255))
    assert images.pxap()["value"] == pytest.approx(100 * (0.5 * 0.5 + 0.5 * 0.5))


def test_instances_are_joined_even_where_they_intersect(images):
    images.add("a", region(0, 0, 80, 224), row="a1.png,", file="a1.png")
    save(images.masks / "a2.png", region(60, 0, 112, 224))
    images.rows.append("a,a2.png,")
    assert images.pxap()["value"] == 100.0


def test_the_ignore_region_gives_way_to_the_foreground(images):
    wide = region(0, 0, 150, 224) / np.float32(255)
    assert images.add("a", values=wide).pxap()["value"] == pytest.approx(100 * 112 / 150)
    save(images.masks / "a_rest.png", region(20, 0, 150, 224))
    images.rows = ["a,a.png,a_rest.png"]
    assert images.pxap()["value"] == 100.0


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(region(0, 0, 160, 200, SIZE), id="of the image's size"),
        pytest.param(region(0, 0, 80, 100, (160, 100)), id="of its aspect ratio"),
        pytest.param(LEFT, id="of the frame"),
        pytest.param(region(0, 0, 160, 200, SIZE, value=1), id="of ones"),
        pytest.param(region(0, 0, 160, 200, SIZE) > 0, id="of one bit"),
        pytest.param(np.dstack([region(0, 0, 160, 200, SIZE)] * 3), id="of three equal channels"),
    ],
)
def test_masks_that_count(images, mask):
    assert images.add("a", mask, size=SIZE).pxap()["value"] == 100.0


def test_masks_are_resized_by_nearest_neighbour(images):
    """As the reference does it, of an image whose size is no multiple of the frame's."""
    random = np.random.default_rng(0)
    masks = [cv2.resize(random.integers(0, 2, (9, 7), np.uint8), (301, 199), interpolation=0)
             for _ in range(2)]  # fmt: skip
    values = random.random((224, 224)).astype(np.float32)
    images.add("a", masks[0] * 255, values, row="a.png,", size=(301, 199))
    save(images.masks / "more.png", masks[1] * 255)
    images.rows.append("a,more.png,")
    small = [cv2.resize(np.float32(m), FRAME, interpolation=cv2.INTER_NEAREST) > 0.5 for m in masks]
    truth = small[0] | small[1]
    order = np.argsort(-np.floor(values.ravel() * 1000), kind="stable")
    hits = np.cumsum(truth.ravel()[order])
    bins = np.floor(values.ravel() * 1000)[order]
    ends = np.append(np.nonzero(np.diff(bins))[0], len(bins) - 1)
    gained = np.diff(hits[ends], prepend=0) / truth.sum()
    assert images.pxap()["value"] == pytest.approx(
        100 * (hits[ends] / (ends + 1) * gained).sum(), abs=1e-3
    )


def boxes_csv(images, *names):
    path = images.folder / "boxes.csv"
    rows = "".join(f"{name}.jpg,10,10,50,50,cat\n" for name in names)
    path.write_text("image,x0,y0,x1,y1,label\n" + rows)
    return path


def test_masks_by_the_name_of_the_image(images):
    """Any annotations do: one mask, several instances, a folder, an ignore region."""
    images.add("a").add("b", region(0, 0, 60, 224), file="{}_0.png")
    save(images.masks / "b_1.png", region(60, 0, 112, 224))
    images.add("val/c")
    save(images.masks / "a_ignore.png", RIGHT)
    # Of an image with a mask of its own name, numbered ones are another image's.
    save(images.masks / "a_0.png", RIGHT)
    boxes = boxes_csv(images, "a", "b", "val/c")
    assert images.pxap("--boxes", boxes) == {"value": 100.0, "ci95": [100.0, 100.0], "n": 3}


def test_a_number_that_lacks(images):
    images.add("b", region(0, 0, 60, 224), file="{}_0.png")
    save(images.masks / "b_2.png", RIGHT)
    code, message = images.fails("--boxes", boxes_csv(images, "b"))
    assert code == 3
    assert message == (
        f"camtool: {images.masks / 'b_1.png'}: no such mask (the image b; --masks {images.masks})\n"
    )


def test_several_classes_and_one_name(images):
    images.add("a")
    path = boxes_csv(images, "a")
    path.write_text(path.read_text() + "a.jpg,1,1,5,5,dog\n")
    code, message = images.fails("--boxes", path)
    assert code == 5
    assert "a has 2 classes, and a mask that is found by the image's name" in message


def test_images_without_foreground(images):
    images.add("a").add("b", np.zeros((224, 224), np.uint8))
    ran = images.run("--format", "json")
    report = json.loads(ran.out)
    # The map of b is as high in the left half as that of a: half of what is found there is right.
    assert report["metrics"]["pxap"]["value"] == 50.0
    assert report["warnings"] == ["1 of 2 images have no foreground that counts"]


def test_no_foreground_at_all(images):
    code, message = images.add("a", np.zeros((224, 224), np.uint8)).fails()
    assert code == 5
    assert message.startswith("camtool: no mask of the 1 images has a foreground pixel that counts")
    save(images.masks / "a.png", LEFT)
    save(images.masks / "rest.png", LEFT)
    images.rows = ["a,a.png,rest.png"]
    # The ignore region gives way to the foreground, so it cannot take it all.
    assert images.pxap()["value"] == 100.0


SIXTEEN = np.full((224, 224), 40_000, np.uint16)
MISTAKES = {
    "a mask of another size": (
        region(0, 0, 9, 9, (200, 320)), 3,
        "a.png: a mask of 200×320 for an image of 320×200; a mask has the size or the aspect",
    ),
    "a mask squeezed otherwise": (
        region(0, 0, 9, 9, (100, 100)), 3, "a.png: a mask of 100×100 for an image of 320×200",
    ),
    "a colour picture": (
        np.dstack([LEFT, LEFT, RIGHT]), 3, "a.png: a colour picture is no mask; save it as gray",
    ),
    "transparency": (
        np.dstack([LEFT] * 4), 3, "a.png: a picture with transparency is no mask",
    ),
    "sixteen bits": (SIXTEEN, 3, "a.png: a picture of more than 8 bits (I;16) is no mask"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_mask(images, mistake):
    mask, code, message = MISTAKES[mistake]
    found = images.add("a", mask, size=SIZE).fails()
    assert found[0] == code
    assert message in found[1]
    assert found[1].startswith(f"camtool: {images.masks / 'a.png'}: ")


def test_a_palette_of_classes_is_no_mask(images):
    images.add("a")
    Image.fromarray(LEFT).convert("P").save(images.masks / "a.png")
    code, message = images.fails()
    assert code == 3
    assert "a.png: a palette picture is no mask" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file (0 bytes)"),
        (b"no picture", "not a readable PNG (cannot identify image file"),
        ("cut", "not a readable PNG (image file is truncated"),
        ("jpeg", "not a readable PNG (cannot identify image file"),
        ("huge", "too large: 60000×60000; the limit is 80,000,000 pixels"),
    ],
)
def test_files_that_are_no_png(images, content, message):
    images.add("a")
    path = images.masks / "a.png"
    if content == "cut":
        save(path, np.random.default_rng(0).integers(0, 255, (224, 224)).astype(np.uint8))
        content = path.read_bytes()[:3000]
    elif content == "jpeg":
        Image.fromarray(LEFT).save(path, "JPEG")
        content = path.read_bytes()
    elif content == "huge":
        content = path.read_bytes()
        content = content[:16] + (60_000).to_bytes(4, "big") * 2 + content[24:]
        # The check sum of the header must hold, or nothing would be believed of it.
        import zlib

        content = content[:29] + zlib.crc32(content[12:29]).to_bytes(4, "big") + content[33:]
    path.write_bytes(content)
    code, found = images.fails()
    assert code == 3
    assert found.startswith(f"camtool: {path}: ")
    if message.startswith("too large"):
        # Pillow itself refuses twice its own limit.
        assert message in found or "exceeds limit" in found
    else:
        assert message in found


@pytest.mark.parametrize(
    "name", ["../a.png", "sub/../../a.png", "/etc/a.png", "C:\\a.png", "..\\a.png"]
)
def test_names_that_lead_out_of_the_folder(images, name):
    save(images.folder / "a.png", LEFT)
    code, message = images.add("a", None, row=f"{name},").fails()
    assert code == 3
    assert message.startswith(f"camtool: {name}: a mask's name that leads out of --masks ")
    images.rows = ["a,b.png," + name]
    save(images.masks / "b.png", LEFT)
    code, message = images.fails()
    assert code == 3
    assert "a mask's name that leads out of --masks" in message


def test_an_image_id_that_leads_out_of_the_folder(images):
    save(images.folder / "a.png", LEFT)
    images.add("../a", None)
    code, message = images.fails("--boxes", boxes_csv(images, "../a"))
    assert code == 3
    assert "leads out of --masks" in message


def test_masks_that_are_not_there(images):
    code, message = images.add("a", None).fails()
    assert code == 3
    assert message == (
        f"camtool: {images.masks / 'a.png'}: no such mask (the mask of a; --masks {images.masks})\n"
    )
    code, message = images.fails("--masks", images.folder / "none")
    assert code == 3
    assert message == (
        f"camtool: {images.folder / 'none'}: no such folder; --masks takes the folder that the"
        " masks are in\n"
    )
    code, message = images.fails("--masks", images.folder / "maps.npz")
    assert code == 3
    assert "maps.npz: not a folder; --masks takes" in message


def test_an_ignore_mask_on_a_later_line(images):
    images.add("a").add("b")
    images.rows.append("b,b.png,a.png")
    ran = images.run("--format", "json")
    report = json.loads(ran.out)
    assert report["metrics"]["pxap"]["n"] == 1
    assert any(
        "localization.txt:3: an ignore mask that is not on the image's first line" in warning
        for warning in report["warnings"]
    )


def test_maps_that_cannot_be_scored(images):
    images.add("a", values=np.full((224, 224), np.nan, np.float32))
    code, message = images.fails()
    assert code == 5
    assert "maps.npz: a: values from nan to nan; maps of 224×224 must lie in [0, 1]" in message
    images.maps["a"] = np.full((224, 224), 1.5, np.float32)
    assert "a: values from 1.5 to 1.5" in images.fails()[1]
    images.maps["a"] = np.zeros((224, 224, 3), np.float32)
    assert "a: not a map, but float32 of shape (224, 224, 3)" in images.fails()[1]
    # A map of NaN on a grid of its own becomes zeros, as in the reference.
    images.maps["a"] = np.full((7, 7), np.nan, np.float32)
    assert images.pxap()["value"] == 50.0


def test_a_map_that_is_not_there(images):
    images.add("a").add("b")
    del images.maps["b"]
    code, message = images.fails()
    assert code == 5
    assert message == (
        "camtool: 1 of 2 annotated images have no prediction (first: b); --allow-missing scores"
        " the rest\n"
    )
    assert images.pxap("--allow-missing")["n"] == 1


def test_empty_sets(images):
    images.add("a")
    images.run()
    lists = images.folder / "lists"
    (lists / "localization.txt").write_text("")
    given = ("eval", "--protocol", "pxap", "--boxes", lists, "--masks", images.masks,
             "--predictions")  # fmt: skip
    ran = run_here(*given, images.folder / "maps.npz")
    assert (ran.code, ran.out) == (3, "")
    assert "lists: empty: it annotates no image" in ran.err
    (lists / "localization.txt").write_text("a,a.png,\n")
    np.savez(images.folder / "none.npz")
    ran = run_here(*given, images.folder / "none.npz")
    assert ran.code == 5
    assert "none.npz: holds no map" in ran.err


def test_without_masks(images):
    images.add("a").run()
    given = ("eval", "--protocol", "pxap", "--predictions", images.folder / "maps.npz")
    boxes = boxes_csv(images, "a")
    ran = run_here(*given, "--boxes", boxes)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "camtool: the protocol pxap scores maps against masks, and a box is no mask: give --masks"
        " DIR (eval.masks); eval.protocol.masks=boxes takes the true boxes all the same\n"
    )
    # Without the image's size no box can be brought to the frame.
    ran = run_here(*given, "--boxes", boxes, "--set", "eval.protocol.masks=boxes")
    assert ran.code == 5
    assert "a: neither annotation nor prediction gives the image's size" in ran.err
    # Lists of masks have no boxes.
    lists = images.folder / "lists"
    ran = run_here(
        *given, "--boxes", lists, "--set", "eval.protocol.masks=boxes", "--format", "json"
    )
    assert json.loads(ran.out)["absent"]["pxap"] == "no scored image has a true box"


def test_other_protocols_find_no_boxes_in_lists_of_masks(images):
    images.add("a").run()
    ran = run_here(
        "eval", "--protocol", "maxboxacc", "--boxes", images.folder / "lists", "--format", "json",
        "--predictions", images.folder / "maps.npz",
    )  # fmt: skip
    report = json.loads(ran.out)
    assert set(report["absent"].values()) == {"no scored image has a true box"}
    assert report["counts"]["left_out"] == {"no true box (localization only)": 1}


def test_a_black_listed_image_does_not_count(images):
    images.add("a").add("b", values=1 - LEFT / np.float32(255))
    (images.folder / "black.txt").write_text("b\n")
    found = images.pxap("--blacklist", images.folder / "black.txt")
    assert found == {"value": 100.0, "ci95": [100.0, 100.0], "n": 1}


def test_figures_do_not_depend_on_the_order(images):
    """More images than are in memory together, each with a map of its own."""
    random = np.random.default_rng(0)
    for number in range(70):
        x = int(random.integers(20, 200))
        values = cv2.GaussianBlur(region(0, 0, x, 224) / np.float32(255), (0, 0), 20)
        images.add(f"{number:02}", region(0, 0, 112, 224), values)
    first = images.pxap()
    images.rows.reverse()
    images.maps = dict(reversed(images.maps.items()))
    assert images.pxap() == first
    low, high = first["ci95"]
    assert low < first["value"] < high
    narrow = images.pxap("--set", "eval.bootstrap.samples=100")
    assert narrow["value"] == first["value"]
    assert narrow["ci95"] != first["ci95"]


def test_report_states_the_rules(images):
    ran = images.add("a").run()
    assert "PxAP" in ran.out
    assert "average precision %" in ran.out
    assert "threshold: none chosen" in ran.out
    assert "masks of all instances joined" in ran.out
    assert "1,000 resamples" in ran.out
    assert "centred Gaussian" in ran.out
    markdown = images.run("--format", "markdown").out
    assert "| PxAP | 100.00 | 100.00 to 100.00 | 1 |" in markdown


def test_maps_that_need_no_network(images):
    """The left half of the image, against maps that know nothing of it."""
    report = json.loads(images.add("a").add("b").run("--format", "json").out)
    floor = {name: rates["pxap"] for name, rates in report["map_baselines"].items()}
    assert set(floor) == {"centred_gaussian", "whole_image", *(f"centred_0.{n}" for n in "9876")}
    for rate in floor.values():
        assert rate["value"] == pytest.approx(50)
        assert rate["ci95"] == pytest.approx([50, 50])
        assert rate["n"] == 2
    # A centred square of half the sides: by hand, of the pixels inside 112²/(224·f)², then 1/4.
    for name in images.maps:
        save(images.masks / f"{name}.png", region(56, 56, 168, 168))
    report = json.loads(images.run("--format", "json").out)
    floor = {name: rates["pxap"]["value"] for name, rates in report["map_baselines"].items()}
    assert floor["whole_image"] == pytest.approx(25)
    assert floor["centred_0.7"] == pytest.approx(100 * 112**2 / 156**2)
    assert floor["centred_0.6"] == pytest.approx(100 * 112**2 / 134**2)
    assert floor["centred_gaussian"] > 80


def test_resamples_class_by_class(images):
    """Two classes, each with images of one kind: nothing is left to chance."""
    for name in "abcd":
        images.add(name, values=None if name in "ab" else 1 - LEFT / np.float32(255))
    images.run()
    lists = images.folder / "lists"
    (lists / "class_labels.txt").write_text("a,1\nb,1\nc,2\nd,2\n")
    given = ("eval", "--protocol", "pxap", "--boxes", lists, "--masks", images.masks, "--format",
             "json", "--predictions", images.folder / "maps.npz")  # fmt: skip
    found = json.loads(run_here(*given).out)["metrics"]["pxap"]
    assert found["ci95"][0] < found["value"] == 50.0 < found["ci95"][1]
    fixed = json.loads(run_here(*given, "--set", "eval.bootstrap.stratify=class").out)
    assert fixed["metrics"]["pxap"]["ci95"] == pytest.approx([50, 50])


def golden_masks(folder):
    """Write the golden's masks, and lists that name them."""
    rows = []
    for name in expected()["image_ids"]:
        mask = np.zeros((224, 224), np.uint8)
        for x0, y0, x1, y1 in truths()[name]:
            mask[y0 : y1 + 1, x0 : x1 + 1] = 255
        save(folder / "masks" / f"{name}.png", mask)
        save(folder / "masks" / f"{name}_ignore.png", cv2.dilate(mask, np.ones((9, 9), np.uint8)))
        rows.append(f"{name},{name}.png,{name}_ignore.png\n")
    (folder / "localization.txt").write_text("".join(rows))
    return folder


@needs_golden
@pytest.mark.parametrize("classes", [True, False])
def test_golden_through_the_command_line(tmp_path, classes):
    golden_masks(tmp_path)
    if classes:
        lines = "".join(f"{name},1\n" for name in expected()["image_ids"])
        (tmp_path / "class_labels.txt").write_text(lines)
    ran = run_here(
        "eval", "--protocol", "pxap", "--boxes", tmp_path / "localization.txt", "--format", "json",
        "--masks", tmp_path / "masks", "--predictions", GOLDEN / "maps.npz",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["metrics"]["pxap"]
    assert found["value"] == pytest.approx(expected()["pxap"], abs=1e-9)
    assert found["n"] == 100
    assert found["ci95"][0] < found["value"] < found["ci95"][1]


@needs_golden
@pytest.mark.slow
def test_golden_with_boxes_for_masks():
    settings = EvalSettings(
        annotations=ANNOTATIONS,
        predictions=GOLDEN / "maps.npz",
        allow_missing=True,
        protocol=PxAP(masks="boxes", border=4),
        bootstrap=Bootstrap(samples=100),
    )
    found = evaluate_files(settings)
    assert found.metrics["pxap"].value == pytest.approx(expected()["pxap"], abs=1e-9)
    assert found.convention["true_boxes"].startswith(
        "taken for masks (masks: boxes), scaled and truncated to the frame; 4 pixels around each"
    )
    assert set(found.curves) == {"precision_recall"}


def test_python_without_a_folder_of_masks():
    from camtool.structures import AnnotatedObject, Annotation, Prediction

    truth = Annotation("a", FRAME, (AnnotatedObject(1, None, mask="a.png"),))
    with pytest.raises(EvaluationError, match=r"nobody says where they are: give --masks DIR"):
        PxAP().judge(truth, Prediction("a", "a", FRAME))
