"""The run folder, through which commands talk to each other.

RUN/
  experiment.yaml      the resolved settings; `--config RUN/experiment.yaml` repeats the run
  predictions.jsonl    one record an image, in the order of the images
  maps/00000.npz …     the low-resolution class maps, 512 images a file
  overlays/…           pictures to look at, where switched on
  manifest.json        written last: a folder without it is unfinished
  parts/               finished pieces of an unfinished run
"""

from __future__ import annotations

from camtool.runs.folder import RunFolder
from camtool.runs.last import last_run, remember
from camtool.runs.maps import MapFiles
from camtool.runs.reading import read_manifest, read_predictions
from camtool.runs.shard import Shard
from camtool.runs.writing import write_atomically

__all__ = [
    "MapFiles",
    "RunFolder",
    "Shard",
    "last_run",
    "read_manifest",
    "read_predictions",
    "remember",
    "write_atomically",
]
