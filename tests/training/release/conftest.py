"""The made-up world, and a model that was trained in it."""

from dataclasses import replace

import numpy as np
import pytest

from alignmamba.config import ModelConfig
from extractors.audio import statistics
from extractors.audio.acoustic import FILLED_COLUMNS
from extractors.vision import facial
from tests.training.release import world
from training.release import readouts, train

CONFIG = ModelConfig(
    audio_dim=len(FILLED_COLUMNS) + len(statistics.NAMES),
    video_dim=facial.CLIP_SCHEMA.dim,
    language_dim=world.TEXT_DIM,
    audio_statistics=len(statistics.NAMES),
    video_statistics=len(facial.CLIP_COLUMNS),
    readouts=readouts.OUTPUTS,
    scaling="mean",
    time_weight=0.5,
    width=16,
    state_dim=4,
    dropout=0.0,
)
SETTINGS = replace(train.TRAIN, epochs=4, batch_size=16, learning_rate=1e-2)
COMPOSING = train.ComposeConfig(mosi_repeat=1, single_repeat=1, pair_repeat=1)


@pytest.fixture(scope="session")
def config():
    return CONFIG


@pytest.fixture(scope="session")
def composing():
    return COMPOSING


@pytest.fixture(scope="session")
def settings():
    return SETTINGS


@pytest.fixture(scope="session")
def corpora():
    return world.corpora()


@pytest.fixture(scope="session", autouse=True)
def few_faces():
    """Fewer composed faces for the read-out of video, so that a fit takes a moment."""
    kept, train.FACE_EXAMPLES = train.FACE_EXAMPLES, 200
    yield
    train.FACE_EXAMPLES = kept


@pytest.fixture(scope="session")
def fitted(corpora):
    return train.fit_readouts(corpora.split("train"))


@pytest.fixture(scope="session")
def trained(corpora, few_faces):
    """Model, read-outs and record."""
    model, read, record = train.train(corpora, CONFIG, SETTINGS, COMPOSING)
    return model.requires_grad_(False), read, record


@pytest.fixture
def rng():
    return np.random.default_rng(1)
