"""Ridge regression on mean features, solved in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import Ridge as Solver
from torch import Tensor, nn

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import Output, pool
from training.baselines.units import output
from training.data.benchmark import Benchmark
from training.data.datasets import Example

PENALTIES = tuple(10.0**power for power in range(-1, 7))  # of the squared weights; validation chooses


class Ridge(nn.Module):
    """A linear map of each clip's mean features, or of each step's, to the score; an absent modality is zeros.

    Zeros are the training mean, since features come standardised. It is solved on complete training clips, with the
    penalty of the lowest mean absolute error on complete validation clips; nothing in it depends on a seed.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(sum(config.feature_dim(modality) for modality in config.order), 1)

    def forward(self, batch: Batch) -> Output:
        """Predict a batch of clips."""
        return output(self.linear(self.read(batch)).squeeze(-1), None)

    def read(self, batch: Batch) -> Float[Tensor, "batch *steps columns"]:
        """Features of each clip, or of each step, side by side."""
        like = next(iter(batch.values()))
        shape = like.mask.shape if self.config.level == "step" else like.mask.shape[:1]
        parts = []
        for modality in self.config.order:
            if modality in batch:
                steps = batch[modality]
                parts.append(pool(steps.values * steps.mask[..., None], steps.mask, level=self.config.level))
            else:
                parts.append(like.values.new_zeros(*shape, self.config.feature_dim(modality)))
        return torch.cat(parts, -1)

    @torch.no_grad()
    def solve(self, benchmark: Benchmark) -> float:
        """Set the weights from a benchmark; returns the penalty chosen on validation."""
        rows, truth = self._labelled(benchmark, benchmark.dataset.splits["train"])
        held, expected = self._labelled(benchmark, benchmark.dataset.splits["valid"])
        solved = [Solver(alpha=penalty).fit(rows, truth) for penalty in PENALTIES]
        errors = [np.abs(each.predict(held) - expected).mean() for each in solved]
        best = int(np.argmin(errors))
        self.linear.weight.copy_(torch.from_numpy(solved[best].coef_)[None])
        self.linear.bias.fill_(float(solved[best].intercept_))
        return PENALTIES[best]

    def _labelled(self, benchmark: Benchmark, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
        part = benchmark.labelled(examples)
        chosen = torch.ones_like(part.score, dtype=torch.bool) if part.labelled is None else part.labelled
        return self.read(part.batch)[chosen].double().numpy(), part.score[chosen].double().numpy()
