"""Transformer layers of the baselines: attention between two streams and within one."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 4  # attention heads
FEED_FORWARD = 4  # inner width of a Transformer layer as a multiple of its width
LONGEST_PERIOD = 10_000.0  # of the sinusoidal positions, as in Vaswani et al. 2017


def positions(length: int, width: int, *, like: Tensor) -> Float[Tensor, "length width"]:
    """Sinusoidal positions (Vaswani et al. 2017)."""
    place = torch.arange(length, device=like.device, dtype=like.dtype)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(LONGEST_PERIOD) / width))
    return torch.stack([torch.sin(place * rate), torch.cos(place * rate)], -1).flatten(1)[:, :width]


class AttentionLayer(nn.Module):
    """Pre-norm Transformer layer on `scaled_dot_product_attention`: queries from one stream, keys from another."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        if width % HEADS:
            raise ValueError(f"width: {width}, expected a multiple of {HEADS} attention heads")
        self.norm, self.source_norm, self.inner_norm = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.inner = nn.Sequential(
            nn.Linear(width, FEED_FORWARD * width), nn.GELU(), nn.Linear(FEED_FORWARD * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        source: Float[Tensor, "batch source width"],
        source_mask: Bool[Tensor, "batch source"] | None,
    ) -> Float[Tensor, "batch time width"]:
        """Attend from x to the valid steps of source; meaningless, but finite, for a clip whose source has none."""
        query = self._split(self.query(self.norm(x)))
        key, value = (self._split(part) for part in self.key_value(self.source_norm(source)).chunk(2, -1))
        mask = None
        if source_mask is not None:  # a row without any key would be NaN: it attends to all, and callers discard it
            mask = (source_mask | ~source_mask.any(1, keepdim=True))[:, None, None, :]
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.inner(self.inner_norm(x)))

    @staticmethod
    def _split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


class SelfAttentionLayer(AttentionLayer):
    """An attention layer whose keys are its own stream's; called like a Mamba layer."""

    def forward(
        self, x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time width"]:
        """Attend from every step to every valid step."""
        return super().forward(x, x, mask)
