"""Trained models beside the app's own: any folder under `checkpoints/`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from alignmamba.modality import Modality
from app import state
from app.translate import _

if TYPE_CHECKING:
    from alignmamba.predictor import Prediction, Predictor
    from extractors.schema import ClipFeatures

FOLDER = state.CHECKPOINT.parent
FILES = ("config.json", "model.safetensors")


def names() -> list[str]:
    """List the checkpoints by their folders' names, the app's own first."""
    found = [path.name for path in sorted(FOLDER.iterdir()) if all((path / file).is_file() for file in FILES)]
    return sorted(found, key=lambda name: name != state.CHECKPOINT.name)


@st.cache_resource(show_spinner=False, max_entries=4)
def load(name: str) -> Predictor:
    """Return a checkpoint, which all visitors share and nobody changes.

    Args:
        name: One of `names`.

    Raises:
        PlainError: If there is none of this name, or it cannot be used.
    """
    from alignmamba.predictor import Predictor

    if name not in names():
        raise state.PlainError(_("There is no checkpoint of this name."))
    try:
        return Predictor.from_pretrained(FOLDER / name)
    except ValueError as error:
        raise state.PlainError(_("The trained model could not be loaded. {error}").format(error=error)) from error


def judge(name: str, analysis: state.Analysis, used: Collection[Modality]) -> Prediction:
    """Judge an analysed clip by another checkpoint.

    Args:
        name: One of `names`.
        analysis: Of the clip.
        used: Modalities to judge by.

    Raises:
        PlainError: If the checkpoint cannot be used, or needs a voice or a face that was measured in another way.
    """
    if name == state.CHECKPOINT.name:
        return analysis.predictions[frozenset(used)]
    predictor = load(name).fork()
    try:
        predictor.set_clip(_fitting(predictor, analysis.features))
        return predictor.predict(used)
    except ValueError as error:
        raise state.PlainError(
            _("The checkpoint {name} does not fit these features. {error}").format(name=name, error=error)
        ) from error


def _fitting(predictor: Predictor, features: ClipFeatures) -> ClipFeatures:
    """Read the words again where a checkpoint has an encoder of its own for them; voice and face stay."""
    from extractors.isolate import AssetError, reread
    from extractors.schema import ModalitySchema

    wanted = predictor.schema["language"]
    if wanted == features.schema.to_dict()["language"]:
        return features
    try:
        (language,) = reread(features.words, [np.ones(len(features.words), bool)], encoder=predictor.encoder)
    except AssetError as error:
        raise state.PlainError(str(error)) from error
    schema = ModalitySchema(**{**wanted, "columns": tuple(wanted["columns"])})
    return replace(features, language=language, schema=replace(features.schema, language=schema))
