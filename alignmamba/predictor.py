"""Predictions for one clip: set it once, then ask for any subset of its modalities in milliseconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from alignmamba import checkpoint
from alignmamba.batch import PaddedSteps, blank
from alignmamba.config import SHIPPED, ModelConfig
from alignmamba.modality import ANCHOR_ORDER, MODALITIES, Modality, anchor_of, parse_modalities
from alignmamba.modeling.attribution import Shares, attribute, limited, padded, score_clips
from alignmamba.modeling.emotions import EmotionWords
from alignmamba.modeling.encoders import Stream
from alignmamba.modeling.maps import alignment, scattered
from alignmamba.modeling.model import AlignMamba, Output, stream_cost
from alignmamba.modeling.transport import Plan, sinkhorn_plan
from alignmamba.ops.device import default_device
from alignmamba.ops.selective_scan import backend_name
from alignmamba.prediction import CLASSES, SCORE_LIMIT, Alignment, Features, ModalityFeatures, Prediction, SegmentScore

_log = logging.getLogger(__name__)
_R = TypeVar("_R")

BATCH_CLIPS = 32  # short clips that `predict_many` computes at once
SINKHORN_PAIRS = 2_000_000  # of steps; the solver holds several matrices of this size
WARM_STEPS = (32, 33)  # Triton compiles a kernel for lengths that 16 divides, and one for the others


class Predictor:
    """A trained AlignMamba (CVPR 2025, https://arxiv.org/abs/2412.00833) and one clip, encoded once.

    `set_clip` encodes each modality; `predict` then aligns and fuses any subset of them in milliseconds. Use `fork` to
    serve several clips at once from the same weights.

    Features come from `extractors.pipeline.extract`; here they are made up:

    >>> from types import SimpleNamespace
    >>> predictor = Predictor.from_pretrained(device="cpu")
    >>> def steps(count: int, dim: int) -> SimpleNamespace:
    ...     start, valid = np.arange(count) / 10, np.ones(count, bool)
    ...     values = np.zeros((count, dim), np.float32)
    ...     return SimpleNamespace(values=values, start=start, end=start + 0.1, valid=valid, absent=None)
    >>> made = {m: steps(20, predictor.config.feature_dim(m)) for m in MODALITIES}
    >>> schema = SimpleNamespace(to_dict=lambda: predictor.schema)
    >>> predictor.set_clip(SimpleNamespace(schema=schema, modality=made.__getitem__))
    >>> prediction = predictor.predict(["audio", "video"])
    >>> -3 <= prediction.score <= 3, str(prediction.anchor), prediction.alignments["audio"].plan.shape
    (True, 'video', (20, 20))
    """

    def __init__(self, trained: checkpoint.Checkpoint, *, device: torch.device) -> None:
        self._trained, self._device = trained, device
        self._note = ""  # of what made it change its device
        self._clip: dict[Modality, PaddedSteps] = {}
        self._streams: dict[Modality, Stream] = {}

    @classmethod
    def from_pretrained(cls, folder: str | Path = SHIPPED, *, device: str | None = None) -> Predictor:
        """Load a checkpoint folder.

        Args:
            folder: Holds `model.safetensors` and `config.json`; the shipped one if not given.
            device: A torch device; by default the one of `alignmamba.ops.device.default_device`.

        Raises:
            CheckpointError: If the folder holds no usable checkpoint.
            ValueError: If `ALIGNMAMBA_DEVICE` names a device that is not there.
        """
        chosen = default_device() if device is None else torch.device(device)
        trained = checkpoint.load(Path(folder))
        if trained.model.config.classes != len(CLASSES):
            raise checkpoint.CheckpointError(
                f"checkpoint: {trained.model.config.classes} classes in {folder}, expected {len(CLASSES)}: {CLASSES}"
            )
        trained.model.to(chosen)
        return cls(trained, device=chosen)

    def fork(self) -> Predictor:
        """Return a predictor without a clip that shares these weights."""
        return Predictor(self._trained, device=self._device)

    def warm(self) -> None:
        """Predict from made-up clips, so that kernels are built and loaded before the first real one comes."""
        other = self.fork()
        for steps in WARM_STEPS:
            other._clip = {modality: blank(steps, self.config.feature_dim(modality)) for modality in MODALITIES}
            other._streams = other._or_on_cpu(partial(other._encode, other._clip))
            other.predict()

    @property
    def encoder(self) -> str:
        """Text encoder of the language features, to be given to `extractors.pipeline.extract`."""
        return self._trained.encoder

    @property
    def schema(self) -> dict[str, Any]:
        """Schema of the features that the model was trained on."""
        return self._trained.schema

    @property
    def config(self) -> ModelConfig:
        """Sizes and method of the model."""
        return self._trained.model.config

    @property
    def calibrated(self) -> bool:
        """Whether predictions have intervals and calibrated probabilities."""
        return self._trained.calibration is not None

    @property
    def emotion_words(self) -> EmotionWords | None:
        """Classifiers of emotion words; None where the checkpoint has none."""
        return self._trained.emotion_words

    @property
    def available(self) -> frozenset[Modality]:
        """Modalities that the clip has; empty without a clip."""
        return frozenset(self._clip)

    def set_clip(self, features: Features) -> None:
        """Set the clip and encode each of its modalities once; where that fails, the clip before stays.

        Raises:
            CheckpointError: If the features were made by another schema than the model's.
        """
        checkpoint.check_schema(features.schema.to_dict(), self.schema, whose="the clip")
        present = {m: features.modality(m) for m in MODALITIES if features.modality(m).absent is None}
        clip = {modality: padded(steps) for modality, steps in present.items()}
        self._streams, self._clip = self._or_on_cpu(partial(self._encode, clip)), clip

    def predict(self, modalities: Iterable[str] | None = None) -> Prediction:
        """Predict from some of the clip's modalities.

        Args:
            modalities: Names of modalities that the clip has; all of them by default.

        Raises:
            ValueError: If no clip is set, or a modality is unknown or absent from the clip.
        """
        used = self._used(modalities)
        return self._or_on_cpu(lambda: self._predict(used))

    def predict_many(self, clips: Sequence[Features], modalities: Iterable[str]) -> list[SegmentScore | None]:
        """Predict from many short clips in batches; the clip that is set is left alone.

        Args:
            clips: Any, as in `set_clip`.
            modalities: Names of modalities to predict from; of each clip, whichever of them it has.

        Returns:
            One score per clip; None for a clip that has none of the modalities.

        Raises:
            ValueError: If a modality is unknown, or a clip was made by another schema than the model's.
        """
        asked = parse_modalities(modalities)
        for schema in {id(clip.schema): clip.schema for clip in clips}.values():
            checkpoint.check_schema(schema.to_dict(), self.schema, whose="a clip")
        present = [frozenset(m for m in asked if clip.modality(m).absent is None) for clip in clips]
        found: list[SegmentScore | None] = [None] * len(clips)
        for used in set(present) - {frozenset()}:
            places = [place for place, own in enumerate(present) if own == used]
            for first in range(0, len(places), BATCH_CLIPS):
                chosen = places[first : first + BATCH_CLIPS]
                parts = [{m: clips[place].modality(m) for m in used} for place in chosen]
                scores = self._or_on_cpu(partial(self._score_clips, parts))
                for place, score in zip(chosen, scores, strict=True):
                    found[place] = score
        return found

    def _score_clips(self, parts: Sequence[Mapping[Modality, ModalityFeatures]]) -> list[SegmentScore]:
        trained = self._trained
        return score_clips(trained.model, parts, calibration=trained.calibration, device=self._device)

    def _predict(self, used: frozenset[Modality]) -> Prediction:
        began = time.perf_counter()
        streams = {modality: stream for modality, stream in self._streams.items() if modality in used}
        output, shares = attribute(self._trained.model, streams)
        return self._prediction(output, shares, began)

    def shapes(self, modalities: Iterable[str] | None = None) -> dict[str, tuple[int, ...]]:
        """Measure the tensors that a prediction of the clip goes through.

        Args:
            modalities: As in `predict`.

        Returns:
            Shapes without the batch: "features audio" (steps, dim), "encoded audio" (valid steps, width) and so on,
            "plan audio" and "transported audio" of each modality but the anchor, "fused" (tokens, width), "classes".

        Raises:
            ValueError: As `predict`.
        """
        used = self._used(modalities)
        return self._or_on_cpu(lambda: self._shapes(used))

    def _shapes(self, used: frozenset[Modality]) -> dict[str, tuple[int, ...]]:
        streams = {modality: stream for modality, stream in self._streams.items() if modality in used}
        found = {f"features {modality}": self._clip[modality].values for modality in streams}
        found |= {f"encoded {modality}": stream.x for modality, stream in streams.items()}
        with torch.no_grad():
            output = self._trained.model.fuse(streams, with_mmd=False)
        for modality, plan in output.plans.items():
            found[f"plan {modality}"] = plan.dense()
            found[f"transported {modality}"] = plan.transport(streams[modality].x, scaling=self.config.scaling)
        assert output.fused is not None and output.logits is not None  # see `from_pretrained`
        found |= {"fused": output.fused.tokens, "classes": output.logits}
        return {name: tuple(tensor.shape[1:]) for name, tensor in found.items()}

    def sinkhorn(
        self, modalities: Iterable[str] | None = None, *, blur: float = ModelConfig.blur
    ) -> dict[str, Alignment]:
        """Plans of the full transport problem, both marginals kept, to compare with those of a prediction.

        Args:
            modalities: As in `predict`.
            blur: Entropy weight in units of the cost; the plan tends to the exact optimum as it falls.

        Returns:
            Per modality other than the anchor its plan and cost.

        Raises:
            ValueError: As `predict`, or if the blur is not positive or there are more than `SINKHORN_PAIRS`.
        """
        if blur <= 0:
            raise ValueError(f"blur: {blur}, expected a positive number")
        used = self._used(modalities)
        anchor = anchor_of(used)
        sources = [modality for modality in MODALITIES if modality in used and modality != anchor]
        for source in sources:
            pairs = self._streams[source].mask.numel() * self._streams[anchor].mask.numel()
            if pairs > SINKHORN_PAIRS:
                raise ValueError(f"{source}: {pairs:,} pairs of steps, expected at most {SINKHORN_PAIRS:,}")
        return {str(source): self._or_on_cpu(partial(self._sinkhorn, source, anchor, blur)) for source in sources}

    @torch.no_grad()
    def _sinkhorn(self, source: Modality, anchor: Modality, blur: float) -> Alignment:
        masks = self._streams[source].mask, self._streams[anchor].mask
        cost = stream_cost(self._streams[source], self._streams[anchor], time_weight=self.config.time_weight)
        return self._alignment(source, anchor, sinkhorn_plan(cost, *masks, blur=blur))

    def transported(self, modalities: Iterable[str] | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the encoded steps of each modality as the plan transports them to the anchor.

        Args:
            modalities: As in `predict`.

        Returns:
            Per modality other than the anchor (transported, anchor), each (anchor steps, width); transported rows that
            no step was sent to are left out.

        Raises:
            ValueError: As `predict`.
        """
        used = self._used(modalities)
        return self._or_on_cpu(lambda: self._transported(used))

    @torch.no_grad()
    def _transported(self, used: frozenset[Modality]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        streams = {modality: self._streams[modality] for modality in MODALITIES if modality in used}
        model = self._trained.model
        plans = model.fuse(streams, with_mmd=False).plans
        moved = {m: plan.transport(streams[m].x, scaling=model.config.scaling)[0] for m, plan in plans.items()}
        anchor = anchor_of(used)
        target = streams[anchor].x[0].cpu().numpy()
        return {str(m): (rows[rows.any(1)].cpu().numpy(), target) for m, rows in moved.items() if m != anchor}

    @torch.no_grad()
    def _encode(self, clip: dict[Modality, PaddedSteps]) -> dict[Modality, Stream]:
        encode = self._trained.model.encoders.encode
        return {modality: encode(modality, steps.to(self._device)) for modality, steps in clip.items()}

    def _or_on_cpu(self, compute: Callable[[], _R]) -> _R:
        """Compute, and once more on the CPU where the GPU is out of memory; this predictor then stays there."""
        try:
            return compute()
        except torch.OutOfMemoryError as error:
            if self._device.type == "cpu":
                raise
            _log.warning("predictions of this clip go on on the CPU, because the GPU is out of memory: %s", error)
        self._device, self._note = torch.device("cpu"), ", as the GPU was out of memory"
        shared = self._trained.model  # forks may still run on the GPU
        own = AlignMamba(shared.config)
        own.load_state_dict({name: value.cpu() for name, value in shared.state_dict().items()})
        self._trained = self._trained._replace(model=own.train(shared.training).requires_grad_(False))
        self._streams = {modality: Stream(*(part.cpu() for part in one)) for modality, one in self._streams.items()}
        return compute()

    def _used(self, modalities: Iterable[str] | None) -> frozenset[Modality]:
        """Check which modalities a caller asks for."""
        if not self._clip:
            raise ValueError("clip: none set or none of its modalities present, expected set_clip before predict")
        used = self.available if modalities is None else parse_modalities(modalities)
        if used - self.available:
            absent, there = sorted(used - self.available), sorted(self.available)
            raise ValueError(f"modalities: {[*map(str, absent)]} absent, the clip has {[*map(str, there)]}")
        return used

    def _prediction(self, output: Output, shares: Shares, began: float) -> Prediction:
        assert output.logits is not None  # `from_pretrained` wants classes
        anchor = ANCHOR_ORDER[int(output.anchor[0])]
        score = float(limited(output.score)[0])
        fitted = self._trained.calibration
        uncertainty = None if fitted is None else fitted[frozenset(shares)]
        temperature = 1.0 if uncertainty is None else uncertainty.temperature
        probabilities = (output.logits[0].detach() / temperature).softmax(-1).tolist()
        alignments = {str(source): self._alignment(source, anchor, plan) for source, plan in output.plans.items()}
        return Prediction(
            score=score,
            classes=dict(zip(CLASSES, probabilities, strict=True)),
            used=frozenset(shares),
            anchor=anchor,
            alignments=alignments,
            mmd={str(modality): float(value[0].detach()) for modality, value in output.mmd.items()},
            contributions={str(modality): self._spread(modality, share[0], 0.0) for modality, share in shares.items()},
            running_scores=self._running_scores(anchor, output, streams=len(shares)),
            backend=f"{backend_name(self._device)} on {self._device}{self._note}",
            milliseconds=(time.perf_counter() - began) * 1e3,
            interval=None if uncertainty is None else uncertainty.interval(score, limit=SCORE_LIMIT),
            interval_coverage=None if uncertainty is None else uncertainty.coverage,
        )

    def _running_scores(self, anchor: Modality, output: Output, *, streams: int) -> np.ndarray | None:
        model = self._trained.model
        if model.config.bidirectional:
            return None
        assert output.fused is not None  # AlignMamba always fuses
        interleaved = len(model.config.order) if model.config.absent == "embed" else streams
        scores = model.running_scores(output.fused, streams=interleaved)[0]
        return self._spread(anchor, scores.clamp(-SCORE_LIMIT, SCORE_LIMIT), np.nan)

    def _alignment(self, source: Modality, target: Modality, plan: Plan) -> Alignment:
        streams, valid = self._streams, {modality: self._valid(modality) for modality in (source, target)}
        return alignment(source, target, plan, streams=streams, valid=valid, time_weight=self.config.time_weight)

    def _valid(self, modality: Modality) -> np.ndarray:
        return np.asarray(self._clip[modality].mask[0].cpu())

    def _spread(self, modality: Modality, rows: Tensor, fill: float) -> np.ndarray:
        """Scatter rows of valid steps to their places among all steps of the clip."""
        return scattered(rows, self._valid(modality), fill=fill)
