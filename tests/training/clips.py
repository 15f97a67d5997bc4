"""Made-up clips in the app's own schema, and an untrained checkpoint that reads them."""

import numpy as np
import torch

from alignmamba.checkpoint import Checkpoint
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import AlignMamba
from extractors.messages import Message
from extractors.pipeline import SCHEMA
from extractors.schema import ClipFeatures, ModalityFeatures, Word

DIMS = {name: getattr(SCHEMA, name).dim for name in ("audio", "video", "language")}


def steps(kind, count, rng, *, seconds=0.1, invalid=()):
    valid = ~np.isin(np.arange(count), invalid)
    values = rng.normal(size=(count, DIMS[kind])).astype(np.float32) * valid[:, None]
    start = np.arange(count) * seconds
    return ModalityFeatures(values=values, start=start, end=start + seconds, valid=valid)


def features(*, audio=30, video=30, words=3, rng=None, invalid=()):
    """A clip of 0.1-s steps with words of one second each; 0 steps make a modality absent."""
    rng = rng or np.random.default_rng(0)
    counts = {"audio": audio, "video": video}
    parts = {
        kind: steps(kind, count, rng, invalid=invalid)
        if count
        else ModalityFeatures.missing(Message("no_face"), DIMS[kind])
        for kind, count in counts.items()
    }
    language = (
        steps("language", words, rng, seconds=1.0) if words else ModalityFeatures.missing(Message("no_speech"), 384)
    )
    said = tuple(Word(text=f"word{index}", start=float(index), end=index + 1.0) for index in range(words))
    return ClipFeatures(
        **parts,
        language=language,
        words=said,
        duration=max(audio, video) / 10,
        schema=SCHEMA,
        transcript_source="recognised" if words else "none",
    )


def trained(**changes):
    torch.manual_seed(0)
    sizes = {f"{name}_dim": dim for name, dim in DIMS.items()}
    model = AlignMamba(ModelConfig(**{**sizes, "width": 16, "state_dim": 4, "dropout": 0.0, **changes}))
    return Checkpoint(model.eval().requires_grad_(False), SCHEMA.to_dict(), {"config": {"seed": 0}})
