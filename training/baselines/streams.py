"""Peers of AlignMamba on the same input contract, width and depth: rows of the ablation and of the efficiency figures.

None of them aligns anything: `Output.mmd` and `Output.plans` are empty. Depth counts as in AlignMamba: encoder plus
fusion layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from alignmamba.batch import Batch, compact
from alignmamba.config import ModelConfig
from alignmamba.modality import ANCHOR_ORDER, Modality
from alignmamba.modeling.model import Encoders, Heads, Output, Stream, mamba_layers, pool

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
        if source_mask is not None:  # a row without any key would be NaN: let it see all, callers leave it out
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


def _self_attention_layers(width: int, count: int, config: ModelConfig) -> nn.ModuleList:
    return nn.ModuleList(SelfAttentionLayer(width, dropout=config.dropout) for _ in range(count))


def _attention_layers(width: int, count: int, config: ModelConfig) -> nn.ModuleList:
    return nn.ModuleList(AttentionLayer(width, dropout=config.dropout) for _ in range(count))


def _padding(mask: Tensor) -> Tensor | None:
    """The mask, or None where nothing is padded: attention is then free to take its fastest kernel."""
    return None if bool(mask.all()) else mask


def _check(streams: Mapping[Modality, Stream]) -> None:
    """Every clip needs one valid step.

    Raises:
        ValueError: If there is no modality, or a clip has no valid step.
    """
    if not streams:
        raise ValueError("batch: no modality, expected at least one")
    here = torch.stack([stream.mask.any(1) for stream in streams.values()]).any(0)
    if not bool(here.all()):
        lost = (~here).nonzero().flatten().tolist()
        raise ValueError(f"batch: clips {lost} have no valid step in any modality, expected at least one")


def _output(score: Tensor, logits: Tensor | None, streams: Mapping[Modality, Stream]) -> Output:
    nowhere = torch.zeros(len(score), dtype=torch.bool, device=score.device)
    here = torch.stack([streams[modality].mask.any(1) if modality in streams else nowhere for modality in ANCHOR_ORDER])
    return Output(score, logits, {}, {}, here.to(torch.uint8).argmax(0))


class _SingleStream(nn.Module):
    """One modality after the other in one long sequence, through one stack of layers."""

    def __init__(self, config: ModelConfig, layers: nn.ModuleList) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config, layers=0)
        self.layers = layers
        self.norm = nn.LayerNorm(config.width)
        self.heads = Heads(config, width=config.width)

    def forward(self, batch: Batch) -> Output:
        """Predict a batch of clips, each with whatever modalities it has."""
        streams = self.encoders(batch)
        _check(streams)
        present = [streams[modality] for modality in self.config.order if modality in streams]
        mask = torch.cat([stream.mask for stream in present], 1)
        x = torch.cat([stream.x for stream in present], 1)
        if self.config.level == "clip":
            mask, (x,) = compact(mask, x)
        x = self.place(x)
        for layer in self.layers:
            x = layer(x, _padding(mask))
        x = self.norm(x)
        if self.config.level == "step":  # one part per modality, all on one grid
            x = torch.stack(x.chunk(len(present), 1)).mean(0)
        return _output(*self.heads(pool(x, mask, level=self.config.level)), streams)

    def place(self, x: Tensor) -> Tensor:
        """Tell each step its place, where layers cannot see it."""
        return x


class SingleStreamMamba(_SingleStream):
    """Mamba layers over the concatenated modalities (the ablation's "single-stream Mamba")."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, mamba_layers(config, config.encoder_layers + config.fusion_layers))


class SingleStreamTransformer(_SingleStream):
    """Self-attention over the concatenated modalities."""

    def __init__(self, config: ModelConfig) -> None:
        layers = _self_attention_layers(config.width, config.encoder_layers + config.fusion_layers, config)
        super().__init__(config, layers)

    def place(self, x: Tensor) -> Tensor:
        """Add sinusoidal positions."""
        return x + positions(x.shape[1], x.shape[2], like=x)


class MultiStreamMamba(nn.Module):
    """A Mamba stack per modality, pooled and concatenated (the ablation's "multi-stream Mamba")."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config, layers=config.encoder_layers + config.fusion_layers)
        self.heads = Heads(config, width=config.width * len(config.order))

    def forward(self, batch: Batch) -> Output:
        """Predict a batch of clips; an absent modality is a zero vector."""
        streams = self.encoders(batch)
        _check(streams)
        found = {modality: pool(stream.x, stream.mask, level=self.config.level) for modality, stream in streams.items()}
        nothing = torch.zeros_like(next(iter(found.values())))
        pooled = [found.get(modality, nothing) for modality in self.config.order]
        return _output(*self.heads(torch.cat(pooled, -1)), streams)


class MultiStreamTransformer(nn.Module):
    """Crossmodal attention in all six directions, then self-attention per modality (after MulT, Tsai et al. 2019).

    Every modality looks at each of the other two through a stack of `encoder_layers` layers, at least one; its two
    views are joined and run through `fusion_layers` layers of self-attention. MulT pools by the last step; this takes
    the mean of valid steps, as all models here do.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config, layers=0)
        count = max(1, config.encoder_layers)
        self.cross = nn.ModuleDict(
            {
                f"{target}_from_{source}": _attention_layers(config.width, count, config)
                for target in config.order
                for source in config.order
                if source != target
            }
        )
        joined = config.width * (len(config.order) - 1)
        self.memory = nn.ModuleDict(
            {str(modality): _self_attention_layers(joined, config.fusion_layers, config) for modality in config.order}
        )
        self.heads = Heads(config, width=joined * len(config.order))

    def forward(self, batch: Batch) -> Output:
        """Predict a batch of clips; an absent modality is a zero vector and gives others nothing."""
        streams = self.encoders(batch)
        _check(streams)
        streams = {
            modality: stream._replace(x=stream.x + positions(stream.x.shape[1], stream.x.shape[2], like=stream.x))
            for modality, stream in streams.items()
        }
        found = {modality: self._view(modality, streams) for modality in streams}
        nothing = torch.zeros_like(next(iter(found.values())))
        pooled = [found.get(modality, nothing) for modality in self.config.order]
        return _output(*self.heads(torch.cat(pooled, -1)), streams)

    def _view(self, target: Modality, streams: Mapping[Modality, Stream]) -> Tensor:
        """A modality as the others show it, pooled."""
        stream, views = streams[target], []
        for source in self.config.order:
            if source == target:
                continue
            x = stream.x
            if source in streams:
                here = streams[source].mask.any(1)[:, None, None]
                for layer in self.cross[f"{target}_from_{source}"]:
                    x = torch.where(here, layer(x, streams[source].x, _padding(streams[source].mask)), x)
            views.append(x)
        x, mask = torch.cat(views, -1), _padding(stream.mask)
        for layer in self.memory[target]:
            x = layer(x, mask)
        return pool(x, stream.mask, level=self.config.level)


BASELINES = {
    "single-stream-mamba": SingleStreamMamba,
    "multi-stream-mamba": MultiStreamMamba,
    "single-stream-transformer": SingleStreamTransformer,
    "multi-stream-transformer": MultiStreamTransformer,
}
