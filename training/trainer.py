"""The trainer: fits any model here to any source of labelled batches.

Several processes (`torchrun --nproc_per_node=N`) share every batch; without dropout they reach the numbers
of one process to float tolerance. A run that was killed goes on from its last whole epoch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch import distributed as dist
from torch.optim.lr_scheduler import ReduceLROnPlateau
from tqdm import tqdm

from alignmamba.batch import Batch
from alignmamba.modeling.loss import loss
from alignmamba.ops.device import default_device
from training.run_state import FORMAT, Parts, Progress, digest

log = logging.getLogger(__name__)

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run; all are our choice.

    Attributes:
        seed: Of weights, order, dropout and whatever a source draws.
        epochs: At the most; training stops `patience` epochs after the best one.
        batch_size: Clips a step, of all processes together.
        learning_rate: Of AdamW at the start; halved when validation stands still for `plateau` epochs.
        weight_decay: Of AdamW.
        clip_norm: Gradients are scaled down to this norm.
        patience: Epochs without a better validation score before the stop.
        plateau: Epochs without a better validation score before the learning rate is halved.
        precision: Of the forward pass ("float32", "bfloat16", "float16"); weights stay float32.
        align_first: Lambda that training begins with, beside the model's own `align_weight`: modalities are aligned
            first and the task is learned in the space that they then share. Falls to nothing along half a cosine; 0
            trains with the model's own lambda throughout, as the paper does. Not used where that is 0.
        align_share: Share of the epochs in which it falls. The learning rate stays and nothing is stopped until then.
        distil: Weight of self-distillation: the mean squared difference between the scores of clips with modalities
            dropped and the model's own of the same clips complete, which get no gradient. For sources that have both.
    """

    seed: int = 1111
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    patience: int = 5
    plateau: int = 1
    precision: str = "float32"
    align_first: float = 10.0
    align_share: float = 0.5
    distil: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip_norm", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)}, expected more than 0")
        for name in ("align_first", "distil"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name}: {getattr(self, name)}, expected a finite number of at least 0")
        if not 0 < self.align_share <= 1:
            raise ValueError(f"align_share: {self.align_share}, expected a share in (0, 1]")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: {self.precision!r}, expected one of {tuple(PRECISIONS)}")


def align_weight(own: float, config: TrainConfig, done: float) -> float:
    """Lambda at a moment of training.

    Args:
        own: Of the model, where training ends.
        config: Of the training.
        done: Epochs so far, with the part of the present one.

    >>> settings = TrainConfig(epochs=10, align_first=8.0, align_share=0.5)
    >>> [round(align_weight(0.01, settings, done), 2) for done in (0.0, 2.5, 5.0, 9.9)]
    [8.01, 4.01, 0.01, 0.01]
    """
    if not own:
        return own
    place = min(1.0, done / (config.align_share * config.epochs))
    return own + config.align_first * 0.5 * (1 + math.cos(math.pi * place))


class Labelled(NamedTuple):
    """A batch with its truth.

    Attributes:
        batch: What the model sees.
        score: True scores of clips, or of steps.
        classes: True classes, for models with a classification head.
        labelled: Which steps have a label; None for all.
        complete: The batch before modalities were dropped, for models that learn to complete them.
    """

    batch: Batch
    score: Float[Tensor, "batch *steps"]
    classes: Int[Tensor, "batch *steps"] | None = None
    labelled: Bool[Tensor, "batch *steps"] | None = None
    complete: Batch | None = None

    def to(self, device: torch.device | str) -> Labelled:
        """Return the same on `device`."""
        moved = {
            name: {modality: steps.to(device) for modality, steps in value.items()}
            if isinstance(value, Mapping)
            else value.to(device)
            for name, value in self._asdict().items()
            if value is not None
        }
        return self._replace(**moved)

    @property
    def labels(self) -> int:
        """How many labels there are."""
        return self.score.numel() if self.labelled is None else int(self.labelled.sum())


@runtime_checkable
class Source(Protocol):
    """What a model is fitted to."""

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[Sequence[Any]]:
        """One epoch's items in batches, in random order."""
        ...

    def collate(self, items: Sequence[Any]) -> Labelled:
        """Items as a batch."""
        ...

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Measures after an epoch; the epoch with the lowest "chosen_by" is kept."""
        ...

    @property
    def digest(self) -> str:
        """Hash of all that batches and measures are made from: another one makes another run."""
        ...


class Run(NamedTuple):
    """What a training run was: the epoch that is kept, and all measures by epoch."""

    best_epoch: int
    history: list[dict[str, Any]]


@contextlib.contextmanager
def processes() -> Iterator[bool]:
    """Join the processes that torchrun has started, if it has; yields whether this one writes the results."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    cuda = default_device().type == "cuda"
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield dist.get_rank() == 0
    finally:
        dist.destroy_process_group()


def identity(model: nn.Module, source: Source, config: TrainConfig) -> dict[str, Any]:
    """What makes a run this run and no other: model, starting weights, data and training, as JSON types."""
    plain = {"kind": type(model).__name__, **model.config.to_dict()}
    return json.loads(
        json.dumps(
            {"model": plain, "start": digest(model.state_dict()), "data": source.digest, "train": asdict(config)}
        )
    )


def run_folder(runs: Path, name: str, model: nn.Module, source: Source, config: TrainConfig) -> Path:
    """The folder of a run among others: the same for the same run, and for no other.

    Args:
        runs: The folder of all.
        name: What it is called, for people.
        model: With its starting weights.
        source: What it is trained on.
        config: How.
    """
    return runs / f"{name}-{digest([FORMAT, identity(model, source, config)])[:12]}"


def fit(
    model: nn.Module, source: Source, config: TrainConfig, *, folder: Path | None = None, board: bool = False
) -> Run:
    """Train a model in place, and leave it with the weights of its best epoch by validation.

    Args:
        model: On the device where it is to be trained; has a `config` with `align_weight`.
        source: What it is trained on.
        config: How.
        folder: Where the log goes (JSON lines) and the state that a killed run goes on from; none by default.
        board: Whether curves for TensorBoard go there as well.

    Returns:
        The record of the run, the same on every process.

    Raises:
        ValueError: If the folder holds another run: of other data, starting weights, model or settings.
    """
    known = identity(model, source, config) if folder is not None else {}
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = ReduceLROnPlateau(optimiser, factor=0.5, patience=config.plateau)
    scaler = torch.amp.GradScaler(next(model.parameters()).device.type, enabled=config.precision == "float16")
    parts = Parts(optimiser, schedule, scaler)
    # Epochs before the modalities are aligned say nothing about the learning rate, nor about when to stop.
    aligning = config.align_share * config.epochs if config.align_first and model.config.align_weight else 0.0
    progress = Progress(model, parts, known, folder, patience=config.patience, not_before=int(aligning), board=board)
    for epoch in range(len(progress.history) + 1, config.epochs + 1):
        if progress.ended:
            break
        rng = np.random.default_rng((config.seed, epoch))  # by epoch, so that a resumed run draws the same
        torch.manual_seed(_dropout_seed(config, epoch))
        mean_loss = _epoch(model, parts, source, config, rng, epoch=epoch)
        model.eval()
        measured = source.validate(model)
        if epoch > aligning:
            schedule.step(measured["chosen_by"])
        progress.add({"epoch": epoch, "loss": mean_loss, **measured})
    model.load_state_dict(progress.best_weights)
    model.eval()
    return Run(progress.best_epoch, progress.history)


def _epoch(
    model: nn.Module, parts: Parts, source: Source, config: TrainConfig, rng: np.random.Generator, *, epoch: int
) -> float:
    """One pass over the source; returns the mean loss."""
    optimiser, _, scaler = parts
    model.train()
    device = next(model.parameters()).device
    losses, batches = [], source.batches(config.batch_size, rng)
    taken = 0
    for place, items in enumerate(tqdm(batches, desc="train", unit="batch", leave=False, disable=None)):
        weight = align_weight(model.config.align_weight, config, epoch - 1 + place / len(batches))
        optimiser.zero_grad()
        mine = _mine(items)
        part = source.collate(mine) if mine else None
        labels = 0 if part is None else part.labels
        everywhere = _sum(labels, device)
        if not everywhere:
            continue
        value = torch.zeros((), device=device)
        if labels:
            with _precision(device.type, config.precision):
                value = _loss(model, part.to(device), weight, distil=config.distil) * (labels / everywhere)
        scaled = scaler.scale(value)  # also without a part: the first call readies the scaler
        if labels:
            scaled.backward()
        losses.append(_add_up(model, value.item()))
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        scale = scaler.get_scale()
        scaler.step(optimiser)
        scaler.update()
        taken += scaler.get_scale() >= scale  # else gradients overflowed, and the step was left out
    if not taken:
        log.warning("no step of this epoch was taken: gradients overflowed in half precision at every one")
    return float(np.mean(losses))


def _loss(model: nn.Module, part: Labelled, weight: float | None = None, *, distil: float = 0.0) -> Tensor:
    given = {"complete": part.complete} if getattr(model, "needs_complete", False) else {}
    options = {"labelled": part.labelled, "align_weight": weight}
    output = model(part.batch, **given)
    value = loss(output, part.score, part.classes, model.config, **options)
    if not distil:
        return value
    if part.complete is None:
        raise ValueError(f"distil: {distil}, expected 0 for a source without complete clips")
    difference = (output.score - _taught(model, part.complete)).square()
    return value + distil * (difference if part.labelled is None else difference[part.labelled]).mean()


def _taught(model: nn.Module, complete: Batch) -> Tensor:
    """The model's scores of complete clips, without dropout and without gradient."""
    model.eval()
    with torch.no_grad():
        score = model(complete).score
    model.train()
    return score


def _precision(device: str, name: str) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if name == "float32" else torch.autocast(device, PRECISIONS[name])


def _mine(items: Sequence[Any]) -> Sequence[Any]:
    """This process's part of a batch; nothing if there are fewer items than processes."""
    return items[dist.get_rank() :: dist.get_world_size()] if dist.is_initialized() else items


def _sum(labels: int, device: torch.device) -> int:
    """The labels of all processes."""
    if not dist.is_initialized():
        return labels
    everywhere = torch.tensor(labels, device=device)  # NCCL takes tensors of GPUs only
    dist.all_reduce(everywhere)
    return everywhere.item()


def _dropout_seed(config: TrainConfig, epoch: int) -> int:
    """Seed of what the model draws in an epoch, another one for each process."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    if not rank:
        return config.seed * 1000 + epoch
    return int(np.random.SeedSequence((config.seed, epoch, rank)).generate_state(1)[0])


def _add_up(model: nn.Module, total: float) -> float:
    """Add the gradients and the loss of all processes."""
    if not dist.is_initialized():
        return total
    parameters = list(model.parameters())
    device = parameters[0].device  # NCCL takes tensors of GPUs only
    touched = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32, device=device)
    dist.all_reduce(touched, op=dist.ReduceOp.MAX)
    for parameter, somewhere in zip(parameters, touched.tolist(), strict=True):
        if somewhere:  # what no process has touched keeps no gradient, so that weight decay passes it by as well
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
    summed = torch.tensor(total, dtype=torch.float64, device=device)
    dist.all_reduce(summed)
    return summed.item()
