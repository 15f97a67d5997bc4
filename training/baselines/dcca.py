"""DCCA and DCCAE: encoders whose outputs for different modalities are trained to correlate."""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import Output
from training.baselines.units import CompletionModel, Perceptron, Units, feature_dims, mean_square, per_modality

COMPONENTS = 10  # canonical variables of each modality at most; a batch must hold far more units than this
RIDGE = 1e-3  # added to the diagonal of a covariance, r_1 and r_2 of Andrew et al.
CORRELATION_WEIGHT = 1.0  # of 1 minus the mean correlation, beside the task
REBUILD_WEIGHT = 0.1  # of the squared error of the rebuilt features, lambda of Wang et al.


def total_correlation(x: Float[Tensor, "units of_x"], y: Float[Tensor, "units of_y"]) -> Float[Tensor, ""]:
    """Sum of the canonical correlations of two views: the trace norm of S_x^-1/2 S_xy S_y^-1/2.

    The whitening is by Cholesky factors: it differs from the inverse roots by rotations, which leave the trace norm as
    it is, and its gradient stays finite where eigenvalues are equal.
    """
    with torch.autocast(x.device.type, enabled=False):
        white = []
        for view in (x.float(), y.float()):
            view = (view - view.mean(0)).T / (len(view) - 1) ** 0.5
            factor = torch.linalg.cholesky(view @ view.T + RIDGE * torch.eye(len(view), device=view.device))
            white.append(torch.linalg.solve_triangular(factor, view, upper=False))
        return torch.linalg.svdvals(white[0] @ white[1].T).sum()


class DCCA(CompletionModel):
    """Maximally correlated views of the modalities, concatenated (DCCA, Andrew et al., ICML 2013).

    As in the source: one network per modality, the correlation objective on mini-batches with a ridge. Of three
    modalities the mean over the pairs is taken. An absent modality is a vector of zeros. Simpler or other here: the
    source trains the views without labels and a classifier after them; here both are trained at once, the correlation
    on the complete batch. The networks are the encoders of all models here and two layers more.
    """

    def __init__(self, config: ModelConfig) -> None:
        components = min(COMPONENTS, config.width)
        super().__init__(config, joint=components * len(config.order))
        self.components = components
        self.views = per_modality(Perceptron, config.width, config.width, self.components)

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        auxiliary = None if complete is None else self.auxiliary(complete)
        return self.answer(self.project(self.units(batch)).flatten(2), auxiliary)

    def project(self, units: Units) -> Float[Tensor, "batch time modalities components"]:
        """Canonical variables of each modality; zeros where it is absent."""
        views = [self.views[modality](units.x[:, :, place]) for place, modality in enumerate(self.config.order)]
        return torch.stack(views, 2) * units.here[..., None]

    def auxiliary(self, complete: Batch) -> Tensor:
        """One minus the mean canonical correlation, over the units that have both modalities."""
        units = self.units(complete)
        return self.uncorrelated(self.project(units), units)

    def uncorrelated(self, views: Tensor, units: Units) -> Tensor:
        """The correlation objective, weighted: from 0 to `CORRELATION_WEIGHT`."""
        lost = []
        for one, other in combinations(range(len(self.config.order)), 2):
            both = units.here[:, :, one] & units.here[:, :, other]
            if int(both.sum()) > 1:  # a covariance needs two units
                found = total_correlation(views[:, :, one][both], views[:, :, other][both])
                lost.append(1 - found / self.components)
        return CORRELATION_WEIGHT * torch.stack(lost).mean() if lost else views.new_zeros(())


class DCCAE(DCCA):
    """`DCCA` whose views also rebuild the features (DCCAE, Wang et al., ICML 2015).

    As in the source: a decoder per modality from its canonical variables, squared error beside the correlation. What is
    simpler in `DCCA` is so here; at level "clip" the mean of the clip's features is rebuilt, not each step.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.decoders = nn.ModuleDict(
            {str(m): Perceptron(self.components, config.width, dim) for m, dim in feature_dims(config).items()}
        )

    def auxiliary(self, complete: Batch) -> Tensor:
        """The correlation objective and the squared error of the rebuilt features."""
        units, true = self.units(complete), self.features(complete)
        views = self.project(units)
        lost = [
            mean_square(self.decoders[modality](views[:, :, place]), true[modality], units.here[:, :, place])
            for place, modality in enumerate(self.config.order)
        ]
        return self.uncorrelated(views, units) + REBUILD_WEIGHT * torch.stack(lost).mean()
