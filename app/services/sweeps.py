"""Sweeps: the score of a clip while more and more of it is lost, level by level, so that the work can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from alignmamba.evaluation.missing import (
    PartFeatures,
    draw_steps,
    draw_subset,
    expected,
    keep_modalities,
    keep_steps,
    lost_share,
    max_rate,
    replace_modality,
    score,
)
from alignmamba.modality import Modality
from alignmamba.prediction import SCORE_LIMIT
from app.i18n import wording
from app.i18n.translate import N_, _
from app.services import model
from app.services.analysis import Analysis, on_disk
from app.services.errors import PlainError
from extractors.schema import Hook

FIRST_SEED = 1111  # as in the project's experiments
MAX_SEEDS = 10
RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
ALL_RATES = (*RATES, 1.0)
MODALITY_RATE_STEP = 0.1
DECIBELS = (30.0, 20.0, 15.0, 10.0, 5.0, 0.0, -5.0)

KindName = Literal["modalities", "moments", "frames", "words", "noise"]
Report = Callable[[int, int], None]
"""Called with the draws done and the draws in all, also within a level."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One draw.

    Attributes:
        x: Missing rate, or decibels.
        seed: Of the draw.
        score: In [-3, 3].
        lost: What this draw lost, on screen.
    """

    x: float
    seed: int
    score: float
    lost: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to lose parts of a clip.

    Attributes:
        title: On screen.
        axis: Title of the x axis.
        needs: Modality without which there is nothing to lose; None for any.
        slow: Whether a draw extracts features again, which takes seconds instead of milliseconds.
        falls: Whether x falls as more is lost.
    """

    title: str
    axis: str
    needs: Modality | None = None
    slow: bool = False
    falls: bool = False


KINDS: dict[KindName, Kind] = {
    "modalities": Kind(title=N_("Modalities"), axis=N_("Missing rate")),
    "moments": Kind(title=N_("Moments"), axis=N_("Share of moments lost")),
    "frames": Kind(title=N_("Face"), axis=N_("Share of frames without the face"), needs=Modality.VIDEO),
    "words": Kind(title=N_("Words"), axis=N_("Share of words lost"), needs=Modality.LANGUAGE, slow=True),
    "noise": Kind(
        title=N_("Noise"), axis=N_("Signal-to-noise ratio (dB)"), needs=Modality.AUDIO, slow=True, falls=True
    ),
}
# What each kind does to the clip.
ABOUT: dict[KindName, str] = {
    "modalities": N_(
        "Whole modalities are missing at random: one, drawn uniformly, is always kept; each of the others is kept with "
        "the probability that gives the rate. The line and the band are exact, weighted over all subsets; the points "
        "are single draws."
    ),
    "moments": N_(
        "Single moments of every modality are lost, each with the same probability: a word becomes unknown, a frame or "
        "a tenth of a second of sound is lost. This is another task than missing modalities; do not compare the two."
    ),
    "frames": N_("The face is hidden in single frames, each with the same probability; voice and words stay complete."),
    "words": N_(
        "Words are lost, each with the same probability, and the rest is encoded again as if they had never been said; "
        "voice and face stay complete."
    ),
    "noise": N_(
        "White noise is added to the sound and the voice is measured again. The ratio compares the mean power of the "
        "whole sound with that of the noise. The words stay as they were recognised without noise."
    ),
}


def seeds(count: int) -> tuple[int, ...]:
    """Return the first seeds."""
    return tuple(range(FIRST_SEED, FIRST_SEED + count))


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A curve to compute.

    Attributes:
        kind: What is lost.
        analysis: Of the clip.
        used: Modalities to predict from.
        seeds: Of the draws at each level.
    """

    kind: KindName
    analysis: Analysis
    used: frozenset[Modality]
    seeds: tuple[int, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for curves that are equal."""
        return self.kind, self.analysis.number, self.used, self.seeds

    @property
    def levels(self) -> tuple[float, ...]:
        """Values of x, from nothing lost to most."""
        if self.kind == "modalities":
            most = max_rate(self.used)
            rates = [step * MODALITY_RATE_STEP for step in range(round(1 / MODALITY_RATE_STEP))]
            return (*(rate for rate in rates if rate < most - 1e-9), most)
        return {"moments": RATES, "noise": DECIBELS}.get(self.kind, ALL_RATES)

    @property
    def total(self) -> int:
        """Draws in all."""
        return len(self.levels) * len(self.seeds)

    def draws(self, *, done: int = 0, report: Report = lambda done, total: None) -> Iterator[Point]:
        """Predict from the clip again and again, level by level and seed by seed.

        Args:
            done: Draws that exist already.
            report: Called with draws done and in all, also within a level. An exception from it ends the work.

        Yields:
            Points in order; all points of a level are computed before the first of them is yielded.

        Raises:
            PlainError: If the features cannot be extracted again.
        """
        for place, level in enumerate(self.levels):
            already = place * len(self.seeds)
            if done >= already + len(self.seeds):
                continue
            report(max(already, done), self.total)

            def hook(step: str, completed: int, total: int, already: int = already) -> None:
                report(already + completed, self.total)

            make = {"modalities": self._subsets, "words": self._words, "noise": self._noise}.get(self.kind, self._steps)
            yield from make(level, hook)[max(0, done - already) :]

    def summary(self, points: Sequence[Point]) -> pd.DataFrame:
        """Mean and spread per level: `x`, `mean`, `low`, `high`, one deviation around the mean.

        They are exact for missing modalities, and those of the draws for every other kind.
        """
        if self.kind == "modalities":
            known = {subset: each.score for subset, each in self.analysis.predictions.items()}
            found = [(rate, *expected(rate, known, modalities=self.used)) for rate in self.levels]
        else:
            by_level = {x: [point.score for point in points if point.x == x] for x in self.levels}
            found = [(x, float(np.mean(scores)), float(np.std(scores))) for x, scores in by_level.items() if scores]
        rows = [(x, mean, max(-SCORE_LIMIT, mean - std), min(SCORE_LIMIT, mean + std)) for x, mean, std in found]
        return pd.DataFrame(rows, columns=["x", "mean", "low", "high"])

    def _subsets(self, rate: float, hook: Hook) -> list[Point]:
        points = []
        for seed in self.seeds:
            kept = draw_subset(rate, seed, modalities=self.used)
            lost = wording.subset(self.used - kept) or _("nothing")
            points.append(Point(x=rate, seed=seed, score=self.analysis.predictions[kept].score, lost=lost))
        return points

    def _steps(self, rate: float, hook: Hook) -> list[Point]:
        within = frozenset({Modality.VIDEO}) if self.kind == "frames" else self.used
        whole, points = self._whole, []
        for seed in self.seeds:
            part = keep_steps(whole, draw_steps(whole, rate=rate, seed=seed, within=within))
            points.append(self._point(part, x=rate, seed=seed, share=lost_share(whole, part, within=within)))
        return points

    def _words(self, rate: float, hook: Hook) -> list[Point]:
        from extractors.workers.client import AssetError, reread

        whole, features = self._whole, self.analysis.features
        words = {Modality.LANGUAGE}
        kept = [draw_steps(whole, rate=rate, seed=seed, within=words)[Modality.LANGUAGE] for seed in self.seeds]
        try:
            readings = reread(features.words, kept, encoder=self.analysis.predictor.encoder, hook=hook)
        except AssetError as error:
            raise PlainError(error.message) from error
        return [
            self._point(
                replace_modality(whole, Modality.LANGUAGE, reading), x=rate, seed=seed, share=float(1 - mask.mean())
            )
            for seed, mask, reading in zip(self.seeds, kept, readings, strict=True)
        ]

    def _noise(self, decibels: float, hook: Hook) -> list[Point]:
        from extractors.workers.client import MediaError, noisy_voices

        with on_disk(self.analysis.clip) as path:
            try:
                columns = model.feature_set(self.analysis.predictor)
                limits = self.analysis.clip.limits
                voices = noisy_voices(
                    path, snr_db=decibels, seeds=self.seeds, limits=limits, feature_set=columns, hook=hook
                )
            except MediaError as error:
                raise PlainError(error.message) from error
        return [
            self._point(replace_modality(self._whole, Modality.AUDIO, voice), x=decibels, seed=seed, share=None)
            for seed, voice in zip(self.seeds, voices, strict=True)
        ]

    @property
    def _whole(self) -> PartFeatures:
        return keep_modalities(self.analysis.features, self.used)

    def _point(self, part: PartFeatures, *, x: float, seed: int, share: float | None) -> Point:
        lost = _("{share:.0%} of them").format(share=share) if share is not None else f"{x:+g} dB"
        return Point(x=x, seed=seed, score=score(self.analysis.predictor, part, self.used), lost=lost)
