"""What is missing, per modality and step, as the gate of a Mamba block reads it (`ModelConfig.gate`).

The gate is ours. CMS-Mamba reports that conditioning the step sizes on what is missing helps several backbones; its
gate is another one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def given(values: Float[Tensor, "batch time dim"]) -> Bool[Tensor, "batch time"]:
    """Steps of a shared grid that are more than filled in: their last column, a flag, is not zero.

    >>> given(torch.tensor([[[0.3, 1.0], [0.0, 0.0]]]))
    tensor([[ True, False]])
    """
    return values[..., -1] != 0


def by_token(
    missing: Bool[Tensor, "batch steps modalities"], places: Sequence[int], *, dtype: torch.dtype
) -> Float[Tensor, "batch tokens conditions"]:
    """What is missing at each token of an interleaved sequence: a block of conditions for each modality of a token.

    Args:
        missing: Whether a modality has nothing at a step.
        places: Modalities that are interleaved, as indices of the last axis of `missing`.
        dtype: Of the result.

    Returns:
        Zeros but for the block of the token's own modality, which holds the step's row of `missing`.

    >>> by_token(torch.tensor([[[False, True]]]), [0, 1], dtype=torch.float32)  # two tokens of one step
    tensor([[[0., 1., 0., 0.],
             [0., 0., 0., 1.]]])
    """
    own = F.one_hot(torch.tensor(places, device=missing.device), missing.shape[-1]).to(dtype)  # (places, modalities)
    return torch.einsum("pm,bsn->bspmn", own, missing.to(dtype)).flatten(3).flatten(1, 2)
