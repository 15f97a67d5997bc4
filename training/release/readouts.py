"""Read-outs: a few frozen linear outputs of a clip's statistics, which the model reads beside the steps.

Statistics as raw columns are overfitted; four outputs of a regularised linear classifier are not. Training clips get
the outputs of a classifier that was fitted without the person they show ("out of fold"), so that the network does not
trust them more than it may.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from alignmamba.modeling.readout import CLAMP
from extractors.vision import facial

log = logging.getLogger(__name__)

FOLDS = 5
OUTPUTS = 4  # happy against negative, and three class scores
MIN_STD = 1e-6
# What a read-out of faces may read: how a face looks at rest differs between people, and some statistics hold it.
FACE_KINDS: Mapping[str, tuple[str, ...]] = {
    "all": facial.CLIP_KINDS,
    "std and q20_to_q80": ("std", "q20_to_q80"),
    **{kind: (kind,) for kind in facial.CLIP_KINDS},
}
ITERATIONS = 500


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One fitted read-out: standardise, multiply, clip."""

    mean: Float[np.ndarray, " statistics"]
    std: Float[np.ndarray, " statistics"]
    weight: Float[np.ndarray, "outputs statistics"]
    bias: Float[np.ndarray, " outputs"]

    def __call__(self, statistics: Float[np.ndarray, " statistics"]) -> Float32[np.ndarray, " outputs"]:
        """Outputs of one clip."""
        found = self.weight @ ((statistics - self.mean) / self.std) + self.bias
        return found.clip(-CLAMP, CLAMP).astype(np.float32)


def fit(
    statistics: Float[np.ndarray, "clips statistics"],
    *,
    happy: Bool[np.ndarray, " clips"],
    negative: Bool[np.ndarray, " clips"],
    classes: Int[np.ndarray, " clips"],
    strength: float,
    columns: Int[np.ndarray, " read"] | None = None,
) -> Linear:
    """Fit on clips of training people.

    Args:
        statistics: One row per clip.
        happy: Which clips are happy, the positive class of the first output.
        negative: Which are negative; clips that are neither serve the class scores only.
        classes: Class of every clip (0 negative, 1 neutral, 2 positive).
        strength: Inverse regularisation C of the first output; the class scores get half of it.
        columns: Which statistics are read, all if None; the others get no weight.
    """
    mean, std = statistics.mean(0), statistics.std(0)
    std = np.where(std > MIN_STD, std, 1.0)
    read = np.arange(statistics.shape[1]) if columns is None else columns
    rows = ((statistics - mean) / std)[:, read]
    binary = happy | negative
    options = {"class_weight": "balanced", "max_iter": ITERATIONS}
    first = LogisticRegression(C=strength, **options).fit(rows[binary], happy[binary])
    second = LogisticRegression(C=strength / 2, **options).fit(rows, classes)
    weight = np.zeros((OUTPUTS, statistics.shape[1]))
    weight[:, read] = np.concatenate([first.coef_, second.coef_])
    return Linear(
        mean=mean,
        std=std,
        weight=weight,
        bias=np.concatenate([first.intercept_, second.intercept_]),
    )


@dataclass(frozen=True, kw_only=True)
class Readout:
    """The full fit, and one fit per fold of people that leaves them out.

    Attributes:
        full: Fitted on all training people: for validation, test, and the model that ships.
        folds: Fold of each training person.
        without: One fit per fold.
    """

    full: Linear
    folds: dict[str, int]
    without: tuple[Linear, ...]

    def __call__(self, statistics: Float[np.ndarray, " statistics"], person: str) -> Float32[np.ndarray, " outputs"]:
        """Outputs for a clip of a person, out of fold if the person was trained on."""
        chosen = self.without[self.folds[person]] if person in self.folds else self.full
        return chosen(statistics)


def from_model(model: AlignMamba) -> dict[Modality, Readout]:
    """The read-outs that a model holds, for clips of people that it was not trained on.

    Raises:
        ValueError: If audio or video of the model has none.
    """
    found = {}
    for modality in (Modality.AUDIO, Modality.VIDEO):
        module = model.encoders[modality].readout
        if module is None:
            raise ValueError(f"{modality}_statistics: 0, expected a model that reads clip statistics; train it again")
        names = ("mean", "std", "weight", "bias")
        parts = {name: getattr(module, name).cpu().numpy().astype(np.float64) for name in names}
        found[modality] = Readout(full=Linear(**parts), folds={}, without=())
    return found


@dataclass(frozen=True)
class Examples:
    """Clips that a read-out is fitted on."""

    statistics: Float[np.ndarray, "clips statistics"]
    people: Sequence[str]
    labels: Sequence[str]
    classes: Int[np.ndarray, " clips"]

    @cached_property
    def happy(self) -> Bool[np.ndarray, " clips"]:
        """Which clips are happy."""
        return np.array([label == "happy" for label in self.labels], bool)

    @cached_property
    def negative(self) -> Bool[np.ndarray, " clips"]:
        """Which clips are of a negative class."""
        return self.classes == 0

    def without(self, *people: str) -> Examples:
        """The clips of everybody else."""
        kept = ~np.isin(self.people, people)
        return Examples(
            statistics=self.statistics[kept],
            people=list(compress(self.people, kept)),
            labels=list(compress(self.labels, kept)),
            classes=self.classes[kept],
        )


def fit_folded(examples: Examples, *, strength: float, columns: Int[np.ndarray, " read"] | None = None) -> Readout:
    """Fit on all clips, and once without each fold of people; strength and columns are as in `fit`."""
    names = sorted(set(examples.people))
    folds = {name: place % FOLDS for place, name in enumerate(np.random.default_rng(0).permutation(names))}
    without = []
    for number in range(FOLDS):
        mine = [name for name in names if folds[name] == number]
        without.append(fit_all(examples.without(*mine), strength=strength, columns=columns))
    return Readout(full=fit_all(examples, strength=strength, columns=columns), folds=folds, without=tuple(without))


def fit_all(examples: Examples, *, strength: float, columns: Int[np.ndarray, " read"] | None = None) -> Linear:
    """Fit on all clips; strength and columns are as in `fit`."""
    return fit(
        examples.statistics,
        happy=examples.happy,
        negative=examples.negative,
        classes=examples.classes,
        strength=strength,
        columns=columns,
    )


def inner_aucs(examples: Examples, real: Examples, *, strength: float) -> dict[str, float]:
    """How well fits on faces without a real person tell that person's happy clips from negative ones.

    Args:
        examples: Composed and real faces that are fitted on.
        real: The real ones as they are, whose people are left out one at a time.
        strength: As in `fit`.

    Returns:
        Mean area under the ROC curve over people, per name of `FACE_KINDS`; none without real people of both classes.
    """
    signed = real.happy | real.negative
    people = np.array(real.people)
    found: dict[str, list[float]] = {name: [] for name in FACE_KINDS}
    for person in sorted(set(real.people)):
        mine = signed & (people == person)
        if len(set(real.happy[mine])) < 2:
            continue
        others = examples.without(person)
        for name, kinds in FACE_KINDS.items():
            fitted = fit_all(others, strength=strength, columns=facial.clip_columns(*kinds))
            scores = [fitted(row)[0] for row in real.statistics[mine]]
            found[name].append(roc_auc_score(real.happy[mine], scores))
    return {name: float(np.mean(each)) for name, each in found.items() if each}


def chosen_face_columns(examples: Examples, real: Examples, *, strength: float) -> Int[np.ndarray, " columns"]:
    """Choose which statistics the read-out of faces reads: the best of `inner_aucs`, all without real people."""
    found = inner_aucs(examples, real, strength=strength)
    best = max(found, key=found.__getitem__) if found else "all"
    log.info("the read-out of faces reads: %s", best)
    return facial.clip_columns(*FACE_KINDS[best])
