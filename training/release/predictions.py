"""Predictions of a model for many clips at once: scores and class logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import softmax

from alignmamba.batch import Batch, ModalitySteps, collate
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from alignmamba.prediction import SCORE_LIMIT


class Outputs(NamedTuple):
    """Scores and class logits of many clips, in their order."""

    scores: Float[np.ndarray, " clips"]
    logits: Float[np.ndarray, "clips classes"]


@torch.inference_mode()
def outputs(model: AlignMamba, clips: Sequence[Mapping[Modality, ModalitySteps]], *, batch_size: int = 128) -> Outputs:
    """Scores, cut to [-3, 3], and class logits of clips, each with whatever modalities it has."""
    model.eval()
    order = np.argsort([sum(len(steps.mask) for steps in item.values()) for item in clips])
    scores = np.zeros(len(clips))
    logits = np.zeros((len(clips), model.config.classes))
    for first in range(0, len(clips), batch_size):
        chosen = order[first : first + batch_size]
        found = model(batch_for(model, [clips[index] for index in chosen]), with_mmd=False)
        scores[chosen] = found.score.cpu().numpy()
        if found.logits is not None:
            logits[chosen] = found.logits.cpu().numpy()
    return Outputs(scores.clip(-SCORE_LIMIT, SCORE_LIMIT), logits)


def batch_for(model: AlignMamba, clips: Sequence[Mapping[Modality, ModalitySteps]]) -> Batch:
    """Clips as a batch on the model's device."""
    device = next(model.parameters()).device
    return {modality: steps.to(device) for modality, steps in collate(clips).items()}


def probabilities(
    logits: Float[np.ndarray, "clips classes"], *, temperature: float = 1.0
) -> Float[np.ndarray, "clips classes"]:
    """Softmax of logits over a temperature."""
    return softmax(logits / temperature, axis=1)
