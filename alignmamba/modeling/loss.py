"""Training loss of AlignMamba (CVPR 2025, "optimization"; arXiv 2412.00833): L = L_task + lambda * L_align."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from alignmamba.config import ModelConfig
from alignmamba.modeling.model import Output


def loss(
    output: Output,
    score: Float[Tensor, "batch *steps"],
    classes: Int[Tensor, "batch *steps"] | None,
    config: ModelConfig,
    *,
    labelled: Bool[Tensor, "batch *steps"] | None = None,
    align_weight: float | None = None,
) -> Float[Tensor, ""]:
    """L = L_task + lambda * L_align, the mean over clips (paper, "optimization").

    L_task is the mean squared error of the score, plus the cross entropy of the classes where both are given.

    Args:
        output: Of `AlignMamba` or of a baseline.
        score: True scores.
        classes: True classes; None leaves the classification head untrained.
        config: Gives lambda, `align_weight`.
        labelled: Which steps have a label; None for all.
        align_weight: Lambda of this step, where training moves it; None for the configured one.
    """
    labelled = torch.ones_like(score, dtype=torch.bool) if labelled is None else labelled
    task = F.mse_loss(output.score[labelled], score[labelled])
    if output.logits is not None and classes is not None:
        task = task + F.cross_entropy(output.logits[labelled], classes[labelled])
    align = sum((distance.mean() for distance in output.mmd.values()), score.new_zeros(()))
    total = task + (config.align_weight if align_weight is None else align_weight) * align
    return total if output.auxiliary is None else total + output.auxiliary
