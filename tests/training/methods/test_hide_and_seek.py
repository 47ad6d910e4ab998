"""Hide-and-Seek on pictures small enough to be checked by eye."""

from __future__ import annotations

import pytest
import torch

from camtool.errors import SettingsError
from camtool.training.losses import CrossEntropy
from camtool.training.methods import HideAndSeek
from tests.training.methods.drawn_networks import generator, plain


def test_patches_are_squares_of_one_grid_and_end_at_the_border():
    method = HideAndSeek(patches=(4,), probability=0.5)
    hidden = method.hidden(50, (6, 11), generator())
    assert hidden.shape == (50, 1, 6, 11)
    assert hidden.dtype == torch.bool
    cells = [hidden[:, 0, y : y + 4, x : x + 4].flatten(1) for y in (0, 4) for x in (0, 4, 8)]
    for cell in cells:
        assert (cell == cell[:, :1]).all()
    whole = torch.stack([cell[:, 0] for cell in cells]).float()
    assert whole.mean().item() == pytest.approx(0.5, abs=0.1)
    assert len({tuple(column) for column in whole.T.tolist()}) > 20  # each image its own


@pytest.mark.parametrize(("probability", "share"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_the_share_that_is_hidden(probability, share):
    hidden = HideAndSeek(patches=(2,), probability=probability).hidden(40, (20, 30), generator())
    assert hidden.float().mean().item() == pytest.approx(share, abs=0.02)


def test_each_image_draws_its_patch_size():
    method = HideAndSeek(patches=(0, 1, 8), probability=0.5)
    kinds = []
    for image in method.hidden(300, (8, 8), generator())[:, 0]:
        constant = bool((image == image[0, 0]).all())
        kinds.append(("all" if image[0, 0] else "none") if constant else "pixels")
    shares = [kinds.count(kind) / 300 for kind in ("none", "all", "pixels")]
    assert shares == pytest.approx([1 / 3 + 1 / 6, 1 / 6, 1 / 3], abs=0.08)


def test_hidden_pixels_have_the_mean_colour_as_the_network_sees_it():
    # The features are the picture; the logits are its three channels' means.
    classifier = plain([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    method = HideAndSeek(fill=(0.75, 0.25, 0.05))
    trainee = method.trainee(classifier, 0).train()
    images = torch.arange(18.0).view(1, 3, 2, 3)
    hidden = torch.tensor([[[[True, False, False], [False, False, True]]]])
    # (fill - mean) / std of the network, by hand: (.75-.5)/.5, (.25-.25)/.25, (.05-0)/.1
    shown = [
        [0.5 + 1 + 2 + 3 + 4 + 0.5],
        [0.0 + 7 + 8 + 9 + 10 + 0.0],
        [0.5 + 13 + 14 + 15 + 16 + 0.5],
    ]
    expected = torch.tensor(shown).T / 6
    torch.testing.assert_close(trainee(images, hidden), expected)
    torch.testing.assert_close(classifier.eval()(images).logits, images.mean((2, 3)))
    assert "fill" not in trainee.state_dict()


def test_a_step_hides():
    classifier = plain([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    method = HideAndSeek(patches=(8,), probability=1.0, fill=(1.0, 1.0, 0.0))
    images, targets = torch.rand(2, 3, 2, 3), torch.tensor([0, 1])
    result = method.step(
        method.trainee(classifier, 0).train(), images, targets, CrossEntropy(), generator()
    )
    expected = torch.tensor([[1.0, 3.0, 0.0]] * 2)
    torch.testing.assert_close(result.logits, expected)
    torch.testing.assert_close(result.loss, CrossEntropy()(expected, targets))


def test_wrong_settings():
    for wrong in ({"patches": []}, {"patches": [-1]}, {"probability": 1.5}, {"fill": [0.5, 0.5]}):
        with pytest.raises(SettingsError):
            HideAndSeek(**wrong)
    assert HideAndSeek(patches=[8, 16]).patches == (8, 16)
