"""Units: a clip, or a step of a shared grid, as one vector per modality and a flag for each that is absent.

Shared by the baselines that complete absent modalities, and by others that need only a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignmamba.batch import Batch, compact
from alignmamba.config import ModelConfig
from alignmamba.modality import MODALITIES, Modality
from alignmamba.modeling.encoders import Encoders
from alignmamba.modeling.model import Heads, Output, pool


class Units(NamedTuple):
    """Encoded units of a batch; at level "clip" the time has one entry.

    Attributes:
        x: Vectors, modalities in the configured order; zeros where a modality is absent.
        here: Which modalities are there; none at padding.
        mask: False at padding; a unit of which every modality is absent is no padding.
    """

    x: Float[Tensor, "batch time modalities width"]
    here: Bool[Tensor, "batch time modalities"]
    mask: Bool[Tensor, "batch time"]


def check_steps(masks: Mapping[Modality, Bool[Tensor, "batch _"]]) -> None:
    """Check that every clip has a valid step in some modality.

    Raises:
        ValueError: If there is no modality, or a clip has no valid step.
    """
    if not masks:
        raise ValueError("batch: no modality, expected at least one")
    some = torch.stack([mask.any(1) for mask in masks.values()]).any(0)
    if not bool(some.all()):
        lost = (~some).nonzero().flatten().tolist()
        raise ValueError(f"batch: clips {lost} have no valid step in any modality, expected at least one")


def output(score: Tensor, logits: Tensor | None, auxiliary: Tensor | None = None) -> Output:
    """The output of a model that aligns nothing."""
    anchor = torch.zeros(len(score), dtype=torch.long, device=score.device)
    return Output(score, logits, {}, {}, anchor, None, auxiliary)


def available(batch: Batch, config: ModelConfig) -> dict[Modality, Bool[Tensor, "batch *steps"]]:
    """Which modalities are there: of each clip, or of each step of the shared grid.

    At level "clip" a modality is there if a step of it is valid. At level "step" the last column of its values says so,
    1 or 0, and the mask, which all modalities share, says where the clip ends; as everywhere, the grid is cut to the
    longest clip.

    Raises:
        ValueError: If there is no modality, a clip has none, or steps are not on one grid.
    """
    masks = {modality: steps.mask for modality, steps in batch.items()}
    check_steps(masks)
    if config.level == "clip":
        found = {modality: mask.any(1) for modality, mask in masks.items()}
    else:
        grid = next(iter(masks.values()))
        found = {}
        for modality, mask in masks.items():
            if mask.shape != grid.shape or not bool((mask == grid).all()):
                raise ValueError(f'level: "step", expected the steps of {modality} on the grid of the other modalities')
            kept, (column,) = compact(mask, batch[modality].values[..., -1])
            found[modality] = kept & (column > 0.5)
    nothing = torch.zeros_like(next(iter(found.values())))
    return {modality: found.get(modality, nothing) for modality in config.order}


def feature_dims(config: ModelConfig) -> dict[Modality, int]:
    """Columns of a unit's features: without the availability column of level "step"."""
    extra = 1 if config.level == "step" else 0
    return {modality: config.feature_dim(modality) - extra for modality in config.order}


def mean_square(
    found: Float[Tensor, "*units width"], true: Float[Tensor, "*units width"], chosen: Bool[Tensor, "*units"]
) -> Float[Tensor, ""]:
    """Mean squared error over the chosen units; zero if there is none."""
    return ((found - true).square().mean(-1) * chosen).sum() / chosen.sum().clamp(min=1)


class CompletionModel(nn.Module):
    """A model of units that learns to complete absent modalities from the complete batch, in training only.

    Called as `model(batch, complete=complete)` in training, where `complete` is the same batch before modalities were
    dropped, and as `model(batch)` otherwise; `Output.auxiliary` is None then.

    Args:
        config: Shape of the encoders and of the heads.
        joint: Width of what the heads read.
        layers: Mamba layers of each encoder; by default as many as AlignMamba has before and after its fusion.
    """

    needs_complete = True  # the trainer then passes the batch before modalities were dropped

    def __init__(self, config: ModelConfig, *, joint: int, layers: int | None = None) -> None:
        super().__init__()
        self.config = config
        count = config.encoder_layers + config.fusion_layers if layers is None else layers
        self.encoders = Encoders(config, layers=count)
        self.heads = Heads(config, width=joint)

    def units(self, batch: Batch) -> Units:
        """Encode a batch; a clip is the mean of its valid steps."""
        here, streams = self.present(batch), self.encoders(batch)
        x = self.heads.score.weight.new_zeros(*here.shape, self.config.width)
        for modality, stream in streams.items():
            pooled = pool(stream.x, stream.mask, level=self.config.level)
            x[:, :, self.config.order.index(modality)] = pooled.view(*here.shape[:2], -1)
        mask = torch.ones_like(here[:, :, 0])
        if self.config.level == "step":
            grid = next(iter(batch.values())).mask
            mask = compact(grid)[0]
        return Units(x * here[..., None], here, mask)

    def present(self, batch: Batch) -> Bool[Tensor, "batch time modalities"]:
        """Which modalities of each unit are there."""
        there = available(batch, self.config)
        here = torch.stack([there[modality] for modality in self.config.order], -1)
        return here[:, None] if self.config.level == "clip" else here

    @torch.no_grad()
    def target(self, complete: Batch) -> Units:
        """Encode a complete batch as something to be reached: without dropout and gradient."""
        training = self.encoders.training
        self.encoders.eval()
        units = self.units(complete)
        self.encoders.train(training)
        return units

    def features(self, batch: Batch) -> dict[Modality, Float[Tensor, "batch time dim"]]:
        """Standardised features of each unit before any encoder, as something to be rebuilt; zeros where absent."""
        here, found = self.present(batch), {}
        for place, (modality, dim) in enumerate(feature_dims(self.config).items()):
            if modality not in batch:
                found[modality] = self.heads.score.weight.new_zeros(*here.shape[:2], dim)
                continue
            steps, encoder = batch[modality], self.encoders[modality]
            values = ((steps.values - encoder.mean) / encoder.std)[..., :dim]
            mask, (values,) = compact(steps.mask, values)
            pooled = pool(values, mask, level=self.config.level).view(*here.shape[:2], dim)
            found[modality] = pooled * here[:, :, place, None]
        return found

    def answer(self, joint: Float[Tensor, "batch time joint"], auxiliary: Tensor | None) -> Output:
        """Predict from the joint vector of each unit."""
        return output(*self.heads(joint[:, 0] if self.config.level == "clip" else joint), auxiliary)


def per_modality(make: type[nn.Module], *sizes: int) -> nn.ModuleDict:
    """A module of its own for each modality."""
    return nn.ModuleDict({str(modality): make(*sizes) for modality in MODALITIES})


class Perceptron(nn.Sequential):
    """Two layers with a ReLU between."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
