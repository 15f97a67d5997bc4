"""The protocols that test clips are measured by, with their masks kept as files."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alignmamba.evaluation.masks import LNLN_RATES, Masks, imbalanced_rates
from alignmamba.evaluation.missing import RATES
from alignmamba.modality import SUBSETS
from training.data import masking
from training.data.benchmark import reachable
from training.data.datasets import Dataset, Example
from training.data.masking import Kept, Masked
from training.run_state import digest

log = logging.getLogger(__name__)

WITHIN_RATES = (0.1, 0.3, 0.5, 0.7, 0.9)
MISSMAC = "MissMAC-Bench, no missing prior in training; "  # before the name of a protocol


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How test clips lose something.

    Attributes:
        apply: Clips to the same clips masked; called with the seed and, if there are any, the masks of a file.
        drawn: Whether chance decides; masks are then kept as a file.
        prefix: Before the name of the protocol, where a table trains in a way of its own.
    """

    apply: Callable[..., Masked]
    drawn: bool = True
    prefix: str = ""

    def __call__(self, examples: Sequence[Example], *, seed: int, folder: Path) -> Masked:
        """Mask clips; a draw is written as a file, or read where there is one.

        Args:
            examples: Test clips.
            seed: Of the draw.
            folder: Of the mask files of this test set.

        Raises:
            ValueError: If the file holds masks of another test set, or of another protocol.
        """
        if not self.drawn:
            masked = self.apply(examples)
            return masked._replace(name=self.prefix + masked.name)
        drawn = self.apply(examples, seed=seed)
        test_set = fingerprint(examples)
        path = folder / f"{re.sub('[^a-z0-9.]+', '-', drawn.name.lower())}-{seed}.safetensors"
        kept: Kept = drawn.kept
        if path.exists():
            kept = Masks.read(path, protocol=drawn.name, seed=seed, test_set=test_set).kept
            log.info("reused: the masks in %s", path)
        else:
            Masks(protocol=drawn.name, seed=seed, test_set=test_set, kept=kept).write(path)
        masked = self.apply(examples, seed=seed, kept=kept)
        return masked._replace(name=self.prefix + masked.name)


def fingerprint(examples: Sequence[Example]) -> str:
    """Hash of a test set as masks see it: the ids, labels and valid steps of its clips, in their order."""
    return digest([[each.id, each.score, {name: steps.mask for name, steps in each.clip.items()}] for each in examples])


def masks_sha256(masked: Masked) -> str:
    """Hash of the masks of some clips, as their file has it."""
    return Masks(protocol=masked.name, seed=0, test_set="", kept=masked.kept).sha256


COMPLETE = Protocol(apply=masking.complete, drawn=False)


def random_missing(dataset: Dataset) -> list[Protocol]:
    """Modalities missing at random, per sample, at every rate that the data can reach."""
    return [Protocol(apply=partial(masking.random, rate=rate)) for rate in reachable(RATES, dataset.splits["test"])]


def fixed_missing(dataset: Dataset) -> list[Protocol]:
    """Every set of the modalities that the data has."""
    sets = [subset for subset in SUBSETS if subset <= set(dataset.dims)]
    return [Protocol(apply=partial(masking.fixed, kept=subset), drawn=False) for subset in sets]


def imbalanced(dataset: Dataset) -> list[Protocol]:
    """A missing rate of its own for every modality, in every order."""
    return [Protocol(apply=partial(masking.imbalanced, rates=rates)) for rates in imbalanced_rates(list(dataset.dims))]


def within() -> list[Protocol]:
    """Steps lost within each modality, and masked."""
    return [Protocol(apply=partial(masking.within, rate=rate)) for rate in WITHIN_RATES]


def lnln() -> list[Protocol]:
    """Steps lost within each modality at LNLN's rates, and left as zeros."""
    return [Protocol(apply=partial(masking.lnln, rate=rate)) for rate in LNLN_RATES]


def missmac(dataset: Dataset) -> list[Protocol]:
    """MissMAC-Bench's two patterns: fixed for the whole test set, and random for each sample."""
    return [
        Protocol(apply=each.apply, drawn=each.drawn, prefix=MISSMAC)
        for each in (*fixed_missing(dataset), *random_missing(dataset))
    ]
