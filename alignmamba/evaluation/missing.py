"""What a score becomes when senses, or moments within them, are missing.

Two tasks, never to be mixed: whole senses missing at a rate (Lian et al., TPAMI 2023, in the limit), and single steps
lost within senses (TFR-Net, LNLN). The draws are those of `training.data.masking`, so that a clip on screen and a test
set lose alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from alignmamba.modality import MODALITIES, Modality
from alignmamba.prediction import Features
from alignmamba.predictor import Predictor

LOST = "all of it was dropped"  # why a sense is absent that was there


class Expected(NamedTuple):
    """Mean and standard deviation over what a missing rate may draw."""

    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class PartSteps:
    """Steps of a modality of which some may be lost; as `extractors.schema.ModalityFeatures`."""

    values: Float[np.ndarray, "steps dim"]
    start: Float[np.ndarray, " steps"]
    end: Float[np.ndarray, " steps"]
    valid: Bool[np.ndarray, " steps"]
    absent: object | None


@dataclass(frozen=True, kw_only=True)
class PartFeatures:
    """A clip of which steps are lost: features for `Predictor.set_clip`."""

    schema: Any
    steps: Mapping[str, Any]

    def modality(self, name: str) -> Any:
        """Steps of one modality."""
        return self.steps[name]


def max_rate(modalities: Collection[Modality] = MODALITIES) -> float:
    """Largest missing rate: one modality of M is always kept, so 1 - 1/M."""
    return 1 - 1 / len(modalities)


def keep_chance(rate: float, *, modalities: Collection[Modality] = MODALITIES) -> float:
    """Chance that a modality is there beside the one that is always kept: p = (M (1 - rate) - 1) / (M - 1).

    Args:
        rate: Missing rate, from 0 to 1 - 1/M.
        modalities: The M modalities that there are.

    Raises:
        ValueError: If the rate cannot be reached.
    """
    senses = len(modalities)
    if not 0 <= rate <= max_rate(modalities) + 1e-12:
        raise ValueError(f"rate: {rate}, expected 0 to {max_rate(modalities):.3f}: one modality of {senses} is kept")
    return max(0.0, (senses * (1 - rate) - 1) / (senses - 1)) if senses > 1 else 0.0


def subset_chances(rate: float, *, modalities: Collection[Modality] = MODALITIES) -> dict[frozenset[Modality], float]:
    """How often a missing rate draws each subset.

    One of M modalities is kept, drawn evenly, each other one with p (`keep_chance`), so a subset of k modalities is
    drawn with k/M p^(k-1) (1-p)^(M-k).

    Args:
        rate: As in `keep_chance`.
        modalities: As in `keep_chance`.

    Returns:
        Every non-empty subset with its chance; they sum to 1.

    Raises:
        ValueError: If the rate cannot be reached.
    """
    senses, chance = len(modalities), keep_chance(rate, modalities=modalities)
    return {
        frozenset(chosen): size / senses * chance ** (size - 1) * (1 - chance) ** (senses - size)
        for size in range(senses, 0, -1)
        for chosen in combinations(_ordered(modalities), size)
    }


def expected(
    rate: float, values: Mapping[frozenset[Modality], float], *, modalities: Collection[Modality] = MODALITIES
) -> Expected:
    """Mean and spread, at a missing rate, of what is known per subset; exact, nothing is drawn.

    Of a clip's scores it is the score to expect. Of accuracies or mean absolute errors over a test set it is the one to
    expect there, because what is missing does not depend on the clip; of F1 or correlations it would be wrong.

    Args:
        rate: As in `keep_chance`.
        values: Per subset; those that the rate cannot draw may be left out.
        modalities: As in `keep_chance`.

    Raises:
        ValueError: If the rate cannot be reached, or a subset that it draws has no value.
    """
    chances = {subset: share for subset, share in subset_chances(rate, modalities=modalities).items() if share > 0}
    if lacking := [sorted(subset) for subset in chances if subset not in values]:
        raise ValueError(f"values: none for {lacking}, expected one per subset that the rate draws")
    shares = np.array(list(chances.values()))
    numbers = np.array([values[subset] for subset in chances])
    mean = float(shares @ numbers)
    return Expected(mean, float(np.sqrt(max(0.0, shares @ (numbers - mean) ** 2))))


def draw_subset(rate: float, seed: int, *, modalities: Collection[Modality] = MODALITIES) -> frozenset[Modality]:
    """Draw what a missing rate leaves of one clip; the same seed, the same subset.

    Raises:
        ValueError: If the rate cannot be reached.
    """
    senses, chance = _ordered(modalities), keep_chance(rate, modalities=modalities)
    rng = np.random.default_rng(seed)
    drawn = rng.random(len(senses)) < chance
    drawn[rng.integers(len(senses))] = True
    return frozenset(modality for modality, there in zip(senses, drawn, strict=True) if there)


def draw_steps(
    features: Features, *, rate: float, seed: int, within: Collection[Modality]
) -> dict[Modality, Bool[np.ndarray, " steps"]]:
    """Draw which steps of some modalities are left; of the whole clip at least one step always is.

    Args:
        features: Of a clip with some modality.
        rate: Chance of each step to be lost, from 0 to 1.
        seed: The same seed, the same steps.
        within: Modalities that lose steps; those that the clip lacks count for nothing.

    Returns:
        Per modality of `within` that the clip has, whether each step is left.

    Raises:
        ValueError: If the rate is no share, or the clip has no modality.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: {rate}, expected a share from 0 to 1")
    present = {m: features.modality(m) for m in MODALITIES if features.modality(m).absent is None}
    if not present:
        raise ValueError("features: no modality is there, expected at least one")
    rng = np.random.default_rng(seed)
    kept = {m: rng.random(len(steps.valid)) >= rate for m, steps in present.items() if m in within}
    places = [(modality, step) for modality, steps in present.items() for step in np.flatnonzero(steps.valid)]
    modality, step = places[rng.integers(len(places))]
    if not any(sense not in kept or kept[sense][place] for sense, place in places):
        kept[modality][step] = True
    return kept


def keep_steps(features: Features, kept: Mapping[Modality, Bool[np.ndarray, " steps"]]) -> PartFeatures:
    """Return a clip of which only some steps are left; the others are as moments without a face or a voice.

    Args:
        features: Of a clip.
        kept: Whether each step is left, for the modalities that lose any.

    Raises:
        ValueError: If a mask has not one entry per step.
    """
    steps: dict[str, Any] = {modality: features.modality(modality) for modality in MODALITIES}
    for modality, mask in kept.items():
        whole = steps[modality]
        if len(mask) != len(whole.valid):
            raise ValueError(f"kept: {len(mask)} entries for {modality}, expected one per step = {len(whole.valid)}")
        valid = whole.valid & mask
        steps[modality] = PartSteps(
            values=np.where(valid[:, None], whole.values, 0).astype(np.float32),
            start=whole.start,
            end=whole.end,
            valid=valid,
            absent=whole.absent if valid.any() or whole.absent else LOST,
        )
    return PartFeatures(schema=features.schema, steps=steps)


def keep_modalities(features: Features, kept: Collection[Modality]) -> PartFeatures:
    """Return a clip of which only some modalities are left."""
    others = (modality for modality in MODALITIES if modality not in kept)
    return keep_steps(features, {m: np.zeros(len(features.modality(m).valid), bool) for m in others})


def replace_modality(features: Features, modality: Modality, steps: Any) -> PartFeatures:
    """Return a clip with another voice, face or transcript; the steps are such as features have."""
    every = {each: features.modality(each) for each in MODALITIES}
    return PartFeatures(schema=features.schema, steps={**every, modality: steps})


def score(predictor: Predictor, part: Features, used: Collection[Modality]) -> float:
    """Judge a part of a clip by whichever of some modalities is left of it.

    Args:
        predictor: Any; the clip that it holds is left alone.
        part: Features of which something may be lost.
        used: Modalities to judge by.

    Raises:
        ValueError: If none of them is left.
    """
    judge = predictor.fork()
    judge.set_clip(part)
    return judge.predict(judge.available & frozenset(used)).score


def lost_share(features: Features, part: Features, *, within: Collection[Modality]) -> float:
    """Share of a clip's valid steps, in some modalities, that a part of it lacks; 0 where there is none."""

    def count(clip: Features) -> int:
        return sum(int(clip.modality(modality).valid.sum()) for modality in within)

    return 1 - count(part) / count(features) if count(features) else 0.0


def _ordered(modalities: Collection[Modality]) -> Sequence[Modality]:
    return [modality for modality in MODALITIES if modality in modalities]
