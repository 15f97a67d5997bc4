"""What a test set loses: protocols of 2024 to 2026, and masks as files that name what they belong to.

Beside the protocols of `alignmamba.evaluation.missing`:

* imbalanced missing rates: every modality has its own rate, as in MCE (Zhao et al., Pattern Recognition 2025; its code
  draws from .2, .5 and .8) and MissBench (Pham et al., arXiv 2603.09874). A sample may lose all modalities.
* LNLN's rates within a modality (Zhang et al., NeurIPS 2024): at one rate from 0 to .9 each step of every modality is
  lost. Nobody tells the model where: a lost step stays in its place as zeros. The first and the last step of the text,
  there the markers of BERT, are kept.

A mask file is safetensors, so that it can be handed around: who measures with the same file measures the same loss.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from alignmamba.config import check_file
from alignmamba.modality import MODALITIES, Modality

IMBALANCED_RATES = (0.2, 0.5, 0.8)  # of the three modalities, in every order (MCE)
LNLN_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of steps, as LNLN evaluates
BY_MODALITY = "modalities"  # the array of masks of whole modalities; others are named as the modality whose steps go
FORMAT = 1  # of the file
MAX_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Masks:
    """What a protocol keeps of each sample of a test set.

    Attributes:
        protocol: Its name, as tables print it.
        seed: It was drawn with.
        test_set: Hash of the samples that it belongs to, in their order.
        kept: "modalities" with a row per sample, in the order of `MODALITIES`; or per modality all its steps, one
            sample after the other.
    """

    protocol: str
    seed: int
    test_set: str
    kept: Mapping[str, Bool[np.ndarray, "..."]]

    @property
    def sha256(self) -> str:
        """Hash of what is kept: the same masks have the same."""
        found = hashlib.sha256()
        for name in sorted(self.kept):
            found.update(f"{name} {self.kept[name].shape} ".encode())
            found.update(np.packbits(self.kept[name]).tobytes())
        return found.hexdigest()

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"format": FORMAT, "protocol": self.protocol, "seed": self.seed}
        about |= {"test_set": self.test_set, "sha256": self.sha256}
        draft = path.with_name(f".{path.name}.{os.getpid()}")  # several processes may write the same file
        arrays = {name: np.ascontiguousarray(mask, np.uint8) for name, mask in self.kept.items()}
        save_file(arrays, draft, {"masks": json.dumps(about)})
        draft.replace(path)

    @classmethod
    def read(cls, path: Path, *, protocol: str, seed: int, test_set: str) -> Masks:
        """Read a file.

        Args:
            path: Of the file.
            protocol: That it must hold.
            seed: That it must have been drawn with.
            test_set: Of the samples that are to be masked.

        Raises:
            ValueError: If it is damaged, or holds masks of another protocol, seed or test set.
        """
        check_file(path, max_bytes=MAX_BYTES)
        try:
            with safe_open(path, "numpy") as opened:
                about = json.loads((opened.metadata() or {})["masks"])
                kept = {name: opened.get_tensor(name) for name in opened.keys()}
        except (SafetensorError, ValueError, KeyError) as error:
            raise ValueError(f"{path}: {error}, expected a file of masks") from error
        expected = {"format": FORMAT, "protocol": protocol, "seed": seed, "test_set": test_set}
        for name, value in expected.items():
            if about.get(name) != value:
                raise ValueError(f"{path}: masks of {name} {about.get(name)!r:.80}, expected {value!r:.80}")
        if any(mask.dtype != np.uint8 or mask.max(initial=0) > 1 for mask in kept.values()):
            raise ValueError(f"{path}: expected masks of 0 and 1")
        found = cls(**{key: about[key] for key in ("protocol", "seed", "test_set")}, kept=_as_bool(kept))
        if found.sha256 != about.get("sha256"):
            raise ValueError(f"{path}: is damaged, its hash is not that of what it holds")
        return found


def _as_bool(kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: mask.astype(bool) for name, mask in kept.items()}


def imbalanced_rates(modalities: Sequence[Modality]) -> list[dict[Modality, float]]:
    """Every assignment of `IMBALANCED_RATES` to the modalities; two modalities get the lowest and the highest.

    >>> len(imbalanced_rates(MODALITIES)), imbalanced_rates(MODALITIES)[0][Modality.AUDIO]
    (6, 0.2)
    """
    rates = IMBALANCED_RATES if len(modalities) == len(IMBALANCED_RATES) else IMBALANCED_RATES[:: len(modalities)]
    return [dict(zip(modalities, each, strict=False)) for each in permutations(rates, min(len(modalities), len(rates)))]


def draw_imbalanced(count: int, rates: Mapping[Modality, float], seed: int) -> Bool[np.ndarray, "{count} 3"]:
    """Draw which modalities each sample keeps where every modality has its own missing rate.

    As in MCE's code: of each modality that many samples, drawn without replacement, lose it, whatever else they lose;
    so a sample may keep none.

    Args:
        count: Samples.
        rates: Missing rate of each modality that the data has.
        seed: The same seed gives the same masks.

    Returns:
        Masks in the order of `MODALITIES`; False for a modality that the data does not have.

    Raises:
        ValueError: If a rate is no share.

    >>> kept = draw_imbalanced(10, dict(zip(MODALITIES, (0.2, 0.5, 0.8))), seed=1)
    >>> kept.sum(0).tolist()
    [8, 5, 2]
    """
    rng = np.random.default_rng(seed)
    kept = np.zeros((count, len(MODALITIES)), bool)
    for column, modality in enumerate(MODALITIES):
        if modality not in rates:
            continue
        rate = rates[modality]
        if not 0 <= rate <= 1:
            raise ValueError(f"rate: {rate} of {modality}, expected a share from 0 to 1")
        kept[:, column] = True
        kept[rng.choice(count, size=int(count * rate), replace=False), column] = False
    return kept


def draw_lnln(
    valid: Mapping[Modality, Bool[np.ndarray, " _steps"]], *, rate: float, rng: np.random.Generator
) -> dict[Modality, Bool[np.ndarray, " _steps"]]:
    """Draw which steps of a clip are kept, each with the same chance, except both ends of the text, which always are.

    Args:
        valid: Valid steps per modality that the clip has.
        rate: Chance of a step to be lost, below 1.
        rng: Of the test set: clips are drawn in their order.

    Raises:
        ValueError: If the rate is no share below 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: {rate}, expected a share in [0, 1)")
    kept = {modality: rng.random(len(steps)) >= rate for modality, steps in valid.items()}
    if Modality.LANGUAGE in valid and valid[Modality.LANGUAGE].any():
        kept[Modality.LANGUAGE][np.flatnonzero(valid[Modality.LANGUAGE])[[0, -1]]] = True
    return kept
