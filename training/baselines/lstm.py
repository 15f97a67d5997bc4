"""Early-fusion LSTM and bc-LSTM: recurrent baselines over word-aligned sequences."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from alignmamba.modeling.encoders import Encoders, Stream
from alignmamba.modeling.model import Heads, Output, pool
from training.baselines.units import output


class BiLSTM(nn.Module):
    """A bidirectional LSTM over padded sequences; width in, width out."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width: {width}, expected an even number for two directions")
        self.lstm = nn.LSTM(dim, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Run over each sequence's valid prefix; zeros after it."""
        lengths = mask.sum(1)
        packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        y = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return y * mask[:, :, None]


def concatenate(streams: Mapping[Modality, Stream], config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Concatenate streams step by step: (batch, time, width * modalities), and the mask of steps valid in any.

    Absent modalities are zeros. Shorter streams are padded at the end: the input is meant to be word-aligned.
    """
    steps = max(stream.mask.shape[1] for stream in streams.values())
    like = next(iter(streams.values()))
    parts, masks = [], []
    for modality in config.order:
        stream = streams.get(modality)
        if stream is None:
            parts.append(like.x.new_zeros(len(like.x), steps, config.width))
            continue
        grow = steps - stream.mask.shape[1]
        masks.append(nn.functional.pad(stream.mask, (0, grow)))
        parts.append(nn.functional.pad(stream.x * stream.mask[:, :, None], (0, 0, 0, grow)))
    return torch.cat(parts, -1), torch.stack(masks).any(0)


class EarlyFusionLSTM(nn.Module):
    """Modalities concatenated step by step, then one LSTM (EF-LSTM, as in Zadeh et al. 2017, bidirectional here).

    An absent modality is filled with zeros, so this is also the plainest treatment of missing input.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config, layers=0)
        self.lstm = BiLSTM(config.width * len(config.order), config.width)
        self.heads = Heads(config, width=config.width)

    def forward(self, batch: Batch) -> Output:
        """Predict a batch of clips whose modalities share their steps."""
        x, mask = concatenate(self.encoders(batch), self.config)
        return output(*self.heads(pool(self.lstm(x, mask), mask, level=self.config.level)))


class BcLSTM(nn.Module):
    """An LSTM per modality, their outputs joined by another (bc-LSTM, Poria et al. 2017, hierarchical variant).

    The source trains the lower LSTMs first and freezes them; here all are trained at once.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config, layers=0)
        self.lower = nn.ModuleDict({str(m): BiLSTM(config.width, config.width) for m in config.order})
        self.upper = BiLSTM(config.width * len(config.order), config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(config, width=config.width)

    def forward(self, batch: Batch) -> Output:
        """Predict a batch of clips whose modalities share their steps."""
        streams = {
            modality: stream._replace(x=self.dropout(self.lower[modality](stream.x, stream.mask)))
            for modality, stream in self.encoders(batch).items()
        }
        x, mask = concatenate(streams, self.config)
        return output(*self.heads(pool(self.upper(x, mask), mask, level=self.config.level)))
