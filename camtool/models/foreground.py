"""The foreground head: from what a network sees on its way to where an object is.

A few layers on features of a frozen network say, for each place of a grid, how much it belongs to
the object of a class: M in [0, 1]. They learn from pictures alone that the network no longer sees
the class where M is covered, and that M is small (Wu et al., *Background Activation Suppression for
Weakly Supervised Object Localization*, CVPR 2022). M outlines objects well and does not tell them
apart; the class activation map tells them apart and does not outline them.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from camtool.errors import ModelError, shorten
from camtool.models.classifier import StagedForward
from camtool.models.heads import without_autocast
from camtool.models.layers import FeatureRecorder, insert
from camtool.models.splitting import UnsplitHead
from camtool.models.stages import cuts_of

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier, Forward

STRIDE: Final = 16
"""Stride of the grid of M: fine enough for small objects, and well behind the edges."""
UNITS: Final = 32
_PACKAGED: Final = "foreground_head.safetensors"
_MOST_BYTES: Final = 64 << 20
_UNREADABLE: Final = (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError)


@final
class ForegroundHead(nn.Module):
    """Layers that read four things at each place of a grid, and say whether an object is there.

    They read the features at the cut, those of a late layer, the map of the class over its maximum,
    and the norm of finer features. Batch norm without weights brings them to one scale, then follow
    1×1, 3×3 and 1×1 convolutions.

    Attributes:
        points: where the features are read: the finer place, the cut, and the late layer; without
            the last one the network's own last features are read.
        about: what is known of how it came to be, as JSON data; empty where it is the network's
            own, of which its run tells.
    """

    def __init__(self, points: tuple[str, ...], channels: int, units: int = UNITS) -> None:
        """Draw new weights.

        Args:
            points: see above.
            channels: of the features at the cut and of the late layer, together.
            units: of the convolutions.
        """
        super().__init__()
        self.points = points
        self.about: dict[str, Any] = {}
        inputs = channels + 2
        self.norm = nn.BatchNorm2d(inputs, affine=False)
        self.first = nn.Conv2d(inputs, units, 1)
        self.second = nn.Conv2d(units, units, 3, padding=1)
        self.last = nn.Conv2d(units, 1, 1)

    def forward(self, forward: Forward, maps: Tensor) -> Tensor:
        """Return the logits of M, shape (B, n, h, w), on the grid of the cut.

        Args:
            forward: what the network answered, with its `stages`.
            maps: of n classes of each image, shape (B, n, h', w').

        Raises:
            ValueError: the network had no head when it answered.
        """
        if not isinstance(forward, StagedForward):
            raise ValueError("the pass was made before the foreground head was put on the network")
        fine, cut, *late = (stage.float() for stage in forward.stages)
        images, classes = maps.shape[:2]
        grid = cut.shape[2:]
        late_features = late[0] if late else forward.features.float()
        edges = F.adaptive_avg_pool2d(fine.norm(dim=1, keepdim=True), (grid[0], grid[1]))
        shared = torch.cat([cut, _brought(late_features, grid), edges], 1)
        own = _brought(relative(maps).flatten(0, 1)[:, None], grid)
        with without_autocast(own):
            shared, own = shared.to(self.first.weight), own.to(self.first.weight)
            hidden = (self.read if self.training else self.read_once)(shared, own)
            logits: Tensor = self.last(F.relu(self.second(F.relu(hidden))))
        return logits.float().view(images, classes, *grid)

    def read(self, shared: Tensor, own: Tensor) -> Tensor:
        """Return what the first convolution gives, shape (B · n, units, h, w).

        Args:
            shared: what all classes of an image have in common, shape (B, channels, h, w).
            own: maps of the classes, shape (B · n, 1, h, w).
        """
        classes = len(own) // len(shared)
        every = torch.cat([shared.repeat_interleave(classes, 0), own], 1)
        hidden: Tensor = self.first(self.norm(every))
        return hidden

    def read_once(self, shared: Tensor, own: Tensor) -> Tensor:
        """Return what `read` does in use, with one convolution of what classes have in common."""
        mean, spread = (self.norm.get_buffer(f"running_{name}") for name in ("mean", "var"))
        scale = (spread + self.norm.eps).rsqrt()
        weight = self.first.weight * scale[:, None, None]
        moved = (weight * mean[:, None, None]).sum((1, 2, 3))
        bias = -moved if self.first.bias is None else self.first.bias - moved
        common = F.conv2d(shared, weight[:, :-1], bias)
        classes = len(own) // len(shared)
        return (
            common.repeat_interleave(classes, 0)
            + own * weight[:, -1:, 0].transpose(0, 1)[..., None]
        )


def relative(maps: Tensor) -> Tensor:
    """Return what is positive of maps (B, n, h, w), over each one's maximum; 0 where nothing is."""
    positive = maps.float().clamp_min(0)
    return positive / positive.amax((2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def _brought(grids: Tensor, size: torch.Size) -> Tensor:
    if grids.shape[2:] == size:
        return grids
    return F.interpolate(grids, size, mode="bilinear", align_corners=False)


def new_head(
    classifier: Classifier, seed: int, stride: int = STRIDE, point: str | None = None
) -> ForegroundHead:
    """Return a head with new weights for a network.

    Args:
        classifier: the network.
        seed: of the weights.
        stride: of the cut: the last place of that stride is taken.
        point: the cut, by name, in place of the stride.

    Raises:
        ModelError: its scores are not linear in its features, or it has no such place.
    """
    _check_linear(classifier)
    cuts = cuts_of(classifier)
    strides = sorted({one.stride for one in cuts})
    fitting = [one for one in cuts if one.point == point or (not point and one.stride == stride)]
    if not fitting:
        asked = f"'{shorten(point)}'" if point else f"stride {stride}"
        raise ModelError(
            f"{classifier.name}: cannot be cut at {asked}: there are cuts of stride"
            f" {', '.join(map(str, strides)) or 'none'}, such as"
            f" {', '.join(one.point for one in cuts[-6:])}"
        )
    cut = fitting[-1]
    finer = [one for one in cuts[: cuts.index(cut)] if one.stride < cut.stride]
    fine = finer[-1] if finer else cut
    end = classifier.head.channels
    late = [one for one in cuts[cuts.index(cut) + 1 :] if one.channels < end]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ForegroundHead(
            (fine.point, cut.point, *(one.point for one in late[-1:])),
            cut.channels + (late[-1].channels if late else end),
        )


def _check_linear(classifier: Classifier) -> None:
    if isinstance(classifier.head, UnsplitHead):
        raise ModelError(classifier.head.reason)


def attach(classifier: Classifier, head: ForegroundHead) -> None:
    """Put a head on a network, in place of one that it has; its scores and maps stay as they are.

    Raises:
        ModelError: the network has no such places.
    """
    if classifier.foreground is None:
        insert(classifier, {point: FeatureRecorder() for point in head.points})
    elif classifier.foreground.points != head.points:
        raise ModelError(
            f"{classifier.name}: has a foreground head on {', '.join(classifier.foreground.points)}"
            f" already, and one on {', '.join(head.points)} has no place"
        )
    weight = next(classifier.features.parameters())
    classifier.foreground = head.to(weight.device).train(classifier.training)


def packaged(classifier: Classifier) -> ForegroundHead | None:
    """Return the head that comes with camtool, where it was trained on these very features.

    Example:
        >>> from camtool.models import ModelSettings
        >>> sum(p.numel() for p in packaged(ModelSettings().build()).parameters())
        23201
        >>> packaged(ModelSettings(weights="none").build()) is None
        True

    Raises:
        ModelError: its file is damaged.
    """
    path = Path(str(files("camtool.models") / _PACKAGED))
    head, about = read_head(path)
    return head if about.get("features") == features_sha256(classifier) else None


def features_sha256(classifier: Classifier) -> str:
    """Return a hash of the weights of the features, by their order and not by their names."""
    digest = hashlib.sha256()
    for value in classifier.features.state_dict().values():
        if value.is_floating_point():
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_head(path: Path, head: ForegroundHead, about: dict[str, Any]) -> None:
    """Write a head with what is known of it as a safetensors file."""
    held = {**about, "points": list(head.points)}
    state = {k: v.detach().cpu().contiguous() for k, v in head.state_dict().items()}
    safetensors.torch.save_file(state, path, {"foreground": json.dumps(held)})


def read_head(path: Path) -> tuple[ForegroundHead, dict[str, Any]]:
    """Read a head and what is known of it.

    Raises:
        ModelError: it is no such file, or a damaged one.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{path}: too large for a foreground head")
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["foreground"])
            state = {key: file.get_tensor(key) for key in file.keys()}
        units, inputs = state["first.weight"].shape[:2]
        with torch.random.fork_rng(devices=[]):  # weights are drawn, and overwritten
            head = ForegroundHead(tuple(about["points"]), inputs - 2, units)
        head.load_state_dict(state)
        head.about = about
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        safetensors.SafetensorError,
    ) as e:
        reason = shorten(str(e) or type(e).__name__, 200)
        raise ModelError(f"{path}: not a foreground head that can be read ({reason})") from e
    return head.eval(), about
