"""Random clips for the tests of this folder."""

import json

import torch

from alignmamba import checkpoint
from alignmamba.batch import ModalitySteps
from alignmamba.calibration import CALIBRATION
from alignmamba.config import ModelConfig
from alignmamba.modality import SUBSETS, Modality, letters

DIMS = {Modality.AUDIO: 5, Modality.VIDEO: 4, Modality.LANGUAGE: 6}
AUDIO, VIDEO, LANGUAGE = DIMS


def config(**changes):
    sizes = {f"{modality}_dim": dim for modality, dim in DIMS.items()}
    return ModelConfig(**{**sizes, "width": 8, "state_dim": 4, "dropout": 0.0, **changes})


def clip(*, valid_share=1.0, **steps):
    """A clip with so many steps per modality; a share of them valid, the first always."""
    made = {}
    for name, count in steps.items():
        modality = Modality(name)
        mask = torch.rand(count) < valid_share
        mask[0] = True
        made[modality] = ModalitySteps(
            torch.randn(count, DIMS[modality]) * mask[:, None], mask, torch.arange(count).float()
        )
    return made


def write_calibration(folder, **changes):
    """A made-up calibration file beside a checkpoint's weights; returns its content."""
    rows = [
        {"modalities": letters(subset), "temperature": 2.0 + place, "below": 0.5, "above": place / 4, "coverage": 0.8}
        for place, subset in enumerate(SUBSETS)
    ]
    content = {"data_sha256": {"model.safetensors": checkpoint.weights_sha256(folder)}, "rows": rows, **changes}
    (folder / CALIBRATION).write_text(json.dumps(content))
    return content


def mixed():
    """Clips of every subset, lengths from 1 up, some steps invalid."""
    clips = []
    for number, subset in enumerate(SUBSETS):
        whole = clip(audio=9 + 3 * number, video=20 - 2 * number, language=1 + 2 * number, valid_share=0.7)
        clips.append({modality: steps for modality, steps in whole.items() if modality in subset})
    return [*clips, clip(audio=1, video=1, language=1)]
