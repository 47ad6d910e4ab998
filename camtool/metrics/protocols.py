"""Every protocol that `camtool eval` scores by."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from camtool.metrics.box_protocol import BoxProtocol
from camtool.metrics.crop_protocols import AdlFirstBox, TsCam
from camtool.metrics.ilsvrc import Ilsvrc
from camtool.metrics.map_protocols import MapProtocol, MaxBoxAcc, MaxBoxAccV2
from camtool.metrics.pxap_protocol import PxAP

__all__ = ["PROTOCOLS", "Protocol"]


def _name_to_settings(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over what the user wrote
    return {"name": value} if isinstance(value, str) else value


Protocol = Annotated[
    Ilsvrc | TsCam | AdlFirstBox | MaxBoxAcc | MaxBoxAccV2 | PxAP,
    Field(discriminator="name"),
    BeforeValidator(_name_to_settings),
]
"""How predictions are scored; the bare name stands for the protocol with its defaults."""

PROTOCOLS: tuple[type[BoxProtocol] | type[MapProtocol] | type[PxAP], ...] = get_args(
    get_args(Protocol)[0]
)
"""The members of `Protocol`, for the tables that are derived from the code."""
