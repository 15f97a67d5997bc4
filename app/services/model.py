"""Trained models: the app's own and any other under `checkpoints/`, loaded once and shared by all sessions."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.config import SHIPPED
from app.i18n.translate import _
from app.services.errors import PlainError

if TYPE_CHECKING:
    from alignmamba.predictor import Predictor
    from extractors.schema import FeatureSet

CHECKPOINT = SHIPPED
FOLDER = CHECKPOINT.parent
FILES = ("config.json", "model.safetensors")

log = logging.getLogger(__name__)


def names() -> list[str]:
    """List the checkpoints by their folders' names, the app's own first."""
    found = [path.name for path in sorted(FOLDER.iterdir()) if all((path / file).is_file() for file in FILES)]
    return sorted(found, key=lambda name: name != CHECKPOINT.name)


@st.cache_resource(show_spinner=False)
def default() -> Predictor:
    """Return the trained model, which all sessions share and nobody changes: fork it to set a clip.

    Raises:
        PlainError: If the checkpoint cannot be used.
    """
    from alignmamba.predictor import Predictor

    try:
        return Predictor.from_pretrained(CHECKPOINT)
    except ValueError as error:
        raise PlainError(_("The trained model could not be loaded. {error}").format(error=error)) from error


@st.cache_resource(show_spinner=False, max_entries=4)
def load(name: str) -> Predictor:
    """Return a checkpoint, which all sessions share and nobody changes.

    Args:
        name: One of `names`.

    Raises:
        PlainError: If there is none of this name, or it cannot be used.
    """
    from alignmamba.predictor import Predictor

    if name == CHECKPOINT.name:
        return default()
    if name not in names():
        raise PlainError(_("There is no checkpoint of this name."))
    try:
        return Predictor.from_pretrained(FOLDER / name)
    except ValueError as error:
        raise PlainError(_("The trained model could not be loaded. {error}").format(error=error)) from error


def feature_set(predictor: Predictor) -> FeatureSet:
    """Return the feature set that a checkpoint was trained on.

    Raises:
        PlainError: If its features are none that can be extracted.
    """
    from extractors.storage.config import feature_set_of

    try:
        return feature_set_of(predictor.schema)
    except ValueError as error:
        raise PlainError(_("The trained model could not be loaded. {error}").format(error=error)) from error


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Thread:
    """Load every model in the background, once per process, so that the first clip does not wait for it."""
    thread = threading.Thread(target=_load_models, name="warm-up", daemon=True)
    thread.start()
    return thread


def _load_models() -> None:
    from extractors.workers.client import WorkerError, warm

    try:
        predictor = default()
        predictor.warm()
        warm(encoder=predictor.encoder)
    except (ValueError, WorkerError) as error:
        # Nobody waits for this thread; an analysis shows the same message on screen.
        log.warning("models are not ready: %s", error)
