from __future__ import annotations

import torch

from camtool.cam import CAMS, Cam
from camtool.models import ModelSettings


def test_the_map_is_the_weighted_sum_of_the_features():
    classifier = ModelSettings(backbone="timm/test_resnet", weights="none").build()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        forward = classifier(images)
        classes = torch.tensor([[3, 999, 3], [0, 1, 2]])
        maps = Cam().maps(classifier, images, forward, classes)
    assert maps.shape == (2, 3, *forward.features.shape[2:])
    weights = classifier.head.weight.detach()
    for b in range(2):
        for n in range(3):
            # Equation 2 of the paper, as it is written.
            pairs = zip(weights[classes[b, n]], forward.features[b], strict=True)
            torch.testing.assert_close(maps[b, n], sum(w * f for w, f in pairs))
    torch.testing.assert_close(maps[0, 0], maps[0, 2])


def test_the_method_is_listed():
    assert CAMS[0] is Cam
    assert Cam().model_dump() == {"name": "cam"}
