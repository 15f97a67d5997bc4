"""IMDer: absent modalities recovered by score-based diffusion (Wang et al., NeurIPS 2023)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import Output
from training.baselines.units import CompletionModel, Perceptron, mean_square, per_modality

DIFFUSION_WEIGHT = 0.1  # of the two errors, as in the source; means over the width, there one is a sum
SIGMA = 25.0  # of the noise process, as in the source
DENOISING_STEPS = 10  # the source takes 100
EVALUATION_SEED = 1111  # of the noise that is denoised at evaluation


class IMDer(CompletionModel):
    """Absent vectors drawn from noise by a score model conditioned on the others (IMDer, Wang et al., NeurIPS 2023).

    As in the source: a noise process dx = sigma^t dw and a score network per modality, trained by denoising on the
    absent modalities and conditioned on the present ones; the recovered vectors are refined by another network, trained
    by squared error; the prediction reads present and recovered modalities. Simpler or other here: the networks are
    perceptrons on one vector per unit instead of a U-Net over the sequence; few steps of the probability flow instead
    of a hundred random ones; at evaluation every unit starts from the same noise, so that a prediction depends neither
    on chance nor on the batch; the condition is not noised; prediction by the heads instead of crossmodal attention;
    the encoders are not pretrained on complete clips.
    """

    def __init__(self, config: ModelConfig) -> None:
        width, count = config.width, len(config.order)
        super().__init__(config, joint=width * count)
        self.scores = per_modality(Perceptron, width + (width + 1) * count + 1, 2 * width, width)
        self.refine = per_modality(Perceptron, width, 2 * width, width)
        generator = torch.Generator().manual_seed(EVALUATION_SEED)
        self.register_buffer("start", torch.randn(count, width, generator=generator))

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        units = self.units(batch)
        condition = torch.cat([units.x.flatten(2), units.here.to(units.x.dtype)], -1)
        whole, lost = [], []
        target = None if complete is None else self.target(complete)
        for place, modality in enumerate(self.config.order):
            here, x = units.here[:, :, place], units.x[:, :, place]
            recovered = self.refine[modality](self.recover(modality, condition))
            whole.append(torch.where(here[..., None], x, recovered))
            if target is not None:
                true, absent = target.x[:, :, place], target.here[:, :, place] & ~here
                lost.append(self.denoising_error(modality, true, condition, absent))
                lost.append(mean_square(recovered, true, absent))
        auxiliary = DIFFUSION_WEIGHT * torch.stack(lost).sum() if lost else None
        return self.answer(torch.cat(whole, -1), auxiliary)

    def noise(self, modality: str, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """The noise that the score network finds in x at a time: minus the score times its deviation."""
        scaled = x / (1 + _deviation(time) ** 2).sqrt()  # of about unit variance at all times
        return self.scores[modality](torch.cat([scaled, condition, time.expand(*x.shape[:2], 1)], -1))

    def denoising_error(self, modality: str, true: Tensor, condition: Tensor, chosen: Tensor) -> Tensor:
        """Denoising score matching at random times."""
        time = torch.rand_like(true[..., :1])
        noise = torch.randn_like(true)
        return mean_square(self.noise(modality, true + _deviation(time) * noise, time, condition), noise, chosen)

    @torch.no_grad()
    def recover(self, modality: str, condition: Tensor) -> Float[Tensor, "batch time width"]:
        """Follow the probability flow from pure noise to a vector, in Euler steps over the noise's deviation."""
        start = self.start[self.config.order.index(modality)].expand(*condition.shape[:2], -1)
        times = torch.linspace(1, 0, DENOISING_STEPS + 1, device=condition.device)
        x = _deviation(times[0]) * (torch.randn_like(start) if self.training else start)
        for now, later in pairwise(times):
            x = x - (_deviation(now) - _deviation(later)) * self.noise(modality, x, now, condition)
        return x


def _deviation(time: Tensor) -> Tensor:
    """Standard deviation of the noise at a time from 0 to 1."""
    return ((SIGMA ** (2 * time) - 1) / (2 * math.log(SIGMA))).sqrt()
