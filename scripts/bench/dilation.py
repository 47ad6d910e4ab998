"""Time of a training step at output stride 16, with dilated convolutions by sub-grids and without.

    python scripts/bench/dilation.py [--size S] [--batch B] [--rounds R] [--threads T]

The bundled network with random pictures: forward, backward and update are timed in turn, R rounds,
with the layers of `camtool.models.layers` and with the library's own, both channels last, and at
output stride 32. Printed are the medians of the rounds' CPU seconds and of their ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camtool.models import ModelSettings


class Own(nn.Module):
    """The classifier's logits."""

    def __init__(self, output_stride: int | None) -> None:
        """Build the bundled network for 50 classes."""
        super().__init__()
        self.classifier = ModelSettings(output_stride=output_stride).build(0, 50)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.classifier(images).logits
        return logits


def step(network: nn.Module, images: Tensor, targets: Tensor) -> float:
    """CPU seconds of one step; those of the wall say little where others share the cores."""
    began = time.process_time()
    F.cross_entropy(network(images), targets).backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.sub_(parameter.grad, alpha=1e-3)
            parameter.grad = None
    return time.process_time() - began


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("size", 112), ("batch", 32), ("rounds", 7), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    images = torch.randn(given.batch, 3, given.size, given.size)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.randint(50, (given.batch,))
    library = timm.create_model("tf_efficientnet_lite0", num_classes=50, output_stride=16)
    networks = {"by sub-grids": Own(16), "library's own": library, "output stride 32": Own(None)}
    for network in networks.values():
        network.train().to(memory_format=torch.channels_last)
        step(network, images, targets)
    rounds = [
        {name: step(network, images, targets) for name, network in networks.items()}
        for _ in range(given.rounds)
    ]
    for name in networks:
        median = statistics.median(r[name] for r in rounds)
        ratio = statistics.median(r["library's own"] / r[name] for r in rounds)
        print(f"{name:18}{median:7.3f} s a step   {ratio:5.2f} × the library's speed")


if __name__ == "__main__":
    main()
