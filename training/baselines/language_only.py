"""Language only: the text encoder of the model and its head."""

from __future__ import annotations

from torch import nn

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from alignmamba.modeling.encoders import Encoders
from alignmamba.modeling.model import Heads, Output, pool
from training.baselines.units import output


class LanguageOnly(nn.Module):
    """The text encoder and its head alone; a clip without words gets the head's prediction for zeros."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config, layers=config.encoder_layers + config.fusion_layers)
        self.heads = Heads(config, width=config.width)

    def forward(self, batch: Batch) -> Output:
        """Predict a batch of clips from their text."""
        if Modality.LANGUAGE not in batch or not batch[Modality.LANGUAGE].mask.any():
            steps = next(iter(batch.values())).mask
            shape = steps.shape if self.config.level == "step" else steps.shape[:1]
            return output(*self.heads(self.heads.score.weight.new_zeros(*shape, self.config.width)))
        stream = self.encoders.encode(Modality.LANGUAGE, batch[Modality.LANGUAGE])
        return output(*self.heads(pool(stream.x, stream.mask, level=self.config.level)))
