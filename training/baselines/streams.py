"""Single- and multi-stream Mamba and Transformer: the backbones that the paper compares.

They align nothing: `Output.mmd` and `Output.plans` are empty. Depth counts as in AlignMamba: encoder plus
fusion layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from alignmamba.batch import Batch, compact
from alignmamba.config import ModelConfig
from alignmamba.modality import ANCHOR_ORDER, Modality
from alignmamba.modeling.encoders import Encoders, Stream
from alignmamba.modeling.mamba import mamba_layers
from alignmamba.modeling.model import Heads, Output, pool
from training.baselines.attention import AttentionLayer, SelfAttentionLayer, positions
from training.baselines.units import check_steps


def _self_attention_layers(width: int, count: int, config: ModelConfig) -> nn.ModuleList:
    return nn.ModuleList(SelfAttentionLayer(width, dropout=config.dropout) for _ in range(count))


def _attention_layers(width: int, count: int, config: ModelConfig) -> nn.ModuleList:
    return nn.ModuleList(AttentionLayer(width, dropout=config.dropout) for _ in range(count))


def _padding(mask: Tensor) -> Tensor | None:
    """The mask, or None where nothing is padded: attention is then free to take its fastest kernel."""
    return None if bool(mask.all()) else mask


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
        check_steps({modality: stream.mask for modality, stream in streams.items()})
        present = [streams[modality] for modality in self.config.order if modality in streams]
        mask = torch.cat([stream.mask for stream in present], 1)
        # Without padding between the modalities: what follows a clip must not depend on the longest of its batch.
        mask, (x,) = compact(mask, torch.cat([stream.x for stream in present], 1))
        x = self.add_positions(x)
        for layer in self.layers:
            x = layer(x, _padding(mask))
        x = self.norm(x)
        if self.config.level == "step":
            x, mask = self._on_grid(x, present), present[0].mask
        return _output(*self.heads(pool(x, mask, level=self.config.level)), streams)

    @staticmethod
    def _on_grid(x: Tensor, present: Sequence[Stream]) -> Tensor:
        """The mean over modalities of each step of the grid that they share, from one sequence without padding."""
        parts, first = [], torch.zeros(len(x), 1, dtype=torch.long, device=x.device)
        for stream in present:
            steps = torch.arange(stream.mask.shape[1], device=x.device)[None]  # (1, steps)
            place = (first + steps).clamp(max=x.shape[1] - 1)  # (batch, steps); padding reads whatever is there
            parts.append(x.gather(1, place[:, :, None].expand(-1, -1, x.shape[2])))
            first = first + stream.mask.sum(1, keepdim=True)
        return torch.stack(parts).mean(0)

    def add_positions(self, x: Tensor) -> Tensor:
        """Add positions, for layers that do not know the order of steps."""
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

    def add_positions(self, x: Tensor) -> Tensor:
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
        check_steps({modality: stream.mask for modality, stream in streams.items()})
        found = {modality: pool(stream.x, stream.mask, level=self.config.level) for modality, stream in streams.items()}
        nothing = torch.zeros_like(next(iter(found.values())))
        pooled = [found.get(modality, nothing) for modality in self.config.order]
        return _output(*self.heads(torch.cat(pooled, -1)), streams)


class MultiStreamTransformer(nn.Module):
    """Crossmodal attention in all six directions, then self-attention per modality (after MulT, Tsai et al. 2019).

    Every modality attends to each of the other two through a stack of `encoder_layers` layers, at least one; its two
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
        """Predict a batch of clips; an absent modality is a zero vector and is not attended to."""
        streams = self.encoders(batch)
        check_steps({modality: stream.mask for modality, stream in streams.items()})
        streams = {
            modality: stream._replace(x=stream.x + positions(stream.x.shape[1], stream.x.shape[2], like=stream.x))
            for modality, stream in streams.items()
        }
        found = {modality: self._view(modality, streams) for modality in streams}
        nothing = torch.zeros_like(next(iter(found.values())))
        pooled = [found.get(modality, nothing) for modality in self.config.order]
        return _output(*self.heads(torch.cat(pooled, -1)), streams)

    def _view(self, target: Modality, streams: Mapping[Modality, Stream]) -> Tensor:
        """A modality seen through attention to each of the others, pooled."""
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


# Backbones of the efficiency figures.
STREAMS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "single-stream-mamba": SingleStreamMamba,
    "multi-stream-mamba": MultiStreamMamba,
    "single-stream-transformer": SingleStreamTransformer,
    "multi-stream-transformer": MultiStreamTransformer,
}
