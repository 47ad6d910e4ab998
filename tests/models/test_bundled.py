"""The network that is there without any download."""

from __future__ import annotations

import csv

import pytest
import timm
import torch
from PIL import Image

from camtool.images.preprocess import Squeeze, prepare
from camtool.models import ModelSettings
from camtool.models.classifier import InputSpec
from camtool.models.weights import bundled_state

SHA256 = "e986e840f94522738cc15907edc457c3e593f825d21f037d6c9e414037d0d7c9"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def classifier():
    return ModelSettings().build()


def test_its_input(classifier):
    assert classifier.name == "timm/tf_efficientnet_lite0"
    assert classifier.spec == InputSpec(
        size=(224, 224),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        interpolation="bicubic",
        crop_fraction=0.875,
    )


def test_its_weights_are_always_the_same(classifier):
    """The hash stands in every manifest; it changes only with the weights."""
    again = ModelSettings().build(seed=99)
    assert again.sha256() == classifier.sha256()
    assert classifier.sha256() == SHA256
    with torch.no_grad():
        again.head.offset[0] += 1e-6
    assert again.sha256() != classifier.sha256()


@pytest.mark.parametrize(("name", "entries"), [("lite0", 296), ("lite2", 386)])
def test_it_answers_as_timm_with_these_weights(name, entries):
    backbone = f"tf_efficientnet_{name}"
    network = timm.create_model(backbone).eval()
    state = bundled_state(f"timm/{backbone}", network)
    assert len(state) == entries
    network.load_state_dict(state)
    images = torch.randn(2, 3, 160, 224, generator=torch.Generator().manual_seed(0))
    classifier = ModelSettings(backbone=f"timm/{backbone}").build()
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images).logits, network(images), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("lite0", 82.6), ("lite2", 85.3)])
def test_it_knows_real_pictures(name, expected, shared):
    """Entries in another order would load as well where shapes agree, and answer at random."""
    classifier = ModelSettings(backbone=f"timm/tf_efficientnet_{name}").build()
    pictures = list(_real_pictures(shared, 8))
    right = sum(_best(classifier, picture, classifier.spec) == true for picture, true in pictures)
    assert 100 * right / len(pictures) == pytest.approx(expected, abs=4)


@pytest.mark.slow
def test_its_mean_and_deviation_matter(classifier, shared):
    """With ImageNet's usual ones instead, some seven of a hundred images fewer are right."""
    usual = InputSpec((224, 224), IMAGENET_MEAN, IMAGENET_STD, "bicubic", 0.875)
    right = {classifier.spec: 0, usual: 0}
    pictures = list(_real_pictures(shared, 4))
    for picture, true in pictures:
        for spec in right:
            right[spec] += _best(classifier, picture, spec) == true
    own, other = (100 * n / len(pictures) for n in right.values())
    assert own == pytest.approx(82.6, abs=5)
    assert 4 <= own - other <= 10


def _real_pictures(shared, every):
    """Pictures of ILSVRC val, with the index of their class."""
    folder = shared / "data" / "ilsvrc-val-227"
    with (shared / "data" / "imagenet-classes.csv").open(encoding="utf-8", newline="") as file:
        index = {row["wnid"]: int(row["index"]) for row in csv.DictReader(file)}
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::every]
    for row in rows:
        with Image.open(folder / "Data" / "CLS-LOC" / "val" / row["file"]) as image:
            yield image.convert("RGB"), index[row["wnid"]]


def _best(classifier, picture, spec):
    pixels = torch.from_numpy(prepare(picture, Squeeze(), spec)[0])[None]
    with torch.inference_mode():
        return int(classifier(pixels).logits.argmax())
