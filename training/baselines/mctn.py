"""MCTN: cyclic translation between modalities (Pham et al., AAAI 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modality import ANCHOR_ORDER
from alignmamba.modeling.model import Output
from training.baselines.lstm import BiLSTM
from training.baselines.units import CompletionModel, mean_square

TRANSLATION_WEIGHT = 0.1  # of the three translation errors; not tuned for any dataset


class MCTN(CompletionModel):
    """Translation of one modality into the others; its hidden states predict (MCTN, Pham et al., AAAI 2019).

    As in the source: language is the source, encoded and decoded into a second modality, and the result back into
    language by the same encoder and decoder; a second encoder and decoder take the joint representation to the third
    modality, without a way back; the prediction reads the second joint representation. So only the source modality is
    read at prediction, here as there: where there is text, audio and video are targets in training only. Simpler or
    other here: a unit without language starts from the next modality that is there (the source trains a model for each
    case); encoder and decoder are bidirectional LSTMs over the units, without attention, in the space of the encoders;
    at level "clip" there is one unit, the mean of the clip.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, joint=config.width)
        width = config.width
        self.kind = nn.Embedding(len(ANCHOR_ORDER), width)
        self.encoder, self.joint_encoder = BiLSTM(width, width), BiLSTM(width, width)
        self.decoder, self.joint_decoder = _Decoder(width), _Decoder(width)
        self.register_buffer("others", torch.tensor([[1, 2], [0, 2], [0, 1]]), persistent=False)

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        units = self.units(batch)
        there = units.here[:, :, self._ranked()]
        first = there.to(torch.uint8).argmax(-1)  # the first of ANCHOR_ORDER that is there
        mask = units.mask
        source = _pick(units.x[:, :, self._ranked()], first)
        joint = self.encoder(source + self.kind(first), mask)
        second = self.joint_encoder(joint, mask)
        auxiliary = None
        if complete is not None:
            target = self.target(complete)
            x, here = target.x[:, :, self._ranked()], target.here[:, :, self._ranked()]
            near, far = self.others[first].unbind(-1)
            read = there.any(-1)  # a unit of which nothing is left translates nothing
            translated = self.decoder(joint, mask)
            cycled = self.decoder(self.encoder(translated, mask), mask)
            auxiliary = TRANSLATION_WEIGHT * (
                mean_square(translated, _pick(x, near), read & _pick(here, near))
                + mean_square(cycled, _pick(x, first), read)
                + mean_square(self.joint_decoder(second, mask), _pick(x, far), read & _pick(here, far))
            )
        return self.answer(second, auxiliary)

    def _ranked(self) -> list[int]:
        return [self.config.order.index(modality) for modality in ANCHOR_ORDER]


class _Decoder(nn.Module):
    """A bidirectional LSTM with a linear output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm, self.out = BiLSTM(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.out(self.lstm(x, mask))


def _pick(of_modalities: Tensor, index: Tensor) -> Tensor:
    """Entry `index` of each unit, along the third axis."""
    rows, columns = torch.meshgrid(*(torch.arange(n, device=index.device) for n in index.shape), indexing="ij")
    return of_modalities[rows, columns, index]
