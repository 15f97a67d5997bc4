"""Model settings. The paper gives none of these numbers, so every default is our choice."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from alignmamba.modality import MODALITIES, Modality

SHIPPED = Path(__file__).resolve().parents[1] / "checkpoints" / "alignmamba-open"  # beside the package, also installed
CONFIG = "config.json"  # of a checkpoint
ENCODER_FOLDER = "encoder"  # in a checkpoint: a text encoder that ships with the model, for its features' extraction
EXTRACTORS_ENCODER = "minilm"  # the extractors' own, where none ships
MAX_JSON_BYTES = 4_000_000  # of a file; the largest that this project writes has a tenth of that
# Upper bounds, so that a damaged or hostile config cannot ask for more than a machine has: far above any use.
MAX_SIZES = {
    **{"audio_dim": 65_536, "video_dim": 65_536, "language_dim": 65_536, "width": 4_096, "state_dim": 1_024},
    **{"encoder_layers": 64, "fusion_layers": 64, "expand": 16, "conv_width": 64, "classes": 1_000},
}
# What each setting of a method may be; the default is the first. See `ModelConfig` for what they mean.
Local = Literal["relaxed", "sinkhorn", "uniform"]
Scaling = Literal["paper", "mean"]
Bandwidth = Literal["inverse_dim", "median"]
Absent = Literal["skip", "embed"]
Level = Literal["clip", "step"]
Gate = Literal["none", "missing"]
Anchor = Literal["clip", "step"]


def text_encoder(folder: Path) -> str:
    """The text encoder of a checkpoint's language features: a folder, or the name of the extractors'.

    Args:
        folder: Of the checkpoint. It has an encoder of its own, or its config names a checkpoint beside it, whose
            encoder it shares.

    Raises:
        ValueError: If the config cannot be read, or the encoder that it shares is not there.
    """
    if (folder / ENCODER_FOLDER).is_dir():
        return str(folder / ENCODER_FOLDER)
    content = read_json(folder / CONFIG)
    owner = content.get("encoder_of") if isinstance(content, dict) else None
    if owner is None:
        return EXTRACTORS_ENCODER
    if not isinstance(owner, str) or not re.fullmatch(r"[\w-][\w.-]*", owner):
        raise ValueError(f"encoder_of: {owner!r} in {CONFIG}, expected the name of a folder")
    shared = folder.parent / owner / ENCODER_FOLDER
    if not shared.is_dir():
        raise ValueError(f"it shares the text encoder of {owner}, which is missing; put that checkpoint beside it")
    return str(shared)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape and method of an `AlignMamba`.

    Attributes:
        audio_dim: Features of an audio step.
        video_dim: Features of a video step.
        language_dim: Features of a language step, a word.
        audio_statistics: How many of the last audio columns describe the whole clip and are the same in each of its
            steps; the encoder sees their read-outs (`alignmamba.modeling.readout`) in their place.
        video_statistics: The same of video.
        readouts: Numbers that the statistics of a modality are read out to.
        width: Width d of every stream after its encoder.
        encoder_layers: Mamba layers per modality encoder.
        fusion_layers: Mamba layers over the interleaved sequence.
        state_dim: State size N of the scan.
        expand: Inner width of a Mamba block as a multiple of `width`.
        conv_width: Taps of the causal convolution.
        dropout: Share of activations dropped in training.
        bidirectional: Whether each layer also scans backwards.
        order: Order of the modalities within one time step of the fused sequence.
        local: How steps are matched to the anchor: "relaxed" optimal transport (paper, M_v2l and M_a2l), "sinkhorn"
            for the full problem with both marginals, or "uniform", an even split by position that stands for
            "without local alignment".
        blur: Entropy weight of "sinkhorn", in units of the cost.
        scaling: "paper" sums matched steps with weight 1/T (rows of M^T X); "mean" averages the matched steps.
            The paper's is the default because this library's default is the published method.
        time_weight: Cost of one second between two steps; 0 is the paper.
        bandwidth: Gaussian kernel of the MMD: "inverse_dim" (gamma = 1/d) or "median" heuristic.
        align_weight: Lambda, weight of the MMD loss; 0 switches global alignment off.
        absent: "skip" leaves an absent modality's tokens out; "embed" puts a learned vector in their place.
        gate: "missing" lets every step size of the fusion depend on which modalities are missing at the step, beside
            the masks, by a learnt gate (ours; see `alignmamba.modeling.missingness`). At level "step" the encoders have
            it too, and the last column of every modality tells whether a step is there (1) or filled in (0).
        anchor: "step" aligns to the first modality that each step has, where "clip" aligns to the first that the clip
            has, filled-in steps included (ours; of level "step" only, which tells them as above).
        classes: Number of classes of the classification head; 0 for none.
        level: What is scored: the "clip", or every "step" of a grid that all modalities share (the utterances of a
            conversation).

    >>> config = ModelConfig(audio_dim=50, video_dim=55, language_dim=384, width=32)
    >>> ModelConfig.from_dict(config.to_dict()) == config
    True
    >>> ModelConfig.from_dict({**config.to_dict(), "local": "greedy"})
    Traceback (most recent call last):
    ValueError: local: 'greedy', expected one of ('relaxed', 'sinkhorn', 'uniform')
    """

    audio_dim: int
    video_dim: int
    language_dim: int
    width: int = 64
    encoder_layers: int = 1
    fusion_layers: int = 2
    state_dim: int = 16
    expand: int = 2
    conv_width: int = 4
    dropout: float = 0.2
    bidirectional: bool = False
    order: tuple[Modality, ...] = MODALITIES
    local: Local = "relaxed"
    blur: float = 0.05
    scaling: Scaling = "paper"
    time_weight: float = 0.0
    bandwidth: Bandwidth = "inverse_dim"
    align_weight: float = 0.01
    absent: Absent = "skip"
    gate: Gate = "none"
    anchor: Anchor = "clip"
    classes: int = 3
    level: Level = "clip"
    audio_statistics: int = 0
    video_statistics: int = 0
    readouts: int = 4

    def __post_init__(self) -> None:
        for name in (
            "audio_dim",
            "video_dim",
            "language_dim",
            "width",
            "fusion_layers",
            "state_dim",
            "expand",
            "conv_width",
            "readouts",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)}, expected at least 1")
        for name, most in MAX_SIZES.items():
            if getattr(self, name) > most:
                raise ValueError(f"{name}: {getattr(self, name)}, expected at most {most}")
        for name in ("dropout", "blur", "time_weight", "align_weight"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: {getattr(self, name)}, expected a finite number")
        for name in ("encoder_layers", "classes", "time_weight", "align_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)}, expected at least 0")
        if self.blur <= 0:
            raise ValueError(f"blur: {self.blur}, expected a positive number")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: {self.dropout}, expected a share in [0, 1)")
        if sorted(self.order) != sorted(MODALITIES):
            raise ValueError(f"order: {self.order}, expected each of {MODALITIES} once")
        _check_choices(vars(self))
        if self.anchor == "step" and self.level != "step":
            raise ValueError(f'anchor: "step" at level {self.level!r}, expected level "step"')
        for modality in MODALITIES:
            self._check_statistics(modality)

    def _check_statistics(self, modality: Modality) -> None:
        count, dim = self.statistics(modality), self.feature_dim(modality)
        if not 0 <= count < dim:
            raise ValueError(f"{modality}_statistics: {count}, expected from 0 to below {modality}_dim = {dim}")
        if count == self.readouts:
            raise ValueError(
                f"{modality}_statistics: {count}, expected another number than readouts, so that widths tell them apart"
            )

    def statistics(self, modality: Modality) -> int:
        """Clip-level columns at the end of a step of `modality`."""
        return {Modality.AUDIO: self.audio_statistics, Modality.VIDEO: self.video_statistics}.get(modality, 0)

    def encoded_dim(self, modality: Modality) -> int:
        """Columns of a step of `modality` that its encoder projects: statistics are read out by then."""
        count = self.statistics(modality)
        return self.feature_dim(modality) - count + (self.readouts if count else 0)

    def feature_dim(self, modality: Modality) -> int:
        """Columns of a step of `modality` before its encoder."""
        dim: int = getattr(self, f"{modality}_dim")
        return dim

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "order": [str(modality) for modality in self.order]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`.

        Raises:
            ValueError: If a setting is unknown or out of range.
        """
        unknown = sorted(set(plain) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"model config: unknown settings {unknown}")
        _check_choices(plain)
        return cls(**{**plain, "order": tuple(Modality(name) for name in plain.get("order", MODALITIES))})


def _check_choices(settings: Mapping[str, Any]) -> None:
    """Refuse a setting that is none of its `Literal` type's values."""
    for name, kind in get_type_hints(ModelConfig).items():
        if get_origin(kind) is Literal and name in settings and settings[name] not in get_args(kind):
            raise ValueError(f"{name}: {settings[name]!r}, expected one of {get_args(kind)}")


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: An ordinary file: to open a pipe would wait for ever.
        max_bytes: A longer file is refused unread.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not an ordinary file, too long, unreadable, too deep, or not JSON.
    """
    check_file(path, max_bytes=max_bytes)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{path.name} is damaged (it is nested too deeply)") from error


def check_file(path: Path, *, max_bytes: int) -> None:
    """Check a file before it is opened.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not an ordinary file, or too long.
    """
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError(f"{path.name} is not an ordinary file")
    if size > max_bytes:
        raise ValueError(f"{path.name} has {size:,} bytes, expected at most {max_bytes:,}")
