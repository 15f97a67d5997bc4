"""Read-outs: a frozen linear layer that condenses the clip-level columns of a step to a few numbers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

CLAMP = 4.0  # read-outs are kept within +-4, so that no odd clip drowns its steps


class Readout(nn.Module):
    """Standardise, project, clamp. Everything is a buffer: it is fitted beforehand and no gradient reaches it.

    >>> readout = Readout(3, readouts=1)
    >>> _ = readout.weight.fill_(1.0)
    >>> readout(torch.tensor([[1.0, 2.0, 0.5], [9.0, 9.0, 9.0]])).tolist()
    [[3.5], [4.0]]

    Args:
        statistics: Clip-level columns.
        readouts: Numbers that are made of them.
    """

    mean: Float[Tensor, " statistics"]
    std: Float[Tensor, " statistics"]
    weight: Float[Tensor, "readouts statistics"]
    bias: Float[Tensor, " readouts"]

    def __init__(self, statistics: int, *, readouts: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(statistics))
        self.register_buffer("std", torch.ones(statistics))
        self.register_buffer("weight", torch.zeros(readouts, statistics))
        self.register_buffer("bias", torch.zeros(readouts))

    @torch.no_grad()
    def forward(self, values: Float[Tensor, "*steps statistics"]) -> Float[Tensor, "*steps readouts"]:
        """Read clip-level columns out, step by step."""
        standard = (values - self.mean) / self.std
        return nn.functional.linear(standard, self.weight, self.bias).clamp(-CLAMP, CLAMP)
