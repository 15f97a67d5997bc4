"""Every model of the tables by name, built from one configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from alignmamba.config import ModelConfig
from alignmamba.modality import MODALITIES, Modality
from alignmamba.modeling.alignmamba2 import AlignMamba2
from alignmamba.modeling.model import AlignMamba
from training.baselines.dcca import DCCA, DCCAE
from training.baselines.gcnet import GCNet
from training.baselines.imder import IMDer
from training.baselines.language_only import LanguageOnly
from training.baselines.lstm import BcLSTM, EarlyFusionLSTM
from training.baselines.mctn import MCTN
from training.baselines.mmin import MMIN
from training.baselines.ridge import Ridge
from training.baselines.streams import STREAMS

OURS = "alignmamba"
FOLLOW_UP = "alignmamba-2"
# Models that learn to complete absent modalities.
COMPLETION: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "dcca": DCCA,
    "dccae": DCCAE,
    "mctn": MCTN,
    "mmin": MMIN,
    "gcnet": GCNet,
    "imder": IMDer,
}
BASELINES: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "ridge": Ridge,
    "language-only": LanguageOnly,
    "early-fusion-lstm": EarlyFusionLSTM,
    "bc-lstm": BcLSTM,
    **STREAMS,
    **COMPLETION,
}
# Rows of the paper's ablation: what is changed in the configuration.
ABLATIONS: dict[str, Callable[[ModelConfig], ModelConfig]] = {
    "without local alignment": lambda config: replace(config, local="uniform"),
    "without global alignment": lambda config: replace(config, align_weight=0.0),
    "without both": lambda config: replace(config, local="uniform", align_weight=0.0),
}
WITHOUT: dict[str, Modality] = {f"without {modality}": modality for modality in MODALITIES}
MAIN = (OURS, FOLLOW_UP, *BASELINES)  # rows of the complete and missing tables
ABLATION = (OURS, *ABLATIONS, "single-stream-mamba", "multi-stream-mamba", *WITHOUT)


def build(name: str, config: ModelConfig) -> nn.Module:
    """Return a new model; the caller has set the seed.

    Raises:
        ValueError: If the name is unknown.
    """
    if name in ABLATIONS:
        return AlignMamba(ABLATIONS[name](config))
    if name == OURS or name in WITHOUT:
        return AlignMamba(config)
    if name == FOLLOW_UP:
        return AlignMamba2(config)
    if name not in BASELINES:
        raise ValueError(f"model: {name!r}, expected one of {sorted({*MAIN, *ABLATIONS, *WITHOUT})}")
    return BASELINES[name](config)
