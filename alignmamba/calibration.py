"""Calibrated uncertainty of a trained model: class temperatures and score intervals, per subset of modalities.

They are fitted on held-out clips by `training.release.calibrate` and travel as `calibration.json` beside the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignmamba.config import read_json
from alignmamba.modality import SUBSETS, Modality, letters

CALIBRATION = "calibration.json"


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """Uncertainty of predictions from one subset of modalities.

    Attributes:
        temperature: Divides the class logits (Guo et al., ICML 2017).
        below: How far the interval reaches below the score.
        above: How far it reaches above.
        coverage: Share of held-out clips whose truth lies in the interval.

    >>> fitted = Uncertainty(temperature=1.2, below=0.8, above=0.6, coverage=0.8)
    >>> fitted.interval(2.0, limit=3.0), fitted.interval(2.75, limit=3.0)
    ((1.2, 2.6), (1.95, 3.0))
    """

    temperature: float
    below: float
    above: float
    coverage: float

    def __post_init__(self) -> None:
        for name in ("temperature", "below", "above", "coverage"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: {getattr(self, name)}, expected a finite number")
        if self.temperature <= 0:
            raise ValueError(f"temperature: {self.temperature}, expected a positive number")
        if self.below < 0 or self.above < 0:
            raise ValueError(f"below, above: {self.below}, {self.above}, expected at least 0")
        if not 0 < self.coverage < 1:
            raise ValueError(f"coverage: {self.coverage}, expected a share between 0 and 1")

    def interval(self, score: float, *, limit: float) -> tuple[float, float]:
        """Return the interval around a score, clipped to [-limit, limit]."""
        return max(-limit, score - self.below), min(limit, score + self.above)


Calibration = Mapping[frozenset[Modality], Uncertainty]  # of each of the seven subsets


def read(path: Path, *, weights_sha256: str) -> Calibration | None:
    """Read a calibration file.

    Args:
        path: As `training.release.calibrate` writes it.
        weights_sha256: Hash of the weights beside it.

    Returns:
        None where there is no such file.

    Raises:
        ValueError: If it is damaged, or was fitted to other weights.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    try:
        fitted_to = content["data_sha256"]["model.safetensors"]
        rows = {row["modalities"]: _uncertainty(row) for row in content["rows"]}
        found = {subset: rows[letters(subset)] for subset in SUBSETS}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name}: {error!r}, expected a row for each subset of modalities and a hash") from error
    if fitted_to != weights_sha256:
        raise ValueError(
            f"{path.name}: fitted to weights {str(fitted_to)[:12]}, the weights here are {weights_sha256[:12]}; "
            "fit it again (python -m training.release.calibrate) or remove it"
        )
    return found


def _uncertainty(row: Mapping[str, Any]) -> Uncertainty:
    names = ("temperature", "below", "above", "coverage")
    for name in names:
        if isinstance(row[name], bool) or not isinstance(row[name], int | float):
            raise ValueError(f"{name}: {row[name]!r}, expected a finite number")
    return Uncertainty(**{name: float(row[name]) for name in names})
