"""Self-taught localization: its segments, their merging, and the boxes that the score stands on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from camtool.cam import SelfTaught
from camtool.cam.segments import Segment, _alike, merged, segments
from tests.networks import NETWORKS, classifier, images

CLASSES = torch.tensor([[3, 7], [0, 9]])


class Patch(torch.nn.Module):
    """Class 0 is the brightness of a patch of the picture, class 1 a constant."""

    def forward(self, batch):
        bright = batch[:, :, 8:20, 12:36].mean((1, 2, 3))
        return torch.stack([8 * bright, torch.zeros_like(bright)], 1)


def drawn():
    picture = torch.full((1, 3, 32, 48), -1.0)
    picture[:, :, 8:20, 12:36] = 1.0
    return picture


def with_patch():
    from camtool.models.classifier import Classifier
    from camtool.models.splitting import keep_whole
    from camtool.structures import InputSpec

    parts = keep_whole(Patch(), drawn(), "")
    spec = InputSpec((48, 32), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
    return Classifier("test/patch", *parts, spec).eval()


@pytest.mark.parametrize("drop", ["class", "class-free"])
def test_self_taught_finds_the_part_that_the_score_stands_on(drop):
    made, picture = with_patch(), drawn()
    method = SelfTaught(scales=(20,), min_segment=0.02, stride=1, drop=drop)
    if drop == "class-free":
        # The sum of all classes never drops: of two classes both are among the five best.
        maps, boxes = method.localized(made, picture, made(picture), torch.tensor([[0]]))
        assert boxes == [[()]]
        assert maps.abs().max() < 1e-6
        return
    maps, boxes = method.localized(made, picture, made(picture), torch.tensor([[0, 1]]))
    ((found, other),) = boxes
    (best,) = found
    assert best.box.xyxy == pytest.approx((12, 8, 36, 20), abs=1)
    share = 1 - best.box.area / (32 * 48)
    before, after = (torch.sigmoid(torch.tensor(v)).item() for v in (8.0, 0.0))
    assert best.score == pytest.approx((before - after) * share, abs=1e-3)
    # Nothing speaks for the constant class: its score rises without the patch.
    assert other == ()
    inside = maps[0, 0, 8:20, 12:36].mean()
    assert inside > 3 * (maps[0, 0].sum() - 288 * inside) / (32 * 48 - 288)


def test_self_taught_hypotheses_do_not_overlap():
    method = SelfTaught(scales=(10, 40), boxes=5, overlap=0.2, min_segment=0.005)
    made, batch = classifier("vgg"), images(NETWORKS["vgg"][1])
    with torch.no_grad():
        _, boxes = method.localized(made, batch, made(batch), CLASSES)
    from camtool.geometry import iou

    for found in boxes[0]:
        scores = [b.score for b in found]
        assert scores == sorted(scores, reverse=True)
        pairs = [(a.box, b.box) for i, a in enumerate(found) for b in found[:i]]
        assert all(iou(a, b) <= 0.2 for a, b in pairs)
    assert max(len(found) for found in boxes[0]) > 1


def test_without_boxes_of_its_own_the_map_is_the_same():
    made, picture = with_patch(), drawn()
    method, classes = SelfTaught(scales=(20,), min_segment=0.02), torch.tensor([[0, 1]])
    maps, boxes = method.localized(made, picture, made(picture), classes)
    bare = method.model_copy(update={"boxes": 0})
    same, none = bare.localized(made, picture, made(picture), classes)
    assert boxes is not None
    assert none is None
    assert torch.equal(same, maps)


def test_by_the_drop_alone_the_whole_picture_is_the_best_hypothesis():
    made, picture = with_patch(), drawn()
    best = {}
    for by_size in (True, False):
        method = SelfTaught(scales=(20,), min_segment=0.02, by_size=by_size, overlap=1, boxes=50)
        (((best[by_size], *_),),) = method.localized(
            made, picture, made(picture), torch.tensor([[0]])
        )[1]
    assert best[True].box.xyxy == pytest.approx((12, 8, 36, 20), abs=1)
    # Without the picture, nor without the patch, is there anything to tell class 0 by.
    drop = torch.sigmoid(torch.tensor(8.0)).item() - 0.5
    assert best[False].score == pytest.approx(drop, abs=1e-3)
    assert best[False].box.area >= best[True].box.area


def segment(x, width, label, neighbours, colour=0):
    colours = np.zeros(48)
    colours[[colour, 16 + colour, 32 + colour]] = 1 / 3
    bounds = 0, x, 10, x + width
    return Segment(bounds, 10 * width, colours, frozenset(neighbours), frozenset({label}))


def test_what_makes_segments_alike_as_in_the_authors_program():
    """`1 - max(1-a, 1-b)·|a-b|`, one less the shares of the picture of both and of the gaps in
    their common box, and what the histograms have in common."""
    a, b = segment(0, 4, 0, {1}), segment(6, 2, 1, {0}, colour=3)
    expected = (1 - 0.7 * 0.2) + (1 - 60 / 400) + (1 - 20 / 400) + 0
    assert _alike(a, b, (0.5, 0.3), 400) == pytest.approx(expected / 4)
    assert _alike(b, a, (0.3, 0.5), 400) == pytest.approx(expected / 4)


def test_similar_drops_merge_first_and_a_score_that_rises_has_not_dropped():
    four = [segment(4 * i, 4, i, {i - 1, i + 1}) for i in range(4)]
    drops = {0: -0.9, 4: 0.0, 8: 0.9, 12: 0.85}

    def drop(bounds):
        return drops[bounds[1]] if bounds[3] - bounds[1] == 4 else 0.0

    first, second, _ = merged(four, drop, 1600)
    assert {first.bounds, second.bounds} == {(0, 0, 10, 8), (0, 8, 10, 16)}


@pytest.mark.parametrize("space", ["rgb", "lab"])
def test_segments_are_a_partition(space):
    rgb = (drawn()[0].permute(1, 2, 0).double().numpy() + 1) / 2
    found = segments(rgb, space, 20, 20)
    assert sum(s.size for s in found) == 32 * 48
    assert sorted(label for s in found for label in s.labels) == list(range(len(found)))
    for segment in found:
        assert segment.colours.sum() == pytest.approx(1)
        assert all(segment.labels <= found[n].neighbours for n in segment.neighbours)
    inside = max((s for s in found if s.bounds[0] >= 8 and s.bounds[2] <= 20), key=lambda s: s.size)
    around = max(found, key=lambda s: s.size)
    assert np.isclose(np.minimum(inside.colours, around.colours).sum(), 0)


def test_merging_ends_with_the_whole_picture():
    rgb = (drawn()[0].permute(1, 2, 0).double().numpy() + 1) / 2
    found = segments(rgb, "rgb", 20, 20)
    steps = list(merged(found, lambda _: 0.0, 32 * 48))
    assert len(steps) == len(found) - 1
    assert steps[-1].size == 32 * 48
    assert steps[-1].bounds == (0, 0, 32, 48)
    assert steps[-1].colours.sum() == pytest.approx(1)
    for step in steps:
        assert step.size == sum(found[i].size for i in step.labels)
