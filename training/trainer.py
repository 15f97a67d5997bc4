"""The trainer: fits any model here to any source of labelled batches.

Several processes (`torchrun --nproc_per_node=N`) share every batch; without dropout they reach the numbers
of one process to float tolerance. A run that was killed goes on from its last whole epoch.
"""

from __future__ import annotations

import contextlib
import logging
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
from training.run_state import Parts, Progress

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

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip_norm", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)}, expected more than 0")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: {self.precision!r}, expected one of {tuple(PRECISIONS)}")


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
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = ReduceLROnPlateau(optimiser, factor=0.5, patience=config.plateau)
    scaler = torch.amp.GradScaler(next(model.parameters()).device.type, enabled=config.precision == "float16")
    parts = Parts(optimiser, schedule, scaler)
    progress = Progress(model, parts, asdict(config), folder, patience=config.patience, board=board)
    for epoch in range(len(progress.history) + 1, config.epochs + 1):
        if progress.ended:
            break
        rng = np.random.default_rng((config.seed, epoch))  # by epoch, so that a resumed run draws the same
        torch.manual_seed(_dropout_seed(config, epoch))
        mean_loss = _epoch(model, parts, source, config, rng)
        model.eval()
        measured = source.validate(model)
        schedule.step(measured["chosen_by"])
        progress.add({"epoch": epoch, "loss": mean_loss, **measured})
    model.load_state_dict(progress.best_weights)
    model.eval()
    return Run(progress.best_epoch, progress.history)


def _epoch(model: nn.Module, parts: Parts, source: Source, config: TrainConfig, rng: np.random.Generator) -> float:
    """One pass over the source; returns the mean loss."""
    optimiser, _, scaler = parts
    model.train()
    device = next(model.parameters()).device
    losses, batches = [], source.batches(config.batch_size, rng)
    taken = 0
    for items in tqdm(batches, desc="train", unit="batch", leave=False, disable=None):
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
                value = _loss(model, part.to(device)) * (labels / everywhere)
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


def _loss(model: nn.Module, part: Labelled) -> Tensor:
    given = {"complete": part.complete} if getattr(model, "needs_complete", False) else {}
    return loss(model(part.batch, **given), part.score, part.classes, model.config, labelled=part.labelled)


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
