"""State of a training run, and the files that keep it: checkpoint, log, curves."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
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
FORMAT = 2  # of the state file; 1 knew a run by its training settings alone


def digest(value: Any) -> str:
    """SHA-256 of numbers, texts, arrays and tensors, however they are nested; of mappings in the order of their keys.

    Two values have one digest only if they are equal to the last bit: what a run was trained on, or started from.

    Raises:
        TypeError: If something in it is none of these.

    >>> digest({"a": 1, "b": [2.0]}) == digest({"b": [2.0], "a": 1})
    True
    >>> digest(["ab", "c"]) == digest(["a", "bc"])
    False
    """
    found = hashlib.sha256()
    for part in _parts(value):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    """The bytes of a value, each piece after what it is."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        yield f"array {value.dtype.str} {value.shape}".encode()
        yield memoryview(np.ascontiguousarray(value)).cast("B") if value.size else b""
    elif value is None or isinstance(value, str | int | float | np.generic):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, Sequence):
        yield f"sequence {len(value)}".encode()
        for each in value:
            yield from _parts(each)
    elif is_dataclass(value):
        yield from _parts({field.name: getattr(value, field.name) for field in fields(value)})
    else:
        raise TypeError(f"digest: {type(value).__name__}, expected numbers, texts, arrays, or containers of them")


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
        identity: Mapping[str, Any],
        folder: Path | None,
        *,
        patience: int,
        not_before: int = 0,
        board: bool,
    ) -> None:
        """Begin a run, or go on with the one that the folder holds.

        Args:
            model: That is trained, with its starting weights.
            parts: Optimiser, schedule and scaler.
            identity: What makes this run this run, as JSON types.
            folder: Where its files are; None keeps nothing.
            patience: Epochs without a better one before the end.
            not_before: Epochs that do not count for it.
            board: Whether curves for TensorBoard are written as well.

        Raises:
            ValueError: If the folder holds another run, or one of another version.
        """
        self._model, self._parts, self._identity = model, parts, dict(identity)
        self._patience, self._not_before = patience, not_before
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
        return len(self.history) - max(self.best_epoch, self._not_before) >= self._patience

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
            "format": FORMAT,
            "identity": self._identity,
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
        metadata = _metadata(folder / STATE_FILE)
        if metadata.get("format") != FORMAT:
            raise ValueError(
                f"{folder}: holds a run of format {metadata.get('format', 1)}, expected {FORMAT}; choose another folder"
            )
        if other := _differences(metadata["identity"], self._identity):
            raise ValueError(f"{folder}: holds a run with other settings ({'; '.join(other)}); choose another folder")
        tensors = load_file(folder / STATE_FILE)

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
        log.info("reused: the run in %s, after its epoch %d", folder, len(self.history))


def _differences(found: Mapping[str, Any], expected: Mapping[str, Any], where: str = "") -> list[str]:
    """Which entries of two nested mappings differ, as "name: found, expected other"."""
    other = []
    for name in sorted({*found, *expected}):
        one, two = found.get(name), expected.get(name)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            other += _differences(one, two, f"{where}{name}.")
        elif one != two:
            other.append(f"{where}{name}: {one!r:.70}, expected {two!r:.70}")
    return other


def _metadata(file: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["run"])
