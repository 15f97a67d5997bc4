"""Padded batches of clips, the input of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from alignmamba.modality import MODALITIES, Modality


@dataclass(frozen=True, kw_only=True)
class PaddedSteps:
    """Steps of one modality for a batch of clips, padded on the right.

    Attributes:
        values: Features; those of masked steps have no influence, but must be finite.
        mask: True where a step was observed; all False for a clip without this modality.
        seconds: Middle of each step; read only where the cost has a time term.
    """

    values: Float[Tensor, "batch time dim"]
    mask: Bool[Tensor, "batch time"]
    seconds: Float[Tensor, "batch time"]

    def __post_init__(self) -> None:
        for name in ("mask", "seconds"):
            if getattr(self, name).shape != self.values.shape[:2]:
                raise ValueError(
                    f"{name}: shape {tuple(getattr(self, name).shape)}, expected {tuple(self.values.shape[:2])}"
                )
        for name in ("values", "seconds"):
            if not torch.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name}: holds NaN or inf, expected finite numbers")

    def to(self, device: torch.device | str) -> PaddedSteps:
        """Return the same steps on `device`."""
        return PaddedSteps(values=self.values.to(device), mask=self.mask.to(device), seconds=self.seconds.to(device))


Batch = Mapping[str, PaddedSteps]  # by modality


class ModalitySteps(NamedTuple):
    """One clip's steps of one modality, unpadded; see `PaddedSteps`."""

    values: Float[Tensor, "time dim"]
    mask: Bool[Tensor, " time"]
    seconds: Float[Tensor, " time"]


def blank(steps: int, dim: int) -> PaddedSteps:
    """One clip's steps of zeros, a second apart."""
    mask, seconds = torch.ones(1, steps, dtype=torch.bool), torch.arange(float(steps))[None]
    return PaddedSteps(values=torch.zeros(1, steps, dim), mask=mask, seconds=seconds)


def collate(clips: Sequence[Mapping[str, ModalitySteps]]) -> dict[Modality, PaddedSteps]:
    """Pad clips into a batch.

    Args:
        clips: Per clip the steps of those modalities that it has.

    Returns:
        PaddedSteps per modality that at least one clip has; a clip without it is masked throughout.

    Raises:
        ValueError: If no clip is given, or a clip has an unknown modality or no valid step of any modality.

    >>> def steps(count: int) -> ModalitySteps:
    ...     return ModalitySteps(torch.randn(count, 5), torch.ones(count, dtype=torch.bool), torch.arange(count) / 10)
    >>> batch = collate([{"audio": steps(3)}, {"audio": steps(2), "language": steps(4)}])
    >>> batch[Modality.AUDIO].values.shape, batch[Modality.AUDIO].mask.tolist()
    (torch.Size([2, 3, 5]), [[True, True, True], [True, True, False]])
    >>> batch[Modality.LANGUAGE].mask.any(1).tolist()
    [False, True]
    """
    if not clips:
        raise ValueError("clips: none given, expected at least one")
    for number, clip in enumerate(clips):
        if unknown := sorted(set(clip) - set(MODALITIES)):
            known = [str(modality) for modality in MODALITIES]
            raise ValueError(f"clips[{number}]: unknown modality {unknown}, expected some of {known}")
        if not any(steps.mask.any() for steps in clip.values()):
            raise ValueError(f"clips[{number}]: no valid step in any modality, expected at least one")
    batch = {}
    for modality in MODALITIES:
        having = [clip[modality] for clip in clips if modality in clip]
        if not having:
            continue
        nothing = ModalitySteps(having[0].values[:0], having[0].mask[:0], having[0].seconds[:0])
        columns = zip(*(clip.get(modality, nothing) for clip in clips), strict=True)
        values, mask, seconds = (pad_sequence(list(column), batch_first=True) for column in columns)
        batch[modality] = PaddedSteps(values=values, mask=mask, seconds=seconds)
    return batch


def compact(
    mask: Bool[Tensor, "batch time"], *streams: Float[Tensor, "batch time ..."]
) -> tuple[Bool[Tensor, "batch kept"], list[Float[Tensor, "batch kept ..."]]]:
    """Move the valid steps to the front, keeping their order, and cut the common tail.

    Afterwards every mask is a prefix, as causal layers need it.
    """
    if bool(mask.all()):
        return mask, list(streams)
    kept = int(mask.sum(1).max())
    if bool((mask[:, 1:] <= mask[:, :-1]).all()):
        return mask[:, :kept], [stream[:, :kept] for stream in streams]
    order = torch.argsort(~mask, dim=1, stable=True)[:, :kept]  # (batch, kept)
    rows = torch.arange(len(mask), device=mask.device)[:, None]  # (batch, 1)
    return mask[rows, order], [stream[rows, order] for stream in streams]
