"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.records import Endpoint, Instance, Probe


@dataclass(frozen=True, slots=True)
class Shown:
    """One explanation, or the reason why there is none, with what is needed to draw it.

    ``segments``: the (H, W) label map of a picture cut into superpixels, else ``None``.
    """

    probe: Probe
    instance: Instance
    endpoint: Endpoint
    segments: NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True)
class Unexplained:
    """Something the config asked for that did not become a probe, and why."""

    what: str
    why: str
