"""Trained models: the app's own and any other under `checkpoints/`, loaded once and shared by all sessions."""

from __future__ import annotations

import functools
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.config import SHIPPED, text_encoder
from app.i18n.translate import _
from app.services.errors import PlainError

if TYPE_CHECKING:
    from alignmamba.predictor import Predictor
    from extractors.schema import FeatureSet

CHECKPOINT = SHIPPED
FOLDER = CHECKPOINT.parent
FILES = ("config.json", "model.safetensors")

POLL_SECONDS = 0.05
LAST_SECONDS = 2.0  # that a server which stops waits for models that load; with its grace less than 10

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
        raise _unusable(error) from error


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
        raise _unusable(error) from error


def _unusable(error: ValueError) -> PlainError:
    """Return an error for visitors, whom it does not concern where on the machine the files are; the log has that."""
    log.error("a checkpoint cannot be used: %s", error)
    shown = str(error).replace(f"{FOLDER}{os.sep}", "").replace(str(FOLDER), FOLDER.name)
    return PlainError(_("The trained model could not be loaded. {error}").format(error=shown))


def feature_set(predictor: Predictor) -> FeatureSet:
    """Return the feature set that a checkpoint was trained on.

    Raises:
        PlainError: If its features are none that can be extracted.
    """
    from extractors.storage.config import feature_set_of

    try:
        return feature_set_of(predictor.schema)
    except ValueError as error:
        raise _unusable(error) from error


@functools.cache
def warm_up() -> tuple[threading.Thread, ...]:
    """Load every model in the background, once per process, so that the first clip does not wait for it.

    Those of the extraction load in a worker process, beside the one that predicts.
    """
    threads = tuple(
        threading.Thread(target=_load, args=(models,), name="warm-up", daemon=True)
        for models in (_extractors, _predictor)
    )
    for thread in threads:
        thread.start()
    _warming.extend(threads)
    threading.Thread(target=_freeze_after, args=(threads,), name="freeze", daemon=True).start()
    return threads


def freeze_loaded() -> None:
    """Take what the loaded modules hold out of garbage collection, once more whenever there are more of them.

    Streamlit collects garbage after every run of the page. Among the libraries' half a million objects that stops all
    threads for .3 s, and the live view runs four times a second.
    """
    _freeze(len(sys.modules))


@functools.lru_cache(maxsize=1)
def _freeze(modules: int) -> None:
    gc.collect()
    gc.freeze()


def _freeze_after(threads: tuple[threading.Thread, ...]) -> None:
    for thread in threads:
        thread.join()
    if not _unwanted.is_set():
        freeze_loaded()


_warming: list[threading.Thread] = []
_unwanted = threading.Event()  # nobody waits for the models any more


def end_warm_up() -> None:
    """Let a warm-up that is under way end, for some seconds: torch cannot be imported while Python shuts down."""
    _unwanted.set()
    last = time.monotonic() + LAST_SECONDS
    for thread in _warming:
        thread.join(max(0.0, last - time.monotonic()))


def wait_until_warm(stopped: threading.Event) -> None:
    """Wait for a warm-up that is under way: a clip that began beside it would load every model a second time.

    Args:
        stopped: Ends the wait once it is set.
    """
    for thread in _warming:
        while thread.is_alive() and not stopped.is_set():
            thread.join(POLL_SECONDS)


def _predictor() -> None:
    default().warm()


def _extractors() -> None:
    from extractors.workers.client import warm

    warm(encoder=text_encoder(CHECKPOINT))


def _load(models: Callable[[], object]) -> None:
    from extractors.workers.client import WorkerError

    try:
        models()
    except (ValueError, WorkerError) as error:
        # Nobody waits for this thread; an analysis shows the same message on screen.
        log.warning("models are not ready: %s", error)
    except Exception as error:
        if not _unwanted.is_set():
            raise
        log.info("models were not loaded, the server stops: %r", error)
