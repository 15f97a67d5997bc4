"""Every model that the tables name, built from one configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from alignmamba.config import ModelConfig
from alignmamba.modality import MODALITIES, Modality
from alignmamba.modeling.model import AlignMamba
from training.baselines.imagination import IMAGINATION
from training.baselines.ridge import Ridge
from training.baselines.sequence import PEERS
from training.baselines.streams import BASELINES

OURS = "alignmamba"
# Rows of the paper's ablation: what is changed of the configuration.
ABLATIONS: dict[str, Callable[[ModelConfig], ModelConfig]] = {
    "without local alignment": lambda config: replace(config, local="uniform"),
    "without global alignment": lambda config: replace(config, align_weight=0.0),
    "without both": lambda config: replace(config, local="uniform", align_weight=0.0),
}
WITHOUT: dict[str, Modality] = {f"without {modality}": modality for modality in MODALITIES}
STREAMS = ("single-stream-mamba", "multi-stream-mamba")
RIDGE = "ridge"
COMPLETE = (OURS, RIDGE, "language-only", "early-fusion-lstm", "bc-lstm", *BASELINES)
MISSING = (*COMPLETE, *IMAGINATION)
ABLATION = (OURS, *ABLATIONS, *STREAMS, *WITHOUT)


def build(name: str, config: ModelConfig) -> nn.Module:
    """Return a new model; the caller has set the seed.

    Raises:
        ValueError: If the name is unknown.
    """
    if name in ABLATIONS:
        return AlignMamba(ABLATIONS[name](config))
    if name == OURS or name in WITHOUT:
        return AlignMamba(config)
    known = {RIDGE: Ridge, **BASELINES, **PEERS, **IMAGINATION}
    if name not in known:
        raise ValueError(f"model: {name!r}, expected one of {sorted({*known, OURS, *ABLATIONS, *WITHOUT})}")
    return known[name](config)
