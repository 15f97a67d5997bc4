"""AlignMamba: encoders, local and global alignment, interleaved Mamba fusion, heads (Li et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from alignmamba.batch import Batch, compact
from alignmamba.config import Level, ModelConfig
from alignmamba.modality import ANCHOR_ORDER, Modality
from alignmamba.modeling.encoders import Encoders, Stream
from alignmamba.modeling.mamba import mamba_layers, run_layers
from alignmamba.modeling.missingness import by_token
from alignmamba.modeling.mmd import mmd2
from alignmamba.modeling.transport import Plan, cosine_cost, relaxed_plan, sinkhorn_plan, uniform_plan


def stream_cost(source: Stream, target: Stream, *, time_weight: float) -> Float[Tensor, "batch source target"]:
    """`cosine_cost` of every pair of steps of two streams."""
    seconds = {"source_seconds": source.seconds, "target_seconds": target.seconds}
    return cosine_cost(source.x, target.x, time_weight=time_weight, **seconds)


class Aligned(NamedTuple):
    """One modality at the steps of the anchor; `there` as in `Stream`."""

    x: Float[Tensor, "batch steps width"]
    mask: Bool[Tensor, "batch steps"]
    there: Bool[Tensor, "batch steps"]


class Fused(NamedTuple):
    """Tokens after the fusion layers, interleaved by time; masks are prefixes."""

    tokens: Float[Tensor, "batch tokens width"]
    mask: Bool[Tensor, "batch tokens"]


class Output(NamedTuple):
    """Output of the model for a batch.

    Attributes:
        score: Regression head, unbounded; one per clip or, at level "step", per step of the shared grid.
        logits: Classification head; None without one.
        mmd: Squared MMD of each aligned modality to the anchor; zero for clips where it is absent or the anchor.
        plans: Plan of each aligned modality to the anchor; meaningless for clips where it is the anchor.
        anchor: Index into `ANCHOR_ORDER` of each clip's anchor.
        fused: What was pooled; None for models that fuse in another way.
        auxiliary: A model's own loss beside the task's, weighted; None without one.
    """

    score: Float[Tensor, "batch *steps"]
    logits: Float[Tensor, "batch *steps classes"] | None
    mmd: dict[Modality, Float[Tensor, " batch"]]
    plans: dict[Modality, Plan]
    anchor: Int[Tensor, " batch"]
    fused: Fused | None = None
    auxiliary: Float[Tensor, ""] | None = None


def pool(
    x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"], *, level: Level
) -> Float[Tensor, "batch *steps width"]:
    """Input of the heads: the mean over valid steps at level "clip", every step at level "step"."""
    return masked_mean(x, mask) if level == "clip" else x


def masked_mean(x: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch width"]:
    """Mean over valid steps; zero where there is none."""
    weight = mask[:, None].to(x.dtype)  # (batch, 1, time)
    return (weight @ x)[:, 0] / weight.sum(-1).clamp(min=1)


class Heads(nn.Module):
    """Score and class logits from a pooled clip, or from every step."""

    def __init__(self, config: ModelConfig, *, width: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.score = nn.Linear(width, 1)
        self.classes = nn.Linear(width, config.classes) if config.classes else None

    def forward(self, pooled: Float[Tensor, "batch *steps width"]) -> tuple[Tensor, Tensor | None]:
        """Return scores (batch, *steps) and logits (batch, *steps, classes), or None without a classification head."""
        pooled = self.dropout(pooled)
        return self.score(pooled).squeeze(-1), self.classes(pooled) if self.classes is not None else None


def anchor_stream(streams: Mapping[Modality, Stream]) -> tuple[Int[Tensor, " batch"], Stream]:
    """Per clip the first present modality of ANCHOR_ORDER, gathered into one padded stream.

    Raises:
        ValueError: If there is no modality, or a clip has no valid step in any.
    """
    if not streams:
        raise ValueError("batch: no modality, expected at least one")
    ranks = [rank for rank, modality in enumerate(ANCHOR_ORDER) if modality in streams]
    first = streams[ANCHOR_ORDER[ranks[0]]]
    here = first.mask.any(1)
    anchor = torch.full_like(here, ranks[0], dtype=torch.long)
    if bool(here.all()):
        return anchor, first
    anchor = anchor.where(here, len(ANCHOR_ORDER))
    for rank in reversed(ranks[1:]):
        later = streams[ANCHOR_ORDER[rank]].mask.any(1)
        anchor = anchor.where(here | ~later, rank)
    if bool((anchor == len(ANCHOR_ORDER)).any()):
        lost = (anchor == len(ANCHOR_ORDER)).nonzero().flatten().tolist()
        raise ValueError(f"batch: clips {lost} have no valid step in any modality, expected at least one")
    chosen = [(rank, streams[ANCHOR_ORDER[rank]]) for rank in anchor.unique().tolist()]
    if len(chosen) == 1:
        return anchor, chosen[0][1]
    steps = max(stream.mask.shape[1] for _, stream in chosen)
    parts = []
    for rank, stream in chosen:
        grow = steps - stream.mask.shape[1]
        mine = anchor == rank
        x = F.pad(stream.x, (0, 0, 0, grow)) * mine[:, None, None]
        mask, seconds, there = (F.pad(part, (0, grow)) * mine[:, None] for part in stream[1:])
        parts.append(Stream(x, mask, seconds, there))
    x, mask, seconds, there = (torch.stack(part).sum(0) for part in zip(*parts, strict=True))
    kept = int(mask.sum(1).max())
    return anchor, Stream(x[:, :kept], mask[:, :kept] > 0, seconds[:, :kept], there[:, :kept] > 0)


class AlignMamba(nn.Module):
    """AlignMamba (Li et al., CVPR 2025, pp. 24774-24784), https://arxiv.org/abs/2412.00833.

    Where each part of the paper is, in the order of `forward`:

    1. Modality encoders: X_a, X_v, X_l                                           `Encoders`
    2. Local alignment: C = 1 - cos(X_v, X_l), M_v2l(i, argmin_j C) = 1/T_v,
       X~_v = M_v2l^T X_v; the same for audio                                     `alignmamba.modeling.transport`
    3. Global alignment: L_align = MMD^2(X~_v, X_l) + MMD^2(X~_a, X_l)            `alignmamba.modeling.mmd`
    4. Fusion: X_mm = [a1, v1, l1, a2, v2, l2, ...], then Mamba layers,
       h_t = Abar h_{t-1} + Bbar x_t, y_t = C h_t                                 `alignmamba.modeling.mamba`
    5. Head and loss: L = L_task + lambda L_align                                 `Heads`, `alignmamba.modeling.loss`

    Without language the anchor is video; a modality alone is fused alone. The paper publishes no code and no sizes:
    those of `ModelConfig` are ours.

    >>> from alignmamba.batch import ModalitySteps, collate
    >>> model = AlignMamba(ModelConfig(audio_dim=5, video_dim=4, language_dim=6, width=8)).eval()
    >>> def steps(count: int, dim: int) -> ModalitySteps:
    ...     return ModalitySteps(torch.randn(count, dim), torch.ones(count, dtype=torch.bool), torch.arange(count) / 10)
    >>> whole = {"audio": steps(20, 5), "video": steps(12, 4), "language": steps(3, 6)}
    >>> output = model(collate([whole, {"audio": steps(9, 5)}]))  # the second clip has audio only
    >>> output.score.shape, output.logits.shape
    (torch.Size([2]), torch.Size([2, 3]))
    >>> [ANCHOR_ORDER[rank].value for rank in output.anchor.tolist()]
    ['language', 'audio']
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(config, layers=config.encoder_layers)
        conditions = len(config.order) ** 2 if config.gate == "missing" else 0
        self.fusion = mamba_layers(config, config.fusion_layers, conditions=conditions)
        self.norm = nn.LayerNorm(config.width)
        self.heads = Heads(config, width=config.width)
        if config.absent == "embed":
            self.absent = nn.ParameterDict(
                {str(modality): nn.Parameter(torch.randn(config.width)) for modality in config.order}
            )

    def forward(self, batch: Batch, *, with_mmd: bool = True) -> Output:
        """Predict a batch of clips, each with whatever modalities it has.

        Args:
            batch: Steps per modality.
            with_mmd: Whether to measure the MMD; its time grows with T^2, and only the loss and reports need it.

        Raises:
            ValueError: If the batch is empty, a modality has wrong columns, or a clip has no valid step at all.
        """
        return self.fuse(self.encoders(batch), with_mmd=with_mmd)

    def fuse(self, streams: Mapping[Modality, Stream], *, with_mmd: bool = True) -> Output:
        """Align the streams to each clip's anchor, interleave, scan, pool, predict."""
        anchor, target = anchor_stream(streams)
        goal = self._goal(streams, target)
        mixed = all(stream is not target for stream in streams.values())  # clips have different anchors
        aligned, mmd, plans = {}, {}, {}
        for modality, stream in streams.items():
            if stream is target:  # of every clip
                aligned[modality] = Aligned(target.x, target.mask, target.there)
                continue
            rank, here = ANCHOR_ORDER.index(modality), stream.mask.any(1)
            plan = self._plan(stream, goal)
            moved = plan.transport(stream.x, scaling=self.config.scaling)
            if with_mmd:
                mmd[modality] = self._mmd(moved, goal).where(here & (anchor != rank), 0.0)
            there = self._reached(plan, stream) if self.config.gate == "missing" else target.mask
            if mixed:
                own = (anchor == rank)[:, None]
                moved, there = torch.where(own[:, :, None], target.x, moved), torch.where(own, target.there, there)
            aligned[modality] = Aligned(moved, target.mask & here[:, None], there)
            plans[modality] = plan
        tokens, mask, missing = self._interleave(aligned, target)
        tokens = run_layers(self.fusion, tokens, mask, norm=self.norm, missing=missing, overwrite=True)
        score, logits = self.heads(self._pool(tokens, mask, target))
        return Output(score, logits, mmd, plans, anchor, Fused(tokens, mask))

    def _mmd(self, moved: Tensor, target: Stream) -> Float[Tensor, " batch"]:
        return mmd2(moved, target.x, target.mask, target.mask, bandwidth=self.config.bandwidth)

    @torch.no_grad()
    def distances(self, streams: Mapping[Modality, Stream], output: Output) -> dict[Modality, Float[Tensor, " batch"]]:
        """The MMD of streams that were fused without it: without gradient it takes little memory.

        Args:
            streams: Of clips.
            output: Of `fuse` for them.
        """
        goal = self._goal(streams, anchor_stream(streams)[1])
        found = {}
        for modality, plan in output.plans.items():
            stream = streams[modality]
            counts = stream.mask.any(1) & (output.anchor != ANCHOR_ORDER.index(modality))
            moved = plan.transport(stream.x, scaling=self.config.scaling)
            found[modality] = self._mmd(moved, goal).where(counts, 0.0)
        return found

    def _goal(self, streams: Mapping[Modality, Stream], target: Stream) -> Stream:
        """What streams are aligned to: the anchor, or per step the first modality that is more than filled in there."""
        if self.config.anchor == "clip":
            return target
        x, there = target.x, target.there
        for stream in (streams[modality] for modality in ANCHOR_ORDER if modality in streams):
            x = torch.where((stream.there & ~there)[:, :, None], stream.x, x)
            there = there | stream.there
        return target._replace(x=x, there=there)

    def _pool(self, tokens: Tensor, mask: Tensor, target: Stream) -> Tensor:
        """The mean of a clip's tokens, or of each step's."""
        if self.config.level == "clip":
            return masked_mean(tokens, mask)
        steps = target.mask.shape[1]
        streams = tokens.shape[1] // steps
        if not torch.equal(mask, target.mask.repeat_interleave(streams, 1)):
            raise ValueError('level: "step", expected every clip to have each modality of the batch at every step')
        return rearrange(tokens, "batch (steps streams) width -> batch steps streams width", steps=steps).mean(2)

    def running_scores(self, fused: Fused, *, streams: int) -> Float[Tensor, "batch steps"]:
        """Score after each step of the anchor, from the tokens that the fusion has read until then.

        The fusion is causal, the alignment is not: audio and video aligned to a step may lie later in the clip.

        Args:
            fused: Of clips that all have the same number of streams.
            streams: How many modalities were interleaved.

        Raises:
            ValueError: If the model is bidirectional.
        """
        if self.config.bidirectional:
            raise ValueError("bidirectional: True, expected a causal model for running scores")
        weight = fused.mask[:, :, None].to(fused.tokens.dtype)  # (batch, tokens, 1)
        mean = (fused.tokens * weight).cumsum(1) / weight.cumsum(1).clamp(min=1)
        score: Tensor = self.heads.score(mean[:, streams - 1 :: streams])  # (batch, steps, 1)
        return score.squeeze(-1)

    def _plan(self, stream: Stream, target: Stream) -> Plan:
        """Transport plan from the steps of a stream to the target's."""
        if self.config.local == "uniform":
            return uniform_plan(stream.mask, target.mask)
        if self.config.local == "sinkhorn":
            cost = stream_cost(stream, target, time_weight=self.config.time_weight)
            return sinkhorn_plan(cost, stream.mask, target.mask, blur=self.config.blur)
        return relaxed_plan(
            stream.x,
            target.x,
            stream.mask,
            target.mask,
            time_weight=self.config.time_weight,
            source_seconds=stream.seconds,
            target_seconds=target.seconds,
        )

    @staticmethod
    def _reached(plan: Plan, stream: Stream) -> Bool[Tensor, "batch steps"]:
        """Steps of the target that some step of the stream was sent to, filled-in ones aside."""
        sent = stream.there[:, :, None].to(stream.x.dtype)
        return plan.transport(sent, scaling="paper")[:, :, 0] > 0

    def _interleave(
        self, aligned: Mapping[Modality, Aligned], target: Stream
    ) -> tuple[Float[Tensor, "batch tokens width"], Bool[Tensor, "batch tokens"], Tensor | None]:
        """[a1, v1, l1, a2, v2, l2, ...] in the configured order, absent modalities left out or embedded.

        Returns:
            The tokens, their mask, and what is missing at each (batch, tokens, conditions); None if nothing is, or
            there is no gate that asks.
        """
        nothing = torch.zeros_like(target.mask)
        xs, masks, places, there = [], [], [], []
        for place, modality in enumerate(self.config.order):
            found = aligned.get(modality)
            there.append(nothing if found is None else found.mask & found.there)
            if self.config.absent == "embed":
                x = self.absent[modality].expand_as(target.x)
                if found is not None:
                    x = torch.where(found.mask.any(1)[:, None, None], found.x, x)
                found = Aligned(x, target.mask, nothing)
            if found is not None:
                xs.append(found.x)
                masks.append(found.mask)
                places.append(place)
        # (batch, steps, streams, width) -> (batch, steps * streams, width): stacked behind the step, so that flattening
        # is a view and there is one copy.
        mask, x = torch.stack(masks, 2).flatten(1), torch.stack(xs, 2).flatten(1, 2)
        missing = target.mask[:, :, None] & ~torch.stack(there, 2)  # (batch, steps, modalities)
        if self.config.gate == "none" or not bool(missing.any()):
            mask, (tokens,) = compact(mask, x)
            return tokens, mask, None
        mask, (tokens, asked) = compact(mask, x, by_token(missing, places, dtype=x.dtype))
        return tokens, mask, asked
