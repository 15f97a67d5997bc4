"""Predictions of an analysed clip by another checkpoint: one subset, or all of them as a job with progress."""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from alignmamba.modality import Modality
from app.i18n.translate import _
from app.services import model
from app.services.analysis import Analysis, on_disk
from app.services.errors import PlainError
from app.services.jobs import Job, plain_failures

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction
    from alignmamba.predictor import Predictor
    from extractors.schema import ClipFeatures, Hook


def predict_with(name: str, analysis: Analysis, used: Collection[Modality]) -> Prediction:
    """Predict from an analysed clip with another checkpoint.

    Args:
        name: One of `names`.
        analysis: Of the clip.
        used: Modalities to predict from.

    Raises:
        PlainError: If the checkpoint cannot be used, or its features cannot be extracted from the clip.
    """
    if name == analysis.checkpoint:
        return analysis.predictions[frozenset(used)]
    predictor = model.load(name).fork()
    try:
        if name not in analysis._fitting:
            analysis._fitting[name] = _fitting(predictor, analysis)
        predictor.set_clip(analysis._fitting[name])
        return predictor.predict(used)
    except ValueError as error:
        raise PlainError(
            _("The checkpoint {name} does not fit these features. {error}").format(name=name, error=error)
        ) from error


class Reanalysis(Job):
    """An analysis of an analysed clip by another checkpoint, with the same words.

    Args:
        analysis: Of the clip.
        checkpoint: Name of the other one.
        owner: As in `Job`.

    Raises:
        FullError: If too many jobs wait already.
    """

    def __init__(self, analysis: Analysis, *, checkpoint: str, owner: Hashable) -> None:
        self._before = analysis
        super().__init__(analysis.clip, owner=owner, checkpoint=checkpoint)

    def _extract(self) -> ClipFeatures:
        model.wait_until_warm(self._abandoned)
        predictor, made = model.load(self._checkpoint), self._before._fitting
        if self._checkpoint not in made:
            with plain_failures():
                made[self._checkpoint] = _fitting(predictor, self._before, hook=self._report, cancel=self._abandoned)
        return made[self._checkpoint]


def _fitting(
    predictor: Predictor, analysis: Analysis, *, hook: Hook | None = None, cancel: threading.Event | None = None
) -> ClipFeatures:
    """Return the clip's features as a checkpoint needs them, with the words and without the spans of the analysis.

    Audio and video are extracted again only where it was trained on other columns; where it has another text encoder
    alone, the words are encoded again.
    """
    from extractors.schema import FeatureSchema
    from extractors.storage.parts import Parts
    from extractors.workers.client import AssetError, reread

    features, wanted = analysis.features, predictor.schema
    made = features.schema.to_dict()
    if any(wanted[name] != made[name] for name in ("audio", "video")):
        return Parts(_extracted_again(predictor, analysis, hook=hook, cancel=cancel)).without(analysis.excluded)
    if wanted["language"] == made["language"]:
        return features
    every = [np.ones(len(features.words), bool)]
    try:
        (language,) = reread(features.words, every, encoder=predictor.encoder, hook=hook, cancel=cancel)
    except AssetError as error:
        raise PlainError(error.message) from error
    read_again = replace(features, language=language, schema=FeatureSchema.from_dict(wanted))
    return Parts(read_again).without(analysis.excluded)


def _extracted_again(
    predictor: Predictor, analysis: Analysis, *, hook: Hook | None, cancel: threading.Event | None
) -> ClipFeatures:
    from extractors.language.transcript import Transcript
    from extractors.workers.client import AssetError, Budget, MediaError, extract

    features, limits = analysis.features, analysis.clip.limits
    words = Transcript(words=features.words, source=features.transcript_source)
    with on_disk(analysis.clip) as path:
        try:
            return extract(
                path,
                words,
                limits=limits,
                audio_track=analysis.clip.audio_track,
                encoder=predictor.encoder,
                feature_set=model.feature_set(predictor),
                hook=hook,
                budget=Budget.of(limits.seconds),
                cancel=cancel,
            )
        except (MediaError, AssetError) as error:
            raise PlainError(error.message) from error
