"""What becomes of a clip's score while more and more of it is lost: level by level, so that it can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
from app.i18n import wording
from app.i18n.translate import N_, _
from app.services.analysis import Analysis, on_disk
from app.services.errors import PlainError
from extractors.schema import Hook

FIRST_SEED = 1111  # as in the project's experiments
MAX_SEEDS = 10
SCORE_LIMIT = 3.0  # scores live in [-3, 3]
RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
ALL_RATES = (*RATES, 1.0)
SENSE_STEP = 0.1
DECIBELS = (30.0, 20.0, 15.0, 10.0, 5.0, 0.0, -5.0)

Report = Callable[[int, int], None]
"""Told of draws done and in all, also within a level."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One draw.

    Attributes:
        x: Rate that is missing, or decibels.
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
        about: What happens to the clip.
        needs: Modality without which there is nothing to lose; None for any.
        falls: Whether x falls as more is lost.
    """

    title: str
    axis: str
    about: str
    needs: Modality | None = None
    falls: bool = False


KINDS = {
    "senses": Kind(
        title=N_("Senses"),
        axis=N_("Missing rate"),
        about=N_(
            "Whole senses are missing at random: one is always kept, drawn evenly, the others stay with the chance "
            "that makes the rate. The line and the band are exact, weighed over all subsets; the points are single "
            "draws."
        ),
    ),
    "moments": Kind(
        title=N_("Moments"),
        axis=N_("Share of moments lost"),
        about=N_(
            "Single moments of every sense are lost, each with the same chance: a word is unknown then, a frame or a "
            "tenth of a second is not seen or heard. Another task than missing senses, never to be compared with it."
        ),
    ),
    "frames": Kind(
        title=N_("Face"),
        axis=N_("Share of frames without the face"),
        about=N_("The face is hidden in single frames, each with the same chance; voice and words stay whole."),
        needs=Modality.VIDEO,
    ),
    "words": Kind(
        title=N_("Words"),
        axis=N_("Share of words lost"),
        about=N_(
            "Words are lost, each with the same chance, and the rest is read again without them, as if they had never "
            "been said; voice and face stay whole."
        ),
        needs=Modality.LANGUAGE,
    ),
    "noise": Kind(
        title=N_("Noise"),
        axis=N_("Signal-to-noise ratio (dB)"),
        about=N_(
            "White noise is added to the sound and the voice is measured again. The ratio compares the mean power of "
            "the whole sound with the noise's. The words stay as they were heard without it."
        ),
        needs=Modality.AUDIO,
        falls=True,
    ),
}


def seeds(count: int) -> tuple[int, ...]:
    """Return the first seeds."""
    return tuple(range(FIRST_SEED, FIRST_SEED + count))


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A curve that is asked for.

    Attributes:
        kind: Of `KINDS`.
        analysis: Of the clip.
        used: Modalities to judge by.
        seeds: Of the draws at each level.
    """

    kind: str
    analysis: Analysis
    used: frozenset[Modality]
    seeds: tuple[int, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for curves that are equal."""
        return self.kind, self.analysis.number, self.used, self.seeds

    @property
    def levels(self) -> tuple[float, ...]:
        """Where the curve is measured, from nothing lost to most."""
        if self.kind == "senses":
            most = max_rate(self.used)
            below = [step * SENSE_STEP for step in range(round(1 / SENSE_STEP)) if step * SENSE_STEP < most - 1e-9]
            return (*below, most)
        return {"moments": RATES, "noise": DECIBELS}.get(self.kind, ALL_RATES)

    @property
    def total(self) -> int:
        """Draws in all."""
        return len(self.levels) * len(self.seeds)

    def draws(self, *, done: int = 0, report: Report = lambda done, total: None) -> Iterator[Point]:
        """Judge the clip again and again, level by level and seed by seed.

        Args:
            done: Draws that were made before.
            report: Called with draws done and in all, also while a level is worked on. What it raises ends the work.

        Yields:
            Points in order; a level's are all there before the first of them.

        Raises:
            PlainError: If the clip cannot be worked on.
        """
        for place, level in enumerate(self.levels):
            already = place * len(self.seeds)
            if done >= already + len(self.seeds):
                continue
            report(max(already, done), self.total)

            def tell(step: str, completed: int, total: int, already: int = already) -> None:
                report(already + completed, self.total)

            make = {"senses": self._senses, "words": self._words, "noise": self._noise}.get(self.kind, self._steps)
            yield from make(level, tell)[max(0, done - already) :]

    def summary(self, points: Sequence[Point]) -> pd.DataFrame:
        """Mean and spread per level: `x`, `mean`, `low`, `high`, one deviation around the mean.

        Of missing senses they are exact, of every other kind those of the draws.
        """
        if self.kind == "senses":
            known = {subset: each.score for subset, each in self.analysis.predictions.items()}
            found = [(rate, *expected(rate, known, modalities=self.used)) for rate in self.levels]
        else:
            by_level = {x: [point.score for point in points if point.x == x] for x in self.levels}
            found = [(x, float(np.mean(scores)), float(np.std(scores))) for x, scores in by_level.items() if scores]
        rows = [(x, mean, max(-SCORE_LIMIT, mean - std), min(SCORE_LIMIT, mean + std)) for x, mean, std in found]
        return pd.DataFrame(rows, columns=["x", "mean", "low", "high"])

    def _senses(self, rate: float, tell: Hook) -> list[Point]:
        made = []
        for seed in self.seeds:
            kept = draw_subset(rate, seed, modalities=self.used)
            lost = wording.subset(self.used - kept) or _("nothing")
            made.append(Point(x=rate, seed=seed, score=self.analysis.predictions[kept].score, lost=lost))
        return made

    def _steps(self, rate: float, tell: Hook) -> list[Point]:
        within = frozenset({Modality.VIDEO}) if self.kind == "frames" else self.used
        whole, made = self._whole, []
        for seed in self.seeds:
            part = keep_steps(whole, draw_steps(whole, rate=rate, seed=seed, within=within))
            made.append(self._judged(part, rate, seed, lost_share(whole, part, within=within)))
        return made

    def _words(self, rate: float, tell: Hook) -> list[Point]:
        from extractors.workers.client import AssetError, reread

        whole, features = self._whole, self.analysis.features
        words = {Modality.LANGUAGE}
        kept = [draw_steps(whole, rate=rate, seed=seed, within=words)[Modality.LANGUAGE] for seed in self.seeds]
        try:
            readings = reread(features.words, kept, encoder=self.analysis.predictor.encoder, hook=tell)
        except AssetError as error:
            raise PlainError(error.message) from error
        return [
            self._judged(replace_modality(whole, Modality.LANGUAGE, reading), rate, seed, float(1 - mask.mean()))
            for seed, mask, reading in zip(self.seeds, kept, readings, strict=True)
        ]

    def _noise(self, decibels: float, tell: Hook) -> list[Point]:
        from extractors.workers.client import MediaError, noisy_voices

        with on_disk(self.analysis.clip) as path:
            try:
                voices = noisy_voices(path, snr_db=decibels, seeds=self.seeds, hook=tell)
            except MediaError as error:
                raise PlainError(error.message) from error
        return [
            self._judged(replace_modality(self._whole, Modality.AUDIO, voice), decibels, seed, None)
            for seed, voice in zip(self.seeds, voices, strict=True)
        ]

    @property
    def _whole(self) -> PartFeatures:
        return keep_modalities(self.analysis.features, self.used)

    def _judged(self, part: PartFeatures, x: float, seed: int, share: float | None) -> Point:
        lost = _("{share:.0%} of them").format(share=share) if share is not None else f"{x:+g} dB"
        return Point(x=x, seed=seed, score=score(self.analysis.predictor, part, self.used), lost=lost)
