"""State of a training run, and the files that keep it: checkpoint, log, curves."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch import distributed as dist
from torch.optim.lr_scheduler import ReduceLROnPlateau

log = logging.getLogger(__name__)

LOG_FILE, STATE_FILE = "log.jsonl", "state.safetensors"


class Parts(NamedTuple):
    """What changes in training beside the model."""

    optimiser: torch.optim.Optimizer
    schedule: ReduceLROnPlateau
    scaler: torch.amp.GradScaler


class Progress:
    """The history of a run, its best weights, and the files that keep them."""

    def __init__(
        self,
        model: nn.Module,
        parts: Parts,
        settings: Mapping[str, Any],
        folder: Path | None,
        *,
        patience: int,
        board: bool,
    ) -> None:
        self._model, self._parts, self._settings = model, parts, dict(settings)
        self._patience = patience
        self._board = board
        self._folder = folder if not dist.is_initialized() or dist.get_rank() == 0 else None
        self.history: list[dict[str, Any]] = []
        self.best_weights = copy.deepcopy(model.state_dict())
        self.best_epoch = 0
        if folder is not None and (folder / STATE_FILE).exists():
            self._resume(folder)

    @property
    def ended(self) -> bool:
        """Whether validation has stood still for too long."""
        return len(self.history) - self.best_epoch >= self._patience

    def add(self, entry: dict[str, Any]) -> None:
        """Add an epoch."""
        best = min((each["chosen_by"] for each in self.history), default=np.inf)
        self.history.append(entry)
        if entry["chosen_by"] < best:
            self.best_epoch = entry["epoch"]
            self.best_weights = copy.deepcopy(self._model.state_dict())
        log.info("%s", {name: round(value, 4) for name, value in entry.items()})
        if self._folder is not None:
            self._write()

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        state = self._parts.optimiser.state_dict()
        tensors = {
            **{f"model.{name}": value for name, value in self._model.state_dict().items()},
            **{f"best.{name}": value for name, value in self.best_weights.items()},
            **{f"optimiser.{i}.{name}": value for i, each in state["state"].items() for name, value in each.items()},
        }
        metadata = {
            "config": self._settings,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "groups": state["param_groups"],
            "schedule": {
                name: value for name, value in self._parts.schedule.state_dict().items() if name != "mode_worse"
            },
            "scaler": self._parts.scaler.state_dict(),  # empty unless training is in float16
        }
        draft = self._folder / f".{STATE_FILE}"
        save_file({name: value.contiguous() for name, value in tensors.items()}, draft, {"run": json.dumps(metadata)})
        draft.replace(self._folder / STATE_FILE)
        lines = "".join(json.dumps(entry) + "\n" for entry in self.history)
        (self._folder / LOG_FILE).write_text(lines, encoding="utf-8")
        if self._board:
            self._draw(self.history[-1])

    def _draw(self, entry: Mapping[str, Any]) -> None:
        from tensorboardX import SummaryWriter  # a package of tests/requirements.txt, needed for this flag only

        with SummaryWriter(str(self._folder)) as writer:
            for name, value in entry.items():
                writer.add_scalar(name, value, entry["epoch"])

    def _resume(self, folder: Path) -> None:
        tensors = load_file(folder / STATE_FILE)
        metadata = _metadata(folder / STATE_FILE)
        if metadata["config"] != self._settings:
            raise ValueError(f"{folder}: holds a run with other settings ({metadata['config']}); choose another folder")

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        self._model.load_state_dict(part("model."))
        self.best_weights = part("best.")
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in part("optimiser.").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        self._parts.optimiser.load_state_dict({"state": state, "param_groups": metadata["groups"]})
        self._parts.schedule.load_state_dict(metadata["schedule"])
        if scaler := metadata.get("scaler"):  # states of earlier versions have none
            self._parts.scaler.load_state_dict(scaler)
        self.history, self.best_epoch = metadata["history"], metadata["best_epoch"]
        log.info("going on after epoch %d", len(self.history))


def _metadata(file: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["run"])
