"""Small random clips of both levels, as the trainer gives them to a model."""

import numpy as np
import torch

from alignmamba.batch import collate
from alignmamba.config import ModelConfig
from alignmamba.evaluation.missing import draw_masks
from alignmamba.modality import MODALITIES
from training.data import masking
from training.data.datasets import Example, as_steps

DIMS = dict(zip(MODALITIES, (3, 4, 5), strict=True))


def config(level, **changes):
    extra = 1 if level == "step" else 0  # the availability column
    dims = {f"{modality}_dim": dim + extra for modality, dim in DIMS.items()}
    sizes = {"width": 8, "state_dim": 2, "encoder_layers": 1, "fusion_layers": 1, "dropout": 0.0}
    return ModelConfig(**{**dims, **sizes, "level": level, **changes})


def examples(level, *, count=8, seed=0):
    """Clips whose score is in the first column of every modality, beneath noise."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        steps = 2 + number % 4
        score = rng.uniform(-3, 3, steps if level == "step" else 1).astype(np.float32)
        clip = {}
        for place, (modality, dim) in enumerate(DIMS.items()):
            length = steps if level == "step" else steps + place
            values = rng.normal(size=(length, dim))
            values[:, 0] = 0.2 * values[:, 0] + score
            clip[modality] = as_steps(values)
        made.append(Example(id=f"clip {number}", clip=clip, score=score))
    return made


def dropped(clips, *, seed=0):
    """The same with modalities missing at half of the highest rate."""
    masks = draw_masks(sum(len(each.score) for each in clips), 0.4, seed)
    bounds = np.cumsum([len(each.score) for each in clips])[:-1]
    return [masking.apply(each, mask) for each, mask in zip(clips, np.split(masks, bounds), strict=True)]


def batch(level, clips):
    return collate([(masking.fill(each) if level == "step" else each).clip for each in clips])


def truth(level, clips):
    """Scores and classes, padded at level "step", and which of them count."""
    scores = [torch.from_numpy(each.score) for each in clips]
    padded = torch.nn.utils.rnn.pad_sequence(scores, batch_first=True)
    labelled = torch.nn.utils.rnn.pad_sequence([torch.ones_like(s, dtype=torch.bool) for s in scores], batch_first=True)
    if level == "clip":
        padded, labelled = padded[:, 0], labelled[:, 0]
    return padded, padded.sign().long() + 1, labelled
