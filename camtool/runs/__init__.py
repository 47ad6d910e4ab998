"""The run folder, through which commands talk to each other.

RUN/
  experiment.yaml      the resolved settings; `--config RUN/experiment.yaml` repeats the run
  predictions.jsonl    one record an image, in the order of the images
  maps/00000.npz …     the low-resolution class maps, 512 images a file
  overlays/…           pictures to look at, where switched on
  crops/…, heatmaps/…  what is in the boxes, maps at the size of the picture, where asked for
  threshold.json       the threshold that `eval --calibrate-on` chose
  manifest.json        written last: a folder without it is unfinished
  parts/               finished pieces of an unfinished run
"""

from __future__ import annotations

from camtool.runs.folder import RunFolder, Shard, last_run
from camtool.runs.manifest import read_manifest
from camtool.runs.maps import MapFiles
from camtool.runs.predictions import read_predictions
from camtool.runs.threshold import StoredThreshold, read_threshold, write_threshold
from camtool.runs.writing import write_atomically

__all__ = [
    "MapFiles",
    "RunFolder",
    "Shard",
    "StoredThreshold",
    "last_run",
    "read_manifest",
    "read_predictions",
    "read_threshold",
    "write_atomically",
    "write_threshold",
]
