"""AlignMamba-2 as we read it: alignment by losses alone, and Mamba layers with experts (Li et al. 2026).

https://arxiv.org/abs/2603.18462 publishes no code. Its abstract says that optimal transport distance and MMD regularise
training and cost nothing at inference, and that each layer mixes modality-specific experts with a shared one. What it
leaves open is chosen here and is ours: see `AlignMamba2`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modality import ANCHOR_ORDER, Modality
from alignmamba.modeling.encoders import Encoders, Stream
from alignmamba.modeling.mamba import mamba_layers
from alignmamba.modeling.mmd import mmd2
from alignmamba.modeling.model import Heads, Output, anchor_stream, masked_mean, stream_cost

EXPAND = 2  # inner width of an expert, in widths


class Expert(nn.Sequential):
    """A position-wise network of one hidden layer."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, EXPAND * width), nn.GELU(), nn.Linear(EXPAND * width, width))


class ModalityAwareLayer(nn.Module):
    """A Mamba layer over all tokens in the order of time, then experts: x + shared(norm(x)) + own(norm(x)).

    Every token goes to the shared expert and to the one of its modality; nothing is routed or learnt about routes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        (self.scan,) = mamba_layers(config, 1)
        self.norm = nn.LayerNorm(config.width)
        self.shared = Expert(config.width)
        self.own = nn.ModuleDict({str(modality): Expert(config.width) for modality in config.order})
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        mask: Bool[Tensor, "batch tokens"],
        *,
        by_time: Int[Tensor, "batch tokens"],
        steps: Mapping[Modality, int],
    ) -> Float[Tensor, "batch tokens width"]:
        """Apply the layer to tokens that stand one modality after the other.

        Args:
            x: Tokens.
            mask: True where a token counts.
            by_time: Their places in the order of time.
            steps: How many tokens each modality has, in the order in which they stand.
        """
        timed = self.scan(_taken(x, by_time), mask.gather(1, by_time))
        x = _taken(timed, by_time.argsort(1))
        normed = self.norm(x)
        parts = normed.split(list(steps.values()), 1)
        own = [self.own[modality](part) for modality, part in zip(steps, parts, strict=True)]
        out: Tensor = x + self.dropout(self.shared(normed) + torch.cat(own, 1))
        return out


class AlignMamba2(nn.Module):
    """Our reading of AlignMamba-2 (Li et al. 2026, arXiv 2603.18462), by the config and trainer of `AlignMamba`.

    Stated by its abstract: both alignments are losses only, and layers have modality-specific and shared experts.
    Chosen here: encoders, heads, anchor and MMD are those of `AlignMamba`, on the streams as they are; the transport
    distance is the relaxed one (`transport_distance`), weighted by the configured lambda throughout training, whatever
    a schedule does to that of the MMD; tokens are scanned in the order of time, those of one time in that of
    `config.order`; experts have one hidden layer and are summed. An absent modality has no tokens (`absent` and `gate`
    of the config do not apply), and there is no plan to show.

    >>> from alignmamba.batch import ModalitySteps, collate
    >>> model = AlignMamba2(ModelConfig(audio_dim=5, video_dim=4, language_dim=6, width=8)).eval()
    >>> def steps(count: int, dim: int) -> ModalitySteps:
    ...     return ModalitySteps(torch.randn(count, dim), torch.ones(count, dtype=torch.bool), torch.arange(count) / 10)
    >>> output = model(collate([{"audio": steps(20, 5), "language": steps(3, 6)}]))
    >>> output.score.shape, sorted(output.mmd), output.plans
    (torch.Size([1]), [<Modality.AUDIO: 'audio'>], {})
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config, layers=config.encoder_layers)
        self.fusion = nn.ModuleList(ModalityAwareLayer(config) for _ in range(config.fusion_layers))
        self.norm = nn.LayerNorm(config.width)
        self.heads = Heads(config, width=config.width)

    def forward(self, batch: Batch, *, with_mmd: bool = True) -> Output:
        """Predict a batch of clips, each with whatever modalities it has.

        Args:
            batch: Steps per modality.
            with_mmd: Whether to measure both distances, which only the loss and reports need.

        Raises:
            ValueError: If the batch is empty, a modality has wrong columns, a clip has no valid step at all, or level
                is "step" and the modalities do not share one grid.
        """
        streams = self.encoders(batch)
        anchor, target = anchor_stream(streams)
        mmd, auxiliary = self._distances(streams, anchor, target) if with_mmd else ({}, None)
        x = self.norm(self._fuse(streams))
        present = [streams[modality] for modality in self.config.order if modality in streams]
        if self.config.level == "clip":
            pooled = masked_mean(x, torch.cat([stream.mask for stream in present], 1))
        else:
            if any(not torch.equal(stream.mask, target.mask) for stream in present):
                raise ValueError('level: "step", expected every clip to have each modality of the batch at every step')
            pooled = torch.stack(x.chunk(len(present), 1)).mean(0)
        score, logits = self.heads(pooled)
        return Output(score, logits, mmd, {}, anchor, auxiliary=auxiliary)

    def _fuse(self, streams: Mapping[Modality, Stream]) -> Float[Tensor, "batch tokens width"]:
        """Tokens of all modalities after the layers, one modality after the other."""
        present = {modality: streams[modality] for modality in self.config.order if modality in streams}
        x = torch.cat([stream.x for stream in present.values()], 1)
        mask = torch.cat([stream.mask for stream in present.values()], 1)
        seconds = torch.cat([stream.seconds for stream in present.values()], 1)
        by_time = seconds.masked_fill(~mask, math.inf).argsort(dim=1, stable=True)
        steps = {modality: stream.x.shape[1] for modality, stream in present.items()}
        for layer in self.fusion:
            x = layer(x, mask, by_time=by_time, steps=steps)
        return x

    def _distances(
        self, streams: Mapping[Modality, Stream], anchor: Int[Tensor, " batch"], target: Stream
    ) -> tuple[dict[Modality, Tensor], Tensor]:
        """Squared MMD of each modality to the anchor, and lambda times the sum of their mean transport distances."""
        mmd: dict[Modality, Tensor] = {}
        total = target.x.new_zeros(())
        for modality, stream in streams.items():
            if stream is target:
                continue
            counts = stream.mask.any(1) & (anchor != ANCHOR_ORDER.index(modality))
            distance = mmd2(stream.x, target.x, stream.mask, target.mask, bandwidth=self.config.bandwidth)
            mmd[modality] = distance.where(counts, 0.0)
            cost = stream_cost(stream, target, time_weight=self.config.time_weight)
            apart = transport_distance(cost, stream.mask, target.mask)
            total = total + apart.where(counts, 0.0).mean()
        return mmd, self.config.align_weight * total


def transport_distance(
    cost: Float[Tensor, "batch source target"],
    source_mask: Bool[Tensor, "batch source"],
    target_mask: Bool[Tensor, "batch target"],
) -> Float[Tensor, " batch"]:
    """Relaxed optimal transport distance: the larger mean of the least costs, from either side (Kusner et al. 2015).

    Each side drops one of the two constraints of a transport plan, so that both are lower bounds of its cost; zero for
    clips that have no step on one side.

    >>> cost = torch.tensor([[[0.0, 1.0], [0.5, 1.0]]])
    >>> there = torch.ones(1, 2, dtype=torch.bool)
    >>> transport_distance(cost, there, there)
    tensor([0.5000])
    """
    both = source_mask[:, :, None] & target_mask[:, None, :]
    cost = cost.masked_fill(~both, math.inf)
    sides = []
    for least, mask in ((cost.amin(2), source_mask), (cost.amin(1), target_mask)):
        found = least.masked_fill(~mask | least.isinf(), 0.0)
        sides.append(found.sum(1) / mask.sum(1).clamp(min=1))
    return torch.stack(sides).amax(0)


def _taken(x: Float[Tensor, "batch tokens width"], places: Int[Tensor, "batch tokens"]) -> Tensor:
    return x.gather(1, places[:, :, None].expand_as(x))
