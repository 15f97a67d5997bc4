"""Predictions of an analysed clip by another checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from alignmamba.modality import Modality
from app.i18n.translate import _
from app.services import model
from app.services.analysis import Analysis, on_disk
from app.services.errors import PlainError

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction
    from alignmamba.predictor import Predictor
    from extractors.schema import ClipFeatures


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


def _fitting(predictor: Predictor, analysis: Analysis) -> ClipFeatures:
    """Return the clip's features as a checkpoint needs them, with the words of the analysis.

    Audio and video are extracted again only where it was trained on other columns; where it has another text encoder
    alone, the words are encoded again.
    """
    from extractors.schema import FeatureSchema
    from extractors.workers.client import AssetError, reread

    features, wanted = analysis.features, predictor.schema
    made = features.schema.to_dict()
    if any(wanted[name] != made[name] for name in ("audio", "video")):
        return _extracted_again(predictor, analysis)
    if wanted["language"] == made["language"]:
        return features
    try:
        (language,) = reread(features.words, [np.ones(len(features.words), bool)], encoder=predictor.encoder)
    except AssetError as error:
        raise PlainError(error.message) from error
    return replace(features, language=language, schema=FeatureSchema.from_dict(wanted))


def _extracted_again(predictor: Predictor, analysis: Analysis) -> ClipFeatures:
    from extractors.language.transcript import Transcript
    from extractors.workers.client import AssetError, MediaError, extract

    features = analysis.features
    words = Transcript(words=features.words, source=features.transcript_source)
    with on_disk(analysis.clip) as path:
        try:
            return extract(
                path,
                words,
                limits=analysis.clip.limits,
                audio_track=analysis.clip.audio_track,
                encoder=predictor.encoder,
                feature_set=model.feature_set(predictor),
            )
        except (MediaError, AssetError) as error:
            raise PlainError(error.message) from error
