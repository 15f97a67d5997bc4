"""GCNet: graph completion of absent modalities (Lian et al., TPAMI 2023)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import Output
from training.baselines.lstm import BiLSTM
from training.baselines.units import CompletionModel, feature_dims, mean_square

COMPLETION_WEIGHT = 1.0  # of the completion error, as in the source; a mean over what is absent, there a sum
WINDOW = 2  # units to either side that count as neighbours


class GCNet(CompletionModel):
    """A graph over the units completes the features and predicts at once (GCNet, Lian et al., TPAMI 2023).

    As in the source: features of all modalities side by side, zeros where absent, through a bidirectional LSTM give one
    node per unit; a graph convolution with a relation each for past, present and future neighbours in a window, then
    one over all neighbours; a second LSTM over both; from its output the prediction and, linearly, the features, whose
    squared error counts where they are absent. Simpler or other here: one graph, since that of the speakers has only
    one kind of edge where one person speaks; no attention after the second LSTM; one layer in each; features are
    projected to the common width first; adjacency is dense. At level "clip" a graph has one node, so only the
    completion of the mean features is left.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, joint=config.width, layers=0)
        width = config.width
        self.context = BiLSTM(width * len(config.order), width)
        self.relations = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))
        self.own, self.second_own = nn.Linear(width, width), nn.Linear(width, width)
        self.second = nn.Linear(width, width, bias=False)
        self.sequence, self.joint = BiLSTM(2 * width, width), nn.Linear(width, width)
        self.rebuild = nn.ModuleDict({str(m): nn.Linear(width, dim) for m, dim in feature_dims(config).items()})

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        units = self.units(batch)
        mask = units.mask
        nodes = self.context(units.x.flatten(2), mask)
        joint = self.joint(self.sequence(torch.cat([nodes, self.convolve(nodes, mask)], -1), mask)).relu()
        auxiliary = None
        if complete is not None:
            true, had = self.features(complete), self.present(complete)
            lost = [
                mean_square(self.rebuild[modality](joint), true[modality], (had & ~units.here)[:, :, place])
                for place, modality in enumerate(self.config.order)
            ]
            auxiliary = COMPLETION_WEIGHT * torch.stack(lost).mean()
        return self.answer(joint, auxiliary)

    def convolve(
        self, nodes: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time width"]:
        """Two graph convolutions: the mean over neighbours by relation, then their sum."""
        place = torch.arange(nodes.shape[1], device=nodes.device)
        ahead = place[None, :] - place[:, None]  # of the neighbour
        near = [(-WINDOW <= ahead) & (ahead < 0), ahead == 0, (ahead > 0) & (ahead <= WINDOW)]
        edges = [(relation & mask[:, None, :]).to(nodes.dtype) for relation in near]
        found = self.own(nodes)
        for edge, weight in zip(edges, self.relations, strict=True):
            found = found + weight(edge @ nodes / edge.sum(-1, keepdim=True).clamp(min=1))
        return self.second_own(found) + self.second(sum(edges) @ found)
