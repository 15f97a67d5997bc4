"""Labelled examples with modalities missing, by the protocols of `alignmamba.evaluation.missing` and `.masks`.

Each result carries the name of its protocol, the rate that is really missing (with what the data never had), and every
example: one of which nothing is left stays in its place, and is named. Protocols of whole modalities (random, fixed,
imbalanced) and of single steps (within, LNLN) are different tasks, never to be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool

from alignmamba.batch import ModalitySteps
from alignmamba.evaluation.masks import BY_MODALITY, draw_imbalanced, draw_lnln
from alignmamba.evaluation.missing import draw_kept_steps, draw_masks
from alignmamba.modality import MODALITIES, Modality
from training.data.datasets import Example

Kept = Mapping[str, Bool[np.ndarray, "..."]]
"""What is kept of many examples, as `alignmamba.evaluation.masks.Masks.kept`."""


class Masked(NamedTuple):
    """Examples with modalities or steps missing, and the protocol that removed them.

    Attributes:
        name: Name of the protocol, for every table and file that shows a number measured on them.
        reached_rate: Share that is missing: of modalities, those counted that an example never had; or of steps within
            them.
        examples: All of them, in the order given; an example of which nothing is left has no valid step.
        left_out: Ids of those examples, which no model can read: they are scored by a fallback.
        kept: The masks themselves.
    """

    name: str
    reached_rate: float
    examples: tuple[Example, ...]
    left_out: tuple[str, ...]
    kept: Kept


def apply(example: Example, available: Bool[np.ndarray, "labels 3"]) -> Example:
    """Take modalities away.

    Args:
        example: Of either level.
        available: Per label, in the order of `MODALITIES`. Where each label has a step of its own, in all modalities,
            the steps of what is missing are masked and zeroed; where one label stands for a clip, the modality is
            taken out of it.

    Raises:
        ValueError: If the mask does not fit the labels.
    """
    if len(available) != len(example.score):
        raise ValueError(f"available: {len(available)} rows for {len(example.score)} labels of {example.id}")
    clip = {}
    by_step = _by_step(example)
    for modality, steps in example.clip.items():
        kept = available[:, MODALITIES.index(modality)]
        if by_step:
            clip[modality] = _masked(steps, kept)
        elif kept[0]:
            clip[modality] = steps
    return Example(id=example.id, clip=clip, score=example.score)


def random(examples: Sequence[Example], *, rate: float, seed: int, kept: Kept | None = None) -> Masked:
    """Take modalities away at random, per label; of those that some example has.

    Args:
        examples: Of either level.
        rate: Missing rate, counted over the modalities that the data has.
        seed: Of the masks.
        kept: Masks of an earlier draw, taken instead of a new one.

    Raises:
        ValueError: If the rate cannot be reached.
    """
    known = present(examples)
    among = "" if len(known) == len(MODALITIES) else f" of {_letters(known)}"
    drawn = kept or {BY_MODALITY: draw_masks(_labels(examples), rate, seed, modalities=known)}
    return _without_modalities(f"random per sample{among}, rate {rate:g}", examples, drawn)


def imbalanced(
    examples: Sequence[Example], rates: Mapping[Modality, float], *, seed: int, kept: Kept | None = None
) -> Masked:
    """Take each modality away at a rate of its own; see `draw_imbalanced`."""
    drawn = kept or {BY_MODALITY: draw_imbalanced(_labels(examples), rates, seed)}
    shares = " ".join(
        f"{modality.letter} {rates[modality]:g}" for modality in reversed(MODALITIES) if modality in rates
    )
    return _without_modalities(f"imbalanced: {shares}", examples, drawn)


def fixed(examples: Sequence[Example], kept: Iterable[Modality]) -> Masked:
    """Keep the same modalities of every example.

    Raises:
        ValueError: If none is kept, or one that no example has.
    """
    chosen, known = frozenset(kept), present(examples)
    if not chosen or not chosen <= set(known):
        raise ValueError(f"kept: {sorted(chosen)}, expected some of {[str(modality) for modality in known]}")
    row = np.array([modality in chosen for modality in MODALITIES])
    return _without_modalities(
        f"fixed: {_letters(chosen)}", examples, {BY_MODALITY: np.tile(row, (_labels(examples), 1))}
    )


def complete(examples: Sequence[Example]) -> Masked:
    """Nothing is taken away; what an example never had is missing all the same."""
    return _without_modalities("complete", examples, {BY_MODALITY: np.ones((_labels(examples), len(MODALITIES)), bool)})


def within(examples: Sequence[Example], *, rate: float, seed: int, kept: Kept | None = None) -> Masked:
    """Lose steps within modalities, each with the same chance; one step of a clip is always kept.

    A lost step is zeroed and masked.

    Raises:
        ValueError: If the rate is not a share below 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: {rate}, expected a share in [0, 1)")
    rng = np.random.default_rng(seed)
    drawn = kept or _joined([draw_kept_steps(_valid(example), rate=rate, rng=rng) for example in examples])
    return _without_steps(f"within modality, rate {rate:g}", examples, drawn, told=True)


def lnln(examples: Sequence[Example], *, rate: float, seed: int, kept: Kept | None = None) -> Masked:
    """Lose steps within modalities as LNLN does: nobody tells which, a lost step stays as zeros; see `draw_lnln`.

    Raises:
        ValueError: If the rate is not a share below 1.
    """
    rng = np.random.default_rng(seed)
    drawn = kept or _joined([draw_lnln(_valid(example), rate=rate, rng=rng) for example in examples])
    return _without_steps(f"LNLN, within modality, rate {rate:g}", examples, drawn, told=False)


def fill(example: Example) -> Example:
    """Put all modalities on one grid, for models that read labels step by step.

    Masked steps are zeros with a mask of True, and one more column flags whether the step was there (1) or not (0).

    Raises:
        ValueError: If a modality lacks steps that labels have.
    """
    clip = {}
    for modality in MODALITIES:
        if modality not in example.clip or not _by_step(example):
            found = {str(modality): len(steps.mask) for modality, steps in example.clip.items()}
            raise ValueError(f"{example.id}: steps {found}, expected {len(example.score)} in each of {MODALITIES}")
        values, mask, seconds = example.clip[modality]
        known = mask[:, None].to(values.dtype)
        clip[modality] = ModalitySteps(torch.cat([values * known, known], 1), torch.ones_like(mask), seconds)
    return Example(id=example.id, clip=clip, score=example.score)


def is_empty(example: Example) -> bool:
    """Whether no modality of an example has a valid step."""
    return not any(steps.mask.any() for steps in example.clip.values())


def _by_step(example: Example) -> bool:
    return all(len(steps.mask) == len(example.score) for steps in example.clip.values())


def _masked(steps: ModalitySteps, kept: Bool[np.ndarray, " time"], *, told: bool = True) -> ModalitySteps:
    """Steps without those that are not kept: masked, or, where nobody tells which they are, zeros that count."""
    mask = steps.mask & torch.from_numpy(kept)
    return ModalitySteps(steps.values * mask[:, None], mask if told else steps.mask, steps.seconds)


def present(examples: Sequence[Example]) -> list[Modality]:
    """The modalities that some example has, if only as steps that are masked."""
    return [modality for modality in MODALITIES if any(modality in example.clip for example in examples)]


def _labels(examples: Sequence[Example]) -> int:
    return sum(len(example.score) for example in examples)


def _valid(example: Example) -> dict[Modality, np.ndarray]:
    return {modality: steps.mask.numpy() for modality, steps in example.clip.items()}


def _letters(modalities: Iterable[Modality]) -> str:
    chosen = frozenset(modalities)
    return " ".join(modality.letter for modality in reversed(MODALITIES) if modality in chosen)  # l v a, as papers do


def _joined(drawn: Sequence[Mapping[Modality, np.ndarray]]) -> Kept:
    """Masks of steps of many examples, one after the other, by modality."""
    return {
        str(modality): np.concatenate([each[modality] for each in drawn if modality in each])
        for modality in MODALITIES
        if any(modality in each for each in drawn)
    }


def _without_modalities(name: str, examples: Sequence[Example], kept: Kept) -> Masked:
    """Apply masks of whole modalities; the missing rate counts what is really there afterwards."""
    rows, labels, known = kept[BY_MODALITY], _labels(examples), present(examples)
    if rows.shape != (labels, len(MODALITIES)):
        raise ValueError(f"{name}: masks of shape {rows.shape}, expected ({labels}, {len(MODALITIES)})")
    bounds = np.cumsum([len(example.score) for example in examples])[:-1]
    made = [apply(example, mask) for example, mask in zip(examples, np.split(rows, bounds), strict=True)]
    there = sum(_available(example, modality) for example in made for modality in known)
    return Masked(name, 1 - there / (labels * len(known)), tuple(made), _empty(made), kept)


def _available(example: Example, modality: Modality) -> int:
    """How many labels of an example have a modality."""
    if modality not in example.clip:
        return 0
    mask = example.clip[modality].mask
    if len(example.score) > 1 or _by_step(example):
        return int(mask.sum())
    return int(mask.any())


def _without_steps(name: str, examples: Sequence[Example], kept: Kept, *, told: bool) -> Masked:
    """Apply masks of steps; the missing rate counts steps that were there."""
    made, taken, had, has = [], dict.fromkeys(kept, 0), 0, 0
    for example in examples:
        clip = {}
        for modality, steps in example.clip.items():
            first = taken[modality]
            mine = kept[modality][first : first + len(steps.mask)]
            if len(mine) != len(steps.mask):
                raise ValueError(f"{name}: masks end within {example.id}, expected one for every step of {modality}")
            taken[modality] = first + len(mine)
            clip[modality] = _masked(steps, mine, told=told)
            had += int(steps.mask.sum())
            has += int((steps.mask.numpy() & mine).sum())
        made.append(Example(id=example.id, clip=clip, score=example.score))
    return Masked(name, 1 - has / had, tuple(made), _empty(made), kept)


def _empty(examples: Sequence[Example]) -> tuple[str, ...]:
    return tuple(example.id for example in examples if is_empty(example))
