"""MMIN: absent modalities imagined by cascaded autoencoders (Zhao et al., ACL 2021)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import Output
from training.baselines.units import CompletionModel, Perceptron, mean_square

IMAGINATION_WEIGHT = 1.0  # of the two imagination errors, as in the source
AUTOENCODERS = 3  # in the cascade, as in its released code


class CascadeAutoencoder(nn.Module):
    """Residual autoencoders, each correcting the output of those before it (Tran et al., CVPR 2017)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(Perceptron(dim, width, width) for _ in range(AUTOENCODERS))
        self.decoders = nn.ModuleList(Perceptron(width, width, dim) for _ in range(AUTOENCODERS))
        self.out = Perceptron(dim, dim, dim)

    def forward(
        self, x: Float[Tensor, "batch time dim"]
    ) -> tuple[Float[Tensor, "batch time dim"], Float[Tensor, "batch time latent"]]:
        """Return the imagined vectors, and the latent vectors of all autoencoders."""
        latents = []
        for encoder, decoder in zip(self.encoders, self.decoders, strict=True):
            latents.append(encoder(x))
            x = x + decoder(latents[-1])
        return self.out(x), torch.cat(latents, -1)


class MMIN(CompletionModel):
    """Absent modalities imagined from the present ones, and these from the result (MMIN, Zhao et al., ACL 2021).

    As in the source: the vectors of all modalities, zeros where absent, go through a cascade of residual autoencoders
    that is trained to give the vectors of the absent ones; a second cascade is trained to lead back; the prediction
    reads the latent vectors of the first. Simpler or other here: the targets come from the same encoders, at that
    moment and without gradient, where the source first trains them on complete clips and keeps that copy; an
    autoencoder has two layers each way.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, joint=AUTOENCODERS * config.width)
        dim = config.width * len(config.order)
        self.forwards, self.backwards = CascadeAutoencoder(dim, config.width), CascadeAutoencoder(dim, config.width)

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        units = self.units(batch)
        imagined, latent = self.forwards(units.x.flatten(2))
        auxiliary = None
        if complete is not None:
            target = self.target(complete)
            absent = target.x * ~units.here[..., None]
            back = self.backwards(imagined)[0]
            auxiliary = IMAGINATION_WEIGHT * (
                mean_square(imagined.view_as(absent), absent, target.here)
                + mean_square(back.view_as(absent), units.x.detach(), target.here)
            )
        return self.answer(latent, auxiliary)
