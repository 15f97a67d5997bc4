"""Encoders of the modalities: from steps as extracted to streams of the model's width."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignmamba.batch import Batch, PaddedSteps, compact
from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from alignmamba.modeling.mamba import mamba_layers, run_layers
from alignmamba.modeling.missingness import given
from alignmamba.modeling.readout import Readout


class Stream(NamedTuple):
    """One modality after its encoder; masks are prefixes, `there` says which valid steps are more than filled in."""

    x: Float[Tensor, "batch time width"]
    mask: Bool[Tensor, "batch time"]
    seconds: Float[Tensor, "batch time"]
    there: Bool[Tensor, "batch time"]


class Encoder(nn.Module):
    """Encoder of one modality: standardise, project to the common width, Mamba layers, norm.

    Where steps end in statistics of their clip, these are read out first.
    """

    mean: Float[Tensor, " dim"]
    std: Float[Tensor, " dim"]

    def __init__(self, config: ModelConfig, modality: Modality, *, layers: int) -> None:
        super().__init__()
        dim, statistics = config.encoded_dim(modality), config.statistics(modality)
        self.readout = Readout(statistics, readouts=config.readouts) if statistics else None
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.project = nn.Linear(dim, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.gated = config.gate == "missing" and config.level == "step"
        self.layers = mamba_layers(config, layers, conditions=int(self.gated))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self, values: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time width"]:
        """Encode; masked steps influence no other step.

        Args:
            values: Steps as extracted; or, where they have statistics, with read-outs in the place of these, as
                training has them for clips whose own labels the read-out was fitted to (out-of-fold read-outs).
            mask: True for valid steps.
        """
        if self.readout is not None and values.shape[-1] != len(self.mean):
            steps = len(self.mean) - len(self.readout.bias)
            values = torch.cat([values[..., :steps], self.readout(values[..., steps:])], dim=-1)
        x = self.dropout(self.project((values - self.mean) / self.std))
        missing = (~given(values))[..., None].to(x.dtype) if self.gated else None  # (batch, time, 1)
        return run_layers(self.layers, x, mask, norm=self.norm, missing=missing, overwrite=True)


class Encoders(nn.ModuleDict):
    """An `Encoder` per modality."""

    def __init__(self, config: ModelConfig, *, layers: int) -> None:
        super().__init__({str(modality): Encoder(config, modality, layers=layers) for modality in config.order})
        self.config = config

    def encode(self, modality: Modality, steps: PaddedSteps) -> Stream:
        """Encode the steps of one modality; invalid ones are left out, so that the mask is a prefix.

        Args:
            modality: Of the steps.
            steps: As `Encoder.forward` takes them.

        Raises:
            ValueError: If they have another number of columns.
        """
        widths = {self.config.feature_dim(modality), self.config.encoded_dim(modality)}
        if steps.values.shape[-1] not in widths:
            expected = " or, with read-outs in the place of statistics, ".join(map(str, sorted(widths, reverse=True)))
            raise ValueError(f"{modality}: {steps.values.shape[-1]} columns, expected {expected}")
        mask, (values, seconds) = compact(steps.mask, steps.values, steps.seconds)
        tells = self.config.level == "step" and (self.config.gate == "missing" or self.config.anchor == "step")
        there = mask & given(values) if tells else mask
        return Stream(self[modality](values, mask), mask, seconds, there)

    def forward(self, batch: Batch) -> dict[Modality, Stream]:
        """Encode every modality that some clip of the batch has."""
        if unknown := sorted(set(batch) - set(self)):
            raise ValueError(f"batch: unknown modality {unknown}, expected some of {list(self)}")
        present = [modality for modality in map(Modality, batch) if batch[modality].mask.any()]
        return {modality: self.encode(modality, batch[modality]) for modality in present}
