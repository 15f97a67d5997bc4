"""Scores of clips together with what each step adds to them: gradient times encoded step, to first order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from alignmamba.batch import ModalitySteps, PaddedSteps, collate
from alignmamba.calibration import Calibration
from alignmamba.modality import Modality
from alignmamba.modeling.encoders import Stream
from alignmamba.modeling.maps import scattered
from alignmamba.modeling.model import AlignMamba, Output
from alignmamba.prediction import SCORE_LIMIT, ModalityFeatures, SegmentScore

Shares = dict[Modality, Float[Tensor, "batch time"]]
"""Per modality and valid step its share in its clip's score."""


def attribute(model: AlignMamba, streams: Mapping[Modality, Stream], *, with_mmd: bool = True) -> tuple[Output, Shares]:
    """Fuse encoded clips and attribute each one's score to its steps.

    Args:
        model: At level "clip".
        streams: Of the clips, encoded.
        with_mmd: As in `AlignMamba.forward`.
    """
    leaves = {m: stream._replace(x=stream.x.detach().requires_grad_(True)) for m, stream in streams.items()}
    with torch.enable_grad():
        output = model.fuse(leaves, with_mmd=False)
        gradients = torch.autograd.grad(output.score.sum(), [stream.x for stream in leaves.values()])
    if with_mmd:
        output = output._replace(mmd=model.distances(streams, output))
    shares = {m: (gradient * leaves[m].x.detach()).sum(-1) for m, gradient in zip(leaves, gradients, strict=True)}
    return output, shares


def score_clips(
    model: AlignMamba,
    clips: Sequence[Mapping[Modality, ModalityFeatures]],
    *,
    calibration: Calibration | None,
    device: torch.device,
) -> list[SegmentScore]:
    """Encode and score clips that all have the same modalities, as one batch.

    Args:
        model: At level "clip".
        clips: At least one, each with at least one valid step of each of its modalities.
        calibration: Of the model; None gives no intervals.
        device: Of the model.
    """
    used = frozenset(clips[0])
    batch = collate([{str(m): _unpadded(steps) for m, steps in clip.items()} for clip in clips])
    with torch.no_grad():
        streams = {m: model.encoders.encode(m, steps.to(device)) for m, steps in batch.items()}
    output, shares = attribute(model, streams, with_mmd=False)
    return [
        SegmentScore(
            score=score,
            used=used,
            contributions={str(m): scattered(shares[m][place], steps.valid) for m, steps in clip.items()},
            interval=None if calibration is None else calibration[used].interval(score, limit=SCORE_LIMIT),
        )
        for place, (clip, score) in enumerate(zip(clips, limited(output.score).tolist(), strict=True))
    ]


def limited(scores: Tensor) -> Tensor:
    """Return scores within the scale."""
    return scores.detach().clamp(-SCORE_LIMIT, SCORE_LIMIT)


def padded(steps: ModalityFeatures) -> PaddedSteps:
    """Return one clip's steps as a batch."""
    values, mask, seconds = _unpadded(steps)
    return PaddedSteps(values=values[None], mask=mask[None], seconds=seconds[None])


def _unpadded(steps: ModalityFeatures) -> ModalitySteps:
    return ModalitySteps(
        values=torch.as_tensor(steps.values, dtype=torch.float32),
        mask=torch.as_tensor(steps.valid, dtype=torch.bool),
        seconds=torch.as_tensor((steps.start + steps.end) / 2, dtype=torch.float32),
    )
