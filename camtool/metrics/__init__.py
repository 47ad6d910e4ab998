"""Metrics: protocols that judge images into `Trials`, and what is read from that table.

To read: `outcome` and `trials` (the table), `protocol` (the two verbs), `box_protocol` and
`map_protocols` (judging), `thresholds`, `intervals`, `diagnosis`, `pair_metrics` (reading columns),
`protocols` (all that there are).
"""

from __future__ import annotations

from camtool.metrics.intervals import Bootstrap, Rate
from camtool.metrics.map_protocols import MaxBoxAcc, MaxBoxAccV2
from camtool.metrics.outcome import Criterion
from camtool.metrics.protocols import PROTOCOLS, AdlFirstBox, Ilsvrc, Protocol, TsCam
from camtool.metrics.pxap import PxAP
from camtool.metrics.trials import Trials

__all__ = [
    "PROTOCOLS",
    "AdlFirstBox",
    "Bootstrap",
    "Criterion",
    "Ilsvrc",
    "MaxBoxAcc",
    "MaxBoxAccV2",
    "Protocol",
    "PxAP",
    "Rate",
    "Trials",
    "TsCam",
]
