"""Inputs and outputs of the release commands: options, checkpoint, hashes of the data; scores of many clips."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import softmax

from alignmamba import checkpoint
from alignmamba.batch import Batch, ModalitySteps, collate
from alignmamba.checkpoint import Checkpoint, CheckpointError
from alignmamba.config import ENCODER_FOLDER
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from alignmamba.ops.device import default_device
from alignmamba.prediction import SCORE_LIMIT
from extractors.schema import SchemaError
from extractors.storage.config import ExtractionConfig, feature_set_of
from training.data.datasets import sha256
from training.release.compose import Corpora

ALL_DATA = "text/, speech/, faces/, clips/, av/"
LABEL_FILES = ("speech/manifest.csv", "speech/manifest_more.csv", "av/javanese/manifest.csv")  # beside those of text/


def parser(
    description: str | None, *, data: str = ALL_DATA, features: bool = False, clips: bool = False
) -> argparse.ArgumentParser:
    """A parser with the options that release commands share.

    Args:
        description: Of the command.
        data: What the data folder must hold.
        features: Whether there is a cache for features of the corpora (`--cache`).
        clips: Whether there is a cache for features of the real clips (`--clip-cache`).
    """
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help=f"folder with {data}")
    if features:
        made.add_argument("--cache", type=Path, default=Path("runs/features"), help="where extracted features are kept")
    if clips:
        made.add_argument("--clip-cache", type=Path, default=Path("runs/clips"), help="where clips' features are kept")
    return made


def measuring_parser(
    description: str | None, *, data: str = ALL_DATA, features: bool = False, clips: bool = False
) -> argparse.ArgumentParser:
    """A `parser` for commands that measure a checkpoint; arguments as there."""
    made = parser(description, data=data, features=features, clips=clips)
    made.add_argument("--checkpoint", type=Path, required=True, help="folder to read, where results are written too")
    return made


def open_checkpoint(folder: Path, *, calibrated: bool = True, encoder: Path | None = None) -> Checkpoint:
    """Load a checkpoint to be measured, onto the device of `alignmamba.ops.device.default_device`.

    Args:
        folder: As in `checkpoint.load`.
        calibrated: As in `checkpoint.load`.
        encoder: Folder of its text encoder, for a checkpoint of `--runs`, which has none; by default its own.

    Raises:
        CheckpointError: If there is none, or it was trained on other features than the extractors make.
    """
    trained = checkpoint.load(folder, calibrated=calibrated)
    trained.model.to(default_device())
    if encoder is not None:
        trained = trained._replace(encoder=str(encoder))
    try:
        feature_set = feature_set_of(trained.schema)
    except SchemaError as error:
        raise CheckpointError(f"checkpoint: {folder}: {error}") from error
    made = ExtractionConfig(encoder=trained.encoder, feature_set=feature_set).schema().to_dict()
    checkpoint.check_schema(made, trained.schema, whose="the extractor")
    return trained


def whisper_of(trained: Checkpoint) -> bool:
    """Whether the audio of a checkpoint ends with the mean Whisper state."""
    return feature_set_of(trained.schema) == "statistics+whisper"


def corpora_of(trained: Checkpoint, arguments: argparse.Namespace, *, copies: int = 0) -> Corpora:
    """The corpora in a checkpoint's features, from `--data` and `--cache`; without copies, to measure."""
    return Corpora.read(
        arguments.data, arguments.cache, encoder=trained.encoder, whisper=whisper_of(trained), copies=copies
    )


def shared_encoder(out: Path) -> Path:
    """The fine-tuned text encoder that a checkpoint is trained with: its own, or that of a checkpoint beside it.

    Raises:
        FileNotFoundError: If there is none.
    """
    for folder in (out, *sorted(out.parent.iterdir())):
        if (folder / ENCODER_FOLDER).is_dir():
            return folder / ENCODER_FOLDER
    raise FileNotFoundError(
        f"{out.parent}: no checkpoint with a folder {ENCODER_FOLDER}/, see training.release.encoder"
    )


def label_hashes(data: Path) -> dict[str, str]:
    """SHA-256 of every label file of the corpora that the folder holds; some commands need fewer than all."""
    named = (data / name for name in LABEL_FILES)
    files = [*sorted((data / "text").glob("*.*")), *(file for file in named if file.exists())]
    return {str(file.relative_to(data)): sha256(file) for file in files}


class Outputs(NamedTuple):
    """Scores and class logits of many clips, in their order."""

    scores: Float[np.ndarray, " clips"]
    logits: Float[np.ndarray, "clips classes"]


@torch.inference_mode()
def outputs(model: AlignMamba, clips: Sequence[Mapping[Modality, ModalitySteps]], *, batch_size: int = 128) -> Outputs:
    """Scores, cut to [-3, 3], and class logits of clips, each with whatever modalities it has."""
    model.eval()
    order = np.argsort([sum(len(steps.mask) for steps in item.values()) for item in clips])
    scores = np.zeros(len(clips))
    logits = np.zeros((len(clips), model.config.classes))
    for first in range(0, len(clips), batch_size):
        chosen = order[first : first + batch_size]
        found = model(batch_for(model, [clips[index] for index in chosen]), with_mmd=False)
        scores[chosen] = found.score.cpu().numpy()
        if found.logits is not None:
            logits[chosen] = found.logits.cpu().numpy()
    return Outputs(scores.clip(-SCORE_LIMIT, SCORE_LIMIT), logits)


def batch_for(model: AlignMamba, clips: Sequence[Mapping[Modality, ModalitySteps]]) -> Batch:
    """Clips as a batch on the model's device."""
    device = next(model.parameters()).device
    return {modality: steps.to(device) for modality, steps in collate(clips).items()}


def probabilities(
    logits: Float[np.ndarray, "clips classes"], *, temperature: float = 1.0
) -> Float[np.ndarray, "clips classes"]:
    """Softmax of logits over a temperature."""
    return softmax(logits / temperature, axis=1)
