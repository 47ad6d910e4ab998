"""Makes the foreground head that comes with camtool of a run that trained it.

    camtool train PICTURES -o RUN --set "data={name: images, root: PICTURES}" \
        --set "train.method={name: foreground, head: new}"
    python scripts/experiments/foreground_head.py RUN --pictures "what was trained on"

Written is `camtool/models/foreground_head.safetensors`; what was trained on, the recipe, the seed,
and the hash of the network's features, by which camtool knows the network again, are in it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from camtool import Localizer, __version__
from camtool.models.foreground import features_sha256, write_head

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "camtool" / "models" / "foreground_head.safetensors"


def main() -> None:
    """Write the head of the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", required=True, help="what was trained on, in words")
    given = parser.parse_args()
    network = Localizer(given.run).classifier
    if network.foreground is None:
        raise SystemExit(f"{given.run}: trained without a foreground head")
    stored = json.loads((given.run / "checkpoints/best/checkpoint.json").read_bytes())
    settings = stored["experiment"]
    recipe = {k: settings["train"][k] for k in ("method", "epochs", "batch_size", "optimizer",
                                                "schedule", "augment")}  # fmt: skip
    last = json.loads((given.run / "history.jsonl").read_text().splitlines()[-1])
    about = {
        "features": features_sha256(network),
        "network": network.name,
        "pictures": given.pictures,
        "images": stored["training_images"],
        "recipe": recipe,
        "seed": settings["run"]["seed"],
        "input": list(network.spec.size),
        "area": round(last["train"]["area"], 4),
        "background": round(last["train"]["background"], 4),
        "camtool": __version__,
    }
    write_head(TARGET, network.foreground, about)
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
